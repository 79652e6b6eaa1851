//! All that reaches a tracker, in order. The same steps give the same outcomes, at any time and on any machine.

use super::Pipeline;
use crate::model::{Event, Seen, Stamp};

/// One thing that a tracker is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<E = Event> {
    /// A watch delivered an event. What is known about the watch, such as a gap, is an event too.
    Event {
        /// Index of the scope, and so of its tracker.
        scope: usize,
        /// When it arrived, and whether this time can be used to measure.
        seen: Seen,
        /// The event.
        event: E,
    },
    /// Everything that arrived before this time was delivered.
    Through {
        /// Index of the scope, and so of its tracker.
        scope: usize,
        /// The time.
        at: Stamp,
    },
}

/// Gets each step right before its tracker. If it blocks, the measurement waits for it.
pub type Tap = Box<dyn FnMut(Step<&Event>) + Send>;

// === impl Pipeline ===

impl Pipeline {
    /// The same pipeline, which passes each step to `tap` as well. What ends in one step is reported in an order that depends only on
    /// the steps.
    #[must_use]
    pub fn tapped(mut self, tap: Tap) -> Self {
        self.trackers = self.trackers.into_iter().map(|tracker| tracker.in_order()).collect();
        self.tap = Some(tap);
        self
    }
}
