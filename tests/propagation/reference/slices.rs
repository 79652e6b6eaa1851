//! What the slices of a Service show: the union of those that it owns, by the UID of the owner.

use super::history::{Pair, PodState, View};
use crate::kubernetes::endpoint_ports;
use endpointlag::{
    ledger::Change,
    model::{Endpoint, EndpointPort, EndpointSlice, Families, Family, Uid},
};
use std::collections::{BTreeMap, BTreeSet};

/// What to look for in the slices of a Service, about one pod.
#[derive(Clone, Debug)]
pub struct Question {
    service: Uid,
    pod: Uid,
    /// Families in which the slices must list it, if any.
    expected: Families,
    publish_not_ready: bool,
}

/// The content of one slice: family, ports, endpoints.
type Content<'a> = (Family, &'a [EndpointPort], Vec<&'a Endpoint>);

/// All that the slices can show about a pod: `ready` in each family, `unready`, `terminating`, `removed`.
pub type Facts = [bool; 5];

// === impl Question ===

impl Question {
    /// The same question for one family.
    fn within(&self, family: Family) -> Self {
        Self { expected: [family].into_iter().collect(), ..self.clone() }
    }

    /// The same question for each expected family.
    pub fn by_family(&self) -> Vec<Self> {
        self.expected.iter().map(|family| self.within(family)).collect()
    }
}

// === impl View ===

impl View {
    /// The slices that a Service owns.
    pub fn slices_of(&self, service: &Uid) -> impl Iterator<Item = (Family, &EndpointSlice)> {
        self.slices.values().filter_map(move |slice| {
            let owner = slice.owner.as_ref()?;
            (owner.uid == *service).then_some((owner.family, &**slice))
        })
    }

    /// What the Service's slices show, without their versions and the order of their endpoints.
    pub fn content(&self, service: &Uid) -> BTreeMap<&Uid, Content<'_>> {
        let mut content = BTreeMap::new();
        for (family, slice) in self.slices_of(service) {
            let mut endpoints: Vec<_> = slice.endpoints.iter().collect();
            endpoints.sort_by_key(|endpoint| &endpoint.pod);
            content.insert(&slice.uid, (family, &*slice.ports, endpoints));
        }
        content
    }

    /// Every pod that the Service's slices list.
    pub fn listed(&self, service: &Uid) -> BTreeSet<Uid> {
        self.slices_of(service).flat_map(|(_, slice)| &slice.endpoints).map(|endpoint| endpoint.pod.clone()).collect()
    }

    /// Every entry of the pod in the Service's slices.
    fn entries(&self, service: &Uid, pod: &Uid) -> Vec<(Family, &EndpointSlice, &Endpoint)> {
        let mut entries = Vec::new();
        for (family, slice) in self.slices_of(service) {
            entries.extend(slice.endpoints.iter().filter(|e| e.pod == *pod).map(|e| (family, slice, e)));
        }
        entries
    }

    /// The question that the slices must answer about the pod in its present state.
    pub fn question(&self, service: &Uid, pod: &Uid) -> Question {
        Question {
            service: service.clone(),
            pod: pod.clone(),
            expected: self.expected_families(service, pod),
            publish_not_ready: self.measured(service).is_some_and(|service| service.publish_not_ready_addresses),
        }
    }

    /// Whether the union of the Service's slices shows the change. An endpoint in two slices is ready if one slice says
    /// so, because it gets connections then. So it is terminating only if both say so.
    pub fn shows(&self, question: &Question, change: Change) -> bool {
        let entries = self.entries(&question.service, &question.pod);
        let is_ready = |e: &Endpoint| if question.publish_not_ready { e.serving } else { e.ready };
        match change {
            Change::Ready => question
                .expected
                .iter()
                .all(|family| entries.iter().any(|(of, _, entry)| *of == family && is_ready(entry))),
            Change::Unready => !entries.iter().any(|(_, _, entry)| is_ready(entry)),
            Change::Terminating => {
                entries.iter().all(|(_, _, e)| e.terminating && (question.publish_not_ready || !e.ready))
            }
            Change::Removed => entries.is_empty(),
            Change::Service => unreachable!("a change of a Service is about no single pod"),
        }
    }

    /// Whether the slices show, in some family, what a controller writes that knows this change of the pod and no later
    /// one.
    pub fn is_written(&self, service: &Uid, pod: &Uid, change: Change) -> bool {
        let published = self.question(service, pod).publish_not_ready;
        let is_ready = |e: &Endpoint| if published { e.serving } else { e.ready };
        let entries = self.entries(service, pod);
        let of = |family: Family| entries.iter().filter(move |(of, ..)| *of == family).map(|(.., entry)| *entry);
        Family::ALL.into_iter().any(|family| {
            let is_listed = of(family).next().is_some();
            match change {
                Change::Ready => of(family).any(is_ready),
                Change::Unready => is_listed && !of(family).any(is_ready),
                Change::Terminating => is_listed && of(family).all(|entry| entry.terminating),
                Change::Removed => !is_listed && self.expected_families(service, pod).contains(family),
                Change::Service => unreachable!("a change of a Service is about no single pod"),
            }
        })
    }

    /// Whether the slices show the pod's present state.
    pub fn shows_state(&self, service: &Uid, pod: &Uid) -> bool {
        self.shows(&self.question(service, pod), self.state(service, pod).change())
    }

    /// All that the slices show about the pod.
    pub fn facts(&self, service: &Uid, pod: &Uid) -> Facts {
        let question = self.question(service, pod);
        let [v4, v6] = Family::ALL.map(|family| self.shows(&question.within(family), Change::Ready));
        let [unready, terminating, removed] =
            [Change::Unready, Change::Terminating, Change::Removed].map(|change| self.shows(&question, change));
        [v4, v6, unready, terminating, removed]
    }

    fn is_listed_in(&self, service: &Uid, pod: &Uid, family: Family) -> bool {
        self.entries(service, pod).iter().any(|(of, ..)| *of == family)
    }

    fn is_listed_in_a_family_too_many(&self, service: &Uid, pod: &Uid) -> bool {
        let expected = self.expected_families(service, pod);
        self.entries(service, pod).iter().any(|(family, ..)| !expected.contains(*family))
    }

    /// Whether a slice that lists the pod has other ports than the Service resolves for it. False for a pod
    /// that the Service does not expect.
    fn ports_disagree(&self, service: &Uid, pod: &Uid) -> bool {
        let (Some(of), Some(at)) = (self.measured(service), self.pods.get(pod)) else { return false };
        let ports = endpoint_ports(of, at);
        self.entries(service, pod).iter().any(|(_, slice, _)| slice.ports != ports)
    }

    /// Whether the slices do not list an expected pod correctly yet: in all its families, in no other, and with the right ports.
    pub fn owes(&self, service: &Uid, pod: &Uid) -> bool {
        let mut expected = self.expected_families(service, pod).iter();
        !expected.all(|family| self.is_listed_in(service, pod, family))
            || self.is_listed_in_a_family_too_many(service, pod)
            || self.ports_disagree(service, pod)
    }

    /// Whether the slices list an expected pod in a wrong family or with wrong ports.
    pub fn is_listed_otherwise(&self, service: &Uid, pod: &Uid) -> bool {
        self.is_listed_in_a_family_too_many(service, pod) || self.ports_disagree(service, pod)
    }

    /// Whether the slices still list a pod that the Service does not expect.
    pub fn lingers(&self, service: &Uid, pod: &Uid) -> bool {
        self.state(service, pod) == PodState::Out && !self.entries(service, pod).is_empty()
    }

    /// Every pair of a measured Service that is out of sync, and whether connections go wrong because of it.
    pub fn out_of_sync(&self) -> BTreeMap<Pair, bool> {
        let mut pairs = BTreeMap::new();
        for service in self.all_measured() {
            for pod in self.concerned(service) {
                if self.is_out_of_sync(service, &pod) {
                    let traffic = self.misleads_traffic(service, &pod);
                    pairs.insert((service.clone(), pod), traffic);
                }
            }
        }
        pairs
    }

    fn is_out_of_sync(&self, service: &Uid, pod: &Uid) -> bool {
        match self.state(service, pod) {
            PodState::Out => !self.entries(service, pod).is_empty(),
            _ => !self.shows_state(service, pod) || self.is_listed_otherwise(service, pod),
        }
    }

    /// Whether connections go where they should not, or do not go where they should.
    fn misleads_traffic(&self, service: &Uid, pod: &Uid) -> bool {
        let question = self.question(service, pod);
        let gets_it = |family: Family| self.shows(&question.within(family), Change::Ready);
        let state = self.state(service, pod);
        let should_get_it = |family| state == PodState::Ready && question.expected.contains(family);
        let ports_disagree = state != PodState::Out && self.ports_disagree(service, pod);
        Family::ALL.into_iter().any(|family| gets_it(family) != should_get_it(family))
            || ports_disagree && Family::ALL.into_iter().any(gets_it)
    }
}
