//! `endpointlag advise`: which settings to change, judged by what is set and what was measured.

mod args;
mod daemon;
mod measure;
mod output;

pub use self::args::{Args, FailOn, Output, Settings};

use self::args::Source;
use super::{
    daemon::{DaemonError, Source as From},
    print::print,
    session::{Connection, SessionError, place},
    text::counted,
};
use crate::{
    advice::{Advice, Severity},
    adviser::{Measurement, judge as judge_all},
    cluster::inventory::{Inventory, InventoryError, Pace},
    signals::OsSignals,
};
use std::{io, time::Duration};

/// Help below the flags.
pub const EXAMPLES: &str = "\
It reads what is set (workloads, PodDisruptionBudgets, autoscalers, Services), takes what was measured, and says what to set. What \
may not be read is named, and its checks are left out.

  endpointlag advise -n shop checkout --for 10m         measure one Service; roll it out meanwhile
  endpointlag advise -n shop --for 0s                   only what needs no measuring
  endpointlag advise                                    take what a daemon in the cluster has measured, if there is one
  endpointlag advise --daemon http://localhost:10911    take what the daemon at this address has measured
  endpointlag advise --for 0s -o sarif > advice.sarif   for the code scanning of a forge; -o junit for a CI

To apply the patches, write them into a folder, read and edit them, and keep those that you want. Each file names its own object. Files
that end in .patch.yaml change an object, and files that end in .new.yaml create one:

  endpointlag advise -n shop checkout --patch-dir advice
  for file in advice/*.patch.yaml; do kubectl patch -f $file --patch-file $file; done
  for file in advice/*.new.yaml; do kubectl apply -f $file; done

With kustomize, files that end in .patch.yaml are patches, and files that end in .new.yaml are resources. To ignore advice, give a Service or workload an annotation with a check, or a whole lever, and \
a reason, several separated by semicolons:

  endpointlag.io/ignore-advice: \"pod-disruption-budget=batch job, may stop; pre-stop-missing=drains by itself\"

Exit codes:
  0  no finding is as bad as --fail-on
  1  at least one finding is
  2  a flag is wrong, or nothing could be judged: no connection, no permission, no such Service";

/// Whether there is a finding that fails a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None is as bad as that.
    Passed,
    /// At least one is.
    Failed,
}

/// Why there is no advice.
#[derive(Debug, thiserror::Error)]
pub enum AdviseError {
    /// Nothing can be measured.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Nothing can be read.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The daemon does not answer as expected.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// A signal came before there was anything to judge.
    #[error("ended before anything was read")]
    Early,
    /// The measurement has ended by itself.
    #[error("the measurement has ended")]
    Ended,
    /// There is no such Service.
    #[error("no Service {name} with a selector in {place}, or it has the annotation endpointlag.io/ignore")]
    NoService {
        /// Its name.
        name: String,
        /// The part of the cluster that was read.
        place: String,
    },
    /// The advice cannot be printed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// A patch cannot be written.
    #[error("cannot write {path}")]
    Patch {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The advice cannot be put into this format.
    #[error("cannot write the advice in this format: {0}")]
    Format(String),
}

/// Reads, measures, judges and prints.
///
/// # Errors
/// If nothing can be judged, or the advice cannot be printed.
pub async fn run(settings: Settings, signals: &OsSignals) -> Result<Verdict, AdviseError> {
    let advice = judge(&settings, signals).await?;
    let text = output::text(&advice, &settings)?;
    if let Some(folder) = &settings.patch_folder {
        for path in output::write_patches(&advice, folder)? {
            settings.log_format.say(&format!("wrote {}", path.display()));
        }
    }
    print(text).await.map_err(AdviseError::Output)?;
    let has_failed = settings.fail_on.severity().is_some_and(|least| advice.worst() >= Some(least));
    Ok(if has_failed { Verdict::Failed } else { Verdict::Passed })
}

async fn judge(settings: &Settings, signals: &OsSignals) -> Result<Advice, AdviseError> {
    let connection = Connection::open(&settings.session.cluster).await?;
    settings.log_format.say(&format!("connecting to {}", connection.url()));
    let client = connection.typed()?;
    let read = async || Inventory::read(client.clone(), &settings.session.scope, Pace::FAST).await;
    // Before anything is measured, so that a missing right does not show after ten minutes.
    let mut inventory = tokio::select! {
        inventory = read() => inventory?,
        () = signals.stopped() => return Err(AdviseError::Early),
    };
    let place = place(&settings.session.scope);
    check_service(&inventory, settings, &place)?;
    let measurement = match &settings.source {
        Source::Nothing => Measurement::default(),
        Source::Session(lasting) => {
            measured_here(connection, settings, *lasting, &mut inventory, &read, &place, signals).await?
        }
        Source::Daemon(choice, lasting) => {
            match From::of(choice, Some(&client), &settings.session.scope.namespaces).await? {
                From::Daemon(daemon) => {
                    settings.log_format.say(&format!("taking what {} has measured", daemon.what));
                    daemon::measured(&daemon, settings).await?
                }
                From::Here(why) => {
                    settings.log_format.say(&format!("measuring here: {why}"));
                    measured_here(connection, settings, *lasting, &mut inventory, &read, &place, signals).await?
                }
            }
        }
    };
    Ok(judge_all(inventory, &measurement, settings.service.as_deref()))
}

/// Measures in this process, and reads again what is set: pods have moved since.
async fn measured_here(
    connection: Connection,
    settings: &Settings,
    lasting: Duration,
    inventory: &mut Inventory,
    read: &impl AsyncFn() -> Result<Inventory, InventoryError>,
    place: &str,
    signals: &OsSignals,
) -> Result<Measurement, AdviseError> {
    let services = counted(selected(inventory, settings).count() as u64, "Service");
    let what = format!("{services} in {place}");
    let measurement = measure::measured(connection, settings, lasting, &what, signals).await?;
    *inventory = read().await?;
    check_service(inventory, settings, place)?;
    Ok(measurement)
}

fn selected<'a>(
    inventory: &'a Inventory,
    settings: &Settings,
) -> impl Iterator<Item = &'a crate::cluster::inventory::Set> {
    let name = settings.service.clone();
    inventory.services.iter().filter(move |set| name.as_ref().is_none_or(|name| *name == set.service.name))
}

fn check_service(inventory: &Inventory, settings: &Settings, place: &str) -> Result<(), AdviseError> {
    match &settings.service {
        Some(name) if selected(inventory, settings).next().is_none() => {
            Err(AdviseError::NoService { name: name.clone(), place: place.to_owned() })
        }
        _ => Ok(()),
    }
}

// === impl FailOn ===

impl FailOn {
    /// The least severity that fails.
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Note => Some(Severity::Note),
            Self::Never => None,
        }
    }
}
