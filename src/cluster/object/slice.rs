//! EndpointSlices.

use super::{Family, ObjectError, Uid, identity};
use crate::cluster::wire::{self, listed};
use bytes::Bytes;

/// Label of a slice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// Label of a slice that names who writes it.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`] on slices of the EndpointSlice controller of Kubernetes, the only one measured.
pub const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// What the measurement knows of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable with those of other slices only.
    pub resource_version: u64,
    /// The Service it belongs to; `None` if it is not the EndpointSlice controller's or not of an IP family.
    pub owner: Option<SliceOwner>,
    /// Ports of all its endpoints, sorted.
    pub ports: Vec<EndpointPort>,
    /// Endpoints with a pod behind them.
    pub endpoints: Vec<Endpoint>,
}

/// What a slice is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceOwner {
    /// Name of the Service, in the slice's namespace.
    pub service: String,
    /// Family of its addresses.
    pub family: Family,
}

/// A port of a slice, nil semantics settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointPort {
    /// The Service port's name; empty where unset.
    pub name: String,
    /// `TCP` where unset.
    pub protocol: String,
    /// The number at the pod.
    pub number: Option<i32>,
    /// The Service port's hint.
    pub app_protocol: Option<String>,
}

/// An endpoint with a pod behind it, nil semantics settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// UID of the pod.
    pub pod: Uid,
    /// Name of the pod. A part of the bytes that came, since most endpoints name a pod that is known.
    pub name: Bytes,
    /// Gets new connections. Unset counts as true.
    pub ready: bool,
    /// The pod is ready, terminating or not. Unset follows `ready`.
    pub serving: bool,
    /// The pod is going away. Unset counts as false.
    pub terminating: bool,
}

// === impl EndpointSlice ===

impl TryFrom<listed::EndpointSlice> for EndpointSlice {
    type Error = ObjectError;

    fn try_from(slice: listed::EndpointSlice) -> Result<Self, ObjectError> {
        let meta = slice.metadata;
        let (uid, resource_version) =
            identity("EndpointSlice", &meta.namespace, &meta.name, &meta.uid, &meta.resource_version)?;
        let managed = meta.labels.get(MANAGED_BY_LABEL).is_some_and(|by| by == CONTROLLER);
        let owner = match (meta.labels.get(SERVICE_NAME_LABEL), Family::parse(&slice.address_type)) {
            (Some(service), Some(family)) if managed => Some(SliceOwner { service: service.clone(), family }),
            _ => None,
        };
        let mut ports: Vec<_> = slice.ports.into_iter().map(EndpointPort::from).collect();
        ports.sort_unstable();
        Ok(Self {
            uid,
            resource_version,
            namespace: meta.namespace,
            name: meta.name,
            owner,
            ports,
            endpoints: slice.endpoints.into_iter().filter_map(Endpoint::of_pod).collect(),
        })
    }
}

impl From<wire::EndpointPort> for EndpointPort {
    fn from(port: wire::EndpointPort) -> Self {
        Self {
            name: port.name.unwrap_or_default(),
            protocol: port.protocol.unwrap_or_else(|| "TCP".into()),
            number: port.port,
            app_protocol: port.app_protocol,
        }
    }
}

impl Endpoint {
    fn of_pod(endpoint: listed::Endpoint) -> Option<Self> {
        let target = endpoint.target_ref.filter(|target| *target.kind == *b"Pod" && !target.uid.is_empty())?;
        let conditions = endpoint.conditions.unwrap_or_default();
        let ready = conditions.ready.unwrap_or(true);
        Some(Self {
            pod: Uid::from(&*String::from_utf8_lossy(&target.uid)),
            name: target.name,
            ready,
            serving: conditions.serving.unwrap_or(ready),
            terminating: conditions.terminating.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_controllers_slices_have_an_owner() {
        let slice = |manager: Option<&str>, address_type: &str| {
            let mut slice = listed::EndpointSlice { address_type: address_type.into(), ..Default::default() };
            slice.metadata.uid = "u".into();
            slice.metadata.resource_version = "1".into();
            slice.metadata.labels.insert(SERVICE_NAME_LABEL.into(), "web".into());
            if let Some(manager) = manager {
                slice.metadata.labels.insert(MANAGED_BY_LABEL.into(), manager.into());
            }
            EndpointSlice::try_from(slice).expect("whole").owner
        };
        assert!(slice(Some(CONTROLLER), "IPv4").is_some());
        assert_eq!(slice(Some(CONTROLLER), "FQDN"), None);
        assert_eq!(slice(Some("endpointslicemirroring-controller.k8s.io"), "IPv4"), None);
        assert_eq!(slice(None, "IPv4"), None);
    }

    #[test]
    fn unset_conditions_follow_the_api() {
        let endpoint = |conditions| {
            let target = listed::ObjectReference { kind: "Pod".into(), name: "p".into(), uid: "u".into() };
            let read = Endpoint::of_pod(listed::Endpoint { conditions, target_ref: Some(target) }).expect("has a pod");
            (read.ready, read.serving, read.terminating)
        };
        let set = |ready, serving| Some(wire::EndpointConditions { ready, serving, terminating: None });
        assert_eq!(endpoint(None), (true, true, false));
        assert_eq!(endpoint(set(Some(false), None)), (false, false, false));
        assert_eq!(endpoint(set(None, Some(false))), (true, false, false));
    }
}
