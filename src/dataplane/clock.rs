//! The clock of the stamps of data planes.

use crate::model::Stamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The time on CLOCK_MONOTONIC_RAW. It is neither set nor slewed, so the clocks of two nodes drift apart evenly.
pub(crate) fn now() -> Stamp {
    let time = clock_gettime(ClockId::MonotonicRaw);
    // Both are positive and the nanoseconds are below 10^9, as the kernel promises.
    Stamp::new(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
}
