//! The status of a pod with all its times, as a kubelet writes it.

use super::{IMAGE, NODE, Objects, PodHandle};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// A readiness gate of the pods of [`Objects::create_gated_pod`].
pub const GATE: &str = "tests.endpointlag.io/gate";

/// When the conditions of a pod changed last and its only container started, in seconds since 1970. A condition without a time is False
/// since the creation of the pod.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The pod's creation.
    pub created: i64,
    /// Since when it has its sandbox.
    pub sandbox: i64,
    /// Since when the container runs; `None` while it does not.
    pub started: Option<i64>,
    /// How often it was started again.
    pub restarts: i32,
    /// Since when the containers are ready.
    pub containers_ready: Option<i64>,
    /// Whether the pod is Ready.
    pub ready: bool,
    /// Since when.
    pub ready_changed: i64,
}

impl Objects {
    /// Creates a pod that must pass [`GATE`], with a readiness probe of this period.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_gated_pod(&self, name: &str, app: &str, period: i32) -> Result<PodHandle> {
        let probe = json!({ "httpGet": { "port": 8080 }, "periodSeconds": period });
        let container = json!({ "name": "main", "image": IMAGE, "readinessProbe": probe });
        let more = json!({ "readinessGates": [{ "conditionType": GATE }] });
        self.create_pod_with(name, app, NODE, container, more).await
    }

    /// The second in which a pod was created.
    ///
    /// # Errors
    /// There is no such pod.
    pub async fn created(&self, pod: &PodHandle) -> Result<i64> {
        let found = self.api::<Pod>().get(&pod.name).await.with_context(|| format!("reading pod {}", pod.name))?;
        let created = found.metadata.creation_timestamp.context("a pod has a creationTimestamp")?;
        Ok(created.0.as_second())
    }

    /// Writes all that a kubelet reports of a pod with one container.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn report_times(&self, pod: &PodHandle, report: Report) -> Result<()> {
        let condition = |kind: &str, status: bool, since: i64| {
            let status = if status { "True" } else { "False" };
            json!({ "type": kind, "status": status, "lastTransitionTime": time(since) })
        };
        let Report { created, sandbox, started, restarts, containers_ready, ready, ready_changed } = report;
        let state = match started {
            Some(started) => json!({ "running": { "startedAt": time(started) } }),
            None => json!({ "waiting": { "reason": "ContainerCreating" } }),
        };
        let container = json!({
            "name": "main", "image": IMAGE, "imageID": "", "state": state,
            "ready": containers_ready.is_some(), "restartCount": restarts,
        });
        let conditions: Vec<Value> = vec![
            condition("PodScheduled", true, created),
            condition("PodReadyToStartContainers", true, sandbox),
            condition("Initialized", true, created),
            condition("ContainersReady", containers_ready.is_some(), containers_ready.unwrap_or(created)),
            condition("Ready", ready, ready_changed),
        ];
        let status = json!({
            "phase": "Running",
            "podIP": pod.ipv4(),
            "podIPs": [{ "ip": pod.ipv4() }],
            "conditions": conditions,
            "containerStatuses": [container],
        });
        self.patch_status(pod, status).await
    }
}

fn time(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|error| error.to_string(), |time| time.to_string())
}
