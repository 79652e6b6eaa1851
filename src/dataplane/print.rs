//! Watches this node and prints the observations, until it cannot continue.

use super::{
    args::Output,
    kernel::{KernelReader, Limits},
    lines::{self, WriteError},
    observation::{Gap, Loss, Planes, Report},
    reader::{ReadError, Reader},
};
use std::{io, time::Duration};

/// Maximum time of one wait for a report. Then it waits again.
const WAIT: Duration = Duration::from_secs(60);

/// Why printing ended.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// There will be no more reports.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Standard output accepts no more lines.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Prints what this node's kernel does with Services, and how that changes. Blocks.
///
/// # Errors
/// Listening to the kernel fails, or printing fails.
pub fn print(limits: Limits, output: Output) -> Result<(), PrintError> {
    let mut reader = KernelReader::start(limits)?;
    loop {
        let Some(report) = reader.next(WAIT)? else { continue };
        log(&report);
        match output {
            Output::Json => lines::write(io::stdout().lock(), &report)?,
        }
    }
}

/// Logs what an operator should know about a report.
pub(crate) fn log(report: &Report) {
    match report {
        Report::State { sets, .. } => tracing::info!(frontends = sets.len(), "watching the kernel's rules"),
        Report::Planes(planes) => say(planes),
        Report::Gap(gap) => say_gap(gap),
        Report::Changed(_) => {}
    }
}

fn say_gap(gap: &Gap) {
    let seconds = gap.until.since(gap.since).as_secs_f64();
    match gap.loss {
        Loss::NotRunning => {
            tracing::warn!(seconds, "this process did not run, so it is unknown when changes of that time took effect")
        }
        loss => {
            tracing::warn!(seconds, loss = loss.as_str(), "changes may have been missed, so all rules were read anew")
        }
    }
}

fn say(planes: &Planes) {
    for (family, plane) in ["IPv4", "IPv6"].into_iter().zip(planes.families) {
        match (plane.decides, plane.behind) {
            (Some(mode), None) => tracing::info!(family, "kube-proxy writes rules in mode {}", mode.as_str()),
            (Some(mode), Some(behind)) => tracing::warn!(
                family,
                "kube-proxy's rules in mode {} decide; those of mode {} are still there, and take what the first do not know",
                mode.as_str(),
                behind.as_str(),
            ),
            (None, _) => tracing::info!(family, "kube-proxy has no rules in nf_tables"),
        }
    }
    for unseen in &planes.unseen {
        tracing::warn!("found {}, which cannot be watched: it does not speak through nf_tables", unseen.as_str());
    }
}
