//! The applications of the simulated cluster: the Services of an imaginary shop.

use crate::cluster::wire::{IntOrString, ObjectMeta, Service, ServicePort, ServiceSpec};
use crate::simulator::object::fresh_uid;
use rand::Rng;
use std::collections::BTreeMap;

/// A Service and the workload behind it.
#[derive(Debug)]
pub(super) struct Application {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    pub(super) replicas: usize,
    pub(super) controller: WorkloadKind,
    pub(super) exposure: Exposure,
}

/// The kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkloadKind {
    /// A new pod is Ready before an old one is deleted.
    Deployment,
    /// A pod is deleted before its successor with the same name is created.
    StatefulSet,
}

/// The kind of Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposure {
    /// Has a cluster IP.
    ClusterIp,
    /// Headless: DNS resolves it to the addresses of its pods.
    Headless,
    /// Publishes pods before they are Ready, like a clustered database whose members find each other by the Service.
    NotReadyToo,
}

use Exposure::{ClusterIp, Headless, NotReadyToo};
use WorkloadKind::{Deployment, StatefulSet};

/// The name of the port that every container has and every Service targets.
pub(super) const PORT_NAME: &str = "http";
/// The number of that port.
pub(super) const PORT: i32 = 8080;
/// A second port, which a Service has only at times.
pub(super) const METRICS_PORT_NAME: &str = "metrics";

/// About 140 pods.
pub(super) const APPLICATIONS: &[Application] = &[
    app("shop", "frontend", 40, Deployment, ClusterIp),
    app("shop", "catalog", 24, Deployment, ClusterIp),
    app("shop", "cart", 12, Deployment, ClusterIp),
    app("shop", "checkout", 8, Deployment, ClusterIp),
    app("payments", "gateway", 10, Deployment, ClusterIp),
    app("payments", "ledger", 6, Deployment, ClusterIp),
    app("payments", "fraud-check", 5, Deployment, ClusterIp),
    app("accounts", "profiles", 14, Deployment, ClusterIp),
    app("accounts", "login", 9, Deployment, ClusterIp),
    app("data", "orders-db", 3, StatefulSet, ClusterIp),
    app("data", "session-cache", 7, Deployment, Headless),
    app("data", "event-broker", 5, Deployment, NotReadyToo),
];

const fn app(
    namespace: &'static str,
    name: &'static str,
    replicas: usize,
    controller: WorkloadKind,
    exposure: Exposure,
) -> Application {
    Application { namespace, name, replicas, controller, exposure }
}

// === impl Application ===

impl Application {
    /// Labels that all pods of the application have and its Service selects.
    pub(super) fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("app".to_owned(), self.name.to_owned())])
    }

    /// The Service as it is first created. Each application has a different `number`.
    pub(super) fn service(&self, number: usize, rng: &mut impl Rng) -> Service {
        let cluster_ip = match self.exposure {
            Headless => "None".to_owned(),
            // kubeadm uses 10.96.0.0/12 for Services. The cluster itself uses the first addresses.
            ClusterIp | NotReadyToo => format!("10.96.0.{}", 20 + number),
        };
        Service {
            metadata: ObjectMeta {
                name: self.name.to_owned(),
                namespace: self.namespace.to_owned(),
                uid: fresh_uid(rng),
                labels: self.selector(),
                ..ObjectMeta::default()
            },
            spec: Some(ServiceSpec {
                ports: vec![port(PORT_NAME, 80)],
                selector: self.selector(),
                cluster_ips: vec![cluster_ip.clone()],
                cluster_ip,
                kind: "ClusterIP".to_owned(),
                publish_not_ready_addresses: self.exposure == NotReadyToo,
                ip_families: vec!["IPv4".to_owned()],
                ..Default::default()
            }),
        }
    }
}

/// Adds the second port to a Service, or removes it.
pub(super) fn toggle_metrics_port(service: &mut Service) {
    let ports = &mut service.spec.get_or_insert_default().ports;
    let before = ports.len();
    ports.retain(|p| p.name != METRICS_PORT_NAME);
    if ports.len() == before {
        ports.push(port(METRICS_PORT_NAME, 9090));
    }
}

/// A Service port that targets the container port of the same name.
fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: name.to_owned(),
        protocol: "TCP".to_owned(),
        port: number,
        target_port: Some(IntOrString { kind: 1, int: 0, string: name.to_owned() }),
        app_protocol: None,
    }
}
