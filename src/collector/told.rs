//! What the agents sent, each event once, with its time on the daemon's clock: the output of the collector.

use crate::{
    dataplane::Event,
    model::{Families, Interval},
};
use std::{collections::VecDeque, sync::Arc};

/// Something that an agent sent, or that follows from what it did not send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Name of the node.
    pub node: Arc<str>,
    /// When it happened, on the daemon's clock: for a commit the time before the receipt of its first datagram in which the kernel may have built
    /// its messages, for a gap the whole of it. `None` if
    /// the clocks had not been compared, or did not agree: then it cannot be used for timing.
    pub when: Option<Interval>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The node's kernel changed its behaviour, or may have changed it.
    Event(Event),
    /// This many events were lost: the endpoint sets of the node are not known from then on.
    Lost(u64),
    /// The agent has started: nothing is known about what the node did before.
    Started,
    /// From now on the agent sees the node's data plane for these address families, and reports each change.
    Follows(Families),
}

/// The last events.
#[derive(Debug)]
pub(super) struct Recent {
    told: VecDeque<Arc<Told>>,
    /// Number of endpoints in them. They use most of the memory.
    endpoints: usize,
    bounds: Bounds,
}

/// The limits.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    told: usize,
    endpoints: usize,
}

// === impl Recent ===

impl Default for Recent {
    /// About 10 MB.
    fn default() -> Self {
        Self { told: VecDeque::new(), endpoints: 0, bounds: Bounds { told: 10_000, endpoints: 200_000 } }
    }
}

impl Recent {
    /// Keeps an event, and drops older ones if necessary.
    pub(super) fn push(&mut self, told: Arc<Told>) {
        self.endpoints += endpoints(&told);
        self.told.push_back(told);
        while self.told.len() > self.bounds.told || self.endpoints > self.bounds.endpoints {
            let Some(oldest) = self.told.pop_front() else { return };
            self.endpoints -= endpoints(&oldest);
        }
    }

    /// The events that are kept, newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Told>> {
        self.told.iter().rev()
    }
}

fn endpoints(told: &Told) -> usize {
    match &told.what {
        What::Event(Event::Changed(observation)) => observation.change.added.len() + observation.change.removed.len(),
        What::Event(Event::Gap(_) | Event::State(_)) | What::Lost(_) | What::Started | What::Follows(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataplane::{Backend, Commit, Frontend, Observation, Protocol, SetChange, When},
        model::Stamp,
    };
    use std::net::Ipv4Addr;

    fn change(number: u32, endpoints: usize) -> Arc<Told> {
        let address = Ipv4Addr::LOCALHOST.into();
        let frontend = Frontend { address, protocol: Protocol::Tcp, port: 80 };
        let commit = Commit { first: Stamp::default(), end: Stamp::default(), messages: 1, generation: number };
        let added = vec![Backend { address, port: 80 }; endpoints];
        let change = SetChange { frontend, added, removed: Vec::new() };
        let event = Event::Changed(Observation { change, when: When::Commit(commit) });
        Arc::new(Told { node: "a".into(), when: None, what: What::Event(event) })
    }

    #[test]
    fn the_oldest_make_room() {
        let bounds = Bounds { told: 3, endpoints: 10 };
        let mut recent = Recent { bounds, ..Recent::default() };
        let told: Vec<_> = (0..5).map(|number| change(number, 1)).collect();
        told.iter().for_each(|told| recent.push(told.clone()));
        assert!(recent.iter().eq([&told[4], &told[3], &told[2]]));
        recent.push(change(5, 9));
        assert!(recent.iter().eq([&change(5, 9), &told[4]]));
        recent.push(change(6, 11));
        assert_eq!((recent.iter().count(), recent.endpoints), (0, 0), "it would not have fitted");
    }
}
