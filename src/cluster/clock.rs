//! The one clock that everything is stamped with.

use crate::cluster::event::Stamp;
use std::time::{Instant, SystemTime};

/// The monotonic clock of the process. Copies share the origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose origin is now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now.
    pub fn now(self) -> Stamp {
        Stamp::new(self.origin.elapsed())
    }

    /// The wall clock's time at `stamp`. Reckoned back from now, so that it follows the wall clock when that is set.
    pub fn wall(self, stamp: Stamp) -> SystemTime {
        SystemTime::now() - self.now().since(stamp)
    }
}
