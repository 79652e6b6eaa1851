//! A namespace of a control plane, kubectl, and `endpointlag advise` over it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::kubectl::Kubectl;
use testkit::running::{Ran, run};
use testkit::workspace::Workspace;
use tokio::sync::OnceCell;

/// A namespace, with all rights.
pub struct Scene {
    pub objects: Objects,
    pub kubectl: Kubectl,
    pub kubeconfig: PathBuf,
    pub workspace: Workspace,
}

/// A finding of the JSON.
#[derive(Clone, Debug)]
pub struct Found {
    pub check: String,
    pub services: Vec<String>,
    pub whole: Value,
}

/// A control plane with a kubeconfig of all rights.
pub struct Plane {
    pub plane: ControlPlane,
    kubeconfig: PathBuf,
}

impl Plane {
    /// Starts one.
    pub async fn start(options: Options) -> Result<Self> {
        let plane = ControlPlane::start(options).await?;
        let kubeconfig = plane.admin_kubeconfig()?;
        Ok(Self { plane, kubeconfig })
    }

    /// The one that the tests share. The first test that needs it starts it.
    pub async fn shared() -> Result<&'static Self> {
        static PLANE: OnceCell<Plane> = OnceCell::const_new();
        PLANE.get_or_try_init(|| Self::start(Options::default())).await
    }
}

impl Scene {
    /// A new namespace of the shared control plane.
    pub async fn start(namespace: &str) -> Result<Self> {
        Self::on(Plane::shared().await?, namespace).await
    }

    /// A new namespace.
    pub async fn on(Plane { plane, kubeconfig }: &Plane, namespace: &str) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, namespace).await?;
        let kubeconfig = kubeconfig.clone();
        let kubectl = Kubectl::new(&kubeconfig).await?;
        Ok(Self { objects, kubectl, kubeconfig, workspace: Workspace::create(namespace)? })
    }

    /// Applies manifests.
    pub fn apply(&self, manifests: &[Value]) -> Result<()> {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
        self.kubectl.run(&["apply", "-n", self.objects.namespace(), "-f", "-"], &list.to_string()).map(drop)
    }

    /// Runs it in this namespace.
    pub async fn advise(&self, flags: &[&str]) -> Result<Ran> {
        let namespace = self.objects.namespace();
        run(&self.kubeconfig, &[&["advise", "-n", namespace][..], flags].concat()).await
    }

    /// What it finds with these flags.
    pub async fn findings(&self, flags: &[&str]) -> Result<Vec<Found>> {
        let ran = self.advise(&[&["--output=json", "--fail-on=never"][..], flags].concat()).await?;
        ensure!(ran.code == Some(0), "{ran:?}");
        let answer: Value = serde_json::from_str(&ran.printed).context("its JSON")?;
        let found = |whole: &Value| Found {
            check: whole["check"].as_str().unwrap_or_default().to_owned(),
            services: whole["services"].as_array().into_iter().flatten().filter_map(name).collect(),
            whole: whole.clone(),
        };
        Ok(answer["findings"].as_array().context("has findings")?.iter().map(found).collect())
    }

    /// Writes the patches as advised, and applies each with kubectl as the help says.
    pub async fn apply_patches(&self, flags: &[&str]) -> Result<usize> {
        let folder = self.workspace.file("patches");
        let folder = folder.to_string_lossy();
        let ran = self.advise(&[flags, &["--fail-on=never", "--patch-dir", &folder]].concat()).await?;
        ensure!(ran.code == Some(0), "{ran:?}");
        let mut applied = 0;
        for entry in std::fs::read_dir(&*folder)? {
            let file = entry?.path();
            let file = file.to_string_lossy();
            if file.ends_with(".patch.yaml") {
                self.kubectl.run(&["patch", "-f", &file, "--patch-file", &file], "")?;
            } else {
                ensure!(file.ends_with(".new.yaml"), "{file}");
                self.kubectl.run(&["apply", "-f", &file], "")?;
            }
            applied += 1;
        }
        Ok(applied)
    }
}

/// The name of a Service from `namespace/name`.
fn name(service: &Value) -> Option<String> {
    Some(service.as_str()?.split_once('/')?.1.to_owned())
}

/// Whether a check found something about a Service.
pub fn has(found: &[Found], check: &str, service: &str) -> bool {
    found.iter().any(|finding| finding.check == check && finding.services.iter().any(|it| it == service))
}

impl Scene {
    /// Creates a ready pod of the Deployment `name`, as its controllers, the scheduler and a kubelet would: with a ReplicaSet that the
    /// Deployment owns, on this node, and ready this many seconds after the start of its container.
    pub async fn place(&self, name: &str, pod: &str, node: &str, start_seconds: u32) -> Result<()> {
        let namespace = self.objects.namespace();
        let uid = |kind: &str, name: &str| {
            self.kubectl.run(&["get", kind, name, "-n", namespace, "-o", "jsonpath={.metadata.uid}"], "")
        };
        let owner = |kind: &str, name: &str, uid: String| {
            let (version, controller) = ("apps/v1", true);
            json!([{ "apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controller }])
        };
        let labels = json!({ "app": name, "pod-template-hash": "5d4f" });
        let container = json!({ "name": "main", "image": "registry.example.org/main:1" });
        let set = format!("{name}-5d4f");
        let owners = owner("Deployment", name, uid("deployment", name)?);
        self.apply(&[json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": { "name": set, "ownerReferences": owners },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
            },
        })])?;
        let owners = owner("ReplicaSet", &set, uid("replicaset", &set)?);
        self.apply(&[json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": pod, "labels": labels, "ownerReferences": owners },
            "spec": { "nodeName": node, "containers": [container] },
        })])?;
        let ready = format!("2026-01-01T00:{:02}:{:02}Z", start_seconds / 60, start_seconds % 60);
        let status = json!({ "status": {
            "phase": "Running",
            "podIP": "10.244.9.9",
            "podIPs": [{ "ip": "10.244.9.9" }],
            "conditions": [
                { "type": "ContainersReady", "status": "True", "lastTransitionTime": ready },
                { "type": "Ready", "status": "True", "lastTransitionTime": ready },
            ],
            "containerStatuses": [{
                "name": "main",
                "image": "registry.example.org/main:1",
                "imageID": "",
                "ready": true,
                "restartCount": 0,
                "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
            }],
        } });
        let patch = status.to_string();
        self.kubectl
            .run(&["patch", "pod", pod, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch], "")?;
        Ok(())
    }
}
