//! What owners seldom write, and what usually only the controllers write.

use super::{IMAGE, Objects, PodHandle, now};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Keeps a deleted Service in deletion.
const FINALIZER: &str = "tests.endpointlag.io/held";

impl Objects {
    /// Sets annotations of a Service; null removes one.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn annotate_service(&self, name: &str, annotations: Value) -> Result<()> {
        self.patch_service_meta(name, json!({ "annotations": annotations })).await
    }

    /// Keeps the Service in deletion when it is deleted, until [`Self::release_service`].
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn hold_service(&self, name: &str) -> Result<()> {
        self.patch_service_meta(name, json!({ "finalizers": [FINALIZER] })).await
    }

    /// Lets the deletion of a Service finish.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn release_service(&self, name: &str) -> Result<()> {
        self.patch_service_meta(name, json!({ "finalizers": null })).await
    }

    async fn patch_service_meta(&self, name: &str, metadata: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let patched = self.api::<Service>().patch(name, &PatchParams::default(), &patch).await;
        self.wrote(patched, || format!("editing Service {name}")).map(drop)
    }

    /// Creates a pod on a test's own node.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_pod_on(&self, node: &str, name: &str, app: &str) -> Result<PodHandle> {
        self.create_pod_of(name, app, node, json!({ "name": "main", "image": IMAGE })).await
    }

    /// Reports the phase Failed and leaves the conditions as they are.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn report_failed(&self, pod: &PodHandle) -> Result<()> {
        self.patch_status(pod, json!({ "phase": "Failed" })).await
    }

    /// Reports a running pod with several Ready conditions. A client that replaces the whole list can do this.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn report_conditions(&self, pod: &PodHandle, ready: &[&str]) -> Result<()> {
        let condition = |status: &&str| json!({ "type": "Ready", "status": status, "lastTransitionTime": now() });
        let conditions: Vec<_> = ready.iter().map(condition).collect();
        let address = pod.ipv4();
        let status = json!({
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "conditions": conditions,
        });
        let patch = Patch::Merge(json!({ "status": status }));
        let patched = self.api::<Pod>().patch_status(&pod.name, &PatchParams::default(), &patch).await;
        self.wrote(patched, || format!("reporting the status of pod {}", pod.name)).map(drop)
    }

    /// Rewrites the endpoints of a Service's only slice, as the controller would with what it had seen.
    ///
    /// # Errors
    /// There is not exactly one slice, or the API server refuses it.
    pub async fn rewrite_slice(&self, service: &str, edit: impl FnOnce(&mut Vec<Endpoint>)) -> Result<()> {
        let mut slices = self.slices(service).await?;
        ensure!(slices.len() == 1, "Service {service} has {} slices", slices.len());
        let mut slice = slices.remove(0);
        edit(slice.endpoints.get_or_insert_default());
        let name = slice.metadata.name.clone().context("a slice has a name")?;
        let written = self.api::<EndpointSlice>().replace(&name, &PostParams::default(), &slice).await;
        self.wrote(written, || format!("writing slice {name}")).map(drop)
    }

    /// The endpoint of a pod.
    pub fn endpoint(&self, pod: &PodHandle, ready: bool) -> Endpoint {
        Endpoint {
            addresses: vec![pod.ipv4().to_string()],
            conditions: Some(EndpointConditions { ready: Some(ready), serving: Some(ready), terminating: Some(false) }),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".to_owned()),
                namespace: Some(self.namespace.clone()),
                name: Some(pod.name.clone()),
                uid: Some(pod.uid.clone()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        }
    }
}

/// Deletes a node. Its pods stay until they are collected.
///
/// # Errors
/// The API server refuses it.
pub async fn delete_node(client: &Client, name: &str) -> Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    api.delete(name, &DeleteParams::default()).await.with_context(|| format!("deleting node {name}")).map(drop)
}
