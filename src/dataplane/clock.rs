//! The clock that data planes are stamped with.

use crate::model::Stamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now, on CLOCK_MONOTONIC_RAW: it is neither set nor slewed, so that what two nodes' clocks differ by changes evenly.
pub(crate) fn now() -> Stamp {
    let time = clock_gettime(ClockId::MonotonicRaw);
    // Both are positive and the second is below 10^9, as the kernel promises.
    Stamp::new(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
}
