//! The control plane as a whole: etcd, the API server and the controllers, with their flags.

use super::binaries::{Binaries, Binary};
use super::component::Component;
use super::credentials::{Credentials, Token, kubeconfig};
use super::{access, objects};
use crate::http;
use crate::process::tail;
use crate::workspace::{Workspace, free_port};
use anyhow::{Context, Result, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many lines of each component's log a failed test shows.
const TAIL: usize = 20;

/// The controllers that make and replace pods.
const OF_WORKLOADS: &str = ",deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller";

/// What can differ between control planes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Flags of the controllers.
    pub controllers: Controllers,
    /// Give Services addresses of both families.
    pub dual_stack: bool,
    /// Write no audit log: then there is no truth, but the API server's cost is as usual.
    pub unaudited: bool,
    /// Have the API server speak HTTP/1.1 only.
    pub without_http2: bool,
    /// Have the API server send clients away (GOAWAY) as often as it can be configured to.
    pub sends_away: bool,
}

/// Flags of the controller manager.
#[derive(Clone, Debug)]
pub struct Controllers {
    /// `--endpointslice-updates-batch-period`: how long the EndpointSlice controller collects the pod changes of a Service.
    pub batch_period: Duration,
    /// `--max-endpoints-per-slice`.
    pub max_endpoints_per_slice: u32,
    /// `--kube-api-qps`; bursts may be twice as fast. The default of 20 makes the controller the slowest part by far.
    pub api_qps: u32,
    /// Whether Deployments, StatefulSets and DaemonSets make pods. Most tests make their own.
    pub workloads: bool,
}

impl Default for Controllers {
    fn default() -> Self {
        Self { batch_period: Duration::ZERO, max_endpoints_per_slice: 100, api_qps: 500, workloads: false }
    }
}

/// A running control plane. Dropping it kills its processes and removes its files.
#[derive(Debug)]
pub struct ControlPlane {
    options: Options,
    etcd_port: u16,
    etcd_peer_port: u16,
    api_port: u16,
    second_api_port: u16,
    credentials: Credentials,
    // Processes are dropped before the folder that they write to.
    controllers: Component,
    api_server: Component,
    second_api_server: Component,
    etcd: Component,
    workspace: Workspace,
}

impl ControlPlane {
    /// Builds the programs if needed, starts all of them, and adds what every test needs: a node for its pods, and the
    /// daemon's service account with the role that the project ships.
    ///
    /// # Errors
    /// A program cannot be built or does not start.
    pub async fn start(options: Options) -> Result<Self> {
        let wanted = [Binary::Etcd, Binary::ApiServer, Binary::ControllerManager];
        let binaries = tokio::task::spawn_blocking(move || Binaries::get(&wanted)).await??;
        let workspace = Workspace::create("controlplane")?;
        let component = |binary: Binary| {
            let log = workspace.file(&format!("{}.log", binary.name()));
            Component::new(binary.name(), binaries.path(binary), log)
        };
        let mut plane = Self {
            options,
            etcd_port: free_port()?,
            etcd_peer_port: free_port()?,
            api_port: free_port()?,
            second_api_port: free_port()?,
            credentials: Credentials::create(&workspace)?,
            controllers: component(Binary::ControllerManager),
            api_server: component(Binary::ApiServer),
            second_api_server: Component::new(
                "second-kube-apiserver",
                binaries.path(Binary::ApiServer),
                workspace.file("second-kube-apiserver.log"),
            ),
            etcd: component(Binary::Etcd),
            workspace,
        };
        plane.start_etcd().await?;
        plane.start_api_server().await?;
        let client = plane.admin().await?;
        objects::create_node(&client, objects::NODE).await?;
        access::grant_cluster_role(&client).await?;
        plane.start_controllers(plane.options.controllers.clone()).await?;
        Ok(plane)
    }

    /// Address of the API server.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// Certificates for the check of the API server's own. The API server signs one for itself at its first start
    /// and keeps it.
    pub fn authority(&self) -> PathBuf {
        self.workspace.file("certificates/apiserver.crt")
    }

    /// The audit log: every write to pods, Services and EndpointSlices.
    pub fn audit_log(&self) -> PathBuf {
        self.workspace.file("audit.log")
    }

    /// Address of etcd's client API, gRPC and JSON.
    pub fn etcd_address(&self) -> String {
        format!("127.0.0.1:{}", self.etcd_port)
    }

    /// A client with all rights. Each test needs its own, because a client belongs to the runtime on which it was made.
    ///
    /// # Errors
    /// Its configuration is rejected.
    pub async fn admin(&self) -> Result<kube::Client> {
        client(&self.server(), &self.authority(), &self.credentials.admin_token).await
    }

    /// A kubeconfig with all rights, for programs.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn admin_kubeconfig(&self) -> Result<PathBuf> {
        let token = Token::Inline(&self.credentials.admin_token);
        self.workspace.write("admin.kubeconfig", kubeconfig(&self.server(), &self.authority(), token))
    }

    /// Starts etcd on its port, with its earlier data.
    ///
    /// # Errors
    /// It is running already or does not start.
    pub async fn start_etcd(&mut self) -> Result<()> {
        let client_url = format!("http://{}", self.etcd_address());
        let peer_url = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        let flags = [
            format!("--data-dir={}", self.workspace.file("etcd").display()),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster=default={peer_url}"),
            // A test's data need not survive a crash of the machine.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let address = self.etcd_address();
        self.etcd
            .start(&flags, || async {
                let health = http::get(&address, "/health").await?;
                ensure!(health.status.is_success(), "etcd's /health answers {}", health.status);
                Ok(())
            })
            .await
    }

    /// The folder of etcd's data.
    pub fn etcd_folder(&self) -> PathBuf {
        self.workspace.file("etcd")
    }

    /// The process of the API server, while it runs.
    pub fn api_server_process(&self) -> Option<u32> {
        self.api_server.process()
    }

    /// Kills etcd.
    pub fn kill_etcd(&mut self) {
        self.etcd.kill();
    }

    /// Starts the API server on its port, with its earlier certificate.
    ///
    /// # Errors
    /// It is running already or does not start.
    pub async fn start_api_server(&mut self) -> Result<()> {
        let path = |path: &Path| path.display().to_string();
        let flags = self.api_server_flags(self.api_port);
        let audit = [
            format!("--audit-policy-file={}", path(&self.credentials.audit_policy)),
            format!("--audit-log-path={}", path(&self.audit_log())),
            "--audit-log-mode=blocking".to_owned(),
            // In MB. The log must never be rotated: the truth is read from its first line on.
            "--audit-log-maxsize=100000".to_owned(),
        ];
        let flags: Vec<_> = flags.into_iter().chain(audit.into_iter().filter(|_| !self.options.unaudited)).collect();
        let (server, authority, token) = (self.server(), self.authority(), &self.credentials.admin_token);
        self.api_server
            .start(&flags, || async {
                // The first start makes the certificate, so there is no earlier client. Ready means that the bootstrap
                // roles of RBAC are there too.
                let client = client(&server, &authority, token).await?;
                client.request_text(::http::Request::get("/readyz").body(Vec::new())?).await?;
                Ok(())
            })
            .await
    }

    fn api_server_flags(&self, port: u16) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let goaway_chance = if self.options.sends_away { "0.02" } else { "0" };
        let services = if self.options.dual_stack { "10.96.0.0/16,fd00:10:96::/112" } else { "10.96.0.0/16" };
        vec![
            format!("--etcd-servers=http://{}", self.etcd_address()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", path(&self.workspace.file("certificates"))),
            format!("--service-cluster-ip-range={services}"),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}", path(&self.credentials.tokens)),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", path(&self.credentials.verifying_key)),
            format!("--service-account-signing-key-file={}", path(&self.credentials.signing_key)),
            // It would refuse pods until a controller has made the default account of their namespace.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--disable-http2-serving={}", self.options.without_http2),
            format!("--goaway-chance={goaway_chance}"),
        ]
    }

    /// Starts a second API server beside the first, on the same etcd. It is for reading only: its writes are not in the audit log.
    ///
    /// # Errors
    /// It is running already or does not start.
    pub async fn start_second_api_server(&mut self) -> Result<()> {
        let flags = self.api_server_flags(self.second_api_port);
        let (server, authority, token) = (self.second_server(), self.authority(), &self.credentials.admin_token);
        self.second_api_server
            .start(&flags, || async {
                let client = client(&server, &authority, token).await?;
                client.request_text(::http::Request::get("/readyz").body(Vec::new())?).await?;
                Ok(())
            })
            .await
    }

    /// Address of the second API server.
    pub fn second_server(&self) -> String {
        format!("https://127.0.0.1:{}", self.second_api_port)
    }

    /// The process of the second API server, while it runs.
    pub fn second_api_server_process(&self) -> Option<u32> {
        self.second_api_server.process()
    }

    /// Kills the API server, maybe in the middle of a line of the audit log. The next API server begins a new line.
    ///
    /// # Errors
    /// The audit log cannot be written.
    pub fn kill_api_server(&mut self) -> Result<()> {
        self.api_server.kill();
        if !fs::read(self.audit_log())?.ends_with(b"\n") {
            File::options().append(true).open(self.audit_log())?.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Starts the controllers and waits until the EndpointSlice controller works.
    ///
    /// # Errors
    /// They are running already or do not start.
    pub async fn start_controllers(&mut self, options: Controllers) -> Result<()> {
        let token = Token::Inline(&self.credentials.controllers_token);
        let config = kubeconfig(&self.server(), &self.authority(), token);
        let config = self.workspace.write("controllers.kubeconfig", config)?;
        let flags = [
            format!("--kubeconfig={}", config.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // The garbage collector removes a deleted Service's slices, the namespace controller a namespace's objects.
            format!(
                "--controllers=endpointslice-controller,endpointslice-mirroring-controller,\
                 garbage-collector-controller,namespace-controller{}",
                if options.workloads { OF_WORKLOADS } else { "" }
            ),
            format!("--kube-api-qps={}", options.api_qps),
            format!("--kube-api-burst={}", options.api_qps.saturating_mul(2)),
            format!("--endpointslice-updates-batch-period={}ms", options.batch_period.as_millis()),
            format!("--max-endpoints-per-slice={}", options.max_endpoints_per_slice),
        ];
        let client = self.admin().await?;
        self.controllers.start(&flags, || async { Ok(()) }).await?;
        objects::probe_controller(&client)
            .await
            .with_context(|| format!("the EndpointSlice controller:\n{}", self.logs().tails()))
    }

    /// Shuts the controllers down.
    ///
    /// # Errors
    /// They are not running, or do not end in time.
    pub async fn stop_controllers(&mut self) -> Result<()> {
        self.controllers.stop().await
    }

    /// Kills the controllers.
    pub fn kill_controllers(&mut self) {
        self.controllers.kill();
    }

    /// The folder of the components' logs.
    pub(crate) fn logs(&self) -> Logs {
        Logs(
            [&self.etcd, &self.api_server, &self.controllers]
                .map(|component| (component.name(), component.log()))
                .to_vec(),
        )
    }
}

/// The logs of a control plane's components. They can be read after it is gone, as long as its files exist.
#[derive(Clone, Debug)]
pub(crate) struct Logs(Vec<(&'static str, PathBuf)>);

impl Logs {
    /// The end of each log, for a failed test.
    pub(crate) fn tails(&self) -> String {
        self.0.iter().map(|(name, log)| format!("--- {name}\n{}", tail(log, TAIL))).collect()
    }
}

/// A client of the API server with a bearer token.
async fn client(server: &str, authority: &Path, token: &str) -> Result<kube::Client> {
    let config = Kubeconfig::from_yaml(&kubeconfig(server, authority, Token::Inline(token)))?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    kube::Client::try_from(config).context("making a client of the API server")
}
