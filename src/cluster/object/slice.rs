//! EndpointSlices.

use super::{
    ObjectError,
    address::{parse_address, parse_family},
    meta::Meta,
};
use crate::{
    cluster::wire::{
        self,
        fields::{Fields, MessageError, Value, text},
    },
    model::{Endpoint, EndpointPort, EndpointSlice, Family, Route, SliceOwner, Uid},
};
use prost::Message;
use std::hash::Hash;

/// Label of a slice with the name of its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// Label of a slice with the name of its writer.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`] on slices of Kubernetes' EndpointSlice controller, the only one that is measured.
pub const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// A `discovery.k8s.io/v1` EndpointSlice in its encoded bytes. Its identity is decoded. Its ports and endpoints are not.
#[derive(Debug)]
pub struct EncodedSlice<'a> {
    /// Identity.
    pub uid: Uid,
    /// Version of this state.
    pub resource_version: u64,
    /// Name.
    pub name: &'a str,
    namespace: &'a str,
    owner: Option<EncodedOwner<'a>>,
    foreign_to: Option<&'a str>,
    ports: Vec<&'a [u8]>,
    /// In their order.
    pub endpoints: Vec<&'a [u8]>,
}

/// Which Service owns a slice, and the family of the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct EncodedOwner<'a> {
    uid: &'a str,
    service: &'a str,
    family: Family,
}

// === impl EncodedSlice ===

impl<'a> EncodedSlice<'a> {
    /// Decodes its identity. Field numbers are those of [`messages::EndpointSlice`](crate::simulator::messages::EndpointSlice).
    ///
    /// # Errors
    /// If it is not a slice, or has no identity.
    pub fn read(message: &'a [u8]) -> Result<Self, ObjectError> {
        let (mut meta, mut address_type) = (Meta::with_owners(), "");
        let (mut endpoints, mut ports) = (Vec::new(), Vec::new());
        let mut read = || -> Result<(), MessageError> {
            for field in Fields::of(message) {
                match field? {
                    (1, Value::Bytes(message)) => meta.read(message)?,
                    (2, Value::Bytes(message)) => endpoints.push(message),
                    (3, Value::Bytes(message)) => ports.push(message),
                    (4, Value::Bytes(bytes)) => address_type = text(bytes)?,
                    _ => {}
                }
            }
            Ok(())
        };
        read().map_err(undecodable("EndpointSlice"))?;
        let (uid, resource_version) = meta.identity("EndpointSlice")?;
        let managed = meta.label(MANAGED_BY_LABEL) == Some(CONTROLLER);
        let owning = meta.owning_service().map_err(undecodable("EndpointSlice"))?;
        let owner = match (meta.label(SERVICE_NAME_LABEL), owning, parse_family(address_type)) {
            (Some(service), Some(uid), Some(family)) if managed => Some(EncodedOwner { uid, service, family }),
            _ => None,
        };
        let foreign_to = meta.label(SERVICE_NAME_LABEL).filter(|_| !managed && parse_family(address_type).is_some());
        let (name, namespace) = (meta.name, meta.namespace);
        Ok(Self { uid, resource_version, name, namespace, owner, foreign_to, ports, endpoints })
    }

    /// Whether the EndpointSlice controller writes it for a Service.
    pub fn is_owned(&self) -> bool {
        self.owner.is_some()
    }

    /// All measured data except its version and its endpoints: while this is equal, so is the rest of the slice.
    pub fn frame(&self) -> impl Hash {
        (&self.owner, &self.foreign_to, &self.ports)
    }

    /// The complete slice, with its decoded endpoints.
    ///
    /// # Errors
    /// If a port cannot be decoded.
    pub fn into_slice(self, endpoints: Vec<Endpoint>) -> Result<EndpointSlice, ObjectError> {
        let ports = self.ports.iter().map(|port| wire::EndpointPort::decode(*port).map(read_port));
        let ports = ports.collect::<Result<Vec<_>, _>>();
        let mut ports = ports.map_err(|source| undecodable("EndpointPort")(source.into()))?;
        ports.sort_unstable();
        Ok(EndpointSlice { ports, endpoints, ..self.into_empty() })
    }

    /// The slice without ports and endpoints, for uses that do not need them.
    pub fn into_empty(self) -> EndpointSlice {
        let Self { uid, resource_version, name, namespace, owner, foreign_to, .. } = self;
        let owner = owner.map(|EncodedOwner { uid, service, family }| SliceOwner {
            uid: Uid::from(uid),
            service: service.to_owned(),
            family,
        });
        let (namespace, name, foreign_to) = (namespace.to_owned(), name.to_owned(), foreign_to.map(Into::into));
        let (ports, endpoints) = (Vec::new(), Vec::new());
        EndpointSlice { uid, resource_version, namespace, name, owner, foreign_to, ports, endpoints }
    }
}

/// Decodes an endpoint of a slice, with its route if that is wanted. `None` if it has no pod.
///
/// # Errors
/// If it cannot be decoded.
pub fn read_endpoint(message: &[u8], with_route: bool) -> Result<Option<Endpoint>, ObjectError> {
    let malformed = |source: prost::DecodeError| undecodable("Endpoint")(source.into());
    let endpoint = of_pod(wire::Endpoint::decode(message).map_err(malformed)?);
    let route = if with_route { read_route(wire::EndpointRoute::decode(message).map_err(malformed)?) } else { None };
    Ok(endpoint.map(|endpoint| Endpoint { route: route.map(Box::new), ..endpoint }))
}

/// kube-proxy ignores an endpoint whose address it cannot parse.
fn read_route(route: wire::EndpointRoute) -> Option<Route> {
    let wire::EndpointRoute { addresses, node_name, hints } = route;
    let has_hints = hints.is_some_and(|hints| !hints.for_zones.is_empty() || !hints.for_nodes.is_empty());
    let address = parse_address(addresses.first()?)?;
    Some(Route { address, node: node_name.map(String::into_boxed_str), has_hints })
}

fn undecodable(kind: &'static str) -> impl Fn(MessageError) -> ObjectError {
    move |source| ObjectError::Undecodable { kind, source }
}

fn read_port(port: wire::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: port.name.unwrap_or_default(),
        protocol: port.protocol.unwrap_or_else(|| "TCP".into()),
        number: port.port,
        app_protocol: port.app_protocol,
    }
}

/// The endpoint, if it has a pod.
fn of_pod(endpoint: wire::Endpoint) -> Option<Endpoint> {
    let target = endpoint.target_ref.filter(|target| target.kind == "Pod" && !target.uid.is_empty())?;
    let conditions = endpoint.conditions.unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    Some(Endpoint {
        pod: Uid::from(&*target.uid),
        name: target.name,
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        route: None,
    })
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
            let bytes = slice.encode_to_vec();
            let slice = EncodedSlice::read(&bytes).expect("whole");
            let slice = slice.into_empty();
            // kube-proxy uses it all the same, if it can.
            let is_foreign = manager != Some(CONTROLLER) && address_type != "FQDN";
            assert_eq!(slice.foreign_to.as_deref(), is_foreign.then_some("web"));
            slice.owner
        };
        assert!(slice(Some(CONTROLLER), "IPv4", Some("s")).is_some());
        assert_eq!(slice(Some(CONTROLLER), "IPv4", None), None);
        assert_eq!(slice(Some(CONTROLLER), "FQDN", Some("s")), None);
        assert_eq!(slice(Some("endpointslicemirroring-controller.k8s.io"), "IPv4", Some("s")), None);
        assert_eq!(slice(None, "IPv4", Some("s")), None);
        assert_eq!(slice(None, "FQDN", None), None);
    }

    #[test]
    fn an_endpoint_is_read_as_it_was_written() {
        let read = |uid: &str| {
            let target = wire::ObjectReference { kind: "Pod".into(), name: "p".into(), uid: uid.into() };
            let (ready, serving, terminating) = (Some(false), Some(true), Some(true));
            let conditions = Some(wire::EndpointConditions { ready, serving, terminating });
            let endpoint = wire::Endpoint { conditions, target_ref: Some(target) };
            read_endpoint(&endpoint.encode_to_vec(), false)
        };
        for uid in ["u", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"] {
            let pod = Uid::from(uid);
            let expected =
                Endpoint { pod, name: "p".into(), ready: false, serving: true, terminating: true, route: None };
            assert_eq!(read(uid), Ok(Some(expected)));
        }
        assert_eq!(read_endpoint(&[], true), Ok(None), "no pod behind it");
        let error = read_endpoint(&[0xff], false).expect_err("half a key");
        assert!(error.to_string().starts_with("malformed Endpoint: "), "{error}");
    }

    #[test]
    fn a_route_is_read_if_it_is_wanted() {
        let read = |address: &str, zones: usize, with_route: bool| {
            let target = wire::ObjectReference { kind: "Pod".into(), name: "p".into(), uid: "u".into() };
            let endpoint = wire::Endpoint { conditions: None, target_ref: Some(target) };
            let hints = wire::EndpointHints { for_zones: vec![Default::default(); zones], for_nodes: Vec::new() };
            let addresses = vec![address.to_owned(), "10.9.9.9".to_owned()];
            let route = wire::EndpointRoute { addresses, node_name: Some("n".into()), hints: Some(hints) };
            let bytes = [endpoint.encode_to_vec(), route.encode_to_vec()].concat();
            read_endpoint(&bytes, with_route).expect("whole").expect("has a pod").route.map(|route| *route)
        };
        let route = |has_hints| Route { address: [10, 2, 0, 7].into(), node: Some("n".into()), has_hints };
        assert_eq!(read("10.2.0.7", 0, true), Some(route(false)));
        assert_eq!(read("10.02.0.7", 1, true), Some(route(true)));
        assert_eq!(read("pending", 0, true), None, "kube-proxy cannot use it either");
        assert_eq!(read("10.2.0.7", 0, false), None);
    }

    #[test]
    fn unset_conditions_follow_the_api() {
        let endpoint = |conditions| {
            let target = wire::ObjectReference { kind: "Pod".into(), name: "p".into(), uid: "u".into() };
            let read = of_pod(wire::Endpoint { conditions, target_ref: Some(target) }).expect("has a pod");
            (read.ready, read.serving, read.terminating)
        };
        let set = |ready, serving| Some(wire::EndpointConditions { ready, serving, terminating: None });
        assert_eq!(endpoint(None), (true, true, false));
        assert_eq!(endpoint(set(Some(false), None)), (false, false, false));
        assert_eq!(endpoint(set(None, Some(false))), (true, false, false));
    }
}
