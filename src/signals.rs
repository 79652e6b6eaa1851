//! Signals to the process: to end (SIGTERM, SIGINT), or to reopen its files (SIGHUP).

use crate::logging::LogFormat;
use std::{io, process, thread, time::Duration};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// How long a clean shutdown may take. Together with the time to report a failed one, it is less than two seconds.
const LIMIT: Duration = Duration::from_millis(1700);

/// How long that report may take. Standard error may be a full pipe.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Exit code of a program that was ended by a signal, as in a shell: this plus the number of the signal.
const ENDED_BY: i32 = 128;

/// The signals received so far.
#[derive(Clone, Debug)]
pub struct OsSignals {
    stop: watch::Receiver<bool>,
    hangups: Hangups,
}

/// Notifies of each SIGHUP.
#[derive(Clone, Debug)]
pub struct Hangups(watch::Receiver<()>);

struct Watcher {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    stop: watch::Sender<bool>,
    hangups: watch::Sender<()>,
    format: LogFormat,
}

// === impl OsSignals ===

impl OsSignals {
    /// Starts to wait for signals, on a separate thread that nothing else can block: this thread ends the process if the rest
    /// hangs.
    ///
    /// # Errors
    /// If the system has no threads left, or does not allow signal handlers.
    pub fn start(format: LogFormat) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let (hangups, hung_up) = watch::channel(());
        let watcher = {
            let _context = runtime.enter();
            let [terminate, interrupt, hangup] =
                [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
            Watcher { terminate: terminate?, interrupt: interrupt?, hangup: hangup?, stop, hangups, format }
        };
        thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(watcher.run()))?;
        Ok(Self { stop: stopped, hangups: Hangups(hung_up) })
    }

    /// Completes when the process has to end.
    pub async fn stopped(&self) {
        // It fails only if the thread is gone, and that ends the process.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Notifies of each SIGHUP from now on.
    pub fn hangups(&self) -> Hangups {
        self.hangups.clone()
    }
}

// === impl Hangups ===

impl Hangups {
    /// Never notifies.
    pub fn never() -> Self {
        // The sender is dropped.
        Self(watch::channel(()).1)
    }

    /// Completes at the next SIGHUP.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

// === impl Watcher ===

impl Watcher {
    async fn run(mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => self.hangups.send_replace(()),
            }
        }
        self.stop.send_replace(true);
        let code = tokio::select! {
            _ = self.terminate.recv() => ENDED_BY + SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => ENDED_BY + SignalKind::interrupt().as_raw_value(),
            () = tokio::time::sleep(LIMIT) => {
                let format = self.format;
                // If the thread does not start, the process ends without this line.
                let _ = thread::Builder::new().spawn(move || {
                    format.say_fatal("ending by force: a file, a volume or a pipe blocks");
                });
                tokio::time::sleep(LAST_WORDS).await;
                1
            }
        };
        process::exit(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented limit: SIGTERM ends the process within two seconds.
    #[test]
    fn a_forced_end_begins_early_enough() {
        assert!(LIMIT + LAST_WORDS < Duration::from_secs(2));
    }
}
