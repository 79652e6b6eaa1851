//! Changes as a daemon tells them, turned back into what they were there.

use super::answers::{Changes, Ended as EndedLine, Line as ServiceLine, Nodes, PendingLine, Seconds, kind, name};
use crate::{
    ledger::{Cause, Ended as LedgerEnded, Hop, Outcome, Pending},
    model::{SliceVersion, Stamp, Uid},
    programming::{NodeOutcome, Spread},
    propagation::{Ended, PendingChange, PodRef, ServiceName, Subject},
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A time before everything that the daemon tells, as the origin of stamps.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Origin(Timestamp);

/// A change that has ended, and how it spread over the nodes, if that is known.
#[derive(Clone, Debug)]
pub(in crate::commands) struct ToldChange {
    pub(in crate::commands) ended: Ended,
    pub(in crate::commands) spread: Option<Spread>,
}

/// Tells changes apart. The time at which a change ended is computed from the daemon's wall clock for each answer, so it is not always the
/// same to the microsecond. The delay is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::commands) struct ToldKey {
    /// Namespace, Service, pod, kind of change, outcome, and the version of the slice.
    names: [String; 6],
    delay: Option<Duration>,
    /// Of a change without a delay: the second in which it ended.
    second: i64,
}

// === impl Origin ===

impl Origin {
    /// For a daemon whose clock says this.
    pub(in crate::commands) fn before(now: Timestamp) -> Self {
        // As far back as it may have run. A clock that is near the beginning of all times has no such time.
        Self(now.checked_sub(Duration::from_secs(366 * 24 * 60 * 60)).unwrap_or(Timestamp::MIN))
    }

    pub(in crate::commands) fn stamp(self, at: Timestamp) -> Stamp {
        Stamp::new(Duration::try_from(at.duration_since(self.0)).unwrap_or_default())
    }

    pub(in crate::commands) fn wall(self, at: Stamp) -> SystemTime {
        let origin = Duration::try_from(self.0.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
        SystemTime::UNIX_EPOCH + origin + at.since_origin()
    }
}

// === impl ToldKey ===

impl From<&EndedLine> for ToldKey {
    fn from(line: &EndedLine) -> Self {
        let EndedLine { namespace, service, uid, change, outcome, delay_seconds, slice, .. } = line;
        let version = slice.as_ref().map(|slice| slice.resource_version.clone());
        let (uid, version) = (uid.clone().unwrap_or_default(), version.unwrap_or_default());
        let delay = delay_seconds.map(|Seconds(delay)| delay);
        Self {
            names: [namespace.clone(), service.clone(), uid, change.clone(), outcome.clone(), version],
            delay,
            second: if delay.is_some() { 0 } else { line.ended.as_second() },
        }
    }
}

impl ToldKey {
    /// The keys that the same change may have in other answers.
    pub(in crate::commands) fn near(&self) -> impl Iterator<Item = Self> {
        let seconds = if self.delay.is_some() { 0..=0 } else { self.second - 1..=self.second + 1 };
        seconds.map(|second| Self { second, ..self.clone() })
    }
}

// === impl ToldChange ===

impl ToldChange {
    /// `None` if a newer daemon knows more kinds of change or outcomes.
    pub(in crate::commands) fn of(line: &EndedLine, origin: Origin) -> Option<Self> {
        let change = kind(&line.change)?;
        let delay = line.delay_seconds.map(|Seconds(delay)| delay).unwrap_or_default();
        let outcome = match &*line.outcome {
            "propagated" => {
                Outcome::Propagated { delay, reordered: line.reordered_seconds.map(|Seconds(reordered)| reordered) }
            }
            "superseded" => Outcome::Superseded,
            "expired" => Outcome::Expired { age: delay },
            "censored" => Outcome::Censored,
            "withdrawn" => Outcome::Withdrawn,
            _ => return None,
        };
        let at = origin.stamp(line.ended);
        let began = line.started.map_or(at, |started| origin.stamp(started));
        let by = line.slice.as_ref().map(|slice| {
            let resource_version = slice.resource_version.parse().unwrap_or_default();
            Arc::new(SliceVersion { uid: Uid::from(&*slice.uid), name: slice.name.as_str().into(), resource_version })
        });
        let ended = LedgerEnded {
            hop: Hop::Slice,
            key: subject(&line.namespace, &line.service, line.pod.as_deref(), line.uid.as_deref()),
            change,
            cause: cause(&line.cause),
            began,
            outcome,
            at,
            shown: by.is_some().then_some(at),
            by,
        };
        let spread = line.nodes.as_ref().and_then(|nodes| spread(&ended, nodes));
        Some(Self { ended, spread })
    }
}

/// `None` if what showed it is not told.
fn spread(ended: &Ended, nodes: &Nodes) -> Option<Spread> {
    let seconds = |value: Option<Seconds>| value.map(|Seconds(value)| value);
    let outcomes = NodeOutcome::ALL.map(|outcome| nodes.outcomes.get(outcome.as_str()).copied().unwrap_or_default());
    Some(Spread {
        number: 0,
        subject: ended.key.clone(),
        change: ended.change,
        cause: ended.cause,
        began: ended.began,
        shown: ended.shown?,
        by: ended.by.clone()?,
        outcomes,
        shares: [nodes.p50_seconds, nodes.p99_seconds, nodes.all_seconds].map(seconds),
        last: nodes.last.as_deref().map(Into::into),
        error: nodes.error_seconds.0,
        at: ended.at,
    })
}

/// Services with the objective of each.
pub(in crate::commands) fn objectives(lines: &[ServiceLine]) -> BTreeMap<Arc<ServiceName>, Duration> {
    let objective = |line: &ServiceLine| Some((name(&line.namespace, &line.service), line.objective_seconds?.0));
    lines.iter().filter_map(objective).collect()
}

/// What is pending. A Service that is gone has no objective, and none of its changes is late.
pub(in crate::commands) fn pending(
    changes: &Changes,
    objectives: &BTreeMap<Arc<ServiceName>, Duration>,
    origin: Origin,
) -> Vec<PendingChange> {
    let pending = |line: &PendingLine| {
        let key = subject(&line.namespace, &line.service, line.pod.as_deref(), line.uid.as_deref());
        let objective = objectives.get(&key.service).copied().unwrap_or(Duration::MAX);
        Some(Pending {
            key,
            change: kind(&line.change)?,
            cause: cause(&line.cause),
            since: origin.stamp(line.started),
            exact: line.exact,
            objective,
            doubt: None,
            judged: false,
        })
    };
    changes.pending.iter().filter_map(pending).collect()
}

fn subject(namespace: &str, service: &str, pod: Option<&str>, uid: Option<&str>) -> Subject {
    let pod = pod.map(|pod| PodRef { name: pod.into(), uid: Uid::from(uid.unwrap_or_default()) });
    Subject { service: name(namespace, service), pod }
}

fn cause(name: &str) -> Cause {
    let all = [Cause::Service, Cause::FirstSight, Cause::LateWrite];
    all.into_iter().find(|cause| cause.as_str() == name).unwrap_or(Cause::Pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key(line: &Value) -> ToldKey {
        ToldKey::from(&serde_json::from_value::<EndedLine>(line.clone()).expect("a line"))
    }

    fn line(outcome: &str, delay: Option<f64>, ended: &str) -> Value {
        json!({
            "namespace": "shop", "service": "cart", "pod": "cart-0", "uid": "u", "change": "ready", "cause": "pod",
            "outcome": outcome, "delay_seconds": delay, "ended": ended,
            "slice": { "name": "cart-x", "uid": "s", "resource_version": "7" },
        })
    }

    #[test]
    fn a_change_is_the_same_in_the_next_answer_and_another_is_not() {
        let is_same = |a: &Value, b: &Value| key(a).near().any(|near| near == key(b));
        let propagated = line("propagated", Some(0.0234), "2026-01-01T00:00:00.999999Z");
        assert!(is_same(&propagated, &line("propagated", Some(0.0234), "2026-01-01T00:00:01.000003Z")));
        assert!(!is_same(&propagated, &line("propagated", Some(0.0235), "2026-01-01T00:00:00.999999Z")));
        let censored = line("censored", None, "2026-01-01T00:00:00.999999Z");
        assert!(is_same(&censored, &line("censored", None, "2026-01-01T00:00:01.000003Z")));
        assert!(!is_same(&censored, &line("censored", None, "2026-01-01T00:00:03Z")));
    }

    #[test]
    fn a_line_is_what_it_was_in_the_daemon() {
        let origin = Origin::before("2026-01-01T00:00:00Z".parse().expect("a time"));
        let mut told = line("propagated", Some(0.5), "2026-01-01T00:00:02Z");
        told["started"] = json!("2026-01-01T00:00:01.5Z");
        told["nodes"] = json!({
            "total": 3, "outcomes": { "in_effect": 2, "censored": 1 }, "p50_seconds": 0.1, "last": "node-1", "error_seconds": 0.001,
        });
        let told: EndedLine = serde_json::from_value(told).expect("a line");
        let change = ToldChange::of(&told, origin).expect("known");
        let millis = Duration::from_millis;
        assert_eq!(change.ended.outcome, Outcome::Propagated { delay: millis(500), reordered: None });
        assert_eq!(change.ended.at.since(change.ended.began), millis(500));
        assert_eq!(Timestamp::try_from(origin.wall(change.ended.at)).expect("a time"), told.ended);
        let spread = change.spread.expect("told");
        assert_eq!((spread.shares, spread.last.as_deref()), ([Some(millis(100)), None, None], Some("node-1")));
        assert_eq!(spread.outcomes[NodeOutcome::InEffect as usize], 2);
        let unknown = EndedLine { outcome: "teleported".to_owned(), ..told };
        assert!(ToldChange::of(&unknown, origin).is_none());
    }
}
