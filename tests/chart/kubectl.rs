//! kubectl with the control plane of the tests, and what a cluster has before a chart is installed.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::controlplane::binaries::{Binaries, Binary};
use testkit::controlplane::plane::{ControlPlane, Options};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// The kinds of the Prometheus Operator. The API server only needs to know that they exist: the operator's own types
/// check their contents.
const CUSTOM_KINDS: [(&str, &str); 3] =
    [("ServiceMonitor", "servicemonitors"), ("PodMonitor", "podmonitors"), ("PrometheusRule", "prometheusrules")];

/// Ample time for the API server to learn of a new right on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The control plane that the tests share, with kubectl.
pub struct Cluster {
    /// The control plane itself.
    pub plane: ControlPlane,
    /// With all rights.
    pub kubeconfig: PathBuf,
    kubectl: PathBuf,
    /// Locked by the test that uses the namespace of the manifests.
    place: Mutex<()>,
}

impl Cluster {
    /// The first test that needs it starts it.
    ///
    /// # Errors
    /// It does not start.
    pub async fn shared() -> Result<&'static Self> {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        CLUSTER.get_or_try_init(Self::start).await
    }

    async fn start() -> Result<Self> {
        let binaries = tokio::task::spawn_blocking(|| Binaries::get(&[Binary::Kubectl])).await??;
        let plane = ControlPlane::start(Options::default()).await?;
        let kubeconfig = plane.admin_kubeconfig()?;
        let cluster = Self { plane, kubeconfig, kubectl: binaries.path(Binary::Kubectl), place: Mutex::new(()) };
        let kinds: Vec<_> = CUSTOM_KINDS.iter().map(|(kind, plural)| custom_kind(kind, plural)).collect();
        cluster.kubectl_with(&["apply", "-f", "-"], &kinds.join("---\n"))?;
        cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?;
        Ok(cluster)
    }

    /// A cluster without objects of the daemon, as long as the guard is held. The control plane of the tests begins with the
    /// daemon's account.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub async fn vacate(&self) -> Result<MutexGuard<'_, ()>> {
        let guard = self.place.lock().await;
        self.kubectl(&["delete", "--ignore-not-found", "namespace", "endpointlag"])?;
        let roles = ["endpointlag", "endpointlag-auth", "endpointlag-metrics-reader"];
        for kind in ["clusterrole", "clusterrolebinding"] {
            self.kubectl(&[&["delete", "--ignore-not-found", kind][..], &roles].concat())?;
        }
        Ok(guard)
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.kubectl
    }

    /// Runs kubectl in the root of the repository and returns its output.
    ///
    /// # Errors
    /// kubectl fails; the error is its output.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, "")
    }

    /// Runs it with this input.
    ///
    /// # Errors
    /// As for [`Self::kubectl`].
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).current_dir(env!("CARGO_MANIFEST_DIR"));
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().context("starting kubectl")?;
        child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {complaint}", arguments.join(" "));
        String::from_utf8(output.stdout).context("not UTF-8")
    }

    /// An object as the API server has it.
    ///
    /// # Errors
    /// There is no such object.
    pub fn object(&self, namespace: &str, kind: &str, name: &str) -> Result<Value> {
        let text = self.kubectl(&["get", kind, name, "--namespace", namespace, "--output=json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Whether an account has this right.
    ///
    /// # Errors
    /// The API server does not answer.
    pub fn may(&self, account: &str, question: &[&str]) -> Result<bool> {
        let mut command = Command::new(&self.kubectl);
        command.args(["auth", "can-i", "--as", account]).args(question).env("KUBECONFIG", &self.kubeconfig);
        let output = command.output()?;
        match String::from_utf8_lossy(&output.stdout).trim() {
            "yes" => Ok(true),
            no if no.starts_with("no") => Ok(false),
            _ => anyhow::bail!("may {account} {question:?}? {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Waits until an account has this right, or does not have it any more: the API server learns of a new Role by a watch. Returns whether it
    /// is so in time.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn soon_may(&self, account: &str, question: &[&str], expected: bool) -> Result<bool> {
        let started = Instant::now();
        while self.may(account, question)? != expected {
            if started.elapsed() > SOON {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(true)
    }

    /// Creates a namespace that accepts restricted pods, and no others.
    ///
    /// # Errors
    /// It exists already.
    pub fn create_namespace(&self, name: &str) -> Result<()> {
        self.kubectl(&["create", "namespace", name])?;
        self.kubectl(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"]).map(drop)
    }

    /// Submits a pod of a Deployment or StatefulSet to the API server, because no controller creates it here.
    ///
    /// # Errors
    /// It is refused.
    pub fn admit(&self, namespace: &str, template: &Value) -> Result<()> {
        let mut pod = template.clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = "of-template".into();
        let arguments = ["create", "--dry-run=server", "--namespace", namespace, "--filename=-"];
        self.kubectl_with(&arguments, &pod.to_string()).map(drop)
    }
}

fn custom_kind(kind: &str, plural: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\n\
         kind: CustomResourceDefinition\n\
         metadata: {{name: {plural}.monitoring.coreos.com}}\n\
         spec:\n  \
           group: monitoring.coreos.com\n  \
           scope: Namespaced\n  \
           names: {{kind: {kind}, plural: {plural}}}\n  \
           versions:\n  \
           - name: v1\n    \
             served: true\n    \
             storage: true\n    \
             schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
    )
}
