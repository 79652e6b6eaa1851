//! What an agent tells the daemon of, in order and each once.

use super::observation::{Gap, Observation};

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What the kernel does changed.
    Changed(Observation),
    /// Changes may have been missed. Those that were found afterwards follow.
    Gap(Gap),
}
