//! Flags for what is measured and counted. The parts that they configure are pure and do not know the flags.

use super::StartupArgs;
use crate::{
    flags::FlagErrors,
    propagation::TrackerSettings,
    stats::{Bounds, BoundsError, SeriesLimits},
};

/// Default of `--objective`.
const OBJECTIVE: &str = "5s";

/// Default of `--expiry`.
const EXPIRY: &str = "10m";

/// When a change is late.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct ObjectiveArgs {
    /// Delay within which a change should be shown, such as 5s or 500ms. A Service overrides it with the annotation
    /// endpointlag.io/objective.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_OBJECTIVE", default_value = OBJECTIVE)]
    objective: String,

    /// Age at which a change expires if it is not shown.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_EXPIRY", default_value = EXPIRY)]
    expiry: String,
}

/// When a change is late, and what is counted.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// When a change is late.
    #[command(flatten)]
    objective: ObjectiveArgs,

    /// Upper bounds of the classic histogram buckets in seconds, ascending.
    #[arg(long, value_name = "SECONDS,...", env = "ENDPOINTLAG_BUCKETS", default_value = Bounds::DEFAULT)]
    buckets: String,

    /// Number of Services that have their own series. The others share the series of _other/_other.
    #[arg(long, value_name = "NUMBER", env = "ENDPOINTLAG_MAX_SERVICES", default_value_t = 10_000)]
    max_services: usize,

    /// A Service without a change for this long loses its series until its next change.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_SERIES_IDLE", default_value = "24h")]
    series_idle: String,

    /// Whether the starts of pods are followed.
    #[command(flatten)]
    startup: StartupArgs,
}

/// The checked settings.
#[derive(Debug)]
pub struct PipelineSettings {
    /// Objective and expiry.
    pub tracker: TrackerSettings,
    /// Buckets.
    pub bounds: Bounds,
    /// How many Services have their own series, and for how long.
    pub limits: SeriesLimits,
    /// Whether the starts of pods are followed.
    pub pod_startup: bool,
}

// === impl ObjectiveArgs ===

impl ObjectiveArgs {
    /// Whether nothing else than the defaults is asked for.
    pub(crate) fn is_default(&self) -> bool {
        self.objective == OBJECTIVE && self.expiry == EXPIRY
    }

    /// Checks these flags.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<TrackerSettings> {
        let objective = errors.duration("--objective", &self.objective);
        let expiry = errors.duration("--expiry", &self.expiry);
        if let (Some(objective), Some(expiry)) = (objective, expiry)
            && objective >= expiry
        {
            errors.add("--objective", format!("{} is not less than --expiry {}", self.objective, self.expiry));
        }
        Some(TrackerSettings { objective: objective?, expiry: expiry? })
    }
}

// === impl Args ===

impl Args {
    /// Checks these flags.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<PipelineSettings> {
        let tracker = self.objective.settings(errors);
        let bounds = errors.parse("--buckets", &self.buckets, |error: BoundsError| error.to_string());
        let series_idle = errors.duration("--series-idle", &self.series_idle);
        Some(PipelineSettings {
            tracker: tracker?,
            bounds: bounds?,
            limits: SeriesLimits { services: self.max_services, idle: series_idle? },
            pod_startup: self.startup.pod_startup,
        })
    }
}
