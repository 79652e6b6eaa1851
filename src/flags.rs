//! How the values of flags are read, and what is wrong with them. The flags themselves stand beside what they configure.

use std::{fmt, str::FromStr, time::Duration};

/// What is wrong with the flags, a line each.
#[derive(Debug, Default)]
pub struct FlagErrors(pub Vec<String>);

// === impl FlagErrors ===

impl FlagErrors {
    /// Notes what is wrong with a flag.
    pub(crate) fn add(&mut self, flag: &str, error: String) {
        self.0.push(format!("{flag}: {error}"));
    }

    /// Reads a value; `None` and an error if it is none.
    pub(crate) fn parse<T: FromStr>(&mut self, flag: &str, text: &str, say: impl Fn(T::Err) -> String) -> Option<T> {
        text.parse().map_err(|error| self.add(flag, format!("{text:?}: {}", say(error)))).ok()
    }

    /// Reads a duration of a millisecond or more.
    pub(crate) fn duration(&mut self, flag: &str, text: &str) -> Option<Duration> {
        match humantime::parse_duration(text) {
            Ok(duration) if duration >= Duration::from_millis(1) => return Some(duration),
            Ok(_) => self.add(flag, format!("{text:?} is less than a millisecond")),
            Err(error) => self.add(flag, format!("{text:?}: {error}; write it like 5s, 500ms or 10m")),
        }
        None
    }

    /// The value, if all flags are right.
    pub(crate) fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for FlagErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for FlagErrors {}
