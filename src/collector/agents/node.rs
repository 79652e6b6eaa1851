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

/// An agent that sent nothing for this time is gone, with its node.
const GONE: Duration = Duration::from_secs(3600);

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

    pub(super) fn is_gone(&self, now: Stamp) -> bool {
        self.stream.is_none() && now.since(self.heard) >= GONE
    }

    /// When an event happened, on the daemon's raw clock.
    pub(super) fn when(&self, event: &Event) -> Option<Interval> {
        let gap = match event {
            Event::Changed(observation) => match &observation.when {
                When::Commit(commit) => return self.offset.convert(commit.first),
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
