//! Slices as the daemon passes them on: whole, or only what changed since the version before.

use endpointlag::model::{EndpointSlice, EndpointsChange, EndpointsPart, Event, Resource, Uid};
use std::collections::BTreeMap;

/// The slices that a tracker received.
#[derive(Debug, Default)]
pub struct Retold(BTreeMap<Uid, EndpointSlice>);

impl Retold {
    /// The same event. For a known slice it is often a change of its endpoints.
    pub fn tell(&mut self, event: &Event) -> Event {
        match event {
            // A list delivers all slices again.
            Event::Init(Resource::EndpointSlices) => self.0.clear(),
            Event::EndpointSliceDeleted(slice) => drop(self.0.remove(&slice.uid)),
            Event::EndpointSlice(slice) => {
                let old = self.0.insert(slice.uid.clone(), slice.clone());
                let is_as_before = |old: &EndpointSlice| old.owner == slice.owner && old.ports == slice.ports;
                if let Some(old) = old.filter(is_as_before)
                    && slice.owner.is_some()
                    && !slice.resource_version.is_multiple_of(4)
                {
                    return Event::EndpointsChanged(changed(&old, slice));
                }
            }
            _ => {}
        }
        event.clone()
    }
}

fn changed(old: &EndpointSlice, new: &EndpointSlice) -> EndpointsChange {
    let mut next = 0;
    let parts = new.endpoints.iter().map(|endpoint| {
        let known = old.endpoints[next..].iter().position(|known| known == endpoint);
        known.map_or_else(
            || EndpointsPart::New(endpoint.clone()),
            |ahead| {
                let at = next + ahead;
                next = at + 1;
                EndpointsPart::Kept(at..next)
            },
        )
    });
    let endpoints = parts.collect();
    let (uid, name) = (new.uid.clone(), new.name.clone());
    EndpointsChange { uid, name, resource_version: new.resource_version, endpoints }
}
