//! A week of a cluster in virtual time. The incidents that make the changes count them, and the tracker must report the same
//! totals. On the last evening its tables are as large as on the first.

mod totals;
mod workload;

use self::{
    totals::Totals,
    workload::{Agenda, Known, Workload},
};
use endpointlag::{
    model::{Event, Resource, Seen, Stamp},
    propagation::{Size, Tracker, TrackerSettings},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

const SERVICES: usize = 100;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SETTINGS: TrackerSettings =
    TrackerSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(600) };

#[test]
fn a_week_has_exact_totals_and_flat_memory() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut agenda = Agenda::default();
    let mut known = Known::default();
    let mut tracker = Tracker::new(SETTINGS);
    let (mut expected, mut counted) = (Totals::default(), Totals::default());
    let mut workloads: Vec<_> = (0..SERVICES).map(|number| Workload::new(number, &mut agenda, &mut rng)).collect();
    agenda.deliver(Duration::MAX, &mut |_, event| known.learn(&event));
    list(&mut tracker, Stamp::default(), &known);

    let mut evenings = Vec::new();
    for day in 0..7 {
        let midnight = DAY * (day + 1);
        // The last hour is quiet, so that everything that began during the day has ended.
        while agenda.now < midnight - Duration::from_secs(3600) {
            let idle: Vec<_> = workloads.iter_mut().filter(|workload| workload.is_idle(agenda.now)).collect();
            for workload in idle {
                if rng.random_bool(0.02) {
                    workload.live(&mut agenda, &mut rng, &mut expected);
                }
            }
            agenda.deliver(agenda.now + Duration::from_secs(60), &mut |seen, event| {
                known.learn(&event);
                tracker.apply(seen, event);
            });
            if rng.random_bool(0.01) {
                list(&mut tracker, Stamp::new(agenda.now), &known);
            }
            tracker.advance(Stamp::new(agenda.now));
            counted.take(&mut tracker);
        }
        agenda.deliver(midnight, &mut |seen, event| {
            known.learn(&event);
            tracker.apply(seen, event);
        });
        tracker.advance(Stamp::new(midnight));
        counted.take(&mut tracker);
        assert_eq!(counted, expected, "on the evening of day {}", day + 1);
        assert_eq!(tracker.size(), known.size(), "on the evening of day {}", day + 1);
        assert_eq!(tracker.standing().measured.len(), SERVICES);
        assert!(tracker.standing().out_of_sync.is_empty(), "on the evening of day {}", day + 1);
        evenings.push(tracker.size());
    }
    let changes: u64 = expected.outcomes.values().sum();
    assert!(changes > 50_000, "only {changes} changes in a week: {expected:#?}");
    let pods = |size: &Size| size.pods;
    let (fewest, most) = (evenings.iter().map(pods).min(), evenings.iter().map(pods).max());
    assert!(fewest >= Some(900) && most <= Some(1_100), "{evenings:?}");
}

/// All three watches list the objects that exist. Between two of them nothing happens that the tracker has not received.
fn list(tracker: &mut Tracker, at: Stamp, known: &Known) {
    for resource in Resource::ALL {
        tracker.apply(Seen::late(at), Event::Init(resource));
        for object in known.list(resource) {
            tracker.apply(Seen::late(at), object);
        }
        tracker.apply(Seen::late(at), Event::InitDone(resource));
    }
}
