//! The failures of a watch, and which of them are logged.

use crate::model::Stamp;
use http::StatusCode;
use std::{fmt, time::Duration};

/// A failure that lasts is logged again after this time.
const AGAIN: Duration = Duration::from_secs(600);

/// Maximum number of causes that are logged within that time. A server that sends a different message each time could otherwise
/// fill the disk with log lines.
const CAUSES: usize = 8;

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    text: String,
    /// Identifies failures that count as the same for logging.
    cause: String,
}

/// When each cause was logged.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(String, Stamp)>);

/// The present failures of one watch, and earlier ones.
#[derive(Debug, Default)]
pub(super) struct Failures {
    current: Option<(Stamp, Failure)>,
    /// When the first failure happened since the watch was healthy.
    since: Option<Stamp>,
    told: Told,
    /// Whether one of them was logged since the watch was healthy.
    has_told: bool,
}

/// Whether to log a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It was logged before.
    Nothing,
    /// It is new, or has lasted for this time.
    Line(Duration),
}

// === impl Failure ===

impl Failure {
    /// A failure that is the same as another one with the same text, apart from numbers.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let cause = text.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        Self { text, cause }
    }

    /// A failure that is the same as any other of this cause, whatever the text.
    pub fn of(cause: impl Into<String>, text: impl Into<String>) -> Self {
        Self { text: text.into(), cause: cause.into() }
    }

    /// Whether the API server denied access: the cause of such a failure is the HTTP status of the answer.
    pub(super) fn is_denial(&self) -> bool {
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].iter().any(|status| self.cause == status.as_str())
    }

    /// The same failure with another text.
    pub fn said(self, text: impl FnOnce(&str) -> String) -> Self {
        Self { text: text(&self.text), cause: self.cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl Told ===

impl Told {
    /// Whether to log this cause at `at`. If so, it counts as logged.
    pub(super) fn is_due(&mut self, cause: &str, at: Stamp) -> bool {
        self.0.retain(|(_, told)| at.since(*told) < AGAIN);
        let is_due = self.0.len() < CAUSES && self.0.iter().all(|(told, _)| told != cause);
        if is_due {
            self.0.push((cause.to_owned(), at));
        }
        is_due
    }
}

// === impl Failures ===

impl Failures {
    pub(super) fn current(&self) -> Option<&Failure> {
        self.current.as_ref().map(|(_, failure)| failure)
    }

    /// Whether the last failure came after `since`, and was not `other`.
    pub(super) fn came_after(&self, since: Stamp, other: &Failure) -> bool {
        self.current.as_ref().is_some_and(|(at, failure)| *at >= since && failure.cause != other.cause)
    }

    pub(super) fn set(&mut self, at: Stamp, failure: Failure) -> Worth {
        let since = *self.since.get_or_insert(at);
        let is_due = self.told.is_due(&failure.cause, at);
        self.has_told |= is_due;
        self.current = Some((at, failure));
        if is_due { Worth::Line(at.since(since)) } else { Worth::Nothing }
    }

    /// The watch is healthy. Returns whether to log this.
    pub(super) fn end(&mut self) -> bool {
        (self.current, self.since) = (None, None);
        std::mem::take(&mut self.has_told)
    }

    /// The watch was healthy for a long time. Failures from now on are new ones.
    pub(super) fn forget(&mut self) {
        self.told = Told::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::new(Duration::from_secs(seconds))
    }

    /// Records a failure at this second, and returns whether it is logged.
    fn is_told(failures: &mut Failures, second: u64, failure: &Failure) -> bool {
        failures.set(at(second), failure.clone()) != Worth::Nothing
    }

    #[test]
    fn each_cause_is_told_once_and_a_lasting_one_every_ten_minutes() {
        let (mut failures, broken) = (Failures::default(), Failure::of("500", "an error"));
        let told: Vec<_> = (0..3600).step_by(20).filter(|second| is_told(&mut failures, *second, &broken)).collect();
        assert_eq!(told, [0, 600, 1200, 1800, 2400, 3000]);
        let lasting = failures.set(at(3600), broken.clone());
        assert_eq!(lasting, Worth::Line(Duration::from_secs(3600)));

        assert!(is_told(&mut failures, 3610, &Failure::of("403", "forbidden")), "a cause that changed");
        assert!(!is_told(&mut failures, 3620, &broken), "and changed back");
        assert_eq!(failures.current().map(Failure::to_string).as_deref(), Some("an error"));
    }

    #[test]
    fn a_recovery_is_told_once_and_only_of_what_was_told() {
        let (mut failures, broken) = (Failures::default(), Failure::new("broke after 3 s"));
        assert!(!failures.end());
        assert!(is_told(&mut failures, 0, &broken));
        assert!(failures.end());
        assert!(!failures.end());
        assert!(!is_told(&mut failures, 5, &Failure::new("broke after 4 s")), "other numbers are no other cause");
        assert!(!failures.end());
        failures.forget();
        assert!(is_told(&mut failures, 60, &broken));
    }

    #[test]
    fn a_server_that_always_says_something_else_does_not_fill_the_log() {
        let mut failures = Failures::default();
        let letter = |second: u64| char::from(b'a' + (second % 26) as u8);
        let other = |second| Failure::new(format!("{}{}", letter(second), letter(second / 26)));
        let told = (0..600).filter(|second| is_told(&mut failures, *second, &other(*second))).count();
        assert_eq!(told, CAUSES);
    }
}
