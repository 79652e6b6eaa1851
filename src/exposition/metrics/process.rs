//! Metrics of the process itself.

use prometheus::{
    core::Collector,
    process_collector::ProcessCollector,
    proto::{Counter, MetricFamily},
};
use rustix::time::{ClockId, clock_gettime};

/// The process metrics of Prometheus' own clients, but with fractions of a second of CPU time. The collector counts whole
/// seconds. With them a rate over one minute would be zero or 1/60, while the daemon needs a few milliseconds a second.
pub(super) fn collect() -> Vec<MetricFamily> {
    let mut families = ProcessCollector::for_self().collect();
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
    for family in families.iter_mut().filter(|family| family.name() == "process_cpu_seconds_total") {
        for row in family.mut_metric() {
            let mut counter = Counter::default();
            counter.set_value(seconds);
            row.set_counter(counter);
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn cpu() -> f64 {
        let families = collect();
        let family = families.iter().find(|family| family.name() == "process_cpu_seconds_total").expect("shown");
        family.get_metric()[0].get_counter().value()
    }

    #[test]
    fn processor_time_has_fractions() {
        let (before, started) = (cpu(), Instant::now());
        while started.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let spent = cpu() - before;
        assert!(spent > 0.0 && spent.fract() != 0.0, "{spent} s");
    }
}
