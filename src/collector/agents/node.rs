//! What the daemon knows of one node and its agent.

use super::counts::NodeCounts;
use crate::{
    collector::offset::Offset,
    dataplane::{Event, Planes, When, messages::Hello},
    model::{Interval, Stamp},
};
use std::time::Duration;
use tokio::sync::oneshot;

/// An agent that has sent nothing for this time is silent. Its stream ends earlier if it does not answer a probe.
const SILENT: Duration = Duration::from_secs(30);

/// The node of an agent that sent nothing for this time has left: new changes do not wait for it.
const LEFT: Duration = Duration::from_secs(600);

/// An agent that sent nothing for this time is gone: it is not expected back.
const GONE: Duration = Duration::from_secs(3600);

/// How long before its first datagram a commit took effect, at most, for each of its messages. The kernel builds all of them before it sends the
/// first: 1 to 3 us each, measured with kernel 6.18. Twice that is allowed. Where its work has to wait for a CPU it takes longer, and no agent
/// sees that.
const BUILD: Duration = Duration::from_micros(6);

/// An agent that is known.
#[derive(Debug)]
pub(super) struct Node {
    /// Identifies the agent's run.
    pub(super) epoch: u64,
    pub(super) version: String,
    pub(super) planes: Option<Planes>,
    /// Whether the kernel's state was taken in this run, and no event was lost since.
    pub(super) has_state: bool,
    /// The last event of this run that was taken, or that will never come.
    pub(super) taken: u64,
    pub(super) offset: Offset,
    pub(super) stream: Option<Stream>,
    /// When it last sent something.
    pub(super) heard: Stamp,
    /// The counts for the node, over all runs of its agent.
    pub(super) counts: NodeCounts,
}

/// The stream of an agent.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: u64,
    pub(super) since: Stamp,
    /// Ends the stream when it is dropped.
    pub(super) _replaced: oneshot::Sender<()>,
}

// === impl Node ===

impl Node {
    /// The state of a run that begins with this hello.
    pub(super) fn starting(hello: &Hello, counts: NodeCounts, now: Stamp) -> Self {
        Self {
            epoch: hello.epoch,
            version: String::new(),
            planes: None,
            has_state: false,
            taken: hello.acknowledged,
            offset: Offset::default(),
            stream: None,
            heard: now,
            counts,
        }
    }

    pub(super) fn is_of(&self, stream: u64) -> bool {
        self.stream.as_ref().is_some_and(|it| it.number == stream)
    }

    pub(super) fn is_silent(&self, now: Stamp) -> bool {
        now.since(self.heard) >= SILENT && !self.is_gone(now)
    }

    pub(super) fn has_left(&self, now: Stamp) -> bool {
        self.stream.is_none() && now.since(self.heard) >= LEFT
    }

    /// Its agent connects again. What a node did until it left was forgotten then.
    pub(super) fn come_back(&mut self, now: Stamp) {
        self.has_state &= !self.has_left(now);
    }

    pub(super) fn is_gone(&self, now: Stamp) -> bool {
        self.stream.is_none() && now.since(self.heard) >= GONE
    }

    /// When an event happened, on the daemon's raw clock.
    pub(super) fn when(&self, event: &Event) -> Option<Interval> {
        let gap = match event {
            Event::Changed(observation) => match &observation.when {
                When::Commit(commit) => {
                    let Interval { earliest, latest } = self.offset.convert(commit.first)?;
                    return Some(Interval { earliest: earliest.minus(BUILD * commit.messages), latest });
                }
                When::Gap(gap) => gap,
            },
            Event::Gap(gap) => gap,
            // It is of the time when it is taken.
            Event::State(_) => return None,
        };
        let (since, until) = (self.offset.convert(gap.since)?, self.offset.convert(gap.until)?);
        Some(Interval { earliest: since.earliest, latest: until.latest.max(since.earliest) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        collector::offset::Exchange,
        dataplane::{Commit, Frontend, Observation, Protocol, SetChange},
    };

    #[test]
    fn a_node_whose_agent_stays_away_leaves_and_has_to_show_its_state_when_it_is_back() {
        let at = |seconds: u64| Stamp::new(Duration::from_secs(seconds));
        let hello = Hello { node: "n".into(), version: "v".into(), epoch: 1, acknowledged: 0 };
        let mut node = Node::starting(&hello, NodeCounts::default(), at(100));
        node.has_state = true;
        assert!(node.is_silent(at(699)) && !node.has_left(at(699)));
        node.come_back(at(699));
        assert!(node.has_state);
        assert!(node.is_silent(at(700)) && node.has_left(at(700)) && !node.is_gone(at(700)), "it is still expected");
        node.come_back(at(700));
        assert!(!node.has_state);
    }

    #[test]
    fn a_commit_of_many_messages_took_effect_before_the_first_came() {
        let at = |millis: u64| Stamp::new(Duration::from_millis(millis));
        let hello = Hello { node: "n".into(), version: "v".into(), epoch: 1, acknowledged: 0 };
        let mut node = Node::starting(&hello, NodeCounts::default(), at(0));
        // The same clock, twice, without a round trip.
        for millis in [1_000, 3_000] {
            let now = at(millis);
            node.offset.compare(Exchange { asked: now, received: now, replied: now, heard: now });
        }
        let error = |messages: u32| {
            let frontend = Frontend { address: [10, 96, 0, 1].into(), protocol: Protocol::Tcp, port: 80 };
            let change = SetChange { frontend, added: Vec::new(), removed: Vec::new() };
            let commit = Commit { first: at(2_000), end: at(2_100), messages, generation: 1 };
            let observation = Observation { change, when: When::Commit(commit) };
            let when = node.when(&Event::Changed(observation)).expect("between two comparisons");
            assert!(when.latest >= at(2_000) && when.earliest <= at(2_000));
            when.error()
        };
        let little = error(10);
        assert!(little < Duration::from_micros(100), "{little:?}");
        assert_eq!(error(2_010) - little, Duration::from_millis(6), "half of 2,000 times 6 us");
        assert!(error(u32::MAX) > Duration::ZERO, "no number is too large");
    }
}
