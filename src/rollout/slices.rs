//! The union of the slices of each Service: which pods they list.

use crate::model::{Endpoint, EndpointSlice, EndpointsChange, EndpointsPart, Families, Family, Uid};
use std::collections::HashMap;

/// All slices that the EndpointSlice controller writes.
#[derive(Debug, Default)]
pub(super) struct Slices {
    slices: HashMap<Uid, Slice>,
    /// By Service and pod.
    shown: HashMap<(Uid, Uid), Shown>,
    /// Number of the current list.
    list: u32,
}

/// One slice in its last version.
#[derive(Debug)]
struct Slice {
    service: Uid,
    family: Family,
    listed: Vec<Listed>,
    /// The list in which it was last seen.
    list: u32,
}

/// A pod in a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    pod: Uid,
    /// It gets connections.
    ready: bool,
    /// The pod is ready and not being deleted, whether it gets connections or not.
    serving: bool,
}

/// In how many slices of each family a pod is shown in this way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    slices: u32,
    ready: [u32; Family::ALL.len()],
    serving: [u32; Family::ALL.len()],
}

/// A Service, and the pods whose entries may have changed.
pub(super) type Touched = (Uid, Vec<Uid>);

// === impl Listed ===

impl From<&Endpoint> for Listed {
    fn from(endpoint: &Endpoint) -> Self {
        let Endpoint { pod, ready, serving, terminating, .. } = endpoint;
        Self { pod: pod.clone(), ready: *ready, serving: *serving && !terminating }
    }
}

// === impl Slices ===

impl Slices {
    /// A list begins: what it does not contain is gone.
    pub(super) fn begin_list(&mut self) {
        self.list += 1;
    }

    /// The list is complete. Returns what was only in slices that are gone.
    pub(super) fn end_list(&mut self) -> Vec<Touched> {
        let gone = |(uid, slice): (&Uid, &Slice)| (slice.list != self.list).then(|| uid.clone());
        let gone: Vec<_> = self.slices.iter().filter_map(gone).collect();
        gone.iter().filter_map(|uid| self.remove(uid)).collect()
    }

    /// Stores a version of a slice. One that has no owner any more is gone.
    pub(super) fn put(&mut self, slice: &EndpointSlice) -> Vec<Touched> {
        let mut touched = Vec::new();
        if let Some(old) = self.slices.get(&slice.uid)
            && slice.owner.as_ref().is_none_or(|owner| owner.uid != old.service || owner.family != old.family)
        {
            touched.extend(self.remove(&slice.uid));
        }
        let Some(owner) = &slice.owner else { return touched };
        let listed: Vec<_> = slice.endpoints.iter().map(Listed::from).collect();
        let (service, family, list) = (owner.uid.clone(), owner.family, self.list);
        self.slices
            .entry(slice.uid.clone())
            .or_insert_with(|| Slice { service, family, listed: Vec::new(), list })
            .list = list;
        touched.extend(self.replace(&slice.uid, listed));
        touched
    }

    /// Stores a version in which only endpoints changed. What does not refer to the version before, or to no slice, is ignored.
    pub(super) fn change(&mut self, change: &EndpointsChange) -> Option<Touched> {
        let old = &self.slices.get(&change.uid)?.listed;
        let mut listed = Vec::with_capacity(old.len() + 1);
        for part in &change.endpoints {
            match part {
                EndpointsPart::Kept(kept) => listed.extend_from_slice(old.get(kept.clone())?),
                EndpointsPart::New(endpoint) => listed.push(Listed::from(endpoint)),
            }
        }
        self.replace(&change.uid, listed)
    }

    /// Forgets a slice.
    pub(super) fn remove(&mut self, uid: &Uid) -> Option<Touched> {
        let touched = self.replace(uid, Vec::new());
        self.slices.remove(uid);
        touched
    }

    /// Whether the slices of a Service list a pod in all of these families, and whether they do in any. Of a Service that publishes
    /// addresses that are not ready, being ready counts, not being listed.
    pub(super) fn lists(&self, service: &Uid, pod: &Uid, families: Families, publishes_not_ready: bool) -> [bool; 2] {
        let Some(shown) = self.shown.get(&(service.clone(), pod.clone())) else { return [false, false] };
        let counts = if publishes_not_ready { shown.serving } else { shown.ready };
        let mut expected = Family::ALL.into_iter().filter(|family| families.contains(*family));
        let is_listed = |family: Family| counts[family as usize] > 0;
        [!families.is_empty() && expected.clone().all(is_listed), expected.any(is_listed)]
    }

    fn replace(&mut self, uid: &Uid, listed: Vec<Listed>) -> Option<Touched> {
        let slice = self.slices.get_mut(uid)?;
        let (service, family) = (slice.service.clone(), slice.family as usize);
        let old = std::mem::replace(&mut slice.listed, listed);
        let new = &self.slices[uid].listed;
        let mut touched = Vec::new();
        for (entries, is_new) in [(&old, false), (new, true)] {
            for Listed { pod, ready, serving } in entries {
                let step = |count: &mut u32| *count = if is_new { *count + 1 } else { count.saturating_sub(1) };
                let shown = self.shown.entry((service.clone(), pod.clone())).or_default();
                step(&mut shown.slices);
                if *ready {
                    step(&mut shown.ready[family]);
                }
                if *serving {
                    step(&mut shown.serving[family]);
                }
                touched.push(pod.clone());
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for pod in &touched {
            let key = (service.clone(), pod.clone());
            if self.shown.get(&key).is_some_and(|shown| shown.slices == 0) {
                self.shown.remove(&key);
            }
        }
        Some((service, touched))
    }
}
