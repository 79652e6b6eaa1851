//! A kubelet that starts and stops all pods of a namespace by itself, for workloads whose controllers make the pods.

use super::now;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A part of the name of an image whose pods never get ready.
pub const BROKEN: &str = "broken";

/// Pause between two looks at the pods.
const POLL: Duration = Duration::from_millis(10);

/// How long pods take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From its creation until a pod is ready.
    pub start: Duration,
    /// From the request of its deletion until it is gone.
    pub stop: Duration,
}

/// The running kubelet. Dropping it stops it.
#[derive(Debug)]
pub struct Life(JoinHandle<()>);

/// What was done with a pod, and what is due.
#[derive(Debug)]
struct Known {
    seen: Instant,
    is_reported: bool,
    leaving: Option<Instant>,
}

impl Life {
    /// Starts and stops the pods of a namespace at this pace.
    pub fn start(client: Client, namespace: &str, pace: Pace) -> Self {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        Self(tokio::spawn(live(pods, pace)))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that fails is tried again with the next look.
async fn live(pods: Api<Pod>, pace: Pace) {
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut host = 1;
    loop {
        let found = pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        for pod in &found {
            let (Some(name), Some(uid)) = (&pod.metadata.name, &pod.metadata.uid) else { continue };
            let new = || Known { seen: Instant::now(), is_reported: false, leaving: None };
            let known = known.entry(uid.clone()).or_insert_with(new);
            if pod.metadata.deletion_timestamp.is_some() {
                let leaving = *known.leaving.get_or_insert_with(Instant::now);
                if leaving.elapsed() >= pace.stop {
                    let _ = pods.delete(name, &DeleteParams::default().grace_period(0)).await;
                }
            } else if !known.is_reported && !is_broken(pod) && known.seen.elapsed() >= pace.start {
                let ip = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 245, 0, 0)) + host);
                host += 1;
                let status = json!({
                    "phase": "Running",
                    "podIP": ip,
                    "podIPs": [{ "ip": ip }],
                    "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": now() }],
                });
                let patch = Patch::Strategic(json!({ "status": status }));
                known.is_reported = pods.patch_status(name, &PatchParams::default(), &patch).await.is_ok();
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn is_broken(pod: &Pod) -> bool {
    let images = pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|container| container.image.as_deref());
    images.into_iter().any(|image| image.contains(BROKEN))
}
