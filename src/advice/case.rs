//! One workload behind one Service, as the checks see it.

use super::{Action, Facts, Measured, Patch, Target};
use crate::model::spec::{Backing, Container, Obstacle, ServiceSpec, Workload};
use serde_json::{Value, json};

/// What the checks of a workload judge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) service: &'a ServiceSpec,
    pub(super) backing: &'a Backing,
    pub(super) measured: Option<&'a Measured>,
    pub(super) facts: &'a Facts,
}

// === impl Case ===

impl<'a> Case<'a> {
    pub(super) fn workload(&self) -> &'a Workload {
        &self.backing.workload
    }

    /// The containers that serve a port of the Service. If none declares such a port, the first container is taken for it.
    pub(super) fn serving(&self) -> Vec<&'a Container> {
        let template = &self.workload().template;
        let serves = |container: &&Container| self.service.target_ports.iter().any(|port| container.has_port(port));
        let found: Vec<_> = template.running().filter(serves).collect();
        if found.is_empty() { template.containers.first().into_iter().collect() } else { found }
    }

    /// Whether it is a native sidecar.
    pub(super) fn is_sidecar(&self, container: &Container) -> bool {
        self.workload().template.sidecars.iter().any(|sidecar| sidecar.name == container.name)
    }

    pub(super) fn target(&self) -> Target {
        Target::of_workload(self.workload())
    }

    pub(super) fn target_in(&self, container: &Container) -> Target {
        Target { container: Some(container.name.clone()), ..self.target() }
    }

    /// The spec of a patch that changes one container.
    pub(super) fn patch_container(&self, container: &Container, mut change: Value) -> Value {
        change["name"] = json!(container.name);
        let list = if self.is_sidecar(container) { "initContainers" } else { "containers" };
        json!({ "template": { "spec": { list: [change] } } })
    }

    /// A patch of the workload.
    pub(super) fn patch(&self, spec: Value) -> Patch {
        let workload = self.workload();
        Patch {
            action: Action::Merge,
            api_version: "apps/v1",
            kind: workload.kind.as_str(),
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            spec: spec.into(),
        }
    }

    /// What may keep another pod from running beside those that there are.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        self.workload().template.obstacles.first().copied()
    }

    /// Where the path of traffic goes on after the kernel, in words; `None` if it does not.
    pub(super) fn beyond(&self) -> Option<String> {
        let beyond = &self.service.beyond;
        (!beyond.is_empty()).then(|| beyond.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
}
