//! The hop to the nodes: passes what the agents observed to [`Programming`], if the daemon listens for agents.

use crate::{
    collector::{Agents, Events, Told, What},
    dataplane::{self, When},
    model::{Families, Stamp},
    programming::{Programming, ProgrammingSettings},
};
use std::{sync::Arc, time::Duration};

/// How often it asks which agents are silent.
const ASK: Duration = Duration::from_secs(1);

/// The hop, and where its observations come from.
#[derive(Debug)]
pub struct DataPlane {
    pub(super) programming: Programming,
    agents: Arc<Agents>,
    events: Events,
    asked: Stamp,
}

// === impl DataPlane ===

impl DataPlane {
    /// No observations yet.
    pub fn new(settings: ProgrammingSettings, agents: Arc<Agents>, events: Events) -> Self {
        Self { programming: Programming::new(settings), agents, events, asked: Stamp::default() }
    }

    /// The next event of an agent. `None` if there will be none.
    pub(super) async fn next(&mut self) -> Option<Arc<Told>> {
        self.events.recv().await
    }

    /// Takes an event, and those that wait behind it.
    pub(super) fn take(&mut self, first: &Told, now: Stamp) {
        self.told(first, now);
        // Not more at once, because the watches wait.
        for _ in 0..1_000 {
            let Ok(told) = self.events.try_recv() else { return };
            self.told(&told, now);
        }
    }

    /// Lets time pass.
    pub(super) fn pass_time(&mut self, now: Stamp) {
        if now.since(self.asked) >= ASK {
            self.asked = now;
            let (silent, gone) = self.agents.absent();
            self.programming.set_silent(&silent, &gone, now);
        }
        self.programming.advance(now);
    }

    fn told(&mut self, Told { node, when, what }: &Told, now: Stamp) {
        match what {
            What::Event(dataplane::Event::Changed(observation)) => {
                let when = when.filter(|_| matches!(observation.when, When::Commit(_)));
                self.programming.observed(node, &observation.change, when, now);
            }
            What::Event(dataplane::Event::State(part)) => {
                self.programming.state(node, &part.frontends, part.is_last, now);
            }
            // The changes that were found after the gap follow.
            What::Event(dataplane::Event::Gap(_)) => {}
            What::Lost(_) => self.programming.lost(node, now),
            What::Started => self.programming.set_follows(node, Families::NONE, now),
            What::Follows(follows) => self.programming.set_follows(node, *follows, now),
        }
    }
}
