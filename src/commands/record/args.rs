//! Flags of `record`.

use crate::{
    cluster::{TargetArgs, WatchArgs},
    commands::session::SessionSettings,
    flags::FlagErrors,
    logging::{self, LogFilter, LogFormat},
    pipeline::ObjectiveArgs,
    recording::Target,
};
use bytesize::ByteSize;
use clap::ValueEnum;
use std::{path::PathBuf, time::Duration};

/// The smallest file that makes sense: room for a part.
const MIN_SIZE: ByteSize = ByteSize::kib(64);

/// What to record, for how long, and into which file.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// The file to create, such as slow.endpointlag.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which cluster, and which namespaces of it.
    #[command(flatten)]
    target: TargetArgs,

    /// End after this time, such as 10m. It begins when all watches are synced. Default: until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", env = "ENDPOINTLAG_FOR")]
    lasting: Option<String>,

    /// End before the file is larger than this, such as 100MiB.
    #[arg(long, value_name = "SIZE", env = "ENDPOINTLAG_MAX_SIZE", default_value = "1GiB")]
    max_size: String,

    /// Replace the names of namespaces, Services, pods, slices and ports, and UIDs, by codes. Equal names get equal codes. The key
    /// of the codes is random and kept nowhere.
    #[arg(long, env = "ENDPOINTLAG_ANONYMIZE")]
    anonymize: bool,

    /// Replace the file if it exists.
    #[arg(long, env = "ENDPOINTLAG_FORCE")]
    force: bool,

    /// When a change is late. A replay can use other values.
    #[command(flatten)]
    objective: ObjectiveArgs,

    /// Also print the changes as they end: as a table, or a line of JSON for each change as from --samples. With --anonymize the
    /// output still has the names.
    #[arg(long, short = 'o', value_name = "FORMAT", env = "ENDPOINTLAG_OUTPUT", default_value = "none")]
    output: Output,

    /// How the cluster is watched.
    #[command(flatten)]
    watch: WatchArgs,

    /// The log.
    #[command(flatten)]
    logging: logging::Args,
}

/// Whether and how changes are printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// They are not.
    None,
    /// A table.
    Table,
    /// One JSON object on each line.
    Json,
}

/// The checked settings of `record`.
#[derive(Debug)]
pub struct Settings {
    /// What to measure.
    pub session: SessionSettings,
    /// The file.
    pub target: Target,
    /// Its maximum size, in bytes.
    pub max_size: u64,
    /// Whether names are replaced.
    pub anonymize: bool,
    /// How long to record; `None` until a signal comes.
    pub lasting: Option<Duration>,
    /// Whether and how changes are printed.
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
        let scope = self.target.scope(&mut errors);
        let lasting = self.lasting.as_deref().map(|text| errors.duration("--for", text));
        let advice = |error: String| format!("{error}; write it like 100MiB or 2GB");
        let max_size: Option<ByteSize> = errors.parse("--max-size", &self.max_size, advice);
        if max_size.is_some_and(|size| size < MIN_SIZE) {
            errors.add("--max-size", format!("{} is less than {MIN_SIZE}", self.max_size));
        }
        let tracker = self.objective.settings(&mut errors);
        let watch = self.watch.settings(&mut errors);
        let log = self.logging.filter(&mut errors);
        let settings = tracker.zip(watch).zip(log).zip(max_size).map(|(((tracker, watch), log), max_size)| Settings {
            session: SessionSettings { cluster: self.target.choice(), scope, watch, tracker },
            target: Target { path: self.file.clone(), force: self.force },
            max_size: max_size.as_u64(),
            anonymize: self.anonymize,
            lasting: lasting.flatten(),
            output: self.output,
            log,
            log_format: self.log_format(),
        });
        errors.or(settings)
    }
}
