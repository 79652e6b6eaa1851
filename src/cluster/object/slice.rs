//! EndpointSlices.

use super::{ObjectError, address::parse_family, meta::Meta};
use crate::{
    cluster::wire::{
        self,
        fields::{Fields, MessageError, Value, text},
    },
    model::{Endpoint, EndpointPort, EndpointSlice, SliceEndpoint, SliceOwner, Uid},
};
use bytes::Bytes;
use prost::Message;

/// Label of a slice with the name of its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// Label of a slice with the name of its writer.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`] on slices of Kubernetes' EndpointSlice controller, the only one that is measured.
pub const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// An endpoint in encoded form. The controller writes the whole slice when one of its endpoints changes. The unchanged endpoints
/// are recognised by their bytes, and not decoded again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncodedEndpoint(Bytes);

/// Decodes an encoded `discovery.k8s.io/v1` EndpointSlice that is a part of `frame`. Its endpoints keep sharing the memory of the
/// frame. Field numbers are those of [`messages::EndpointSlice`](crate::simulator::messages::EndpointSlice).
///
/// # Errors
/// If the bytes are not an EndpointSlice, or the slice has no identity.
///
/// # Panics
/// If `message` is not a part of `frame`.
pub fn decode_slice(message: &[u8], frame: &Bytes) -> Result<EndpointSlice<EncodedEndpoint>, ObjectError> {
    let (mut meta, mut address_type) = (Meta::with_owners(), "");
    let (mut endpoints, mut ports) = (Vec::new(), Vec::new());
    let mut read = || -> Result<(), MessageError> {
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(message)) => meta.read(message)?,
                (2, Value::Bytes(message)) => endpoints.push(EncodedEndpoint(frame.slice_ref(message))),
                (3, Value::Bytes(message)) => ports.push(read_port(wire::EndpointPort::decode(message)?)),
                (4, Value::Bytes(bytes)) => address_type = text(bytes)?,
                _ => {}
            }
        }
        Ok(())
    };
    read().map_err(|source| ObjectError::Undecodable { kind: "EndpointSlice", source })?;
    let (uid, resource_version) = meta.identity("EndpointSlice")?;
    let managed = meta.label(MANAGED_BY_LABEL) == Some(CONTROLLER);
    let owning = meta.owning_service().map_err(|source| ObjectError::Undecodable { kind: "EndpointSlice", source })?;
    let owner = match (meta.label(SERVICE_NAME_LABEL), owning, parse_family(address_type)) {
        (Some(service), Some(uid), Some(family)) if managed => {
            Some(SliceOwner { uid: Uid::from(uid), service: service.to_owned(), family })
        }
        _ => None,
    };
    ports.sort_unstable();
    let (namespace, name) = (meta.namespace.to_owned(), meta.name.to_owned());
    Ok(EndpointSlice { uid, resource_version, namespace, name, owner, ports, endpoints })
}

fn read_port(port: wire::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: port.name.unwrap_or_default(),
        protocol: port.protocol.unwrap_or_else(|| "TCP".into()),
        number: port.port,
        app_protocol: port.app_protocol,
    }
}

/// The endpoint, if it belongs to a pod.
fn read_endpoint(endpoint: wire::Endpoint) -> Option<Endpoint> {
    let target = endpoint.target_ref.filter(|target| target.kind == "Pod" && !target.uid.is_empty())?;
    let conditions = endpoint.conditions.unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    Some(Endpoint {
        pod: Uid::from(&*target.uid),
        name: target.name,
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
    })
}

// === impl EncodedEndpoint ===

impl SliceEndpoint for EncodedEndpoint {
    type Error = ObjectError;

    fn read(&self) -> Result<Option<Endpoint>, ObjectError> {
        let malformed =
            |source: prost::DecodeError| ObjectError::Undecodable { kind: "Endpoint", source: source.into() };
        Ok(read_endpoint(wire::Endpoint::decode(&*self.0).map_err(malformed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::messages;

    #[test]
    fn only_the_controllers_slices_have_an_owner() {
        let slice = |manager: Option<&str>, address_type: &str, owner: Option<&str>| {
            let mut slice = messages::EndpointSlice { address_type: address_type.into(), ..Default::default() };
            slice.metadata.owner_references.extend(owner.map(|uid| wire::OwnerReference::to_service("web", uid)));
            slice.metadata.uid = "u".into();
            slice.metadata.resource_version = "1".into();
            slice.metadata.labels.insert(SERVICE_NAME_LABEL.into(), "web".into());
            if let Some(manager) = manager {
                slice.metadata.labels.insert(MANAGED_BY_LABEL.into(), manager.into());
            }
            let bytes = Bytes::from(slice.encode_to_vec());
            decode_slice(&bytes, &bytes).expect("whole").owner
        };
        assert!(slice(Some(CONTROLLER), "IPv4", Some("s")).is_some());
        assert_eq!(slice(Some(CONTROLLER), "IPv4", None), None);
        assert_eq!(slice(Some(CONTROLLER), "FQDN", Some("s")), None);
        assert_eq!(slice(Some("endpointslicemirroring-controller.k8s.io"), "IPv4", Some("s")), None);
        assert_eq!(slice(None, "IPv4", Some("s")), None);
    }

    #[test]
    fn an_endpoint_is_read_as_it_was_written() {
        let read = |uid: &str| {
            let target = wire::ObjectReference { kind: "Pod".into(), name: "p".into(), uid: uid.into() };
            let (ready, serving, terminating) = (Some(false), Some(true), Some(true));
            let conditions = Some(wire::EndpointConditions { ready, serving, terminating });
            let endpoint = wire::Endpoint { conditions, target_ref: Some(target) };
            EncodedEndpoint(endpoint.encode_to_vec().into()).read()
        };
        for uid in ["u", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"] {
            let pod = Uid::from(uid);
            let expected = Endpoint { pod, name: "p".into(), ready: false, serving: true, terminating: true };
            assert_eq!(read(uid), Ok(Some(expected)));
        }
        assert_eq!(EncodedEndpoint(Bytes::new()).read(), Ok(None), "no pod behind it");
        let error = EncodedEndpoint(Bytes::from_static(&[0xff])).read().expect_err("half a key");
        assert!(error.to_string().starts_with("malformed Endpoint: "), "{error}");
    }

    #[test]
    fn unset_conditions_follow_the_api() {
        let endpoint = |conditions| {
            let target = wire::ObjectReference { kind: "Pod".into(), name: "p".into(), uid: "u".into() };
            let read = read_endpoint(wire::Endpoint { conditions, target_ref: Some(target) }).expect("has a pod");
            (read.ready, read.serving, read.terminating)
        };
        let set = |ready, serving| Some(wire::EndpointConditions { ready, serving, terminating: None });
        assert_eq!(endpoint(None), (true, true, false));
        assert_eq!(endpoint(set(Some(false), None)), (false, false, false));
        assert_eq!(endpoint(set(None, Some(false))), (true, false, false));
    }
}
