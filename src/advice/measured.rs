//! What was measured, and what may be concluded from it.

use super::{
    Lever, checks,
    finding::Findings,
    words::{counted, delay, window},
};
use crate::{ledger::Change, model::spec::ServiceSpec};
use std::{collections::BTreeMap, fmt, time::Duration};

/// The least number of samples for advice: the maximum of 29 is above the 90th percentile with 95 % confidence (0.9^29 < 0.05).
pub const ENOUGH: u64 = 29;

/// From this number on, p99.9 is taken, and below it the maximum: 2,995 samples are the least of which the maximum is above
/// p99.9 with 95 % confidence (0.999^2995 < 0.05).
const FOR_P999: u64 = 2_995;

/// What is allowed for the hop to the nodes where no agents measure it: minSyncPeriod of kube-proxy, for which it waits between two syncs.
const UNMEASURED_NODES: Duration = Duration::from_secs(1);

/// Removals of pods of one owner belong to one rollout if less time than this is between two of them.
const SAME_ROLLOUT: Duration = Duration::from_secs(600);

/// The delays of one kind of change of one Service, or of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Number of delays.
    pub count: u64,
    /// Half of them are at most this long.
    pub p50: Duration,
    /// Nine of ten.
    pub p90: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// 999 of 1,000.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
    /// How many of them are no delays but ages of changes that expired. As no delay is longer than the expiry, they are the longest.
    pub expired: u64,
    /// Changes that have not ended.
    pub pending: u64,
    /// Age of the oldest of them.
    pub oldest_pending: Duration,
}

/// A delay that is hardly ever exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The delay.
    pub delay: Duration,
    /// Number of samples.
    pub count: u64,
    /// Where it is the age of a change, the delay is more than this.
    pub open: Option<Open>,
}

/// Changes of which it is not known how long they took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// They have not ended.
    Pending,
    /// This many have expired.
    Expired(u64),
}

/// The hop to the nodes, for one kind of change of one Service: the time from the slice event until the last node did what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeHop {
    /// Number of changes.
    pub count: u64,
    /// Half of them took at most this long.
    pub median: Duration,
    /// The longest. If others are not known, it is at least this.
    pub longest: Duration,
    /// Number of further changes of which it is not known when the last node followed, because not all was seen or it took too long.
    pub unknown: u64,
}

/// What was measured of one Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Over how long.
    pub window: Duration,
    /// The slice hop.
    pub changes: BTreeMap<Change, Sample>,
    /// The hop to the nodes, where agents report it.
    pub nodes: BTreeMap<Change, NodeHop>,
    /// From how many rollouts the removals come, if that is known: see [`rollouts`].
    pub rollouts: Option<u64>,
    /// Over how long `nodes` and `rollouts` are known, because only the last changes are kept; `None` if as long as the rest.
    pub recent: Option<Duration>,
}

/// What is known of the cluster as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The minor version of Kubernetes 1; `None` if it is not known.
    pub minor: Option<u32>,
    /// Number of zones of its nodes; `None` if nodes may not be read.
    pub zones: Option<usize>,
    /// Number of Services.
    pub services: usize,
    /// Delays of all Services.
    pub changes: BTreeMap<Change, Sample>,
    /// Modes of kube-proxy, and the number of nodes with each, where agents report them.
    pub proxy_modes: BTreeMap<String, usize>,
}

/// The time from a change until the last node has followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The slice hop.
    pub slices: Bound,
    /// The last node; `None` if it is not measured.
    pub nodes: Option<NodeHop>,
    /// Over how long the last node is known, if that is shorter than the time in which the slice hop was measured.
    pub recent: Option<Duration>,
}

// === impl Sample ===

impl Sample {
    /// What is hardly ever exceeded: p99.9, or the maximum if there are too few for that, or the age of what has not ended. `None` if
    /// there are too few for anything.
    pub fn bound(&self) -> Option<Bound> {
        let (delay, may_exceed) = if self.count < FOR_P999 { (self.max, 0) } else { (self.p999, self.count / 1_000) };
        let is_pending = self.pending + self.expired > may_exceed && self.oldest_pending > delay;
        let open = match self.expired {
            _ if is_pending => Some(Open::Pending),
            expired if expired > may_exceed => Some(Open::Expired(expired)),
            _ => None,
        };
        let delay = if is_pending { self.oldest_pending } else { delay };
        (self.count >= ENOUGH).then_some(Bound { delay, count: self.count, open })
    }
}

// === impl Bound ===

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (took, count) = (delay(self.delay), self.count);
        match self.open {
            None => {}
            Some(Open::Pending) => {
                return write!(f, "more than {took} (a change is still pending, beside {count} that have ended)");
            }
            Some(Open::Expired(expired)) => {
                let (expired, ended) = (counted(expired, "change"), count.saturating_sub(expired));
                return write!(f, "more than {took} ({expired} expired, beside {ended} that have ended)");
            }
        }
        if count >= FOR_P999 {
            return write!(f, "{took} (p99.9 of {count})");
        }
        // The share of all delays that the maximum of so many exceeds with 95 % confidence.
        let share = 100.0 * 0.05_f64.powf(1.0 / count as f64);
        write!(f, "{took} (maximum of {count}; with 95 % confidence {share:.1} % are shorter)")
    }
}

// === impl NodeHop ===

impl NodeHop {
    /// Of these delays, ascending, and of changes that took longer than is known. `None` if there is neither.
    pub fn of(known: &[Duration], unknown: u64, at_least: Duration) -> Option<Self> {
        let longest = known.last().copied().unwrap_or_default().max(at_least);
        let median = known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or_default();
        (!known.is_empty() || unknown > 0).then_some(Self { count: known.len() as u64, median, longest, unknown })
    }

    /// What is hardly ever exceeded. If there are too few changes, or only recent ones, not less than without any.
    fn bound(&self, recent: Option<Duration>) -> Duration {
        if self.count < ENOUGH || recent.is_some() { self.longest.max(UNMEASURED_NODES) } else { self.longest }
    }
}

// === impl Removal ===

impl Removal {
    /// Until the last node, without a margin.
    pub fn total(&self) -> Duration {
        self.slices.delay + self.nodes.map_or(UNMEASURED_NODES, |nodes| nodes.bound(self.recent))
    }

    /// How long to wait for it in whole seconds: a quarter more, and `spare`. `None` if it is only known to be more than something:
    /// that is mostly an outage of the controller, and no setting of a workload can wait for its end.
    pub(super) fn with_margin(&self, spare: Duration) -> Option<u32> {
        self.slices.open.is_none().then(|| super::words::ceil(self.total() * 5 / 4 + spare))
    }

    /// The hop to the nodes in words.
    pub(super) fn nodes_in_words(&self) -> String {
        let lately = lately(self.recent);
        match self.nodes {
            Some(nodes) => {
                let (longest, bound) = (delay(nodes.longest), delay(nodes.bound(self.recent)));
                let at_least = if nodes.unknown > 0 { "at least " } else { "" };
                let few = match nodes.count {
                    ENOUGH.. if self.recent.is_none() => String::new(),
                    0 | ENOUGH.. => format!("{lately}: {bound} allowed"),
                    few => format!(" in {}{lately}, which are too few: {bound} allowed", counted(few, "change")),
                };
                let open = match nodes.unknown {
                    0 => String::new(),
                    open => format!(" (not known of {})", counted(open, "change")),
                };
                format!("last node {at_least}{longest} after the slice{few}{open}")
            }
            None if self.recent.is_some() => {
                format!("nodes not measured{lately}, {} allowed for them", delay(UNMEASURED_NODES))
            }
            None => format!("nodes not measured (no agents), {} allowed for them", delay(UNMEASURED_NODES)),
        }
    }
}

// === impl Measured ===

impl Measured {
    /// Nothing has changed in this time.
    pub fn nothing_in(window: Duration) -> Self {
        Self { window, ..Self::default() }
    }

    /// The time until a change of this kind is in effect everywhere; `None` if there are too few samples.
    pub fn reach(&self, change: Change) -> Option<Removal> {
        let slices = self.changes.get(&change)?.bound()?;
        Some(Removal { slices, nodes: self.nodes.get(&change).copied(), recent: self.recent })
    }

    /// What was measured for this kind of change, in words.
    pub(super) fn in_words(&self, change: Change, reach: &Removal) -> String {
        let lasted = window(self.window);
        let mut text = format!("{change}: slices {}, {}; window {lasted}", reach.slices, reach.nodes_in_words());
        if let (Change::Terminating, Some(rollouts)) = (change, self.rollouts) {
            text += &format!(", from {}{}", counted(rollouts, "rollout"), lately(self.recent));
            // Those before are not known.
            if rollouts == 1 && self.recent.is_none() {
                text += " (its removals depend on each other, so measure more)";
            }
        }
        if let Some(Sample { pending: pending @ 1.., oldest_pending, .. }) = self.changes.get(&change) {
            text += &format!("; {pending} still pending, the oldest for {}", delay(*oldest_pending));
        }
        text
    }
}

/// Over how long only the last changes are known, in words.
pub(super) fn lately(recent: Option<Duration>) -> String {
    recent.map(|recent| format!(" in the last {}", window(recent))).unwrap_or_default()
}

/// From how many rollouts removals come. Each has the pod's name and its time, in any order. Pods whose names differ only in the part
/// after the last hyphen have one owner. Those of one owner belong to one rollout if less than 10 minutes are between two of them.
pub fn rollouts<'a>(removals: impl IntoIterator<Item = (&'a str, Duration)>) -> u64 {
    let mut of_owners: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for (pod, at) in removals {
        let owner = pod.rsplit_once('-').map_or(pod, |(owner, _)| owner);
        of_owners.entry(owner).or_default().push(at);
    }
    let mut rollouts = 0;
    for times in of_owners.values_mut() {
        times.sort_unstable();
        let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] >= SAME_ROLLOUT).count();
        rollouts += 1 + gaps as u64;
    }
    rollouts
}

/// Says which checks have too few samples.
pub(super) fn skip(service: &ServiceSpec, measured: Option<&Measured>, findings: &mut Findings) {
    let Some(measured) = measured else { return };
    let needs = [
        (Change::Terminating, vec![Lever::PreStop.as_str()]),
        (Change::Ready, vec![Lever::MinReadySeconds.as_str()]),
        (Change::Unready, vec![checks::READINESS_DETECTION.id]),
    ];
    for (change, checks) in needs {
        let count = measured.changes.get(&change).map_or(0, |sample| sample.count);
        if count < ENOUGH {
            let (count, lasted) = (counted(count, "change"), window(measured.window));
            let why = format!(
                "too few samples: {count} of kind {change} in {lasted}, and {ENOUGH} are needed. No figure is \
                 derived from them"
            );
            findings.skip_checks(Some(service), checks, &why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: u64) -> Sample {
        let [p999, max] = [80, 90].map(Duration::from_millis);
        Sample { count, p999, max, ..Sample::default() }
    }

    /// The two limits are where 95 % confidence begins.
    #[test]
    fn below_2995_samples_the_maximum_counts_and_below_29_nothing() {
        assert!(0.9_f64.powi(29) < 0.05 && 0.9_f64.powi(28) > 0.05);
        assert!(0.999_f64.powi(2_995) < 0.05 && 0.999_f64.powi(2_994) > 0.05);
        let bounds = [28, 29, 2_994, 2_995].map(|count| sample(count).bound().map(|bound| bound.to_string()));
        let expected = [
            None,
            Some("90 ms (maximum of 29; with 95 % confidence 90.2 % are shorter)"),
            Some("90 ms (maximum of 2994; with 95 % confidence 99.9 % are shorter)"),
            Some("80 ms (p99.9 of 2995)"),
        ];
        assert_eq!(bounds.each_ref().map(Option::as_deref), expected);
    }

    #[test]
    fn removals_of_one_owner_at_about_the_same_time_are_one_rollout() {
        let at = |seconds| Duration::from_secs(seconds);
        let removals = [("web-5d-a", at(0)), ("web-5d-b", at(500)), ("web-5d-c", at(1_000)), ("web-7f-a", at(1_000))];
        assert_eq!(rollouts(removals), 2);
        assert_eq!(rollouts([("db-0", at(0)), ("db-1", at(90)), ("db-0", at(700))]), 2);
        assert_eq!(rollouts([]), 0);
    }

    #[test]
    fn without_agents_a_second_is_allowed_for_the_nodes() {
        let slices = Bound { delay: Duration::from_secs(3), count: 29, open: None };
        let hop = |seconds, count| NodeHop { count, longest: Duration::from_secs(seconds), ..NodeHop::default() };
        let with = |hop| Removal { slices, nodes: Some(hop), recent: None };
        let (unmeasured, measured) = (Removal { slices, nodes: None, recent: None }, with(hop(5, 29)));
        assert_eq!(
            (unmeasured.total(), unmeasured.with_margin(Duration::from_secs(1))),
            (Duration::from_secs(4), Some(6))
        );
        assert_eq!((measured.total(), measured.with_margin(Duration::ZERO)), (Duration::from_secs(8), Some(10)));
        // Too few changes never make it less.
        assert_eq!([with(hop(0, 28)), with(hop(5, 28))].map(|it| it.total().as_secs()), [4, 8]);
        let unknown = with(NodeHop { unknown: 2, ..hop(5, 29) });
        assert_eq!(unknown.nodes_in_words(), "last node at least 5.0 s after the slice (not known of 2 changes)");
        // One node never follows: it was measured, and the last is later than all that is known.
        let never = with(NodeHop { unknown: 29, ..hop(2, 0) });
        let words = "last node at least 2.0 s after the slice: 2.0 s allowed (not known of 29 changes)";
        assert_eq!((&*never.nodes_in_words(), never.total().as_secs()), (words, 5));
    }

    /// The last 10,000 changes of all Services are kept, and the slice hop is counted since the start.
    #[test]
    fn no_figure_of_the_last_changes_is_told_as_one_of_the_whole_window() {
        let hop = NodeHop { count: 100, longest: Duration::from_millis(400), ..NodeHop::default() };
        let measured = |recent, rollouts, nodes: Option<NodeHop>| {
            let measured = Measured {
                window: Duration::from_secs(14 * 86_400),
                changes: [(Change::Terminating, sample(100))].into(),
                nodes: nodes.map(|hop| (Change::Terminating, hop)).into_iter().collect(),
                rollouts: Some(rollouts),
                recent,
            };
            let reach = measured.reach(Change::Terminating).expect("enough");
            let words = measured.in_words(Change::Terminating, &reach);
            (reach.total().as_millis(), words.split_once("shorter), ").expect("of the maximum").1.to_owned())
        };
        let hours = Some(Duration::from_secs(5 * 3_600));
        // The nodes may have been slower before: no less is allowed for them than without agents.
        let words = "last node 400 ms after the slice in the last 5 h: 1.0 s allowed; window 14 days, from 1 rollout in the last 5 h";
        assert_eq!(measured(hours, 1, Some(hop)), (1_090, words.to_owned()));
        let words = "last node 400 ms after the slice; window 14 days, from 2 rollouts";
        assert_eq!(measured(None, 2, Some(hop)), (490, words.to_owned()));
        let few = "last node 400 ms after the slice in 28 changes in the last 5 h, which are too few: 1.0 s allowed;";
        assert!(measured(hours, 2, Some(NodeHop { count: 28, ..hop })).1.starts_with(few));
        // With agents, but nothing of this Service is among the last changes.
        let none = "nodes not measured in the last 5 h, 1.0 s allowed for them; window 14 days,";
        assert!(measured(hours, 2, None).1.starts_with(none));
    }

    #[test]
    fn what_has_not_ended_is_a_lower_bound() {
        let pending = |count, pending, age| {
            Sample { pending, oldest_pending: Duration::from_millis(age), ..sample(count) }
                .bound()
                .map(|it| it.delay.as_millis())
        };
        assert_eq!([pending(29, 1, 91), pending(29, 1, 90), pending(28, 1, 91)], [Some(91), Some(90), None]);
        // Three of 2,995 are more than p99.9 leaves out; two are not.
        assert_eq!([pending(2_995, 3, 91), pending(2_995, 2, 91)], [Some(91), Some(80)]);
        let expired = |count, expired, pending| {
            let oldest_pending = if pending > 0 { Duration::from_millis(91) } else { Duration::ZERO };
            Sample { expired, pending, oldest_pending, ..sample(count) }.bound().map(|it| it.to_string())
        };
        assert_eq!(
            expired(29, 2, 0).as_deref(),
            Some("more than 90 ms (2 changes expired, beside 27 that have ended)")
        );
        assert_eq!(expired(2_995, 2, 0).as_deref(), Some("80 ms (p99.9 of 2995)"));
        let three = "more than 80 ms (3 changes expired, beside 2992 that have ended)";
        assert_eq!(expired(2_995, 3, 0).as_deref(), Some(three));
        // Both together are more than p99.9 leaves out.
        let both = "more than 91 ms (a change is still pending, beside 2995 that have ended)";
        assert_eq!(expired(2_995, 2, 1).as_deref(), Some(both));
    }
}
