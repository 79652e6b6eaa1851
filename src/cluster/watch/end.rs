//! Why a connection of a watch ended, and what follows from it.

use crate::{
    cluster::{
        client::{Loss, Lost, RequestError},
        health::{Failure, Restart},
        queue::Progress,
    },
    errors::chain,
    model::Stamp,
};
use http::StatusCode;
use std::time::Duration;

/// Why a connection ended.
pub(super) enum End {
    Stream(Ended),
    Request(RequestError),
}

/// How a stream ended.
pub(super) struct Ended {
    pub(super) restart: Restart,
    /// A message for people, if something is wrong.
    pub(super) failure: Option<Failure>,
    /// Up to when the stream was complete, if the connection reports this for all its users.
    pub(super) through: Option<Stamp>,
}

/// How an end is recorded.
pub(super) struct Account {
    pub(super) restart: Restart,
    /// A message for people, if something is wrong.
    pub(super) failure: Option<Failure>,
    /// Whether a new list is needed.
    pub(super) needs_list: bool,
}

// === impl End ===

impl End {
    /// If the connection is lost, this is the reason why a request got no answer.
    pub(super) fn or_lost(self, lost: Option<Lost>) -> Self {
        match (self, lost) {
            (Self::Request(RequestError::Unreachable { .. }), Some(lost)) => Self::Stream(lost.into()),
            (end, _) => end,
        }
    }

    /// How long the server asks the client to wait before the next request.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Request(error) => error.retry_after(),
            Self::Stream(_) => None,
        }
    }

    /// How to record the end. If the decoder found an error in the stream, that error is the cause.
    pub(super) fn account(self, progress: &Progress) -> Account {
        if let Some(failure) = &progress.failure {
            let restart = if failure.expired { Restart::Expired } else { Restart::Malformed };
            return Account { restart, failure: Some(Failure::new(&failure.message)), needs_list: true };
        }
        match self {
            // A stream that is complete always has a version to resume from.
            Self::Stream(Ended { restart: Restart::Closed, through: None, .. }) if progress.resume.is_none() => {
                let failure = Failure::new("the API server ended the watch in the middle of its list");
                Account { restart: Restart::Broken, failure: Some(failure), needs_list: true }
            }
            Self::Stream(Ended { restart, failure, .. }) => {
                let needs_list = matches!(restart, Restart::Rewound | Restart::Malformed | Restart::Expired);
                Account { restart, failure, needs_list }
            }
            Self::Request(error) => {
                let restart = reason_of(&error);
                Account { restart, failure: Some(failure_of(&error)), needs_list: restart == Restart::Expired }
            }
        }
    }
}

// === impl Account ===

impl Account {
    /// Whether the watch lists without a pause. The server is up, and cannot serve the version to resume from: a pause as for a server
    /// that is down would only make the gap longer. If the server then rejects the list, the watch did not resume, and pauses.
    pub(super) fn lists_at_once(&self, resumed: bool) -> bool {
        resumed && matches!(self.restart, Restart::Expired | Restart::Rewound)
    }
}

impl From<RequestError> for End {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        Self::Stream(ended)
    }
}

// === impl Ended ===

impl Ended {
    /// Ended normally, or so that another part reports the error.
    pub(super) fn silently(restart: Restart) -> Self {
        Self { restart, failure: None, through: None }
    }

    pub(super) fn saying(restart: Restart, failure: impl Into<String>) -> Self {
        Self { failure: Some(Failure::new(failure)), ..Self::silently(restart) }
    }

    pub(super) fn broken() -> Self {
        Self::saying(Restart::Broken, "the connection broke")
    }

    /// The server has an older version than the one to resume from.
    pub(super) fn rewound(version: u64, resumed: u64) -> Self {
        Self::saying(
            Restart::Rewound,
            format!(
                "the API server is at version {version} and has been at {resumed}: its storage was restored from an older backup"
            ),
        )
    }
}

impl From<Lost> for Ended {
    fn from(lost: Lost) -> Self {
        let ended = match lost.cause {
            Loss::Closed => Self::silently(Restart::Closed),
            Loss::Broken => Self::broken(),
            Loss::Unanswered => {
                Self::saying(Restart::Idle, format!("no PING was answered for {} s", Loss::TIMEOUT.as_secs_f64()))
            }
        };
        Self { through: Some(lost.through), ..ended }
    }
}

/// Another request of the watch failed, and the stream is useless without it.
impl From<RequestError> for Ended {
    fn from(error: RequestError) -> Self {
        Self { failure: Some(without_version(&error)), ..Self::silently(reason_of(&error)) }
    }
}

/// Why no delay can be computed, although the watch exists.
pub(super) fn without_version(error: &RequestError) -> Failure {
    failure_of(error).said(|error| format!("the current version cannot be learned: {error}"))
}

/// Each status is one cause. The message of the server may be different for each request.
fn failure_of(error: &RequestError) -> Failure {
    match error {
        RequestError::Refused { status, .. } => Failure::of(status.as_str(), chain(error)),
        _ => Failure::new(chain(error)),
    }
}

fn reason_of(error: &RequestError) -> Restart {
    match error {
        RequestError::Refused { status, message, .. } if cannot_resume(*status, message) => Restart::Expired,
        RequestError::Refused { .. } => Restart::Refused,
        RequestError::Malformed(_) | RequestError::Foreign { .. } | RequestError::Encoded { .. } => Restart::Malformed,
        RequestError::Unreachable { .. } => Restart::Unreachable,
    }
}

/// Whether the answer means that the version to resume from is too old, or too new to ever be reached, as after a restore from a
/// backup.
fn cannot_resume(status: StatusCode, message: &str) -> bool {
    let too_new = status == StatusCode::GATEWAY_TIMEOUT && message.contains("Too large resource version");
    status == StatusCode::GONE || too_new
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a stream of a watch is recorded whose decoder has found nothing wrong.
    fn account(ended: Ended) -> Account {
        End::from(ended).account(&Progress::default())
    }

    #[test]
    fn a_version_that_the_server_does_not_have_asks_for_a_list_at_once() {
        let rewound = account(Ended::rewound(1, 2));
        assert!(rewound.needs_list && rewound.lists_at_once(true) && !rewound.lists_at_once(false));
        let gone = RequestError::Refused { status: StatusCode::GONE, message: String::new(), retry_after: None };
        let expired = End::from(gone).account(&Progress::default());
        assert!(expired.needs_list && expired.lists_at_once(true) && !expired.lists_at_once(false));
    }

    #[test]
    fn what_the_next_attempt_may_meet_again_waits() {
        for ended in [Ended::broken(), Ended::silently(Restart::Malformed), Ended::silently(Restart::Idle)] {
            assert!(!account(ended).lists_at_once(true));
        }
    }
}
