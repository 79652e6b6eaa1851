//! Parses the values of flags and collects their errors. Each flag is defined in the module that it configures.

use std::{fmt, str::FromStr, time::Duration};

/// All errors in the flags, one line each.
#[derive(Debug, Default)]
pub struct FlagErrors(pub Vec<String>);

// === impl FlagErrors ===

impl FlagErrors {
    /// Adds an error of a flag.
    pub(crate) fn add(&mut self, flag: &str, error: String) {
        self.0.push(format!("{flag}: {error}"));
    }

    /// Parses a value. If it is invalid, adds an error and returns `None`.
    pub(crate) fn parse<T: FromStr>(&mut self, flag: &str, text: &str, say: impl Fn(T::Err) -> String) -> Option<T> {
        text.parse().map_err(|error| self.add(flag, format!("{text:?}: {}", say(error)))).ok()
    }

    /// Parses a duration of at least one millisecond.
    pub(crate) fn duration(&mut self, flag: &str, text: &str) -> Option<Duration> {
        match humantime::parse_duration(text) {
            Ok(duration) if duration >= Duration::from_millis(1) => return Some(duration),
            Ok(_) => self.add(flag, format!("{text:?} is less than a millisecond")),
            Err(error) => self.add(flag, format!("{text:?}: {error}; write it like 5s, 500ms or 10m")),
        }
        None
    }

    /// The value if there are no errors.
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
