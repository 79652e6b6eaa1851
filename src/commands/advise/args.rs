//! Flags of `advise`.

use crate::{
    cluster::{TargetArgs, WatchArgs},
    commands::{daemon, service::check_name, session::SessionSettings},
    flags::FlagErrors,
    logging::{self, LogFilter, LogFormat},
    propagation::TrackerSettings,
};
use clap::ValueEnum;
use std::{path::PathBuf, time::Duration};

/// A change that has taken this long is a change that has not ended; the default of a daemon's --expiry.
const EXPIRY: Duration = Duration::from_secs(600);

/// How long is measured if nothing is said. It covers a rollout.
const LASTING: Duration = Duration::from_secs(600);

/// No finding depends on the objective.
const OBJECTIVE: Duration = Duration::from_secs(5);

/// What to judge, what was measured of it, and what to print.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Judge only the Services with this name.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,

    /// Which cluster, and which namespaces of it.
    #[command(flatten)]
    target: TargetArgs,

    /// Measure here for this time before judging, such as 10m. 0s judges only what is set. Ctrl-C ends it early. Default: 10m, if no
    /// daemon is used.
    #[arg(long = "for", value_name = "DURATION", env = "ENDPOINTLAG_FOR")]
    lasting: Option<String>,

    /// Whose figures to use.
    #[command(flatten)]
    daemon: daemon::Args,

    /// Format of the findings on standard output.
    #[arg(long, short = 'o', value_name = "FORMAT", env = "ENDPOINTLAG_OUTPUT", default_value = "table")]
    output: Output,

    /// Print the patches as a stream of YAML documents instead of the findings.
    #[arg(long, env = "ENDPOINTLAG_PATCH", conflicts_with = "output")]
    patch: bool,

    /// Also write each patch into a file of this folder, which is made if it does not exist.
    #[arg(long, value_name = "FOLDER", env = "ENDPOINTLAG_PATCH_DIR")]
    patch_dir: Option<PathBuf>,

    /// Exit with code 1 if a finding is at least as bad as this.
    #[arg(long, value_name = "SEVERITY", env = "ENDPOINTLAG_FAIL_ON", default_value = "error")]
    fail_on: FailOn,

    /// How the cluster is watched.
    #[command(flatten)]
    watch: WatchArgs,

    /// The log.
    #[command(flatten)]
    logging: logging::Args,
}

/// How findings are printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// JUnit XML.
    Junit,
}

/// Which findings fail a pipeline.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// Errors.
    Error,
    /// Errors and warnings.
    Warning,
    /// All.
    Note,
    /// None.
    Never,
}

/// The checked settings of `advise`.
#[derive(Debug)]
pub struct Settings {
    /// What to read and to measure.
    pub session: SessionSettings,
    /// Judge only the Services with this name.
    pub service: Option<String>,
    /// What was measured, or is to be.
    pub(super) source: Source,
    /// How findings are printed; `None` if the patches are.
    pub output: Option<Output>,
    /// Where patches are written.
    pub patch_folder: Option<PathBuf>,
    /// Which findings fail a pipeline.
    pub fail_on: FailOn,
    /// Which lines are logged.
    pub log: LogFilter,
    /// How messages look on standard error.
    pub log_format: LogFormat,
}

/// Where the measured figures come from.
#[derive(Debug)]
pub(super) enum Source {
    Nothing,
    Session(Duration),
    /// A daemon if there is one, and otherwise this process, for this long.
    Daemon(daemon::Choice, Duration),
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
        let source = self.source(&mut errors);
        let watch = self.watch.settings(&mut errors);
        let log = self.logging.filter(&mut errors);
        let tracker = TrackerSettings { objective: OBJECTIVE, expiry: EXPIRY };
        let settings = source.zip(watch).zip(log).map(|((source, watch), log)| Settings {
            session: SessionSettings { cluster: self.target.choice(), scope, watch, tracker },
            service: self.service.clone(),
            source,
            output: (!self.patch).then_some(self.output),
            patch_folder: self.patch_dir.clone(),
            fail_on: self.fail_on,
            log,
            log_format: self.log_format(),
        });
        errors.or(settings)
    }

    fn source(&self, errors: &mut FlagErrors) -> Option<Source> {
        let choice = self.daemon.choice(errors)?;
        match (self.lasting.as_deref(), choice) {
            (Some(_), daemon::Choice::At(..)) => {
                errors.add("--for", "a daemon at a URL has measured already: leave one of both out".to_owned());
                None
            }
            (Some(text), _) => match humantime::parse_duration(text) {
                Ok(Duration::ZERO) => Some(Source::Nothing),
                _ => errors.duration("--for", text).map(Source::Session),
            },
            (None, daemon::Choice::None(_)) => Some(Source::Session(LASTING)),
            (None, choice) => Some(Source::Daemon(choice, LASTING)),
        }
    }
}
