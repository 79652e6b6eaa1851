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

/// How long credentials may take before a log line says that the daemon waits for them.
const SLOW: Duration = Duration::from_secs(3);

/// The runtime that reads and stamps the sockets, and does nothing else. Requests for metrics cannot delay it.
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
        // A single-threaded runtime, because looking for work of other threads after each wake-up costs as much as reading a chunk.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("readers".into());
        let run = move || {
            // Completes in both cases, also if the sender is dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        thread.spawn(run)?;
        Ok(Self { handle, _stop: stop })
    }

    /// Runs a future on the readers' runtime, because a client's background tasks run where the client was created.
    ///
    /// # Panics
    /// If the future does.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(future).await {
            Ok(value) => value,
            Err(error) => panic::resume_unwind(error.into_panic()),
        }
    }

    /// Creates a client for the cluster. If a program issues its credentials, this may take long.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the program fails.
    ///
    /// # Panics
    /// If creating the client panics.
    pub async fn connect(&self, found: Found) -> Result<ApiClient, ConnectError> {
        let Found { config, plugin, file } = found;
        // On a thread that may block, because it waits for the program.
        let mut making = self.handle.spawn_blocking(move || ApiClient::new(config));
        let made = match tokio::time::timeout(SLOW, &mut making).await {
            Ok(made) => made,
            Err(_) => {
                tracing::warn!(plugin, "still waiting for credentials; nothing is measured until then");
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
