//! EndpointSlices.

use super::{Family, ObjectError, Uid, meta::Meta};
use crate::cluster::wire::{
    self,
    fields::{Fields, MessageError, Value, text},
};
use bytes::Bytes;
use prost::Message;

/// Label of a slice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// Label of a slice that names who writes it.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`] on slices of the EndpointSlice controller of Kubernetes, the only one measured.
pub const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// What the measurement knows of an EndpointSlice, its endpoints read or as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice<E = Endpoint> {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable with those of other slices only.
    pub resource_version: u64,
    /// The Service it belongs to; `None` if no Service owns it, it is not the EndpointSlice controller's or not of an IP family.
    pub owner: Option<SliceOwner>,
    /// Ports of all its endpoints, sorted.
    pub ports: Vec<EndpointPort>,
    /// In the order in which they came.
    pub endpoints: Vec<E>,
}

/// What a slice is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceOwner {
    /// Identity of the Service. A Service that was deleted and made anew has another, and none of the old one's slices.
    pub uid: Uid,
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
    /// Name of the pod.
    pub name: String,
    /// Gets new connections. Unset counts as true.
    pub ready: bool,
    /// The pod is ready, terminating or not. Unset follows `ready`.
    pub serving: bool,
    /// The pod is going away. Unset counts as false.
    pub terminating: bool,
}

/// An endpoint as it came. A slice is written whole whenever one of its endpoints changes: the others are known by their bytes, and
/// not read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEndpoint(Bytes);

// === impl EndpointSlice ===

impl EndpointSlice<EncodedEndpoint> {
    /// Reads an encoded `discovery.k8s.io/v1` EndpointSlice that is a part of `frame`, which its endpoints go on to share. Field
    /// numbers are those of [`wire::EndpointSlice`].
    ///
    /// # Errors
    /// If it is none, or has no identity.
    ///
    /// # Panics
    /// If `message` is not a part of `frame`.
    pub fn decode(message: &[u8], frame: &Bytes) -> Result<Self, ObjectError> {
        let (mut meta, mut address_type) = (Meta::with_owners(), "");
        let (mut endpoints, mut ports) = (Vec::new(), Vec::new());
        let mut read = || -> Result<(), MessageError> {
            for field in Fields::of(message) {
                match field? {
                    (1, Value::Bytes(message)) => meta.read(message)?,
                    (2, Value::Bytes(message)) => endpoints.push(EncodedEndpoint(frame.slice_ref(message))),
                    (3, Value::Bytes(message)) => ports.push(wire::EndpointPort::decode(message)?.into()),
                    (4, Value::Bytes(bytes)) => address_type = text(bytes)?,
                    _ => {}
                }
            }
            Ok(())
        };
        read().map_err(|source| ObjectError::Undecodable { kind: "EndpointSlice", source })?;
        let (uid, resource_version) = meta.identity("EndpointSlice")?;
        let managed = meta.label(MANAGED_BY_LABEL) == Some(CONTROLLER);
        let owning =
            meta.owning_service().map_err(|source| ObjectError::Undecodable { kind: "EndpointSlice", source })?;
        let owner = match (meta.label(SERVICE_NAME_LABEL), owning, Family::parse(address_type)) {
            (Some(service), Some(uid), Some(family)) if managed => {
                Some(SliceOwner { uid: Uid::from(uid), service: service.to_owned(), family })
            }
            _ => None,
        };
        ports.sort_unstable();
        let (namespace, name) = (meta.namespace.to_owned(), meta.name.to_owned());
        Ok(Self { uid, resource_version, namespace, name, owner, ports, endpoints })
    }

    /// The same with its endpoints read; those without a pod are left out.
    ///
    /// # Errors
    /// If one is no endpoint.
    pub fn read(&self) -> Result<EndpointSlice, ObjectError> {
        let endpoints = self.endpoints.iter().filter_map(|endpoint| endpoint.read().transpose());
        Ok(self.with(endpoints.collect::<Result<_, _>>()?))
    }
}

impl EndpointSlice {
    /// The same as it would come.
    pub fn encode(&self) -> EndpointSlice<EncodedEndpoint> {
        self.with(self.endpoints.iter().map(EncodedEndpoint::from).collect())
    }
}

impl<E> EndpointSlice<E> {
    fn with<F>(&self, endpoints: Vec<F>) -> EndpointSlice<F> {
        let Self { uid, namespace, name, resource_version, owner, ports, .. } = self;
        EndpointSlice {
            uid: uid.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            resource_version: *resource_version,
            owner: owner.clone(),
            ports: ports.clone(),
            endpoints,
        }
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

// === impl Endpoint ===

impl Endpoint {
    fn of_pod(endpoint: wire::Endpoint) -> Option<Self> {
        let target = endpoint.target_ref.filter(|target| target.kind == "Pod" && !target.uid.is_empty())?;
        let conditions = endpoint.conditions.unwrap_or_default();
        let ready = conditions.ready.unwrap_or(true);
        Some(Self {
            pod: Uid::from(&*target.uid),
            name: target.name,
            ready,
            serving: conditions.serving.unwrap_or(ready),
            terminating: conditions.terminating.unwrap_or(false),
        })
    }
}

// === impl EncodedEndpoint ===

impl EncodedEndpoint {
    /// The bytes that came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads it. `None` if there is no pod behind it.
    ///
    /// # Errors
    /// If it is no endpoint.
    pub fn read(&self) -> Result<Option<Endpoint>, ObjectError> {
        let malformed =
            |source: prost::DecodeError| ObjectError::Undecodable { kind: "Endpoint", source: source.into() };
        Ok(Endpoint::of_pod(wire::Endpoint::decode(&*self.0).map_err(malformed)?))
    }
}

impl From<Bytes> for EncodedEndpoint {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<&Endpoint> for EncodedEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let Endpoint { pod, name, ready, serving, terminating } = endpoint;
        let (ready, serving, terminating) = (Some(*ready), Some(*serving), Some(*terminating));
        let target = wire::ObjectReference { kind: "Pod".to_owned(), name: name.clone(), uid: pod.to_string() };
        let conditions = Some(wire::EndpointConditions { ready, serving, terminating });
        Self(wire::Endpoint { conditions, target_ref: Some(target) }.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_controllers_slices_have_an_owner() {
        let slice = |manager: Option<&str>, address_type: &str, owner: Option<&str>| {
            let mut slice = wire::EndpointSlice { address_type: address_type.into(), ..Default::default() };
            slice.metadata.owner_references.extend(owner.map(|uid| wire::OwnerReference::to_service("web", uid)));
            slice.metadata.uid = "u".into();
            slice.metadata.resource_version = "1".into();
            slice.metadata.labels.insert(SERVICE_NAME_LABEL.into(), "web".into());
            if let Some(manager) = manager {
                slice.metadata.labels.insert(MANAGED_BY_LABEL.into(), manager.into());
            }
            let bytes = Bytes::from(slice.encode_to_vec());
            EndpointSlice::decode(&bytes, &bytes).expect("whole").owner
        };
        assert!(slice(Some(CONTROLLER), "IPv4", Some("s")).is_some());
        assert_eq!(slice(Some(CONTROLLER), "IPv4", None), None);
        assert_eq!(slice(Some(CONTROLLER), "FQDN", Some("s")), None);
        assert_eq!(slice(Some("endpointslicemirroring-controller.k8s.io"), "IPv4", Some("s")), None);
        assert_eq!(slice(None, "IPv4", Some("s")), None);
    }

    #[test]
    fn an_endpoint_is_read_as_it_was_written() {
        let mut endpoint =
            Endpoint { pod: Uid::from("u"), name: "p".into(), ready: false, serving: true, terminating: true };
        assert_eq!(EncodedEndpoint::from(&endpoint).read(), Ok(Some(endpoint.clone())));
        endpoint.pod = Uid::from("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
        assert_eq!(EncodedEndpoint::from(&endpoint).read(), Ok(Some(endpoint)));
        assert_eq!(EncodedEndpoint(Bytes::new()).read(), Ok(None), "no pod behind it");
        let error = EncodedEndpoint(Bytes::from_static(&[0xff])).read().expect_err("half a key");
        assert!(error.to_string().starts_with("malformed Endpoint: "), "{error}");
    }

    #[test]
    fn unset_conditions_follow_the_api() {
        let endpoint = |conditions| {
            let target = wire::ObjectReference { kind: "Pod".into(), name: "p".into(), uid: "u".into() };
            let read = Endpoint::of_pod(wire::Endpoint { conditions, target_ref: Some(target) }).expect("has a pod");
            (read.ready, read.serving, read.terminating)
        };
        let set = |ready, serving| Some(wire::EndpointConditions { ready, serving, terminating: None });
        assert_eq!(endpoint(None), (true, true, false));
        assert_eq!(endpoint(set(Some(false), None)), (false, false, false));
        assert_eq!(endpoint(set(None, Some(false))), (true, false, false));
    }
}
