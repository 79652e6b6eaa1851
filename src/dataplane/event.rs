//! The events that an agent sends to the daemon, in order and each once.

use super::observation::{Gap, Observation};

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The kernel's behaviour changed.
    Changed(Observation),
    /// Changes may have been missed. The changes found afterwards follow.
    Gap(Gap),
}
