//! Agents in this process: for simulated nodes, which have no connection, no token, and no clock of their own.

use super::{
    agents::{Admitted, Agents},
    offset::Exchange,
};
use crate::dataplane::{self, Outbox, Report, messages::Hello};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bytes of events in one batch, as for other agents.
const BATCH: usize = 32 << 10;

/// An agent in this process. Only the stream is missing: behind it, nothing can tell this agent from others. Dropping it disconnects it.
#[derive(Debug)]
pub struct LocalAgent {
    admitted: Admitted,
    /// Kept, because no other agent of the node will replace it.
    _replaced: oneshot::Receiver<()>,
    outbox: Outbox,
}

// === impl LocalAgent ===

impl LocalAgent {
    /// Connects the agent of a node. The first reports should be the state of the kernel and the data planes. `None` if there are too
    /// many agents.
    pub async fn connect(agents: &Arc<Agents>, node: &Arc<str>, version: &str, first: Vec<Report>) -> Option<Self> {
        let hello =
            Hello { node: node.to_string(), version: version.to_owned(), epoch: rand::random(), acknowledged: 0 };
        // As for a session: it has started, and events were lost.
        let mut room = agents.room(2).await?;
        let (admitted, replaced) = agents.admit(node, hello, &mut room).ok()?;
        drop(room);
        let mut agent = Self { admitted, _replaced: replaced, outbox: Outbox::default() };
        if agent.admitted.wants_state {
            agent.outbox.want_state();
        }
        agent.compare();
        agent.tell(first).await;
        Some(agent)
    }

    /// Passes on what happened. All stamps in it must be of this machine, and not in the future.
    pub async fn tell(&mut self, reports: Vec<Report>) {
        reports.into_iter().for_each(|report| self.outbox.push(report));
        while let Some(batch) = self.outbox.batch(BATCH) {
            // A time counts only if it lies between two comparisons.
            self.compare();
            let Some(mut room) = self.admitted.agents().room(Admitted::events_of(&batch)).await else { return };
            let Some(sequence) = self.admitted.take(batch, &mut room) else { return };
            self.outbox.acknowledge(sequence);
        }
    }

    /// Compares the clocks, and shows that the agent is there. Necessary every few seconds while there is nothing to tell.
    pub fn compare(&self) {
        let asked = dataplane::clock::now();
        let there = dataplane::clock::now();
        let heard = dataplane::clock::now();
        self.admitted.heard();
        // One clock cannot contradict itself.
        let _ = self.admitted.compare(Exchange { asked, received: there, replied: there, heard });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::clock::Clock,
        collector::{Told, What},
        dataplane::{
            Backend, Commit, EffectiveSets, Event, FamilyPlane, Frontend, Mode, Observation, Planes, Protocol,
            SetChange, When,
        },
        model::Family,
    };
    use std::{net::Ipv4Addr, time::Duration};

    #[tokio::test]
    async fn what_it_tells_arrives_with_its_time() {
        let clock = Clock::start();
        let (agents, mut events) = Agents::new(clock);
        let seen = FamilyPlane { decides: Some(Mode::Nftables), behind: None };
        let planes = Planes { families: [seen, FamilyPlane::default()], unseen: Vec::new() };
        let state = Report::State { at: dataplane::clock::now(), sets: EffectiveSets::default() };
        let node: Arc<str> = "simulated-node-01".into();
        let agent = LocalAgent::connect(&agents, &node, "simulated", vec![state, Report::Planes(planes)]).await;
        let mut agent = agent.expect("there is room");

        let (before, raw, after) = (clock.now(), dataplane::clock::now(), clock.now());
        let address = Ipv4Addr::LOCALHOST.into();
        let frontend = Frontend { address, protocol: Protocol::Tcp, port: 80 };
        let change = SetChange { frontend, added: vec![Backend { address, port: 80 }], removed: Vec::new() };
        let when = When::Commit(Commit { first: raw, end: raw, messages: 1, generation: 1 });
        let observation = Observation { change, when };
        agent.tell(vec![Report::Changed(observation.clone())]).await;
        let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        assert!(matches!(&told[0].what, What::Started), "{told:?}");
        assert!(matches!(&told[1].what, What::Follows(families) if families.contains(Family::V4)), "{told:?}");
        assert!(matches!(&told[2].what, What::Event(Event::State(part)) if part.is_last), "{told:?}");
        let [_, _, _, last] = &*told else { panic!("{told:?}") };
        let Told { node: of, when: Some(when), what } = &**last else { panic!("{last:?}") };
        assert_eq!((of, what), (&node, &What::Event(Event::Changed(observation))));
        assert!(when.earliest <= after && when.latest >= before, "{when:?} is not {before:?} to {after:?}");
        // As long as two comparisons of the clocks: ample for a busy machine.
        assert!(when.error() < Duration::from_millis(100), "{when:?}");

        assert_eq!((agents.summary().connected, agents.list()[0].counts.received), (1, 1));
        drop(agent);
        assert_eq!((agents.summary().connected, agents.summary().expected), (0, 1));
    }
}
