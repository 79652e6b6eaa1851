//! The interface for watching any data plane, and a scripted implementation of it.

use super::{
    follower::Counts,
    netlink::{dump::DumpError, socket::SocketError},
    observation::Report,
};
use std::{collections::VecDeque, thread, time::Duration};

/// Why a data plane can no longer be watched.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel does not permit listening.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel's rules cannot be read.
    #[error("cannot read the kernel's rules")]
    Dump(#[from] DumpError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Watches what a node's data plane does with Services.
///
/// The first report is the state. Applying the changes of all later ones to it gives the state at any time: each change is reported
/// once, with its commit or with the gap in which it was found.
pub trait Reader {
    /// Waits for the next report, but not longer than `within`.
    ///
    /// # Errors
    /// There will be no more reports.
    fn next(&mut self, within: Duration) -> Result<Option<Report>, ReadError>;

    /// Counts since the start.
    fn counts(&self) -> Counts;
}

/// Reports what it was given, for tests of the code after a reader.
#[derive(Debug, Default)]
pub struct FakeReader {
    reports: VecDeque<Report>,
}

// === impl FakeReader ===

impl FakeReader {
    /// Reports these, and then nothing more.
    pub fn telling(reports: impl IntoIterator<Item = Report>) -> Self {
        Self { reports: reports.into_iter().collect() }
    }
}

impl Reader for FakeReader {
    fn next(&mut self, within: Duration) -> Result<Option<Report>, ReadError> {
        let report = self.reports.pop_front();
        if report.is_none() {
            thread::sleep(within);
        }
        Ok(report)
    }

    fn counts(&self) -> Counts {
        Counts::default()
    }
}
