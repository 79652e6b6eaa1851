//! Services.

use super::{Families, Family, ObjectError, Uid, identity};
use crate::cluster::wire;
use prost::Message;
use std::{collections::BTreeMap, time::Duration};

/// Annotation of a Service: its objective, such as `2s`.
pub const OBJECTIVE_ANNOTATION: &str = "endpointlag.io/objective";
/// Annotation of a Service: `"true"` leaves it out.
pub const IGNORE_ANNOTATION: &str = "endpointlag.io/ignore";

/// What the measurement knows of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable with those of other Services only.
    pub resource_version: u64,
    /// deletionTimestamp is set: a finalizer holds it, and the controller makes no slices for it any more.
    pub terminating: bool,
    /// Labels a pod must have; empty where nobody but its owner writes endpoints.
    pub selector: BTreeMap<String, String>,
    /// Type ExternalName: no endpoints whatever the selector.
    pub external_name: bool,
    /// Families it wants slices of.
    pub families: Families,
    /// Ports as far as slices show them.
    pub ports: Vec<ServicePort>,
    /// Endpoints are published as ready whatever the pod's readiness.
    pub publish_not_ready_addresses: bool,
    /// [`OBJECTIVE_ANNOTATION`].
    pub objective: Annotation<Duration>,
    /// [`IGNORE_ANNOTATION`].
    pub ignore: Annotation<bool>,
}

/// A port of a Service, without the Service's own number: slices do not carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Empty where there is only one.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port at the pod.
    pub target: TargetPort,
    /// Hint carried into the slices.
    pub app_protocol: Option<String>,
}

/// The port at a pod, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// The same at every pod.
    Number(i32),
    /// What each pod calls so.
    Name(String),
}

/// A value that people write by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Annotation<T> {
    /// Not there.
    Absent,
    /// Understood.
    Set(T),
    /// Not understood: the text that stood there.
    Malformed(String),
}

// === impl Service ===

impl Service {
    /// Reads an encoded `v1` Service.
    ///
    /// # Errors
    /// If it is none, or has no identity.
    pub fn decode(message: &[u8]) -> Result<Self, ObjectError> {
        let malformed =
            |source: prost::DecodeError| ObjectError::Undecodable { kind: "Service", source: source.into() };
        wire::Service::decode(message).map_err(malformed)?.try_into()
    }
}

impl TryFrom<wire::Service> for Service {
    type Error = ObjectError;

    fn try_from(service: wire::Service) -> Result<Self, ObjectError> {
        let meta = service.metadata;
        let (uid, resource_version) =
            identity("Service", &meta.namespace, &meta.name, &meta.uid, &meta.resource_version)?;
        let spec = service.spec.unwrap_or_default();
        let mut families: Families = spec.ip_families.iter().filter_map(|text| Family::parse(text)).collect();
        if families.is_empty() {
            // As `getAddressTypesForService` of k8s.io/endpointslice falls back: both for a headless Service, else the cluster IP's,
            // and IPv4 if that is no address.
            families = match &*spec.cluster_ip {
                "" | "None" => Family::ALL.into_iter().collect(),
                address => Family::of_address(address).or(Some(Family::V4)).into_iter().collect(),
            };
        }
        Ok(Self {
            uid,
            resource_version,
            objective: Annotation::read(&meta.annotations, OBJECTIVE_ANNOTATION, parse_objective),
            ignore: Annotation::read(&meta.annotations, IGNORE_ANNOTATION, |text| text.parse().ok()),
            namespace: meta.namespace,
            name: meta.name,
            terminating: meta.deletion_timestamp.is_some(),
            selector: spec.selector,
            external_name: spec.kind == "ExternalName",
            families,
            ports: spec.ports.into_iter().map(ServicePort::from).collect(),
            publish_not_ready_addresses: spec.publish_not_ready_addresses,
        })
    }
}

impl From<wire::ServicePort> for ServicePort {
    fn from(port: wire::ServicePort) -> Self {
        let target = match port.target_port {
            Some(target) if target.kind == 1 => TargetPort::Name(target.string),
            Some(target) if target.int != 0 => TargetPort::Number(target.int),
            // The API server fills in a missing target with the port itself; so do we, should an old one not.
            _ => TargetPort::Number(port.port),
        };
        Self { name: port.name, protocol: port.protocol, target, app_protocol: port.app_protocol }
    }
}

fn parse_objective(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|objective| !objective.is_zero())
}

// === impl Annotation ===

impl<T: Copy> Annotation<T> {
    fn read(all: &BTreeMap<String, String>, key: &str, parse: impl Fn(&str) -> Option<T>) -> Self {
        match all.get(key) {
            None => Self::Absent,
            Some(text) => parse(text.trim()).map_or_else(|| Self::Malformed(text.clone()), Self::Set),
        }
    }

    /// The value, if there is one that was understood.
    pub fn value(&self) -> Option<T> {
        match self {
            Self::Set(value) => Some(*value),
            Self::Absent | Self::Malformed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_families_the_cluster_ip_tells() {
        let families = |cluster_ip: &str| {
            let mut service = wire::Service::default();
            service.metadata.uid = "u".into();
            service.metadata.resource_version = "1".into();
            service.spec.get_or_insert_default().cluster_ip = cluster_ip.into();
            Service::decode(&service.encode_to_vec()).expect("whole").families.iter().collect::<Vec<_>>()
        };
        assert_eq!(families("None"), Family::ALL);
        assert_eq!(families(""), Family::ALL);
        assert_eq!(families("10.096.0.20"), [Family::V4]);
        assert_eq!(families("::ffff:10.96.0.20"), [Family::V4]);
        assert_eq!(families("fd00:10:96::20"), [Family::V6]);
        assert_eq!(families("pending"), [Family::V4]);
    }

    #[test]
    fn annotations_are_absent_set_or_malformed() {
        let read = |text: &str| {
            let all = BTreeMap::from([(OBJECTIVE_ANNOTATION.to_owned(), text.to_owned())]);
            Annotation::read(&all, OBJECTIVE_ANNOTATION, parse_objective)
        };
        assert_eq!(read(" 2s "), Annotation::Set(Duration::from_secs(2)));
        assert_eq!(read("0s"), Annotation::Malformed("0s".into()));
        assert_eq!(read("fast"), Annotation::Malformed("fast".into()));
        assert_eq!(
            Annotation::read(&BTreeMap::new(), OBJECTIVE_ANNOTATION, parse_objective),
            Annotation::<Duration>::Absent
        );
    }
}
