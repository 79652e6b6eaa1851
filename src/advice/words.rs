//! Figures as people write them.

use crate::model::spec::{StartSource, StartTimes};
use std::time::Duration;

/// Why there is no patch where a second pod would run beside the only one.
pub(super) const ONLY_OWNER: &str =
    "There is no patch: only who knows the application can say whether two may run at once.";

/// What to do where it is only known that something takes longer than was seen.
pub(super) const FIND_OUT: &str = "How long it takes is not known, so no figure is proposed: some changes did not end while they were followed. Find \
     out why, such as an outage of kube-controller-manager, and measure again.";

/// A measured duration, such as `230 ms` or `4.2 s`.
pub(super) fn delay(duration: Duration) -> String {
    match duration {
        short if short < Duration::from_micros(999_500) => format!("{:.0} ms", short.as_secs_f64() * 1e3),
        long => format!("{:.1} s", long.as_secs_f64()),
    }
}

/// How long was measured, such as `10 min`.
pub(super) fn window(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A number of things, such as `1 pod` or `2 pods`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// How long pods took until they were Ready.
pub(super) fn start_times(times: &StartTimes) -> String {
    took("start-up", times)
}

/// How long they took until all their containers were ready.
pub(super) fn containers_ready(times: &StartTimes) -> String {
    took("start-up until all containers were ready", times)
}

fn took(what: &str, StartTimes { pods, median, longest, source }: &StartTimes) -> String {
    let source = match source {
        // The status has only the last time at which a pod turned ready.
        StartSource::Status => "; at most, as the pods' status tells it",
        StartSource::Phases => ", as the daemon has followed them",
    };
    format!("{what} of {pods} pods: half within {median} s, the longest {longest} s (whole seconds{source})")
}

/// Whole seconds, rounded up.
pub(super) fn ceil(duration: Duration) -> u32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}
