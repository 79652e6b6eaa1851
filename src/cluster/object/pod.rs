//! Pods.

use super::{ObjectError, address::family_of_address, meta::Meta};
use crate::{
    cluster::wire::fields::{Fields, MessageError, Value, entry, text},
    model::{Families, NamedPort, Pod},
};

/// The fields of a pod that are read besides its metadata, and of a container.
#[derive(Debug, Default)]
struct Parts {
    /// The status of the first condition `Ready`.
    ready: Option<bool>,
    terminal: bool,
    families: Families,
    /// The last address that is invalid.
    bad_address: Option<String>,
    /// Ports of ordinary containers.
    ports: Vec<NamedPort>,
    /// Ports of sidecars, which are init containers that keep running.
    sidecar_ports: Vec<NamedPort>,
}

/// Decodes an encoded `v1` Pod. Also returns the error of a part that is malformed, if the rest can be used. Field numbers are
/// those of [`messages::Pod`](crate::simulator::messages::Pod).
///
/// # Errors
/// If the bytes are not a pod, or the pod has no identity.
pub fn decode_pod(message: &[u8]) -> Result<(Pod, Option<ObjectError>), ObjectError> {
    let (mut meta, mut parts) = (Meta::default(), Parts::default());
    let mut read = || -> Result<(), MessageError> {
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(message)) => meta.read(message)?,
                (2, Value::Bytes(message)) => parts.read_spec(message)?,
                (3, Value::Bytes(message)) => parts.read_status(message)?,
                _ => {}
            }
        }
        Ok(())
    };
    read().map_err(|source| ObjectError::Undecodable { kind: "Pod", source })?;
    let (uid, resource_version) = meta.identity("Pod")?;
    let Parts { ready, terminal, families, bad_address, mut ports, sidecar_ports } = parts;
    // Ordinary containers first, then sidecars: the first match wins, as in `FindPort` of k8s.io/endpointslice.
    ports.extend(sidecar_ports);
    let (namespace, name) = (meta.namespace.to_owned(), meta.name.to_owned());
    let unread = bad_address.map(|address| ObjectError::BadAddress {
        namespace: namespace.clone(),
        name: name.clone(),
        address,
    });
    let pod = Pod {
        uid,
        resource_version,
        namespace,
        name,
        labels: meta.labels(),
        ready: ready.unwrap_or_default(),
        terminating: meta.terminating,
        terminal,
        families,
        ports,
    };
    Ok((pod, unread))
}

// === impl Parts ===

impl Parts {
    fn read_spec(&mut self, message: &[u8]) -> Result<(), MessageError> {
        for field in Fields::of(message) {
            match field? {
                (2, Value::Bytes(message)) => drop(read_container(message, &mut self.ports)?),
                (20, Value::Bytes(message)) => {
                    let before = self.sidecar_ports.len();
                    if read_container(message, &mut self.sidecar_ports)? != Some("Always") {
                        self.sidecar_ports.truncate(before);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_status(&mut self, message: &[u8]) -> Result<(), MessageError> {
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(phase)) => self.terminal = matches!(phase, b"Succeeded" | b"Failed"),
                (2, Value::Bytes(message)) => {
                    // A condition: its type, then its status. A map entry has the same form.
                    let (kind, status) = entry(message)?;
                    if kind == b"Ready" {
                        // If there are several, the first one counts, as in `getPodReadyCondition` of k8s.io/endpointslice.
                        self.ready.get_or_insert(status == b"True");
                    }
                }
                (12, Value::Bytes(message)) => self.read_address(message)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_address(&mut self, message: &[u8]) -> Result<(), MessageError> {
        let mut ip = "";
        for field in Fields::of(message) {
            if let (1, Value::Bytes(bytes)) = field? {
                ip = text(bytes)?;
            }
        }
        match family_of_address(ip) {
            Some(family) => self.families.insert(family),
            None => self.bad_address = Some(ip.to_owned()),
        }
        Ok(())
    }
}

/// Adds the named ports of a container, and returns its restart policy.
fn read_container<'a>(message: &'a [u8], ports: &mut Vec<NamedPort>) -> Result<Option<&'a str>, MessageError> {
    let mut restart_policy = None;
    for field in Fields::of(message) {
        match field? {
            (6, Value::Bytes(message)) => ports.extend(named_port(message)?),
            (24, Value::Bytes(bytes)) => restart_policy = Some(text(bytes)?),
            _ => {}
        }
    }
    Ok(restart_policy)
}

fn named_port(message: &[u8]) -> Result<Option<NamedPort>, MessageError> {
    let (mut name, mut protocol, mut number) = ("", "", 0);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => name = text(bytes)?,
            // An int32 is encoded as its 64-bit extension.
            (3, Value::Number(value)) => number = value as i32,
            (4, Value::Bytes(bytes)) => protocol = text(bytes)?,
            _ => {}
        }
    }
    Ok((!name.is_empty()).then(|| NamedPort { name: name.to_owned(), protocol: protocol.to_owned(), number }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::wire,
        model::{Family, Uid},
        simulator::messages,
    };
    use prost::Message;

    #[test]
    fn an_object_without_identity_is_refused() {
        let error = decode_pod(&[]).expect_err("no UID");
        assert_eq!(error.to_string(), "Pod / has no UID");
        let mut pod = messages::Pod::default();
        pod.metadata.uid = "u".into();
        pod.metadata.resource_version = "new".into();
        assert!(matches!(decode_pod(&pod.encode_to_vec()), Err(ObjectError::BadVersion { .. })));
        let error = decode_pod(&[0x0a, 9]).expect_err("cut off");
        assert!(error.to_string().starts_with("malformed Pod: "), "{error}");
    }

    #[test]
    fn all_that_is_known_of_a_pod_is_read() {
        let container = |name: &str, restart_policy: Option<&str>| messages::Container {
            ports: vec![messages::ContainerPort { name: name.into(), container_port: 80, protocol: "TCP".into() }],
            restart_policy: restart_policy.map(Into::into),
            ..Default::default()
        };
        let condition = |kind: &str, status: &str| messages::PodCondition {
            kind: kind.into(),
            status: status.into(),
            ..Default::default()
        };
        let ip = |ip: &str| messages::PodIp { ip: ip.into() };
        let pod = messages::Pod {
            metadata: wire::ObjectMeta {
                name: "cart-1".into(),
                namespace: "shop".into(),
                uid: "u".into(),
                resource_version: "7".into(),
                deletion_timestamp: Some(wire::Time { seconds: 1 }),
                labels: [("app".into(), "cart".into()), ("empty".into(), String::new())].into(),
                ..wire::ObjectMeta::default()
            },
            spec: Some(messages::PodSpec {
                init_containers: vec![container("setup", None), container("proxy", Some("Always"))],
                containers: vec![container("web", None), container("", None)],
                ..Default::default()
            }),
            status: Some(messages::PodStatus {
                phase: "Failed".into(),
                conditions: vec![condition("Ready", "True"), condition("Initialized", "False")],
                pod_ip: "10.0.0.1".into(),
                pod_ips: vec![ip("10.0.0.1"), ip("fd00::1"), ip("nonsense")],
                ..Default::default()
            }),
        };
        let port = |name: &str| NamedPort { name: name.into(), protocol: "TCP".into(), number: 80 };
        let expected = Pod {
            uid: Uid::from("u"),
            namespace: "shop".into(),
            name: "cart-1".into(),
            resource_version: 7,
            labels: pod.metadata.labels.clone(),
            ready: true,
            terminating: true,
            terminal: true,
            families: Family::ALL.into_iter().collect(),
            // The ports of sidecars count too, after those of the containers. Those of init containers that end do not.
            ports: vec![port("web"), port("proxy")],
        };
        let unread =
            ObjectError::BadAddress { namespace: "shop".into(), name: "cart-1".into(), address: "nonsense".into() };
        assert_eq!(decode_pod(&pod.encode_to_vec()), Ok((expected, Some(unread))));
    }

    #[test]
    fn of_several_ready_conditions_the_first_counts() {
        let ready = |statuses: &[&str]| {
            let mut pod = messages::Pod::default();
            pod.metadata.uid = "u".into();
            pod.metadata.resource_version = "1".into();
            let conditions = statuses.iter().map(|it| messages::PodCondition {
                kind: "Ready".into(),
                status: (*it).into(),
                ..Default::default()
            });
            pod.status = Some(messages::PodStatus { conditions: conditions.collect(), ..Default::default() });
            decode_pod(&pod.encode_to_vec()).expect("whole").0.ready
        };
        assert!(!ready(&[]));
        assert!(!ready(&["False", "True"]));
        assert!(!ready(&["Unknown", "True"]));
        assert!(ready(&["True", "False"]));
    }

    #[test]
    fn addresses_count_for_the_family_that_the_controller_takes_them_for() {
        let families = |address: &str| {
            let mut pod = messages::Pod::default();
            pod.metadata.uid = "u".into();
            pod.metadata.resource_version = "1".into();
            pod.status = Some(messages::PodStatus {
                pod_ips: vec![messages::PodIp { ip: address.into() }],
                ..Default::default()
            });
            let (pod, unread) = decode_pod(&pod.encode_to_vec()).expect("whole");
            (pod.families.iter().collect::<Vec<_>>(), unread.is_some())
        };
        assert_eq!(families("10.02.0.7"), (vec![Family::V4], false));
        assert_eq!(families("::ffff:10.3.0.7"), (vec![Family::V4], false));
        assert_eq!(families("fd00::7"), (vec![Family::V6], false));
        assert_eq!(families("10.2.0"), (vec![], true));
    }
}
