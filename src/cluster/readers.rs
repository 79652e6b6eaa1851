//! The thread that reads the sockets of the watches.

use super::{
    client::{ApiClient, ConnectError},
    kubeconfig::{Found, KubeconfigError},
};
use std::{io, panic, thread, time::Duration};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// How long credentials may take before a line says that they are waited for.
const SLOW: Duration = Duration::from_secs(3);

/// The runtime on which sockets are read and stamped, and nothing else: no request for metrics can hold it up.
pub struct Readers {
    handle: Handle,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

// === impl Readers ===

impl Readers {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn start() -> io::Result<Self> {
        // A runtime of one thread: to look for other threads' work after each wake would cost as much as to read a chunk.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("readers".into());
        let run = move || {
            // Either way: the other end is dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        thread.spawn(run)?;
        Ok(Self { handle, _stop: stop })
    }

    /// Runs a future among the readers: a client's background tasks live where it was made.
    ///
    /// # Panics
    /// If the future does.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(future).await {
            Ok(value) => value,
            Err(error) => panic::resume_unwind(error.into_panic()),
        }
    }

    /// Makes a client of a cluster that was found. Where a program hands out its credentials, that may take long.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the program fails.
    ///
    /// # Panics
    /// If making it does.
    pub async fn connect(&self, found: Found) -> Result<ApiClient, ConnectError> {
        let Found { config, plugin, file } = found;
        // On a thread that may block: the program is waited for.
        let mut making = self.handle.spawn_blocking(move || ApiClient::new(config));
        let made = match tokio::time::timeout(SLOW, &mut making).await {
            Ok(made) => made,
            Err(_) => {
                tracing::warn!(plugin, "still waiting for credentials; nothing is measured before");
                making.await
            }
        };
        match made {
            Ok(Err(ConnectError::BadConfig(cause))) => Err(KubeconfigError::unusable(file, cause).into()),
            Ok(made) => made,
            Err(error) => panic::resume_unwind(error.into_panic()),
        }
    }

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(future);
    }
}
