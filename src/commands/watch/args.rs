//! Flags of `watch`.

use crate::{
    cluster::{TargetArgs, WatchArgs, is_label},
    commands::session::SessionSettings,
    flags::FlagErrors,
    logging::{self, LogFilter, LogFormat},
    pipeline::ObjectiveArgs,
};
use clap::ValueEnum;
use std::time::Duration;

/// What to watch, for how long, and what to print.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Show only the Services with this name.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,

    /// Which cluster, and which namespaces of it.
    #[command(flatten)]
    target: TargetArgs,

    /// End after this time, such as 10m. It begins when all watches are synced. Default: until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", env = "ENDPOINTLAG_FOR")]
    lasting: Option<String>,

    /// When a change is late.
    #[command(flatten)]
    objective: ObjectiveArgs,

    /// Format of the changes on standard output: a table with the summary below it, or a line of JSON for each change as from
    /// --samples, with the summary on standard error.
    #[arg(long, short = 'o', value_name = "FORMAT", env = "ENDPOINTLAG_OUTPUT", default_value = "table")]
    output: Output,

    /// How the cluster is watched.
    #[command(flatten)]
    watch: WatchArgs,

    /// The log.
    #[command(flatten)]
    logging: logging::Args,
}

/// How changes are printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A table, and a summary.
    Table,
    /// One JSON object on each line.
    Json,
}

/// The checked settings of `watch`.
#[derive(Debug)]
pub struct Settings {
    /// What to measure.
    pub session: SessionSettings,
    /// Show only the Services with this name.
    pub service: Option<String>,
    /// How long to watch; `None` until a signal comes.
    pub lasting: Option<Duration>,
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
            let advice = match service.split_once('/') {
                Some((namespace, name)) => format!("; write it like --namespace {namespace} {name}"),
                None => String::new(),
            };
            errors.add("SERVICE", format!("{service:?} is not a valid Service name{advice}"));
        }
        let scope = self.target.scope(&mut errors);
        let lasting = self.lasting.as_deref().map(|text| errors.duration("--for", text));
        let tracker = self.objective.settings(&mut errors);
        let watch = self.watch.settings(&mut errors);
        let log = self.logging.filter(&mut errors);
        let settings = tracker.zip(watch).zip(log).map(|((tracker, watch), log)| Settings {
            session: SessionSettings { cluster: self.target.choice(), scope, watch, tracker },
            service: self.service.clone(),
            lasting: lasting.flatten(),
            output: self.output,
            log,
            log_format: self.log_format(),
        });
        errors.or(settings)
    }
}
