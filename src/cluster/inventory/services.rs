//! Services, and what leads to them.

use super::{
    index::Labels,
    list::{InventoryError, Lists},
    template::port,
};
use crate::model::{
    IGNORE_ANNOTATION,
    spec::{Beyond, IGNORE_ADVICE_ANNOTATION, ServiceSpec},
};
use k8s_openapi::api::{
    core::v1::Service,
    networking::v1::{Ingress, IngressBackend},
};
use kube::{ResourceExt, core::DynamicObject};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// The annotation of Google's network endpoint groups.
const NEG: &str = "cloud.google.com/neg";

/// What leads to each Service, by namespace and name.
pub(super) struct Paths {
    found: HashMap<(String, String), BTreeSet<Beyond>>,
    /// What may not be read: it may lead to any of them.
    unread: Vec<Beyond>,
}

type Leading = Vec<((String, String), Beyond)>;

// === impl Paths ===

impl Paths {
    pub(super) async fn read(lists: &mut Lists<'_>) -> Result<Self, InventoryError> {
        let ingresses = lists.any("ingresses.networking.k8s.io", |it: Ingress| ingress(&it)).await?;
        let routes = ("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let routes = lists.custom("httproutes.gateway.networking.k8s.io", routes, |it| route(&it)).await?;
        let bindings = ("elbv2.k8s.aws", "v1beta1", "TargetGroupBinding");
        let bindings = lists.custom("targetgroupbindings.elbv2.k8s.aws", bindings, |it| binding(&it)).await?;
        let mut paths = Self { found: HashMap::new(), unread: Vec::new() };
        let all = [("Ingresses", ingresses), ("HTTPRoutes", routes), ("TargetGroupBindings", bindings)];
        for (kind, listed) in all {
            match listed.readable() {
                Some(leading) => {
                    for (service, beyond) in leading.into_iter().flatten() {
                        paths.found.entry(service).or_default().insert(beyond);
                    }
                }
                None => paths.unread.push(Beyond::Unread(kind)),
            }
        }
        Ok(paths)
    }
}

/// A Service and its selector. `None` if it has none, or is not measured at all.
pub(super) fn spec(service: &Service, paths: &mut Paths) -> Option<(ServiceSpec, Labels)> {
    let (namespace, name) = (service.namespace()?, service.name_any());
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.clone().filter(|selector| !selector.is_empty())?;
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    if is_external || service.annotations().get(IGNORE_ANNOTATION).is_some_and(|value| value == "true") {
        return None;
    }
    let target_ports = spec.ports.iter().flatten().map(|it| match it.target_port.clone() {
        Some(target) => port(target),
        None => it.port.to_string(),
    });
    let mut beyond: Vec<_> = paths.found.remove(&(namespace.clone(), name.clone())).into_iter().flatten().collect();
    beyond.extend(paths.unread.iter().cloned());
    if service.annotations().get(NEG).is_some_and(|value| has_neg(value)) {
        beyond.push(Beyond::Neg);
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        beyond.push(Beyond::Headless);
    }
    let set = ServiceSpec {
        target_ports: target_ports.collect(),
        publishes_not_ready: spec.publish_not_ready_addresses == Some(true),
        is_local_outside: spec.external_traffic_policy.as_deref() == Some("Local"),
        places: Vec::new(),
        beyond,
        ignored: service.annotations().get(IGNORE_ADVICE_ANNOTATION).cloned(),
        namespace,
        name,
    };
    Some((set, selector))
}

/// Whether the annotation asks for endpoint groups.
fn has_neg(annotation: &str) -> bool {
    let value: Value = serde_json::from_str(annotation).unwrap_or_default();
    value["ingress"] == true || value["exposed_ports"].is_object()
}

fn ingress(ingress: &Ingress) -> Option<Leading> {
    let (namespace, name) = (ingress.namespace()?, ingress.name_any());
    let spec = ingress.spec.as_ref()?;
    let rules = spec.rules.iter().flatten().filter_map(|rule| rule.http.as_ref());
    let backends = rules.flat_map(|http| &http.paths).map(|path| &path.backend).chain(&spec.default_backend);
    let service = |backend: &IngressBackend| Some(backend.service.as_ref()?.name.clone());
    let leading = |service| ((namespace.clone(), service), Beyond::Ingress(name.clone()));
    Some(backends.filter_map(service).map(leading).collect())
}

fn route(route: &DynamicObject) -> Option<Leading> {
    let (namespace, name) = (route.namespace()?, route.name_any());
    let backends = |rule: &Value| rule["backendRefs"].as_array().cloned().unwrap_or_default();
    let rules = route.data["spec"]["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let leading = |backend: Value| {
        let is_service = backend["kind"].as_str().is_none_or(|kind| kind == "Service");
        let service = backend["name"].as_str().filter(|_| is_service)?.to_owned();
        let namespace = backend["namespace"].as_str().unwrap_or(&namespace).to_owned();
        Some(((namespace, service), Beyond::HttpRoute(name.clone())))
    };
    Some(rules.iter().flat_map(backends).filter_map(leading).collect())
}

fn binding(binding: &DynamicObject) -> Option<Leading> {
    let service = binding.data["spec"]["serviceRef"]["name"].as_str()?.to_owned();
    Some(vec![((binding.namespace()?, service), Beyond::TargetGroupBinding(binding.name_any()))])
}
