//! The clock of all stamps.

use crate::model::Stamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// The clock of the process. It never goes back, and continues while the machine is suspended. Clones share the origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Duration,
}

// === impl Clock ===

impl Clock {
    /// A clock whose origin is now.
    pub fn start() -> Self {
        Self { origin: since_boot() }
    }

    /// The current time.
    pub fn now(self) -> Stamp {
        Stamp::new(since_boot().saturating_sub(self.origin))
    }

    /// The wall clock's time at `stamp`. It is computed back from now, so it follows changes of the wall clock.
    pub fn wall(self, stamp: Stamp) -> SystemTime {
        SystemTime::now() - self.now().since(stamp)
    }
}

/// Time since the machine started. `Instant` does not count the time of a suspend, so a change that was pending during a suspend
/// would look shorter than it was.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // Both are positive and the second is below 10^9, as the kernel promises.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
