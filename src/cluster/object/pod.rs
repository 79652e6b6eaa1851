//! Pods.

use super::{Families, Family, ObjectError, Uid, identity};
use crate::cluster::wire;
use std::collections::BTreeMap;

/// What the measurement knows of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable with those of other pods only.
    pub resource_version: u64,
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// The condition `Ready` is `True`.
    pub ready: bool,
    /// deletionTimestamp is set.
    pub terminating: bool,
    /// The phase is Succeeded or Failed, from which nothing comes back.
    pub terminal: bool,
    /// Families it has an address of.
    pub families: Families,
    /// Container ports with a name, in the order in which the controller looks them up.
    pub ports: Vec<NamedPort>,
}

/// A container port that a Service may name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its number.
    pub number: i32,
}

// === impl Pod ===

impl TryFrom<wire::Pod> for Pod {
    type Error = ObjectError;

    fn try_from(pod: wire::Pod) -> Result<Self, ObjectError> {
        let wire::LabelledMeta { name, namespace, uid, resource_version, deletion_timestamp, labels } = pod.metadata;
        let (uid, resource_version) = identity("Pod", &namespace, &name, &uid, &resource_version)?;
        let status = pod.status.unwrap_or_default();
        Ok(Self {
            uid,
            resource_version,
            labels,
            ready: status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True"),
            terminating: deletion_timestamp.is_some(),
            terminal: matches!(&*status.phase, "Succeeded" | "Failed"),
            families: status.pod_ips.iter().filter_map(|ip| Family::of_address(&ip.ip)).collect(),
            ports: pod.spec.map(named_ports).unwrap_or_default(),
            namespace,
            name,
        })
    }
}

/// Ordinary containers first, then sidecars: the first match wins, as in `FindPort` of k8s.io/endpointslice.
fn named_ports(spec: wire::PodSpec) -> Vec<NamedPort> {
    let sidecars = spec.init_containers.into_iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .into_iter()
        .chain(sidecars)
        .flat_map(|container| container.ports)
        .filter(|port| !port.name.is_empty())
        .map(|port| NamedPort { name: port.name, protocol: port.protocol, number: port.container_port })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_without_identity_is_refused() {
        let error = Pod::try_from(wire::Pod::default()).expect_err("no UID");
        assert_eq!(error.to_string(), "Pod / has no UID");
        let mut pod = wire::Pod::default();
        pod.metadata.uid = "u".into();
        pod.metadata.resource_version = "new".into();
        assert!(matches!(Pod::try_from(pod), Err(ObjectError::BadVersion { .. })));
    }

    #[test]
    fn sidecar_ports_count_and_other_init_ports_do_not() {
        let container = |name: &str, restart_policy: Option<&str>| wire::Container {
            ports: vec![wire::ContainerPort { name: name.into(), container_port: 80, protocol: "TCP".into() }],
            restart_policy: restart_policy.map(Into::into),
        };
        let spec = wire::PodSpec {
            init_containers: vec![container("setup", None), container("proxy", Some("Always"))],
            containers: vec![container("web", None), container("", None)],
        };
        let names: Vec<_> = named_ports(spec).into_iter().map(|port| port.name).collect();
        assert_eq!(names, ["web", "proxy"]);
    }
}
