//! The one clock that everything is stamped with.

use crate::model::Stamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// The clock of the process: it never goes back, and it goes on while the machine is suspended. Copies share the origin.
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

    /// Now.
    pub fn now(self) -> Stamp {
        Stamp::new(since_boot().saturating_sub(self.origin))
    }

    /// The wall clock's time at `stamp`. Reckoned back from now, so that it follows the wall clock when that is set.
    pub fn wall(self, stamp: Stamp) -> SystemTime {
        SystemTime::now() - self.now().since(stamp)
    }
}

/// Time since the machine was started. `Instant` would leave out the time in which it was suspended, and a change that began before that
/// would look shorter than it was.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // Both are positive and the second is below 10^9, as the kernel promises.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
