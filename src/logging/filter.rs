//! The filter for log lines: `--log-level`.

use std::str::FromStr;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The level for lines that no part of the filter names.
const DEFAULT: LevelFilter = LevelFilter::INFO;

/// A level for all lines, and levels for single modules.
///
/// It is stricter than the usual filters of `tracing`. They take a word that is not a level as the name of a module. With them
/// `warning` logs only lines from a module `warning`, and drops all other lines, even errors.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter(Targets);

/// The text is not a valid filter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFilterError {
    /// Nothing, or nothing between two commas.
    #[error("a level is missing; write {LEVELS}")]
    Empty,
    /// A word that is not a level, in the place of a level.
    #[error("{0:?} is not a level; write {LEVELS}")]
    UnknownLevel(String),
    /// A text that cannot be the name of a module.
    #[error("{0:?} is not a module name; write it like endpointlag::cluster")]
    BadModule(String),
    /// Two levels for all lines.
    #[error("two levels apply to all lines: {0}")]
    Ambiguous(String),
}

const LEVELS: &str = "error, warn, info, debug or trace, or a filter such as info,endpointlag::cluster=debug";

// === impl LogFilter ===

impl LogFilter {
    /// The filter as `tracing` takes it.
    pub fn targets(self) -> Targets {
        self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self(Targets::new().with_default(DEFAULT))
    }
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, LogFilterError> {
        let (mut everything, mut targets) = (None, Targets::new());
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => {
                    if everything.replace(level(part)?).is_some() {
                        return Err(LogFilterError::Ambiguous(text.to_owned()));
                    }
                }
                Some((module, _)) if !is_module(module) => return Err(LogFilterError::BadModule(module.to_owned())),
                Some((module, word)) => targets = targets.with_target(module, level(word)?),
            }
        }
        Ok(Self(targets.with_default(everything.unwrap_or(DEFAULT))))
    }
}

fn level(word: &str) -> Result<LevelFilter, LogFilterError> {
    match &*word.to_ascii_lowercase() {
        "error" => Ok(LevelFilter::ERROR),
        "warn" | "warning" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        "" => Err(LogFilterError::Empty),
        _ => Err(LogFilterError::UnknownLevel(word.to_owned())),
    }
}

fn is_module(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "_:".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn what_is_no_level_is_refused() {
        for word in ["inf", "9", "0", "off", "errors", "endpointlag", "info;debug", "info,endpointlag::cluster=detail"]
        {
            assert!(matches!(word.parse::<LogFilter>(), Err(LogFilterError::UnknownLevel(_))), "{word}");
        }
        for text in ["", " ", "info,", ",info", "endpointlag="] {
            assert_eq!(text.parse::<LogFilter>(), Err(LogFilterError::Empty), "{text:?}");
        }
        for text in ["=debug", "info,end pointlag=debug", "info,endpoint-lag=debug"] {
            assert!(matches!(text.parse::<LogFilter>(), Err(LogFilterError::BadModule(_))), "{text}");
        }
        assert!(matches!("info,warn".parse::<LogFilter>(), Err(LogFilterError::Ambiguous(_))));
    }

    /// Whatever is accepted, errors are logged.
    #[test]
    fn no_filter_silences_errors() {
        let accepted =
            ["error", "warn", "warning", "WARN", "info", "debug", "trace", "info,a::b=error", "a=trace", "a=error"];
        for text in accepted {
            let targets = text.parse::<LogFilter>().expect(text).targets();
            for target in ["a", "a::b", "endpointlag::daemon"] {
                assert!(targets.would_enable(target, &Level::ERROR), "{text} of {target}");
            }
        }
    }

    #[test]
    fn a_module_has_a_level_of_its_own_and_the_rest_the_default() {
        let shows = |text: &str, target: &str, level: Level| {
            text.parse::<LogFilter>().expect(text).targets().would_enable(target, &level)
        };
        assert!(shows("warning", "endpointlag::daemon", Level::WARN));
        assert!(!shows("warning", "endpointlag::daemon", Level::INFO));
        let text = "warn, endpointlag::cluster=debug";
        assert!(shows(text, "endpointlag::cluster::watch", Level::DEBUG));
        assert!(!shows(text, "endpointlag::daemon", Level::INFO));
        let text = "endpointlag::cluster=debug";
        assert!(shows(text, "endpointlag::daemon", Level::INFO) && !shows(text, "endpointlag::daemon", Level::DEBUG));
    }
}
