//! What single changes say: how long the hop to the nodes took, and from how many rollouts removals come.

use super::{Measured, NodeHop, rollouts};
use crate::{
    ledger::Change,
    model::Stamp,
    programming::{NodeOutcome, Share, Spread},
    propagation::ServiceName,
    stats::Recent,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How a change ended on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnNodes {
    /// The time from the slice event until it was in effect on all of them, if that is known.
    pub all: Option<Duration>,
    /// The same for 99 of 100 or half of them: it took at least this long on all.
    pub at_least: Duration,
    /// Whether it took longer than on those of which it is known: some ended censored or expired.
    pub is_open: bool,
}

/// Single changes, collected by Service.
#[derive(Debug, Default)]
pub struct Ends<'a> {
    nodes: BTreeMap<(Arc<ServiceName>, Change), NodeDelays>,
    /// The names of the pods, and when they began to be removed.
    removals: BTreeMap<Arc<ServiceName>, Vec<(&'a str, Duration)>>,
    /// How far they reach back; `None` if to the start of the measurement.
    recent: Option<Duration>,
}

/// How long changes of a kind took on all nodes.
#[derive(Debug, Default)]
struct NodeDelays {
    known: Vec<Duration>,
    /// Number of changes of which it is not known, and the longest that one of them took at least.
    unknown: u64,
    at_least: Duration,
}

// === impl OnNodes ===

impl From<&Spread> for OnNodes {
    fn from(spread: &Spread) -> Self {
        let ended = |outcome: NodeOutcome| spread.outcomes[outcome as usize] > 0;
        let is_open = ended(NodeOutcome::Censored) || ended(NodeOutcome::Expired);
        let at_least = spread.shares.iter().flatten().max().copied().unwrap_or_default();
        Self { all: spread.shares[Share::All as usize], at_least, is_open }
    }
}

// === impl Ends ===

impl<'a> Ends<'a> {
    /// None yet, of changes that reach back for this long only; `None` if they reach back to the start of the measurement.
    pub fn reaching_back(recent: Option<Duration>) -> Self {
        Self { recent, ..Self::default() }
    }

    /// The last changes that ended.
    pub fn of(recent: &'a Recent, now: Stamp) -> Self {
        let mut ends = Self::reaching_back(recent.since().map(|since| now.since(since)));
        for change in recent.newest() {
            let (ended, nodes) = (&change.ended, change.spread.as_deref().map(OnNodes::from));
            let pod = ended.key.pod.as_ref().map(|pod| &*pod.name);
            ends.add(&ended.key.service, ended.change, pod, ended.at.since(Stamp::default()), nodes);
        }
        ends
    }

    /// Adds a change. Of `at` only differences count.
    pub fn add(
        &mut self,
        service: &Arc<ServiceName>,
        change: Change,
        pod: Option<&'a str>,
        at: Duration,
        nodes: Option<OnNodes>,
    ) {
        if let Some(OnNodes { all, at_least, is_open }) = nodes {
            let delays = self.nodes.entry((service.clone(), change)).or_default();
            match all {
                Some(all) => delays.known.push(all),
                None if is_open => {
                    delays.unknown += 1;
                    delays.at_least = delays.at_least.max(at_least);
                }
                None => {}
            }
        }
        if let (Change::Terminating, Some(pod)) = (change, pod) {
            self.removals.entry(service.clone()).or_default().push((pod, at));
        }
    }

    /// Adds all of it to what was measured of these Services.
    pub fn add_to(self, measured: &mut BTreeMap<Arc<ServiceName>, Measured>) {
        measured.values_mut().for_each(|own| own.recent = self.recent);
        for ((service, change), NodeDelays { mut known, unknown, at_least }) in self.nodes {
            known.sort_unstable();
            if let (Some(own), Some(hop)) = (measured.get_mut(&service), NodeHop::of(&known, unknown, at_least)) {
                own.nodes.insert(change, hop);
            }
        }
        for (service, removals) in self.removals {
            if let Some(own) = measured.get_mut(&service) {
                own.rollouts = Some(rollouts(removals));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hop_to_the_nodes_and_the_rollouts_are_added_to_what_was_measured() {
        let name = |name: &str| Arc::new(ServiceName { namespace: "shop".into(), name: name.into() });
        let (web, gone) = (name("web"), name("gone"));
        let seconds = Duration::from_secs;
        let on = |all: Option<u64>, is_open| Some(OnNodes { all: all.map(seconds), at_least: seconds(2), is_open });
        let mut ends = Ends::reaching_back(Some(seconds(50)));
        let removals = [("web-a-1", 0, on(Some(3), false)), ("web-a-2", 9, on(Some(1), false))];
        let rest = [("web-a-3", 900, on(None, true)), ("web-a-4", 901, on(None, false)), ("web-a-5", 902, None)];
        for (pod, at, nodes) in removals.into_iter().chain(rest) {
            ends.add(&web, Change::Terminating, Some(pod), seconds(at), nodes);
        }
        ends.add(&web, Change::Ready, Some("web-a-1"), seconds(0), None);
        // One node never follows.
        ends.add(&web, Change::Unready, Some("web-a-1"), seconds(0), on(None, true));
        ends.add(&gone, Change::Terminating, Some("gone-a-1"), seconds(0), on(Some(1), false));
        let mut measured = BTreeMap::from([(web.clone(), Measured::nothing_in(seconds(60)))]);
        ends.add_to(&mut measured);
        let web = &measured[&web];
        let hop = NodeHop { count: 2, median: seconds(1), longest: seconds(3), unknown: 1 };
        assert_eq!((web.rollouts, web.nodes.get(&Change::Terminating)), (Some(2), Some(&hop)));
        let unknown = NodeHop { count: 0, median: Duration::ZERO, longest: seconds(2), unknown: 1 };
        assert_eq!(web.nodes.get(&Change::Unready), Some(&unknown));
        assert_eq!((measured.len(), web.nodes.len(), web.recent), (1, 2, Some(seconds(50))));
    }
}
