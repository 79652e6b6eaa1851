//! The events that an agent sends to the daemon, in order and each once.

use super::observation::{Frontend, Gap, Observation};
use crate::model::Fingerprint;

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The kernel's behaviour changed.
    Changed(Observation),
    /// Changes may have been missed. The changes found afterwards follow.
    Gap(Gap),
    /// A part of what the kernel does now, after all earlier events.
    State(StatePart),
}

/// A part of what the kernel does now. The parts follow each other, with other events in between only after the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePart {
    /// Frontends with backends.
    pub frontends: Vec<(Frontend, Fingerprint)>,
    /// Whether this is the last part: all other frontends have no backends.
    pub is_last: bool,
}
