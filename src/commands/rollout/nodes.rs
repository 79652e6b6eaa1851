//! Asks a daemon with agents when the nodes followed.

use super::RolloutError;
use crate::{
    cluster::clock::Clock,
    commands::daemon::{
        Daemon,
        answers::{Changes, Nodes, Seconds, kind, name},
    },
    ledger::Change,
    model::Uid,
    propagation::ServiceName,
    rollout::{Report, Spreading},
};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Maximum number of changes of an answer, as the daemon keeps.
const CHANGES: usize = 10_000;

/// How long it waits until the daemon has heard of each change from all nodes. Agents report within a second, and kube-proxy may take as
/// long to follow.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(500);

/// Adds what the daemon tells of the changes of a rollout. Returns the number of changes of which it does not say in time when all nodes
/// followed.
pub(super) async fn add(report: &mut Report, daemon: &Daemon, clock: Clock) -> Result<usize, RolloutError> {
    let asked = Instant::now();
    loop {
        let services: Vec<_> = report.services.iter().map(|service| service.service.clone()).collect();
        let is_late = asked.elapsed() >= PATIENCE;
        let (mut pending, mut others) = (HashSet::new(), HashSet::new());
        for service in services {
            let path =
                format!("/api/v1/changes?namespace={}&service={}&limit={CHANGES}", service.namespace, service.name);
            let changes: Changes = daemon.client.get(&path).await?;
            for ended in changes.ended {
                let (Some(uid), Some(change)) = (&ended.uid, kind(&ended.change)) else { continue };
                let key = (name(&ended.namespace, &ended.service), Uid::from(&**uid), change);
                match ended.nodes {
                    Some(nodes) => tell(report, key, nodes),
                    None if ended.nodes_pending => drop(pending.insert(key)),
                    None => drop(others.insert(key)),
                }
            }
        }
        // No node has to follow the others: those of a headless Service, or what was not seen as it happened.
        let untold: Vec<_> = report.untold().into_iter().filter(|key| !others.contains(key)).collect();
        if untold.is_empty() || is_late {
            let now = clock.now();
            untold.iter().filter(|key| pending.contains(key)).for_each(|key| report.tell_open(key, now));
            return Ok(untold.len());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn tell(report: &mut Report, (service, pod, change): (Arc<ServiceName>, Uid, Change), nodes: Nodes) {
    let seconds = |value: Option<Seconds>| value.map(|Seconds(value)| value);
    let spreading = Spreading {
        pod,
        change,
        is_open: nodes.is_open(),
        half: seconds(nodes.p50_seconds),
        most: seconds(nodes.p99_seconds),
        all: seconds(nodes.all_seconds),
        last: nodes.last.map(Into::into),
        error: nodes.error_seconds.0,
    };
    report.tell(&service, spreading);
}
