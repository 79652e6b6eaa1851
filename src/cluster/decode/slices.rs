//! Finds what changed in a slice.
//!
//! The API server sends a complete slice for each change of an endpoint. Unchanged endpoints are recognized by a hash of their bytes
//! and not decoded again. For a hundred endpoints this is most of the work.

use crate::{
    cluster::object::{EncodedSlice, ObjectError, read_endpoint},
    model::{EndpointsChange, EndpointsPart, Event, Uid},
};
use foldhash::{fast, quality};
use std::{collections::HashMap, hash::BuildHasher, ops::Range};

/// The slices that were delivered.
#[derive(Debug, Default)]
pub(super) struct Slices {
    known: HashMap<Uid, Known, fast::RandomState>,
    fingerprints: quality::RandomState,
    /// Whether the routes of endpoints are decoded.
    pub(super) with_routes: bool,
}

/// A slice as it was last delivered. Fingerprints are hashes: two of them differ with a probability of 1 - 2^-64.
#[derive(Debug)]
struct Known {
    /// Fingerprint of all but its endpoints.
    frame: u64,
    /// Fingerprints of its endpoints that have a pod, in their order.
    endpoints: Box<[u64]>,
}

// === impl Slices ===

impl Slices {
    /// Forgets all slices: the next version of each slice is delivered complete.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// The event for a new version of a slice.
    ///
    /// # Errors
    /// If a part of it cannot be decoded. The last version stays valid.
    pub(super) fn written(&mut self, slice: EncodedSlice<'_>) -> Result<Event, ObjectError> {
        if !slice.is_owned() {
            self.known.remove(&slice.uid);
            return Ok(Event::EndpointSlice(slice.into_empty()));
        }
        let frame = self.fingerprints.hash_one(slice.frame());
        match self.known.get_mut(&slice.uid).filter(|known| known.frame == frame) {
            Some(known) => {
                let (endpoints, parts) =
                    compare(&known.endpoints, &slice.endpoints, &self.fingerprints, self.with_routes)?;
                known.endpoints = endpoints;
                let EncodedSlice { uid, name, resource_version, .. } = slice;
                let name = name.to_owned();
                Ok(Event::EndpointsChanged(EndpointsChange { uid, name, resource_version, endpoints: parts }))
            }
            None => {
                let (endpoints, parts) = compare(&[], &slice.endpoints, &self.fingerprints, self.with_routes)?;
                let read = parts.into_iter().filter_map(|part| match part {
                    EndpointsPart::New(endpoint) => Some(endpoint),
                    EndpointsPart::Kept(_) => None,
                });
                let slice = slice.into_slice(read.collect())?;
                self.known.insert(slice.uid.clone(), Known { frame, endpoints });
                Ok(Event::EndpointSlice(slice))
            }
        }
    }

    /// The event for a deleted slice, with its last version.
    pub(super) fn deleted(&mut self, slice: EncodedSlice<'_>) -> Event {
        self.known.remove(&slice.uid);
        Event::EndpointSliceDeleted(slice.into_empty())
    }
}

/// Compares the endpoints of a slice with the old fingerprints, and decodes the new ones. Endpoints stay in place when another one
/// changes, so usually each needs only one comparison. It decodes every endpoint that it does not recognize. Also returns the fingerprints.
fn compare(
    old: &[u64],
    endpoints: &[&[u8]],
    hasher: &impl BuildHasher,
    with_routes: bool,
) -> Result<(Box<[u64]>, Vec<EndpointsPart>), ObjectError> {
    let mut fingerprints = Vec::with_capacity(endpoints.len());
    let mut parts = Vec::new();
    // `next`: before this old position, everything is recognized or gone. `kept`: old positions that the next one may continue.
    let (mut next, mut kept) = (0, 0..0);
    for endpoint in endpoints {
        let fingerprint = hasher.hash_one(endpoint);
        if let Some(ahead) = old[next..].iter().position(|known| *known == fingerprint) {
            let at = next + ahead;
            next = at + 1;
            if kept.end == at && !kept.is_empty() {
                kept.end = next;
            } else {
                keep(&mut parts, std::mem::replace(&mut kept, at..next));
            }
        } else if let Some(read) = read_endpoint(endpoint, with_routes)? {
            keep(&mut parts, std::mem::replace(&mut kept, 0..0));
            parts.push(EndpointsPart::New(read));
        } else {
            continue;
        }
        fingerprints.push(fingerprint);
    }
    keep(&mut parts, kept);
    Ok((fingerprints.into(), parts))
}

fn keep(parts: &mut Vec<EndpointsPart>, kept: Range<usize>) {
    if !kept.is_empty() {
        parts.push(EndpointsPart::Kept(kept));
    }
}

#[cfg(test)]
mod tests;
