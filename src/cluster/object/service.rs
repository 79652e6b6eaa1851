//! Services.

use super::{
    ObjectError,
    address::{family_of_address, parse_address, parse_family},
    identity,
};
use crate::{
    cluster::wire,
    model::{
        Annotation, Families, Family, IGNORE_ANNOTATION, OBJECTIVE_ANNOTATION, Service, ServicePort, TargetPort,
        VirtualIps,
    },
};
use prost::Message;
use std::{collections::BTreeMap, time::Duration};

/// Labels of Services that kube-proxy leaves to others: `LabelServiceProxyName` and `IsHeadlessService` of k8s.io/api.
const OF_OTHERS: [&str; 2] = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

/// Decodes an encoded `v1` Service, with its virtual IPs if they are wanted.
///
/// # Errors
/// If the bytes are not a Service, or the Service has no identity.
pub fn decode_service(message: &[u8], with_routes: bool) -> Result<Service, ObjectError> {
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
    let is_of_others = OF_OTHERS.iter().any(|label| meta.labels.contains_key(*label));
    let virtual_ips = if with_routes && !is_of_others { read_virtual_ips(&spec) } else { None };
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
        virtual_ips,
        publish_not_ready_addresses: spec.publish_not_ready_addresses,
    })
}

/// Where clients connect to. kube-proxy has no rules for a Service without a clusterIP.
fn read_virtual_ips(spec: &wire::ServiceSpec) -> Option<Box<VirtualIps>> {
    // A Service from before dual stack has only the single address.
    let single = std::slice::from_ref(&spec.cluster_ip);
    let texts = if spec.cluster_ips.is_empty() { single } else { &spec.cluster_ips };
    let addresses: Vec<_> = texts.iter().filter_map(|text| parse_address(text)).collect();
    let ports = spec.ports.iter().map(|port| u16::try_from(port.port).unwrap_or_default()).collect();
    let is_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    (!addresses.is_empty()).then(|| Box::new(VirtualIps { addresses, ports, is_local }))
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
    use std::net::IpAddr;

    #[test]
    fn without_families_the_cluster_ip_tells() {
        let families = |cluster_ip: &str| {
            let mut service = wire::Service::default();
            service.metadata.uid = "u".into();
            service.metadata.resource_version = "1".into();
            service.spec.get_or_insert_default().cluster_ip = cluster_ip.into();
            decode_service(&service.encode_to_vec(), true).expect("whole").families.iter().collect::<Vec<_>>()
        };
        assert_eq!(families("None"), Family::ALL);
        assert_eq!(families(""), Family::ALL);
        assert_eq!(families("10.096.0.20"), [Family::V4]);
        assert_eq!(families("::ffff:10.96.0.20"), [Family::V4]);
        assert_eq!(families("fd00:10:96::20"), [Family::V6]);
        assert_eq!(families("pending"), [Family::V4]);
    }

    #[test]
    fn only_a_service_with_a_cluster_ip_has_virtual_ips() {
        let read = |cluster_ip: &str, cluster_ips: &[&str], policy: Option<&str>| {
            let mut service = wire::Service::default();
            service.metadata.uid = "u".into();
            service.metadata.resource_version = "1".into();
            let spec = service.spec.get_or_insert_default();
            spec.cluster_ip = cluster_ip.into();
            spec.cluster_ips = cluster_ips.iter().map(|text| (*text).to_owned()).collect();
            spec.internal_traffic_policy = policy.map(str::to_owned);
            spec.ports = vec![wire::ServicePort { port: 80, ..Default::default() }];
            decode_service(&service.encode_to_vec(), true).expect("whole").virtual_ips
        };
        let v4 = IpAddr::from([10, 96, 0, 20]);
        let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x20]);
        let virtual_ips = |addresses: &[IpAddr], is_local| {
            Some(Box::new(VirtualIps { addresses: addresses.to_vec(), ports: vec![80], is_local }))
        };
        assert_eq!(read("10.96.0.20", &["10.96.0.20", "fd00::20"], None), virtual_ips(&[v4, v6], false));
        assert_eq!(read("10.96.0.20", &[], Some("Cluster")), virtual_ips(&[v4], false));
        assert_eq!(read("10.96.0.20", &["10.96.0.20"], Some("Local")), virtual_ips(&[v4], true));
        let mut of_another = wire::Service::default();
        of_another.metadata.uid = "u".into();
        of_another.metadata.resource_version = "1".into();
        of_another.metadata.labels.insert(OF_OTHERS[0].into(), "cilium".into());
        of_another.spec.get_or_insert_default().cluster_ip = "10.96.0.20".into();
        assert_eq!(decode_service(&of_another.encode_to_vec(), true).expect("whole").virtual_ips, None);
        assert_eq!(read("None", &["None"], None), None);
        assert_eq!(read("", &[], None), None);
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
