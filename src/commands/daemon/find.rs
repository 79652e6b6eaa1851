//! Finds a daemon in the cluster, by the labels of its chart.

use super::client::DaemonError;
use http::StatusCode;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};
use std::io;

/// The labels of the chart's pods with a daemon. Those of agents have another name.
const LABELS: &str = "app.kubernetes.io/name=endpointlag,app.kubernetes.io/component=daemon";

/// The label with the name of the release.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// The name of the chart, of its container, and in the names of its objects.
const NAME: &str = "endpointlag";

/// The name of the port with the API.
const PORT: &str = "metrics";

/// A pod with a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) port: u16,
    /// The name in its certificate, if it serves TLS.
    pub(super) tls_name: Option<String>,
    /// The namespaces that it measures; all if there are none.
    measures: Vec<String>,
    /// Those that it does not measure.
    excludes: Vec<String>,
    /// It is one of several that divide the cluster.
    is_part: bool,
}

/// Why no daemon in the cluster is used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfound {
    #[error("there is no daemon in {0} (no pod with the labels {LABELS})")]
    None(String),
    #[error("no permission to list pods in {0}, so no daemon was looked for; --daemon-namespace names its namespace")]
    Denied(String),
    #[error("cannot look for a daemon")]
    Failed(#[source] Box<kube::Error>),
    #[error("the daemon of pod {namespace}/{pod} is not ready")]
    Unready { namespace: String, pod: String },
    #[error("the daemon of pod {namespace}/{pod} measures only {measures}")]
    Partial { namespace: String, pod: String, measures: String },
    #[error(
        "no permission to forward to pod {namespace}/{pod}: it takes the verbs get and create on pods/portforward there"
    )]
    NoForward { namespace: String, pod: String },
    #[error("cannot forward to pod {namespace}/{pod}")]
    Forward { namespace: String, pod: String, source: Box<kube::Error> },
    #[error("no local port is free")]
    Port(#[source] io::Error),
    #[error("{what} cannot be used")]
    Silent { what: String, source: Box<DaemonError> },
}

/// A daemon that is ready, and measures what is wanted; everything if that is empty.
pub(super) async fn daemon(client: &Client, namespace: Option<&str>, wanted: &[String]) -> Result<Found, Unfound> {
    let pods: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let place = || namespace.map_or_else(|| "the cluster".to_owned(), |namespace| format!("namespace {namespace}"));
    let pods = match pods.list(&ListParams::default().labels(LABELS)).await {
        Ok(pods) => pods.items,
        Err(kube::Error::Api(status)) if status.code == StatusCode::FORBIDDEN.as_u16() => {
            return Err(Unfound::Denied(place()));
        }
        Err(error) => return Err(Unfound::Failed(Box::new(error))),
    };
    choose(&pods, wanted).unwrap_or_else(|| Err(Unfound::None(place())))
}

/// The first that can be used; otherwise why the last cannot be. `None` if there is none at all.
fn choose(pods: &[Pod], wanted: &[String]) -> Option<Result<Found, Unfound>> {
    let mut why = None;
    for (pod, found) in pods.iter().filter_map(|pod| Some((pod, found(pod)?))) {
        let (namespace, name) = (found.namespace.clone(), found.pod.clone());
        let measures_all = found.measures.is_empty()
            || (!wanted.is_empty() && wanted.iter().all(|namespace| found.measures.contains(namespace)));
        let excludes = wanted.iter().any(|namespace| found.excludes.contains(namespace));
        if found.is_part || !measures_all || excludes {
            let measures = match &*found.measures {
                [] if found.is_part => "a part of the cluster (--shard)".to_owned(),
                [] => format!("the cluster without namespace {}", found.excludes.join(", ")),
                some => format!("namespace {}", some.join(", ")),
            };
            why = Some(Unfound::Partial { namespace, pod: name, measures });
        } else if is_ready(pod) {
            return Some(Ok(found));
        } else {
            why = Some(Unfound::Unready { namespace, pod: name });
        }
    }
    why.map(Err)
}

fn found(pod: &Pod) -> Option<Found> {
    let containers = &pod.spec.as_ref()?.containers;
    let container = containers.iter().find(|container| container.name == NAME)?;
    let port = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(PORT))?;
    let namespace = pod.namespace()?;
    let release = pod.labels().get(INSTANCE).cloned().unwrap_or_else(|| NAME.to_owned());
    // As the chart names its Services, whose names are in the certificate.
    let service = if release.contains(NAME) { release } else { format!("{release}-{NAME}") };
    let serves_tls = !values(container, "tls-cert-file").is_empty();
    Some(Found {
        tls_name: serves_tls.then(|| format!("{service}.{namespace}.svc")),
        namespace,
        pod: pod.name_any(),
        port: u16::try_from(port.container_port).ok()?,
        measures: values(container, "namespace"),
        excludes: values(container, "exclude-namespace"),
        is_part: !values(container, "shard").is_empty(),
    })
}

/// What a flag is set to: in the arguments, or by its variable.
fn values(container: &Container, flag: &str) -> Vec<String> {
    let arguments: Vec<_> = container.args.iter().flatten().map(String::as_str).collect();
    let (long, prefix) = (format!("--{flag}"), format!("--{flag}="));
    let apart = arguments.windows(2).filter(|pair| pair[0] == long).map(|pair| pair[1]);
    let joined = arguments.iter().filter_map(|argument| argument.strip_prefix(&*prefix));
    let variable = format!("ENDPOINTLAG_{}", flag.replace('-', "_").to_uppercase());
    let of_environment = container.env.iter().flatten().filter(|env| env.name == variable);
    let of_environment = of_environment.filter_map(|env| env.value.as_deref());
    let all = apart.chain(joined).chain(of_environment).flat_map(|text| text.split(','));
    all.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, args: &[&str], ready: bool) -> Pod {
        let ports = json!([{ "name": "probes", "containerPort": 1 }, { "name": "metrics", "containerPort": 10_911 }]);
        let ready = if ready { "True" } else { "False" };
        let pod: Value = json!({
            "metadata": { "name": name, "namespace": "monitoring", "labels": { INSTANCE: "lag" } },
            "spec": { "containers": [
                { "name": "proxy" },
                { "name": NAME, "args": args, "ports": ports, "env": [{ "name": "ENDPOINTLAG_EXPIRY", "value": "5m" }] },
            ] },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn chosen(pods: &[Pod], wanted: &[&str]) -> String {
        let wanted: Vec<_> = wanted.iter().map(|it| (*it).to_owned()).collect();
        match choose(pods, &wanted) {
            None => "none".to_owned(),
            Some(Ok(found)) => found.pod,
            Some(Err(unfound)) => unfound.to_string(),
        }
    }

    #[test]
    fn the_first_ready_one_that_measures_what_is_wanted_is_chosen() {
        let shop = pod("shop", &["--namespace=shop,store"], true);
        let whole = pod("whole", &["--objective", "2s"], true);
        assert_eq!(chosen(&[], &[]), "none");
        assert_eq!(chosen(&[pod("waiting", &[], false), whole.clone()], &[]), "whole");
        assert_eq!(chosen(&[pod("waiting", &[], false)], &[]), "the daemon of pod monitoring/waiting is not ready");
        assert_eq!(chosen(std::slice::from_ref(&shop), &["store"]), "shop");
        let partial = "the daemon of pod monitoring/shop measures only namespace shop, store";
        assert_eq!(chosen(std::slice::from_ref(&shop), &[]), partial);
        assert_eq!(chosen(std::slice::from_ref(&shop), &["shop", "other"]), partial);
        assert_eq!(chosen(&[shop, whole], &["other"]), "whole");
        let without = pod("without", &["--exclude-namespace=kube-system"], true);
        assert_eq!(chosen(std::slice::from_ref(&without), &["shop"]), "without");
        assert!(
            chosen(&[without], &["kube-system"]).ends_with("measures only the cluster without namespace kube-system")
        );
        let shard = pod("shard", &["--shard", "0/3"], true);
        assert!(chosen(&[shard], &[]).contains("a part of the cluster (--shard)"));
    }

    #[test]
    fn its_port_and_the_name_in_its_certificate_are_those_of_the_chart() {
        let plain = found(&pod("a", &[], true)).expect("found");
        assert_eq!((plain.port, plain.tls_name), (10_911, None));
        let tls = found(&pod("a", &["--tls-cert-file=/etc/tls.crt"], true)).expect("found");
        assert_eq!(tls.tls_name.as_deref(), Some("lag-endpointlag.monitoring.svc"));
        let mut other = pod("a", &[], true);
        other.spec.as_mut().expect("set").containers[1].name = "other".to_owned();
        assert_eq!(found(&other), None);
    }
}
