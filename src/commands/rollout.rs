//! `endpointlag rollout`: follows one rollout, and says at its end what happened to each endpoint.

mod args;
mod follow;
mod nodes;
mod output;

pub use self::args::{Args, Output, Settings};

use self::follow::{Followed, Rollout};
use super::{
    Verdict,
    daemon::{DaemonError, Source},
    print::print,
    session::{Connection, SessionError},
    text::counted,
};
use crate::{
    advice::{Help, Subject, in_rollout},
    cluster::{
        ScopeSettings,
        clock::Clock,
        inventory::{Inventory, InventoryError, Pace, Set},
        workload::{WorkloadError, WorkloadName},
    },
    signals::OsSignals,
};
use kube::Client;
use std::{io, time::Duration};

/// Help below the flags.
pub const EXAMPLES: &str = "\
It waits for a rollout to begin, or follows the one that is under way from now on. When it is complete, as kubectl rollout status decides, \
and the old pods are gone, it prints for each pod when it was ready, listed in the EndpointSlices, not listed any more, and gone; how many \
endpoints served, compared with how many are wanted (spec.replicas); the slowest change; and which settings would have helped.

  endpointlag rollout deploy/checkout -n shop &                begin to follow
  kubectl -n shop rollout restart deploy/checkout              and roll out

  endpointlag rollout deploy/checkout --timeout 10m -o json    in a pipeline, after kubectl apply

An endpoint serves while the slices list it as ready, and its pod is ready and not being deleted.

It needs permission to list and watch pods, services and endpointslices in the namespace, and to get and watch the workload. What else \
`endpointlag advise` reads is read if it may be.

Exit codes:
  0  the rollout is complete, and no change missed the objective
  1  the rollout has failed or was not complete in time, or at least one change missed the objective
  2  a flag is wrong, or the rollout was not all seen: no connection, no permission, no such workload, none began in time";

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// Nothing can be measured.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What is set cannot be read.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The workload cannot be followed.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The daemon does not answer as expected.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// It replaces no pods by itself.
    #[error("{0} has the update strategy OnDelete: it replaces no pods by itself, so it has no rollouts")]
    OnDelete(WorkloadName),
    /// Nothing lists its pods.
    #[error(
        "no Service selects the pods of {0}, so they are no endpoints. Services without a selector and of type ExternalName do not count, \
         nor do those with the annotation endpointlag.io/ignore"
    )]
    NoService(WorkloadName),
    /// No rollout began.
    #[error("no rollout of {name} began within {}", super::text::round(*waited))]
    NotBegun {
        /// The workload.
        name: WorkloadName,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A signal came before a rollout began.
    #[error("ended before a rollout began")]
    Early,
    /// A signal came before the rollout was over.
    #[error("ended before the rollout was over")]
    Interrupted,
    /// The connection was lost, and is not back.
    #[error("the end was not seen")]
    Blind(#[source] SessionError),
    /// The measurement has ended by itself.
    #[error("the measurement has ended")]
    Ended,
    /// The result cannot be printed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The result cannot be put into this format.
    #[error("cannot write the result as JSON: {0}")]
    Format(#[from] serde_json::Error),
}

/// Follows a rollout until it is over, and prints what happened.
///
/// # Errors
/// If there is none, if it cannot all be seen, or if the result cannot be printed.
pub async fn run(settings: Settings, signals: &OsSignals) -> Result<Verdict, RolloutError> {
    let connection = Connection::open(&settings.cluster).await?;
    settings.log_format.say(&format!("connecting to {}", connection.url()));
    let client = connection.typed()?;
    let namespace = settings.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let name = WorkloadName { kind: settings.kind, namespace, name: settings.name.clone() };
    let rollout = async {
        let source = Source::of(&settings.daemon, Some(&client), std::slice::from_ref(&name.namespace)).await?;
        settings.log_format.say(&source_in_words(&source));
        let clock = Clock::start();
        let sight = name.read(&client, clock).await?;
        if !sight.is_rolling {
            return Err(RolloutError::OnDelete(name.clone()));
        }
        let services = behind(&read(&client, &name).await?.0, &name);
        if services.is_empty() {
            return Err(RolloutError::NoService(name.clone()));
        }
        let rollout = Rollout::start(connection, client.clone(), &settings, &name, sight, &services, clock).await?;
        Ok((rollout, source))
    };
    let (rollout, source) = tokio::select! {
        rollout = rollout => rollout?,
        () = signals.stopped() => return Err(RolloutError::Early),
    };
    let Followed { mut report, end, is_seen, clock } = rollout.finish(&settings, &name, signals).await?;
    if let Source::Daemon(daemon) = &source
        && daemon.overview.nodes.is_some()
    {
        let why = match nodes::add(&mut report, daemon, clock).await {
            Ok(0) => None,
            Ok(open) => Some(format!("it is not known of {} when all nodes followed", counted(open as u64, "change"))),
            // What was seen here is not lost with it.
            Err(error) => Some(crate::errors::chain(&error)),
        };
        if let Some(why) = why {
            settings.log_format.say(&format!("the hop to the nodes is not complete: {why}"));
        }
    }
    // Pods have moved since, and it may have been edited.
    let helps = match read(&client, &name).await {
        Ok((inventory, facts)) => helps(&report, &behind(&inventory, &name), &facts),
        Err(error) => {
            settings.log_format.say(&format!("no levers are judged: {}", crate::errors::chain(&error)));
            Vec::new()
        }
    };
    let source = source_in_words(&source);
    let told = output::Told { name: &name, report: &report, end: &end, helps: &helps, clock, source: &source };
    print(output::text(&told, settings.output)?).await.map_err(RolloutError::Output)?;
    match end {
        follow::End::Interrupted => return Err(RolloutError::Interrupted),
        follow::End::Failed(_) | follow::End::TimedOut { .. } => return Ok(Verdict::Missed),
        follow::End::Complete { .. } => {}
    }
    is_seen.map_err(RolloutError::Blind)?;
    Ok(if report.missed() > 0 { Verdict::Missed } else { Verdict::Met })
}

/// Where the figures come from.
fn source_in_words(source: &Source) -> String {
    match source {
        Source::Daemon(daemon) if daemon.overview.nodes.is_some() => {
            format!("pods and slices are watched here, the hop to the nodes is told by {}", daemon.what)
        }
        Source::Daemon(daemon) => {
            format!(
                "pods and slices are watched here, the hop to the nodes is not measured: {} has no agents",
                daemon.what
            )
        }
        Source::Here(why) => {
            format!("pods and slices are watched here, the hop to the nodes is not measured: {why}")
        }
    }
}

async fn read(client: &Client, name: &WorkloadName) -> Result<(Inventory, crate::advice::Facts), RolloutError> {
    let scope = ScopeSettings::namespace(name.namespace.clone());
    let inventory = Inventory::read(client.clone(), &scope, Pace::FAST).await?;
    let facts = crate::advice::Facts {
        minor: inventory.minor,
        zones: inventory.zones,
        services: inventory.services.len(),
        ..crate::advice::Facts::default()
    };
    Ok((inventory, facts))
}

/// The Services that select the pods of a workload, each with only this one behind it.
fn behind(inventory: &Inventory, name: &WorkloadName) -> Vec<Set> {
    let is_own = |backing: &&crate::model::spec::Backing| {
        let workload = &backing.workload;
        workload.kind == name.kind && workload.namespace == name.namespace && workload.name == name.name
    };
    let own = |set: &Set| {
        let backings: Vec<_> = set.backings.iter().filter(is_own).cloned().collect();
        (!backings.is_empty()).then(|| Set { backings, unread: Vec::new(), ..set.clone() })
    };
    inventory.services.iter().filter_map(own).collect()
}

/// The levers of the workload in each of its Services, as indices into those of the report.
fn helps(report: &crate::rollout::Report, sets: &[Set], facts: &crate::advice::Facts) -> Vec<(usize, Vec<Help>)> {
    let of = |(index, service): (usize, &crate::rollout::ServiceReport)| {
        let set = sets.iter().find(|set| *service.service.name == *set.service.name)?;
        let Set { service: spec, backings, .. } = set.clone();
        let subject = Subject { service: spec, backings, unread: Vec::new(), measured: None };
        Some((index, in_rollout(report, service, &subject, facts)))
    };
    report.services.iter().enumerate().filter_map(of).collect()
}
