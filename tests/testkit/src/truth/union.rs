//! The union of a Service's slices, and whether it shows a change.

use super::Change;
use super::cluster::{Cluster, Port, families, is_member, ports_on, publishes_not_ready, shared_families};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use std::collections::BTreeSet;

/// The slices that the EndpointSlice controller keeps for one Service: those that it owns, not those of an earlier one with its name.
#[derive(Debug)]
pub struct Union<'a> {
    service: &'a Service,
    slices: Vec<&'a EndpointSlice>,
}

impl<'a> Union<'a> {
    /// The union as the cluster has it now.
    pub fn of(cluster: &'a Cluster, service: &'a Service) -> Self {
        let owns = |slice: &EndpointSlice| {
            let mut owners = slice.metadata.owner_references.iter().flatten();
            owners.any(|owner| owner.kind == "Service" && Some(&owner.uid) == service.metadata.uid.as_ref())
        };
        let slices = cluster.slices.values().filter(|slice| {
            owns(slice)
                && label(slice, "endpointslice.kubernetes.io/managed-by") == Some("endpointslice-controller.k8s.io")
        });
        Self { service, slices: slices.collect() }
    }

    /// Whether it shows a pod's change in each of `expected`, the families in which the pod had an address.
    pub fn shows(&self, change: Change, uid: &str, expected: &BTreeSet<String>) -> bool {
        let published = publishes_not_ready(self.service);
        // With publishNotReadyAddresses `ready` is always true, and `serving` shows what the pod reports.
        let takes_traffic = |endpoint: &Endpoint| if published { is_serving(endpoint) } else { is_ready(endpoint) };
        match change {
            Change::Ready => {
                expected.iter().all(|family| self.endpoints(uid).any(|(at, it)| at == family && takes_traffic(it)))
            }
            Change::Unready => !self.endpoints(uid).any(|(_, endpoint)| takes_traffic(endpoint)),
            Change::Terminating => {
                self.endpoints(uid).all(|(_, endpoint)| is_terminating(endpoint) && (published || !is_ready(endpoint)))
            }
            Change::Removed => !self.lists(uid),
            Change::Service => unreachable!("a Service's change is no pod's"),
        }
    }

    /// Whether it lists the pod, and shows it as terminating in every slice that lists it.
    pub fn lists_as_terminating(&self, uid: &str) -> bool {
        self.lists(uid) && self.shows(Change::Terminating, uid, &BTreeSet::new())
    }

    /// Whether it shows the Service as edited: a slice of each family, each of `members` that still is one, with the
    /// right ports in every slice and in no other family, and none of `excluded`.
    pub fn shows_service(&self, cluster: &Cluster, members: &BTreeSet<String>, excluded: &BTreeSet<String>) -> bool {
        let mut pods = members.iter().filter_map(|uid| Some((uid, cluster.pods.get(uid)?)));
        families(self.service).iter().all(|family| self.slices.iter().any(|slice| slice.address_type == *family))
            && excluded.iter().all(|uid| !self.lists(uid))
            && pods.all(|(uid, pod)| {
                let wanted = ports_on(self.service, pod);
                let shared = shared_families(self.service, pod);
                !is_member(self.service, pod)
                    || self.places(uid).all(|slice| shared.contains(&slice.address_type))
                        && shared.iter().all(|family| {
                            let mut places = self.places(uid).filter(|slice| slice.address_type == *family).peekable();
                            places.peek().is_some() && places.all(|slice| ports_of(slice) == wanted)
                        })
            })
    }

    /// UIDs of all its pods.
    pub fn listed(&self) -> BTreeSet<String> {
        let endpoints = self.slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        endpoints.filter_map(target).map(str::to_owned).collect()
    }

    fn lists(&self, uid: &str) -> bool {
        self.places(uid).next().is_some()
    }

    /// Slices that list the pod.
    fn places(&self, uid: &str) -> impl Iterator<Item = &'a EndpointSlice> {
        let holds = move |slice: &&EndpointSlice| slice.endpoints.iter().flatten().any(|it| target(it) == Some(uid));
        self.slices.iter().copied().filter(holds)
    }

    /// The pod's endpoints with their families. There may be two in one family while it moves between slices.
    fn endpoints(&self, uid: &str) -> impl Iterator<Item = (&'a str, &'a Endpoint)> {
        let all = self.slices.iter().copied().flat_map(|slice| {
            slice.endpoints.iter().flatten().map(move |endpoint| (slice.address_type.as_str(), endpoint))
        });
        all.filter(move |(_, endpoint)| target(endpoint) == Some(uid))
    }
}

fn label<'a>(slice: &'a EndpointSlice, key: &str) -> Option<&'a str> {
    slice.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// UID of the pod behind an endpoint.
fn target(endpoint: &Endpoint) -> Option<&str> {
    endpoint.target_ref.as_ref()?.uid.as_deref()
}

fn ports_of(slice: &EndpointSlice) -> BTreeSet<Port> {
    let ports = slice.ports.iter().flatten();
    ports
        .map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (port.name.clone().unwrap_or_default(), protocol, port.port.unwrap_or_default())
        })
        .collect()
}

// The meaning of an unset condition: https://kubernetes.io/docs/reference/kubernetes-api/ on EndpointConditions.

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn is_serving(endpoint: &Endpoint) -> bool {
    let serving = endpoint.conditions.as_ref().and_then(|conditions| conditions.serving);
    serving.unwrap_or_else(|| is_ready(endpoint))
}

fn is_terminating(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.terminating).unwrap_or(false)
}
