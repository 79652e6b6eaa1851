//! Flags of `watch`.

use crate::{
    cluster::{TargetArgs, WatchArgs},
    commands::{daemon, service::check_name, session::SessionSettings},
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

    /// Whose figures to use.
    #[command(flatten)]
    daemon: daemon::Args,

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
    /// Whose figures to use.
    pub daemon: daemon::Choice,
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
        check_name(self.service.as_deref(), &mut errors);
        let scope = self.target.scope(&mut errors);
        let lasting = self.lasting.as_deref().map(|text| errors.duration("--for", text));
        let tracker = self.objective.settings(&mut errors);
        let watch = self.watch.settings(&mut errors);
        let daemon = self.daemon.choice(&mut errors).and_then(|choice| match choice {
            // A daemon has judged already, by its own objective.
            daemon::Choice::Auto { .. } if !self.objective.is_default() => {
                Some(daemon::Choice::None("--objective or --expiry is given, and a daemon judges by its own"))
            }
            daemon::Choice::At(..) if !self.objective.is_default() => {
                errors.add("--objective", "a daemon at a URL judges by its own: leave one of both out".to_owned());
                None
            }
            choice => Some(choice),
        });
        let log = self.logging.filter(&mut errors);
        let settings = tracker.zip(watch).zip(log).zip(daemon).map(|(((tracker, watch), log), daemon)| Settings {
            session: SessionSettings { cluster: self.target.choice(), scope, watch, tracker },
            service: self.service.clone(),
            daemon,
            lasting: lasting.flatten(),
            output: self.output,
            log,
            log_format: self.log_format(),
        });
        errors.or(settings)
    }
}
