//! Flags of `replay`.

use crate::{
    cluster::is_label,
    commands::watch::Output,
    flags::FlagErrors,
    logging::{self, LogFilter, LogFormat},
};
use std::{path::PathBuf, time::Duration};

/// What to measure again, and what to print.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// The recording.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Show only the Services with this name.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,

    /// Delay within which a change should be shown, such as 5s or 500ms. Default: that of the recording.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_OBJECTIVE")]
    objective: Option<String>,

    /// Age at which a change expires if it is not shown. Default: that of the recording.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_EXPIRY")]
    expiry: Option<String>,

    /// Format of the changes on standard output: a table with the summary below it, or a line of JSON for each change as from
    /// --samples, with the summary on standard error.
    #[arg(long, short = 'o', value_name = "FORMAT", env = "ENDPOINTLAG_OUTPUT", default_value = "table")]
    output: Output,

    /// The log.
    #[command(flatten)]
    logging: logging::Args,
}

/// The checked settings of `replay`.
#[derive(Debug)]
pub struct Settings {
    /// The recording.
    pub file: PathBuf,
    /// Show only the Services with this name.
    pub service: Option<String>,
    /// The objective, if it is not that of the recording.
    pub objective: Option<Duration>,
    /// The expiry, if it is not that of the recording.
    pub expiry: Option<Duration>,
    /// How changes are printed.
    pub output: Output,
    /// Which lines are logged.
    pub log: LogFilter,
    /// How messages look on standard error.
    pub log_format: LogFormat,
}

// === impl Args ===

impl Args {
    /// How log lines look.
    pub fn log_format(&self) -> LogFormat {
        self.logging.format()
    }

    /// Checks all flags.
    ///
    /// # Errors
    /// With a line for each that is wrong.
    pub fn settings(&self) -> Result<Settings, FlagErrors> {
        let mut errors = FlagErrors::default();
        if let Some(service) = self.service.as_deref().filter(|service| !is_label(service)) {
            errors.add("SERVICE", format!("{service:?} is not a valid Service name"));
        }
        let objective = self.objective.as_deref().map(|text| errors.duration("--objective", text));
        let expiry = self.expiry.as_deref().map(|text| errors.duration("--expiry", text));
        let log = self.logging.filter(&mut errors);
        let settings = log.map(|log| Settings {
            file: self.file.clone(),
            service: self.service.clone(),
            objective: objective.flatten(),
            expiry: expiry.flatten(),
            output: self.output,
            log,
            log_format: self.log_format(),
        });
        errors.or(settings)
    }
}
