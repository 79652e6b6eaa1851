//! Common operations on the three resources of the simulated cluster, and generated names for their objects.

use super::body::Embodied;
use crate::{
    cluster::{
        object::parse_address,
        wire::{Service, Time},
    },
    simulator::messages::{EndpointSlice, Pod, PodCondition},
};
use rand::{Rng, RngExt};
use std::{collections::BTreeMap, net::IpAddr};

/// A namespaced resource of the simulated cluster.
pub trait Object: Embodied + Clone + PartialEq + Default + 'static {
    /// As in a manifest, such as `discovery.k8s.io/v1`.
    const API_VERSION: &'static str;
    /// As in a manifest, such as `EndpointSlice`.
    const KIND: &'static str;
    /// As in a URL, such as `endpointslices`.
    const RESOURCE: &'static str;

    /// Unique in its namespace at any time.
    fn name(&self) -> &str;
    /// Never empty: all three resources are namespaced.
    fn namespace(&self) -> &str;
    /// Labels, which selectors match.
    fn labels(&self) -> &BTreeMap<String, String>;
    /// The version of the last write; empty before the first.
    fn resource_version(&self) -> &str;
    /// Sets the version.
    fn set_resource_version(&mut self, version: String);
}

/// Letters of generated names. As in Kubernetes there are no vowels and no similar characters, so that names do not contain
/// words.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// `length` random letters for a generated name, such as the `x7k2p` of `cart-x7k2p`.
pub(super) fn name_suffix(rng: &mut impl Rng, length: usize) -> String {
    (0..length).map(|_| char::from(NAME_LETTERS[rng.random_range(0..NAME_LETTERS.len())])).collect()
}

/// A random UID, in the form of a version 4 UUID.
pub(super) fn fresh_uid(rng: &mut impl Rng) -> String {
    let bits: u128 = rng.random();
    // Version 4, variant 1, at the positions of RFC 9562.
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xffff,
        bits >> 48 & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}

/// Whether an equality selector matches. An empty selector matches nothing, as in a Service.
pub(super) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}

/// Whether the pod's Ready condition is True. If there are several, the first counts, as in `getPodReadyCondition` of
/// k8s.io/endpointslice.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().map(|s| s.conditions.as_slice());
    conditions.unwrap_or_default().iter().find(|c| c.kind == "Ready").is_some_and(|c| c.status == "True")
}

/// Sets a condition of the pod. If its status changes, it changed at `now`.
pub(super) fn set_condition(pod: &mut Pod, kind: &str, value: bool, now: Option<&Time>) {
    let status = if value { "True" } else { "False" };
    let conditions = &mut pod.status.get_or_insert_default().conditions;
    let condition =
        PodCondition { kind: kind.to_owned(), status: status.to_owned(), last_transition_time: now.cloned() };
    match conditions.iter_mut().find(|c| c.kind == kind) {
        Some(old) if old.status == status => {}
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// Sets the pod's Ready condition, without a time.
#[cfg(test)]
pub(super) fn set_ready(pod: &mut Pod, ready: bool) {
    set_condition(pod, "Ready", ready, None);
}

/// The pod's valid addresses; none before it has a sandbox.
pub(super) fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let ips = pod.status.as_ref().map(|s| s.pod_ips.as_slice());
    ips.unwrap_or_default().iter().filter_map(|ip| parse_address(&ip.ip))
}

// === impl Object ===

macro_rules! object {
    ($type:ty, $api_version:literal, $kind:literal, $resource:literal) => {
        impl Object for $type {
            const API_VERSION: &'static str = $api_version;
            const KIND: &'static str = $kind;
            const RESOURCE: &'static str = $resource;

            fn name(&self) -> &str {
                &self.metadata.name
            }
            fn namespace(&self) -> &str {
                &self.metadata.namespace
            }
            fn labels(&self) -> &BTreeMap<String, String> {
                &self.metadata.labels
            }
            fn resource_version(&self) -> &str {
                &self.metadata.resource_version
            }
            fn set_resource_version(&mut self, version: String) {
                self.metadata.resource_version = version;
            }
        }
    };
}

object!(Pod, "v1", "Pod", "pods");
object!(Service, "v1", "Service", "services");
object!(EndpointSlice, "discovery.k8s.io/v1", "EndpointSlice", "endpointslices");

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn uids_look_like_uuids_and_names_like_kubernetes() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let uid = fresh_uid(&mut rng);
            let parts: Vec<&str> = uid.split('-').collect();
            assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
            assert!(parts[2].starts_with('4'));
            assert!(parts[3].starts_with(['8', '9', 'a', 'b']));
        }
        assert!(name_suffix(&mut rng, 50).bytes().all(|b| NAME_LETTERS.contains(&b)));
    }

    #[test]
    fn of_several_ready_conditions_the_first_counts() {
        let ready = |statuses: &[&str]| {
            let mut pod = Pod::default();
            let conditions = statuses.iter().map(|it| PodCondition {
                kind: "Ready".to_owned(),
                status: (*it).to_owned(),
                last_transition_time: None,
            });
            pod.status.get_or_insert_default().conditions.extend(conditions);
            is_ready(&pod)
        };
        assert!(!ready(&[]));
        assert!(!ready(&["False", "True"]));
        assert!(ready(&["True", "False"]));
    }

    #[test]
    fn an_empty_selector_matches_nothing() {
        let labels = BTreeMap::from([("app".to_owned(), "cart".to_owned())]);
        assert!(!selects(&BTreeMap::new(), &labels));
        assert!(selects(&labels, &labels));
        assert!(!selects(&labels, &BTreeMap::new()));
    }
}
