//! The combined state of the three watches: what each pod should be for each Service, and what the slices list.

use super::{
    key::{Key, PodId, ServiceId},
    membership::Membership,
    pair::{Desired, Entry},
    pods::{Known, Pods},
    ports::Ports,
    report::Subject,
    services::Services,
    slices::{Difference, Listed, Part, Slices, Version},
    watches::List,
};
use crate::model::{Endpoint, EndpointSlice, EndpointsChange, EndpointsPart, Families, Pod, Service, SliceOwner, Uid};
use std::time::Duration;

/// The views of the three watches.
#[derive(Debug)]
pub(super) struct Views {
    pub(super) pods: Pods,
    pub(super) membership: Membership,
    pub(super) services: Services,
    pub(super) slices: Slices,
    pub(super) ports: Ports,
}

/// A step of a pod in the pod watch.
#[derive(Debug)]
pub(super) struct PodStep {
    pub(super) pod: PodId,
    /// What the pod should be in the endpoints of the Services that select it.
    pub(super) desired: Desired,
    pub(super) families: Families,
    /// These Services, if anything changed for them.
    pub(super) selected_by: Vec<ServiceId>,
    /// Services that selected it before, and no longer do.
    pub(super) left: Vec<ServiceId>,
    /// Services that selected it before, if it had states that were not delivered.
    pub(super) skipped: Option<Vec<ServiceId>>,
}

// === impl Views ===

impl Views {
    /// Empty views. `objective` applies to Services without their own.
    pub(super) fn new(objective: Duration) -> Self {
        Self {
            pods: Pods::default(),
            membership: Membership::default(),
            services: Services::new(objective),
            slices: Slices::default(),
            ports: Ports::default(),
        }
    }

    /// A pod was created or changed, or is in a list.
    pub(super) fn pod_seen(&mut self, pod: &Pod, list: List) -> PodStep {
        let id = self.pods.intern(&pod.uid, || pod.name.as_str().into());
        let old = self.pods.take_known(id);
        let is_skip = |old: &&Known| list.is_under_way && old.resource_version != pod.resource_version;
        // What happened between the two versions is lost. It may have been unready and ready again.
        let skipped = old.as_ref().filter(is_skip).map(|old| self.membership.services(old.set).to_vec());
        let set = match &old {
            Some(old) if self.membership.is_set_of(old.set, &pod.labels) => old.set,
            _ => self.membership.join(id, &pod.namespace, &pod.labels),
        };
        let (desired, families) = self.pods.learn(id, pod, set, list.number);
        let is_as_before = |old: &Known| old.set == set && old.desired == desired && old.families == families;
        let (mut selected_by, mut left) = (Vec::new(), Vec::new());
        if !old.as_ref().is_some_and(is_as_before) {
            selected_by = self.membership.services(set).to_vec();
        }
        if let Some(old) = old.filter(|old| old.set != set) {
            let before = self.membership.services(old.set).iter();
            left = before.filter(|service| !selected_by.contains(service)).copied().collect();
            self.membership.leave(id, old.set);
        }
        PodStep { pod: id, desired, families, selected_by, left, skipped }
    }

    /// A pod was deleted. It is held, because the changes that its removal ends may still need its name.
    pub(super) fn pod_gone(&mut self, uid: &Uid) -> Option<PodStep> {
        let id = self.pods.find(uid)?;
        let old = self.pods.take_known(id);
        self.pods.hold(id);
        let left = old.as_ref().map(|old| self.membership.services(old.set).to_vec()).unwrap_or_default();
        if let Some(old) = old {
            self.membership.leave(id, old.set);
        }
        let (desired, families) = (Desired::Out, Families::NONE);
        Some(PodStep { pod: id, desired, families, selected_by: Vec::new(), left, skipped: None })
    }

    /// Whether a known slice has another owner than this.
    pub(super) fn has_another_owner(&self, uid: &Uid, owner: &SliceOwner) -> bool {
        let known = self.slices.owner(uid);
        known.is_some_and(|(service, family)| family != owner.family || !self.services.has_uid(service, &owner.uid))
    }

    /// A slice with this owner was created or changed, or is in a list. Its pods are held.
    pub(super) fn slice_written(&mut self, slice: EndpointSlice, owner: &SliceOwner, list: List) -> Difference {
        let service = self.services.intern(&owner.uid, &slice.namespace, &owner.service);
        let listed = slice.endpoints.into_iter().map(|endpoint| listed(&mut self.pods, endpoint)).collect();
        let ports = self.ports.intern(&slice.ports);
        self.slices.put(&slice.uid, Version { service, family: owner.family, ports, listed }, list.number)
    }

    /// Endpoints of a slice changed. Its new pods are held.
    pub(super) fn endpoints_changed(&mut self, change: EndpointsChange) -> Option<Difference> {
        let parts = change.endpoints.into_iter().map(|part| match part {
            EndpointsPart::Kept(kept) => Part::Kept(kept),
            EndpointsPart::New(endpoint) => Part::New(listed(&mut self.pods, endpoint)),
        });
        self.slices.change(&change.uid, parts)
    }

    /// The subject of a change, by name.
    pub(super) fn subject(&self, Key { service, pod }: Key) -> Subject {
        Subject { service: self.services.name(service).clone(), pod: pod.map(|pod| self.pods.named(pod)) }
    }

    /// What a pod should be in the endpoints of a Service, and in which families.
    pub(super) fn expectation(&self, service: ServiceId, pod: PodId) -> (Desired, Families) {
        let known = self.pods.known(pod).filter(|known| self.membership.selects(service, known.set));
        let (desired, families) = known.map_or_else(Default::default, |known| (known.desired, known.families));
        self.services.terms(service).expectation(desired, families)
    }

    /// Whether a slice lists an expected pod with other ports than the Service has at that pod.
    pub(super) fn has_other_ports(&mut self, service: ServiceId, pod: PodId) -> bool {
        let (Some(known), Some(spec)) = (self.pods.known(pod), self.services.spec(service)) else { return false };
        let ports = self.ports.at_pod(service, spec, &known.ports);
        self.slices.list_with_others(service, pod, &ports)
    }

    /// Whether there is a slice for each family of the Service. It may be empty.
    pub(super) fn has_every_slice(&self, service: ServiceId) -> bool {
        let has = |spec: &Service| spec.families.iter().all(|family| self.slices.has(service, family));
        self.services.spec(service).is_some_and(has)
    }

    /// Forgets a Service that neither the Service watch nor a slice names. Says whether it did.
    pub(super) fn drop_if_unknown(&mut self, service: ServiceId) -> bool {
        let is_dropped = !self.slices.has_any(service) && self.services.drop_if_unknown(service);
        if is_dropped {
            self.ports.forget(service);
        }
        is_dropped
    }
}

/// An endpoint, with the index of its pod. The pod is held.
fn listed(pods: &mut Pods, endpoint: Endpoint) -> Listed {
    let Endpoint { pod, name, ready, serving, terminating, .. } = endpoint;
    let pod = pods.intern(&pod, || name.into());
    pods.hold(pod);
    (pod, Entry { ready, serving, terminating })
}
