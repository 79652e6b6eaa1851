//! The objects of the tests, written as their usual writers would write them: a person's Services, a scheduler's pods, a
//! kubelet's status reports.

pub mod kubelet;
pub mod life;
pub mod unusual;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The node of all pods. Without it the EndpointSlice controller leaves the pods out.
pub const NODE: &str = "node-0";

/// The image is never run.
const IMAGE: &str = "none.invalid/none";

/// Grace period of the pods. It is long, because only the test ends them.
const GRACE_SECONDS: u32 = 300;

/// Variables of a large pod's container. Each is in the spec and, by its name, in the managed fields.
const LARGE_ENVIRONMENT: usize = 92;

/// How long the controller may take to write. Its retries after a stale cache take seconds on a busy
/// machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two checks of the slices.
const POLL: Duration = Duration::from_millis(50);

/// A pod that a test made.
#[derive(Clone, Debug)]
pub struct PodHandle {
    /// Its name.
    pub name: String,
    /// Its UID, which differs from that of another pod with its name.
    pub uid: String,
    /// The number from which its addresses are made.
    host: u32,
}

impl PodHandle {
    /// The address that the kubelet reports, in 10.244.0.0/16.
    pub fn ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 244, 0, 0)) + self.host)
    }

    /// The pod with the address of another one, which the network assigned again.
    pub fn at(mut self, other: &Self) -> Self {
        self.host = other.host;
        self
    }

    /// Its second address in a dual-stack cluster, in fd00:10:244::/64.
    pub fn ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0)) + u128::from(self.host))
    }
}

/// The objects of one namespace.
pub struct Objects {
    client: Client,
    namespace: String,
    writes: AtomicU64,
}

impl Objects {
    /// Makes a new namespace.
    ///
    /// # Errors
    /// It exists.
    pub async fn create(client: Client, namespace: &str) -> Result<Self> {
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &object(json!({ "metadata": { "name": namespace } }))?)
            .await
            .with_context(|| format!("creating namespace {namespace}"))?;
        Ok(Self { client, namespace: namespace.to_owned(), writes: AtomicU64::new(0) })
    }

    /// The administrator's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Name of the namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How many writes to pods and Services succeeded. The audit log will have as many lines from the tests' user.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Counts a write that succeeded.
    fn wrote<T>(&self, result: kube::Result<T>, what: impl FnOnce() -> String) -> Result<T> {
        let value = result.with_context(what)?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(value)
    }

    /// Creates a Service from its spec.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_service(&self, name: &str, spec: Value) -> Result<()> {
        let service: Service = object(json!({ "metadata": { "name": name }, "spec": spec }))?;
        let created = self.api::<Service>().create(&PostParams::default(), &service).await;
        self.wrote(created, || format!("creating Service {name}")).map(drop)
    }

    /// Merges `spec` into a Service's; null removes a key.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn edit_service(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let patched = self.api::<Service>().patch(name, &PatchParams::default(), &patch).await;
        self.wrote(patched, || format!("editing Service {name}")).map(drop)
    }

    /// Deletes a Service.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn delete_service(&self, name: &str) -> Result<()> {
        let deleted = self.api::<Service>().delete(name, &DeleteParams::default()).await;
        self.wrote(deleted, || format!("deleting Service {name}")).map(drop)
    }

    /// Creates an EndpointSlice, which usually only the controller does.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_slice(&self, slice: Value) -> Result<()> {
        let created = self.api::<EndpointSlice>().create(&PostParams::default(), &object(slice)?).await;
        self.wrote(created, || "creating an EndpointSlice".to_owned()).map(drop)
    }

    /// Writes the Endpoints of a Service without a selector, with one pod. The mirroring controller makes a slice of it.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_endpoints(&self, service: &str, pod: &PodHandle) -> Result<()> {
        #[allow(deprecated, reason = "old clients write them, which is why they are mirrored")]
        let api: Api<k8s_openapi::api::core::v1::Endpoints> = self.api();
        let target = json!({ "kind": "Pod", "name": pod.name, "namespace": self.namespace, "uid": pod.uid });
        let endpoints = object(json!({
            "metadata": { "name": service },
            "subsets": [{ "addresses": [{ "ip": pod.ipv4(), "targetRef": target }], "ports": [{ "port": 8080 }] }],
        }))?;
        let created = api.create(&PostParams::default(), &endpoints).await;
        created.with_context(|| format!("creating the Endpoints of Service {service}")).map(drop)
    }

    /// Whether the deletion of a pod was requested.
    ///
    /// # Errors
    /// There is no such pod, or the API server refuses the request.
    pub async fn is_terminating(&self, pod: &str) -> Result<bool> {
        let pod = self.api::<Pod>().get(pod).await.with_context(|| format!("reading pod {pod}"))?;
        Ok(pod.metadata.deletion_timestamp.is_some())
    }

    /// Deletes the namespace with everything in it. Its pods stay until they are finished.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn delete_namespace(&self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let deleted = api.delete(&self.namespace, &DeleteParams::default()).await;
        deleted.with_context(|| format!("deleting namespace {}", self.namespace)).map(drop)
    }

    /// Creates a pod on [`NODE`] with the label `app`. It has no address yet and is not Ready.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_pod(&self, name: &str, app: &str) -> Result<PodHandle> {
        self.create_pod_with_ports(name, app, &[]).await
    }

    /// Creates a pod with named container ports.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_pod_with_ports(&self, name: &str, app: &str, ports: &[(&str, u16)]) -> Result<PodHandle> {
        let ports: Vec<_> = ports.iter().map(|(name, port)| json!({ "name": name, "containerPort": port })).collect();
        self.create_pod_of(name, app, NODE, json!({ "name": "main", "image": IMAGE, "ports": ports })).await
    }

    /// Creates a pod of the size of those in real clusters: about 15.8 KB as JSON once its status is reported.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_large_pod(&self, name: &str, app: &str) -> Result<PodHandle> {
        let variable = |number: usize| json!({ "name": format!("SETTING_{number:03}"), "value": "v".repeat(60) });
        let environment: Vec<_> = (0..LARGE_ENVIRONMENT).map(variable).collect();
        self.create_pod_of(name, app, NODE, json!({ "name": "main", "image": IMAGE, "env": environment })).await
    }

    async fn create_pod_of(&self, name: &str, app: &str, node: &str, container: Value) -> Result<PodHandle> {
        self.create_pod_with(name, app, node, container, json!({})).await
    }

    /// Creates a pod with `more` in its spec.
    async fn create_pod_with(
        &self,
        name: &str,
        app: &str,
        node: &str,
        container: Value,
        more: Value,
    ) -> Result<PodHandle> {
        static NEXT_HOST: AtomicU32 = AtomicU32::new(1);
        let mut spec = json!({
            "nodeName": node,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "containers": [container],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let metadata = json!({ "name": name, "labels": { "app": app } });
        let pod: Pod = object(json!({ "metadata": metadata, "spec": spec }))?;
        let created = self.api::<Pod>().create(&PostParams::default(), &pod).await;
        let created = self.wrote(created, || format!("creating pod {name}"))?;
        Ok(PodHandle {
            name: name.to_owned(),
            uid: created.metadata.uid.context("a created pod has a UID")?,
            host: NEXT_HOST.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Reports the readiness of a running pod, as its kubelet does after a probe.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn report(&self, pod: &PodHandle, ready: bool) -> Result<()> {
        self.report_status(pod, json!([{ "ip": pod.ipv4() }]), ready).await
    }

    /// Reports a running pod with an address in each family.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn report_dual_stack(&self, pod: &PodHandle, ready: bool) -> Result<()> {
        self.report_status(pod, json!([{ "ip": pod.ipv4() }, { "ip": pod.ipv6() }]), ready).await
    }

    async fn report_status(&self, pod: &PodHandle, addresses: Value, ready: bool) -> Result<()> {
        let status = json!({
            "phase": "Running",
            "podIP": addresses[0]["ip"],
            "podIPs": addresses,
            "conditions": [{
                "type": "Ready",
                "status": if ready { "True" } else { "False" },
                "lastTransitionTime": now(),
            }],
        });
        self.patch_status(pod, status).await
    }

    /// Reports that all containers have ended with success, as for a Job's pod.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn report_succeeded(&self, pod: &PodHandle) -> Result<()> {
        let ready = json!({
            "type": "Ready", "status": "False", "reason": "PodCompleted", "lastTransitionTime": now(),
        });
        self.patch_status(pod, json!({ "phase": "Succeeded", "conditions": [ready] })).await
    }

    async fn patch_status(&self, pod: &PodHandle, status: Value) -> Result<()> {
        let patch = Patch::Strategic(json!({ "status": status }));
        let patched = self.api::<Pod>().patch_status(&pod.name, &PatchParams::default(), &patch).await;
        self.wrote(patched, || format!("reporting the status of pod {}", pod.name)).map(drop)
    }

    /// Changes a pod's label `app`.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn relabel(&self, pod: &PodHandle, app: &str) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "app": app } } }));
        let patched = self.api::<Pod>().patch(&pod.name, &PatchParams::default(), &patch).await;
        self.wrote(patched, || format!("relabelling pod {}", pod.name)).map(drop)
    }

    /// Deletes a pod with a grace period: it gets its deletionTimestamp and stays until [`Self::finish`].
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn terminate(&self, pod: &PodHandle) -> Result<()> {
        let deleted = self.api::<Pod>().delete(&pod.name, &DeleteParams::default()).await;
        self.wrote(deleted, || format!("deleting pod {}", pod.name)).map(drop)
    }

    /// Removes a terminated pod, as its kubelet does when the containers have ended.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn finish(&self, pod: &PodHandle) -> Result<()> {
        let deleted = self.api::<Pod>().delete(&pod.name, &DeleteParams::default().grace_period(0)).await;
        self.wrote(deleted, || format!("finishing pod {}", pod.name)).map(drop)
    }

    /// The slices of a Service.
    ///
    /// # Errors
    /// The API server refuses to list them.
    pub async fn slices(&self, service: &str) -> Result<Vec<EndpointSlice>> {
        slices(&self.client, &self.namespace, service).await
    }

    /// Waits until the slices of a Service satisfy `expected`.
    ///
    /// # Errors
    /// They are not in time; the error shows them.
    pub async fn wait_for_slices(
        &self,
        service: &str,
        expected: impl Fn(&[EndpointSlice]) -> bool,
    ) -> Result<Vec<EndpointSlice>> {
        wait_for_slices(&self.client, &self.namespace, service, expected).await
    }

    /// Waits until the slices of a Service have this many endpoints.
    ///
    /// # Errors
    /// They do not have them in time; the error shows the slices.
    pub async fn wait_for_endpoints(&self, service: &str, count: usize) -> Result<Vec<EndpointSlice>> {
        let listed = |slices: &[EndpointSlice]| slices.iter().flat_map(|it| it.endpoints.iter().flatten()).count();
        self.wait_for_slices(service, |slices| listed(slices) == count).await
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Adds a node to which pods can be bound.
///
/// # Errors
/// The API server refuses it.
pub async fn create_node(client: &Client, name: &str) -> Result<()> {
    let node: Node = object(json!({ "metadata": { "name": name } }))?;
    let api: Api<Node> = Api::all(client.clone());
    api.create(&PostParams::default(), &node).await.with_context(|| format!("creating node {name}")).map(drop)
}

/// Waits until the EndpointSlice controller writes the first slice of a new Service.
///
/// # Errors
/// It does not do so in time.
pub(super) async fn probe_controller(client: &Client) -> Result<()> {
    const PLACE: &str = "default";
    let service: Service = object(json!({
        "metadata": { "generateName": "probe-" },
        "spec": { "selector": { "app": "probe" }, "ports": [{ "port": 80 }] },
    }))?;
    let api: Api<Service> = Api::namespaced(client.clone(), PLACE);
    let probe = api.create(&PostParams::default(), &service).await.context("creating a probe")?;
    let name = probe.metadata.name.context("a created Service has a name")?;
    wait_for_slices(client, PLACE, &name, |slices| !slices.is_empty()).await?;
    api.delete(&name, &DeleteParams::default()).await.context("deleting a probe")?;
    Ok(())
}

/// The clusterIP of a Service; `None` if there is no such Service.
///
/// # Errors
/// The API server refuses to show it.
pub async fn cluster_ip(client: &Client, namespace: &str, service: &str) -> Result<Option<String>> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(service).await.with_context(|| format!("reading Service {service}"))?;
    Ok(found.and_then(|service| service.spec).and_then(|spec| spec.cluster_ip))
}

/// The slices of a Service.
///
/// # Errors
/// The API server refuses to list them.
pub async fn slices(client: &Client, namespace: &str, service: &str) -> Result<Vec<EndpointSlice>> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    Ok(api.list(&selector).await.with_context(|| format!("listing the slices of Service {service}"))?.items)
}

async fn wait_for_slices(
    client: &Client,
    namespace: &str,
    service: &str,
    expected: impl Fn(&[EndpointSlice]) -> bool,
) -> Result<Vec<EndpointSlice>> {
    let started = Instant::now();
    loop {
        let found = slices(client, namespace, service).await?;
        if expected(&found) {
            return Ok(found);
        }
        if started.elapsed() > TIMEOUT {
            bail!("after {TIMEOUT:?} the slices of Service {service} are still {}", serde_json::to_string(&found)?);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A typed object from JSON, so that tests look like manifests.
fn object<K: DeserializeOwned>(json: Value) -> Result<K> {
    serde_json::from_value(json).context("an object of the tests does not fit its type")
}

/// A timestamp as kubelets write them: whole seconds.
fn now() -> String {
    let seconds = Timestamp::now().as_second();
    Timestamp::from_second(seconds).map_or_else(|error| error.to_string(), |time| time.to_string())
}
