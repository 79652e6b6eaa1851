//! Flags of the log.

use super::{LogFilter, LogFilterError, LogFormat};
use crate::flags::FlagErrors;

/// What is logged, and in which format.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// error, warn, info, debug or trace, or a filter such as info,endpointlag::cluster=debug.
    #[arg(long, value_name = "LEVEL", env = "ENDPOINTLAG_LOG_LEVEL", default_value = "info")]
    log_level: String,

    /// Format of the log on standard error.
    #[arg(long, value_name = "FORMAT", env = "ENDPOINTLAG_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

// === impl Args ===

impl Args {
    /// The format of log lines.
    pub fn format(&self) -> LogFormat {
        self.log_format
    }

    /// Checks which lines are logged.
    pub(crate) fn filter(&self, errors: &mut FlagErrors) -> Option<LogFilter> {
        errors.parse("--log-level", &self.log_level, |error: LogFilterError| error.to_string())
    }
}
