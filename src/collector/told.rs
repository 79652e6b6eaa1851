//! What agents told, each once, with its time on the daemon's clock: what comes out of the collector.

use super::offset::Interval;
use crate::dataplane::Event;
use std::{collections::VecDeque, sync::Arc};

/// Something that an agent told, or that is known because it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Name of the node.
    pub node: Arc<str>,
    /// When it was, on the daemon's clock: for a commit the receipt of its first datagram, for a gap all of it. `None` where the clocks
    /// had not been compared, or did not agree: nothing can be timed by it then.
    pub when: Option<Interval>,
    /// What it was.
    pub what: What,
}

/// What it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The node's kernel changed what it does, or may have.
    Event(Event),
    /// So many events were lost: what the node does is uncertain until each frontend has changed again.
    Lost(u64),
    /// The agent has started: nothing is known of what the node did before.
    Started,
}

/// The last ones.
#[derive(Debug)]
pub(super) struct Recent {
    told: VecDeque<Told>,
    /// Endpoints in them, which are most of their memory.
    endpoints: usize,
    bounds: Bounds,
}

/// How much is kept.
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
    /// Keeps it, in the place of older ones if need be.
    pub(super) fn push(&mut self, told: Told) {
        self.endpoints += endpoints(&told);
        self.told.push_back(told);
        while self.told.len() > self.bounds.told || self.endpoints > self.bounds.endpoints {
            let Some(oldest) = self.told.pop_front() else { return };
            self.endpoints -= endpoints(&oldest);
        }
    }

    /// Those that are kept, the newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().rev()
    }
}

fn endpoints(told: &Told) -> usize {
    match &told.what {
        What::Event(Event::Changed(observation)) => observation.change.added.len() + observation.change.removed.len(),
        What::Event(Event::Gap(_)) | What::Lost(_) | What::Started => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataplane::{Commit, Endpoint, Frontend, Observation, Protocol, SetChange, When},
        model::Stamp,
    };
    use std::net::Ipv4Addr;

    fn change(number: u32, endpoints: usize) -> Told {
        let address = Ipv4Addr::LOCALHOST.into();
        let frontend = Frontend { address, protocol: Protocol::Tcp, port: 80 };
        let commit = Commit { first: Stamp::default(), end: Stamp::default(), messages: 1, generation: number };
        let added = vec![Endpoint { address, port: 80 }; endpoints];
        let change = SetChange { frontend, added, removed: Vec::new() };
        let event = Event::Changed(Observation { change, when: When::Commit(commit) });
        Told { node: "a".into(), when: None, what: What::Event(event) }
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
