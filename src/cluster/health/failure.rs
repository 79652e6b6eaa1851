//! What is wrong with a watch, and when that is worth a line in the log.

use crate::model::Stamp;
use std::{fmt, time::Duration};

/// A cause that lasts is told again after this long.
const AGAIN: Duration = Duration::from_secs(600);

/// Causes that are told within that time. More are a server that says something else each time, and its log would fill the disk.
const CAUSES: usize = 8;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    text: String,
    /// The same for failures that are told once.
    cause: String,
}

/// What has been told when.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(String, Stamp)>);

/// What is wrong with one watch, and has been.
#[derive(Debug, Default)]
pub(super) struct Failures {
    current: Option<(Stamp, Failure)>,
    /// When the first of them came since the watch was well.
    since: Option<Stamp>,
    told: Told,
    /// Whether one was told since the watch was well.
    has_told: bool,
}

/// Whether a failure is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It has been told.
    Nothing,
    /// It is new, or lasts for so long.
    Line(Duration),
}

// === impl Failure ===

impl Failure {
    /// A failure that is another one in other words, whatever numbers are in them.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let cause = text.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        Self { text, cause }
    }

    /// A failure that is the same in other words.
    pub fn of(cause: impl Into<String>, text: impl Into<String>) -> Self {
        Self { text: text.into(), cause: cause.into() }
    }

    /// The same failure, said so.
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
    /// Whether to tell of this cause at `at`; it then has been told.
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

    /// Whether the last came after `since`, and was no `other`.
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

    /// The watch is well. Returns whether that is worth a line.
    pub(super) fn end(&mut self) -> bool {
        (self.current, self.since) = (None, None);
        std::mem::take(&mut self.has_told)
    }

    /// The watch was well for long: what happens from now on is another story.
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

    /// Sets a failure at this second, and returns whether it is told.
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
