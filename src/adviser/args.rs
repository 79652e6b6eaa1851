//! Flags of the advice of a running daemon.

use super::AdviserSettings;
use crate::flags::FlagErrors;
use clap::ArgAction;
use std::time::Duration;

/// The shortest interval.
const SHORTEST: Duration = Duration::from_secs(1);

/// Whether the daemon gives advice, and how often.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Say which settings of workloads and Services to change, as the subcommand advise does: endpointlag_finding, /api/v1/advice and the
    /// page. Needs permission to list workloads, autoscalers and more; what may not be read is named, and its checks are left out
    #[arg(
        long,
        value_name = "BOOL",
        env = "ENDPOINTLAG_ADVICE",
        action = ArgAction::Set,
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    advice: bool,

    /// Time between two evaluations of --advice, such as 10m. An evaluation lists all pods and workloads in small pages. If it takes more
    /// than a tenth of this time, the time is extended
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_ADVICE_INTERVAL", default_value = "10m")]
    advice_interval: String,
}

// === impl Args ===

impl Args {
    /// Checks these flags. `None` without advice.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<AdviserSettings> {
        let interval = errors.duration("--advice-interval", &self.advice_interval)?;
        if interval < SHORTEST {
            errors.add("--advice-interval", format!("{:?} is less than a second", self.advice_interval));
        }
        self.advice.then_some(AdviserSettings { interval })
    }
}
