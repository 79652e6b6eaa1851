//! The pure core held against a reference that was written apart from it, and against time and mass.

mod agreement;
mod coverage;
mod flood;
mod kubernetes;
mod reference;
mod week;
mod world;

use endpointlag::{
    model::{Event, Seen},
    propagation::Tracker,
};

/// Has the tracker take an event whose object is in order.
fn apply(tracker: &mut Tracker, seen: Seen, event: Event) {
    tracker.apply(seen, event).expect("an object to be used");
}
