//! Services.

use super::{
    ObjectError,
    address::{family_of_address, parse_family},
    identity,
};
use crate::{
    cluster::wire,
    model::{Annotation, Families, Family, IGNORE_ANNOTATION, OBJECTIVE_ANNOTATION, Service, ServicePort, TargetPort},
};
use prost::Message;
use std::{collections::BTreeMap, time::Duration};

/// Decodes an encoded `v1` Service.
///
/// # Errors
/// If the bytes are not a Service, or the Service has no identity.
pub fn decode_service(message: &[u8]) -> Result<Service, ObjectError> {
    let malformed = |source: prost::DecodeError| ObjectError::Undecodable { kind: "Service", source: source.into() };
    let service = wire::Service::decode(message).map_err(malformed)?;
    let meta = service.metadata;
    let (uid, resource_version) = identity("Service", &meta.namespace, &meta.name, &meta.uid, &meta.resource_version)?;
    let spec = service.spec.unwrap_or_default();
    let mut families: Families = spec.ip_families.iter().filter_map(|text| parse_family(text)).collect();
    if families.is_empty() {
        // The same fallback as in `getAddressTypesForService` of k8s.io/endpointslice: both families for a headless Service,
        // otherwise the family of the cluster IP, and IPv4 if that is not an address.
        families = match &*spec.cluster_ip {
            "" | "None" => Family::ALL.into_iter().collect(),
            address => family_of_address(address).or(Some(Family::V4)).into_iter().collect(),
        };
    }
    Ok(Service {
        uid,
        resource_version,
        objective: read_annotation(&meta.annotations, OBJECTIVE_ANNOTATION, parse_objective),
        ignore: read_annotation(&meta.annotations, IGNORE_ANNOTATION, |text| text.parse().ok()),
        namespace: meta.namespace,
        name: meta.name,
        terminating: meta.deletion_timestamp.is_some(),
        selector: spec.selector,
        external_name: spec.kind == "ExternalName",
        families,
        ports: spec.ports.into_iter().map(read_port).collect(),
        publish_not_ready_addresses: spec.publish_not_ready_addresses,
    })
}

fn read_port(port: wire::ServicePort) -> ServicePort {
    let target = match port.target_port {
        Some(target) if target.kind == 1 => TargetPort::Name(target.string),
        Some(target) if target.int != 0 => TargetPort::Number(target.int),
        // The API server sets a missing target port to the port itself. This is for an old server that does not.
        _ => TargetPort::Number(port.port),
    };
    ServicePort { name: port.name, protocol: port.protocol, target, app_protocol: port.app_protocol }
}

fn parse_objective(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|objective| !objective.is_zero())
}

fn read_annotation<T>(all: &BTreeMap<String, String>, key: &str, parse: impl Fn(&str) -> Option<T>) -> Annotation<T> {
    match all.get(key) {
        None => Annotation::Absent,
        Some(text) => parse(text.trim()).map_or_else(|| Annotation::Malformed(text.clone()), Annotation::Set),
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
            decode_service(&service.encode_to_vec()).expect("whole").families.iter().collect::<Vec<_>>()
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
            read_annotation(&all, OBJECTIVE_ANNOTATION, parse_objective)
        };
        assert_eq!(read(" 2s "), Annotation::Set(Duration::from_secs(2)));
        assert_eq!(read("0s"), Annotation::Malformed("0s".into()));
        assert_eq!(read("fast"), Annotation::Malformed("fast".into()));
        assert_eq!(
            read_annotation(&BTreeMap::new(), OBJECTIVE_ANNOTATION, parse_objective),
            Annotation::<Duration>::Absent
        );
    }
}
