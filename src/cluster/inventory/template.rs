//! Pod templates, as far as advice reads them.

use crate::model::spec::{
    Amount, Container, ContainerPort, Handler, Hook, HttpGet, Obstacle, PodTemplate, Probe, Transport,
};
use k8s_openapi::{
    api::core::v1::{self as core, PodTemplateSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

/// The label of nodes with the name of each.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Default of terminationGracePeriodSeconds.
const GRACE: i64 = 30;

/// A pod template, whose workload has this selector.
pub(super) fn template(template: PodTemplateSpec, selector: LabelSelector) -> PodTemplate {
    let labels = template.metadata.and_then(|meta| meta.labels).unwrap_or_default();
    // A selector with expressions is left out: a list of labels may say something else.
    let selector =
        if selector.match_expressions.is_some_and(|it| !it.is_empty()) { None } else { selector.match_labels };
    let selector = selector.unwrap_or_default();
    let Some(spec) = template.spec else { return PodTemplate { labels, selector, ..PodTemplate::default() } };
    let is_sidecar = |container: &core::Container| container.restart_policy.as_deref() == Some("Always");
    let obstacles = obstacles(&spec);
    PodTemplate {
        labels,
        selector,
        sidecars: spec.init_containers.into_iter().flatten().filter(is_sidecar).map(container).collect(),
        containers: spec.containers.into_iter().map(container).collect(),
        grace_seconds: number(spec.termination_grace_period_seconds.unwrap_or(GRACE)),
        readiness_gates: spec.readiness_gates.into_iter().flatten().map(|gate| gate.condition_type).collect(),
        has_spread_constraints: spec.topology_spread_constraints.is_some_and(|it| !it.is_empty()),
        has_anti_affinity: spec.affinity.is_some_and(|affinity| affinity.pod_anti_affinity.is_some()),
        obstacles,
    }
}

/// What may keep a second pod from running at the same time.
fn obstacles(spec: &core::PodSpec) -> Vec<Obstacle> {
    let containers = || spec.init_containers.iter().flatten().chain(&spec.containers);
    let ports = || containers().flat_map(|container| container.ports.iter().flatten());
    let writes = |volume: &str| {
        let mut mounts = containers().flat_map(|container| container.volume_mounts.iter().flatten());
        mounts.any(|mount| mount.name == volume && mount.read_only != Some(true))
    };
    let mut volumes = spec.volumes.iter().flatten();
    let anti_affinity = spec.affinity.iter().filter_map(|affinity| affinity.pod_anti_affinity.as_ref());
    let mut required =
        anti_affinity.flat_map(|it| it.required_during_scheduling_ignored_during_execution.iter().flatten());
    let found = [
        (Obstacle::Claim, volumes.clone().any(|volume| volume.persistent_volume_claim.is_some())),
        (Obstacle::HostPath, volumes.any(|volume| volume.host_path.is_some() && writes(&volume.name))),
        // In the network of the node each port is one of the node.
        (
            Obstacle::HostPort,
            ports().any(|port| port.host_port.is_some_and(|port| port > 0)) || spec.host_network == Some(true),
        ),
        (Obstacle::AntiAffinity, required.any(|term| term.topology_key == HOSTNAME)),
    ];
    found.into_iter().filter(|(_, is_there)| *is_there).map(|(obstacle, _)| obstacle).collect()
}

fn container(container: core::Container) -> Container {
    let port = |port: core::ContainerPort| {
        let transport = match port.protocol.as_deref() {
            Some("UDP") => Transport::Udp,
            Some("SCTP") => Transport::Sctp,
            _ => Transport::Tcp,
        };
        let number = u16::try_from(port.container_port).ok()?;
        Some(ContainerPort { name: port.name.unwrap_or_default(), number, transport })
    };
    Container {
        name: container.name,
        image: container.image.unwrap_or_default(),
        ports: container.ports.into_iter().flatten().filter_map(port).collect(),
        readiness: container.readiness_probe.and_then(probe),
        liveness: container.liveness_probe.and_then(probe),
        startup: container.startup_probe.and_then(probe),
        pre_stop: container.lifecycle.and_then(|lifecycle| hook(lifecycle.pre_stop?)),
    }
}

/// Defaults are those of the API server.
fn probe(probe: core::Probe) -> Option<Probe> {
    let seconds = |value: Option<i32>, default: i32| number(value.unwrap_or(default).into());
    let handler = match (probe.http_get, probe.tcp_socket, probe.grpc, probe.exec) {
        (Some(http), ..) => Handler::Http(http_get(http)),
        (_, Some(tcp), ..) => Handler::Tcp { port: port(tcp.port), host: tcp.host.filter(|host| !host.is_empty()) },
        (_, _, Some(grpc), _) => {
            Handler::Grpc { port: grpc.port.to_string(), service: grpc.service.unwrap_or_default() }
        }
        (_, _, _, exec) => Handler::Exec { command: exec?.command.unwrap_or_default() },
    };
    Some(Probe {
        handler,
        initial_delay: seconds(probe.initial_delay_seconds, 0),
        period: seconds(probe.period_seconds, 10),
        timeout: seconds(probe.timeout_seconds, 1),
        failures: seconds(probe.failure_threshold, 3),
    })
}

fn http_get(http: core::HTTPGetAction) -> HttpGet {
    HttpGet {
        path: http.path.unwrap_or_else(|| "/".to_owned()),
        port: port(http.port),
        is_https: http.scheme.as_deref() == Some("HTTPS"),
        host: http.host.filter(|host| !host.is_empty()),
        headers: http.http_headers.into_iter().flatten().map(|header| (header.name, header.value)).collect(),
    }
}

fn hook(hook: core::LifecycleHandler) -> Option<Hook> {
    if let Some(sleep) = hook.sleep {
        return Some(Hook::Sleep { seconds: number(sleep.seconds) });
    }
    if let Some(http) = hook.http_get {
        return Some(Hook::Http { path: http.path.unwrap_or_else(|| "/".to_owned()) });
    }
    // The kubelet does not support tcpSocket here.
    Some(Hook::Exec { command: hook.exec?.command.unwrap_or_default() })
}

/// A number of pods, or a share. `None` if it is neither.
pub(super) fn amount(value: &IntOrString) -> Option<Amount> {
    match value {
        IntOrString::Int(value) => Some(Amount::Number(number((*value).into()))),
        IntOrString::String(text) => text.strip_suffix('%')?.parse().ok().map(Amount::Percent),
    }
}

/// A port as text: its number or its name.
pub(super) fn port(port: IntOrString) -> String {
    match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name,
    }
}

/// A number that cannot be negative.
pub(super) fn number(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_may_keep_a_second_pod_from_running_is_found() {
        let found = |spec: Value| {
            let spec = serde_json::from_value(json!({ "spec": spec })).expect("a template");
            template(spec, LabelSelector::default()).obstacles
        };
        let with = |volume: Value, read_only: bool| {
            let mount = json!({ "name": "data", "mountPath": "/data", "readOnly": read_only });
            json!({ "containers": [{ "name": "main", "volumeMounts": [mount] }], "volumes": [volume] })
        };
        let host_path = json!({ "name": "data", "hostPath": { "path": "/srv" } });
        let claim = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data" } });
        let port = |host: u16| json!({ "containers": [{ "name": "main", "ports": [{ "containerPort": 80, "hostPort": host }] }] });
        let apart = |key: &str| {
            let term = json!({ "topologyKey": key, "labelSelector": { "matchLabels": { "app": "web" } } });
            let required = json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] });
            json!({ "containers": [], "affinity": { "podAntiAffinity": required } })
        };
        let cases = [
            (with(host_path.clone(), true), vec![]),
            (with(host_path, false), vec![Obstacle::HostPath]),
            (with(claim, true), vec![Obstacle::Claim]),
            (port(0), vec![]),
            (port(8080), vec![Obstacle::HostPort]),
            (json!({ "containers": [], "hostNetwork": true }), vec![Obstacle::HostPort]),
            (apart("kubernetes.io/hostname"), vec![Obstacle::AntiAffinity]),
            (apart("topology.kubernetes.io/zone"), vec![]),
        ];
        for (spec, expected) in cases {
            assert_eq!(found(spec.clone()), expected, "{spec}");
        }
    }

    fn asked(probe: Value) -> Handler {
        let probe = serde_json::from_value(probe).expect("a probe");
        super::probe(probe).expect("it asks something").handler
    }

    #[test]
    fn all_that_a_probe_asks_is_read() {
        let headers = json!([{ "name": "Host", "value": "shop" }]);
        let request =
            json!({ "path": "/live", "port": "tls", "scheme": "HTTPS", "host": "10.0.0.9", "httpHeaders": headers });
        let expected = HttpGet {
            path: "/live".to_owned(),
            port: "tls".to_owned(),
            is_https: true,
            host: Some("10.0.0.9".to_owned()),
            headers: vec![("Host".to_owned(), "shop".to_owned())],
        };
        assert_eq!(asked(json!({ "httpGet": request })), Handler::Http(expected));
        // The API server's defaults.
        let plain = HttpGet { path: "/".to_owned(), port: "80".to_owned(), ..HttpGet::default() };
        assert_eq!(asked(json!({ "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" } })), Handler::Http(plain));
        let tcp = Handler::Tcp { port: "80".to_owned(), host: Some("10.0.0.9".to_owned()) };
        assert_eq!(asked(json!({ "tcpSocket": { "port": 80, "host": "10.0.0.9" } })), tcp);
        let grpc = Handler::Grpc { port: "80".to_owned(), service: "shop".to_owned() };
        assert_eq!(asked(json!({ "grpc": { "port": 80, "service": "shop" } })), grpc);
    }
}
