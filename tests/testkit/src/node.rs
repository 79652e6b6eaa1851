//! A node: kube-proxy, a connection to the API server, and a server at every pod's address.

use crate::controlplane::binaries::{Binaries, Binary};
use crate::controlplane::objects::NODE;
use crate::controlplane::plane::ControlPlane;
use crate::executable;
use crate::namespace::Namespace;
use crate::process::{Output, Process};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use kube::Api;
use kube::api::{Patch, PatchParams};
use rustix::process::Signal;
use serde_json::json;
use std::collections::VecDeque;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Address of every node, each in its own namespace.
pub const ADDRESS: &str = "192.168.77.2";

/// Ports that pods listen on.
pub const PORTS: [u16; 2] = [8080, 8081];

/// Connections that a server keeps open, so that the client is the one that closes each.
const KEPT: usize = 256;

/// Log of kube-proxy, in the folder of its node.
const LOG: &str = "kube-proxy.log";

/// Maximum time for a normal end of kube-proxy.
const STOP: Duration = Duration::from_secs(20);

/// Maximum time until kube-proxy starts to write rules, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A mode of kube-proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The table `kube-proxy`.
    Nftables,
    /// The table `nat`, with the nf_tables variant of iptables.
    Iptables,
}

/// A node. Dropping it ends everything that runs there.
pub struct Node {
    /// Its name for kube-proxy, which decides which endpoints are local.
    name: String,
    proxy: Option<Process>,
    kubeconfig: std::path::PathBuf,
    binaries: Binaries,
    // Processes are dropped before their namespace, and before the folder they write to.
    /// The network of the node.
    pub namespace: Namespace,
    /// A folder for files of programs on the node.
    pub workspace: Workspace,
}

impl Mode {
    /// The value of kube-proxy's flag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

impl Node {
    /// Creates a node whose kube-proxy does not run yet.
    ///
    /// # Errors
    /// The machine does not permit it, or kube-proxy cannot be built.
    pub async fn create(plane: &ControlPlane) -> Result<Self> {
        Self::create_as(plane, NODE).await
    }

    /// The same for the node of this name in the cluster.
    ///
    /// # Errors
    /// There is none, or as for [`Node::create`].
    pub async fn create_as(plane: &ControlPlane, name: &str) -> Result<Self> {
        let binaries = tokio::task::spawn_blocking(|| Binaries::get(&[Binary::KubeProxy])).await??;
        let namespace = Namespace::create()?;
        let workspace = Workspace::create("node")?;
        let server: SocketAddrV4 = plane.server().strip_prefix("https://").context("with https")?.parse()?;
        Relay::start(&namespace, server)?;
        for port in PORTS {
            serve(&namespace, port)?;
        }
        // Without an address of its node, kube-proxy waits for half a minute.
        let address = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": ADDRESS }] } });
        let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(plane.admin().await?);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(address)).await.context("naming an address")?;
        let kubeconfig = plane.admin_kubeconfig()?;
        Ok(Self { name: name.to_owned(), proxy: None, kubeconfig, binaries, namespace, workspace })
    }

    /// Starts kube-proxy, and waits until it has written rules.
    ///
    /// # Errors
    /// It already runs, or ends, or writes none in a minute.
    pub async fn start_proxy(&mut self, mode: Mode) -> Result<()> {
        self.start_proxy_with(mode, &[], START).await
    }

    /// The same with more flags, and for a cluster for which it may need longer.
    ///
    /// # Errors
    /// As for [`Node::start_proxy`].
    pub async fn start_proxy_with(&mut self, mode: Mode, flags: &[&str], limit: Duration) -> Result<()> {
        ensure!(self.proxy.is_none(), "kube-proxy runs already");
        let mut command = self.namespace.command(self.binaries.path(Binary::KubeProxy));
        command.args([
            &format!("--kubeconfig={}", self.kubeconfig.display()),
            &format!("--proxy-mode={}", mode.name()),
            &format!("--hostname-override={}", self.name),
            &format!("--bind-address={ADDRESS}"),
            "--cluster-cidr=10.244.0.0/16,fd00:10:244::/64",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
            "--v=2",
        ]);
        command.args(flags);
        let log = self.workspace.file(LOG);
        let _ = std::fs::remove_file(&log);
        let proxy = self.proxy.insert(Process::start("kube-proxy", command, Output::Log, &log)?);
        let started = tokio::time::Instant::now();
        // One sync for each family.
        while syncs(&log)? < 2 {
            ensure!(proxy.ended()?.is_none(), "kube-proxy ended:\n{}", proxy.log_tail(40));
            ensure!(started.elapsed() < limit, "kube-proxy writes no rules:\n{}", proxy.log_tail(40));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The process of kube-proxy, while it runs.
    pub fn proxy_process(&self) -> Option<u32> {
        self.proxy.as_ref().map(Process::id)
    }

    /// How many syncs kube-proxy has completed since its start, of both families.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub fn syncs(&self) -> Result<usize> {
        syncs(&self.workspace.file(LOG))
    }

    /// Stops kube-proxy. Its rules stay.
    ///
    /// # Errors
    /// It does not run, or does not stop.
    pub async fn stop_proxy(&mut self) -> Result<()> {
        let mut proxy = self.proxy.take().context("kube-proxy does not run")?;
        proxy.signal(Signal::TERM)?;
        proxy.wait(STOP).await.map(drop)
    }

    /// Sends kube-proxy a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal_proxy(&self, signal: Signal) -> Result<()> {
        self.proxy.as_ref().context("kube-proxy does not run")?.signal(signal)
    }

    /// A command that runs the daemon's binary there.
    pub fn command(&self) -> Command {
        let mut command = self.namespace.command(executable());
        command.arg("node");
        command
    }

    /// The end of kube-proxy's log.
    pub fn log(&self) -> String {
        self.proxy.as_ref().map(|proxy| proxy.log_tail(20)).unwrap_or_default()
    }
}

/// Listens in a namespace at an address that is served outside of it, and relays connections to it. The threads end with the tests.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// Starts to relay.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the address is taken there.
    pub fn start(namespace: &Namespace, server: SocketAddrV4) -> Result<Self> {
        let listener = namespace.enter(move || TcpListener::bind(server))?;
        let listener = listener.join().ok().context("a thread died")?.context("listening for a server outside")?;
        let relay = Self::default();
        let relaying = relay.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if relaying.cut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                let (Ok(from_client), Ok(to_client)) = (client.try_clone(), server.try_clone()) else { continue };
                if let (Ok(mut open), Ok(client)) = (relaying.open.lock(), client.try_clone()) {
                    open.push(client);
                }
                thread::spawn(move || carry(from_client, server));
                thread::spawn(move || carry(to_client, client));
            }
        });
        Ok(relay)
    }

    /// Cuts all connections, and refuses new ones.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        if let Ok(mut open) = self.open.lock() {
            for stream in open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Accepts connections again.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }
}

/// How many syncs a log of kube-proxy shows.
fn syncs(log: &std::path::Path) -> Result<usize> {
    Ok(std::fs::read_to_string(log)?.matches("SyncProxyRules complete").count())
}

/// Copies bytes until either end closes.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Listens on a port of all addresses of both families, and answers with the address that was connected to, as one of IPv6, and its port. The
/// thread ends with the tests.
fn serve(namespace: &Namespace, port: u16) -> Result<()> {
    let listener = namespace.enter(move || TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))?;
    let listener = listener.join().ok().context("a thread died")?.context("listening for pods")?;
    thread::spawn(move || {
        let mut kept = VecDeque::new();
        for mut client in listener.incoming().flatten() {
            if let Ok(address) = client.local_addr() {
                let ip = match address.ip() {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let _ = client.write_all(&[&ip.octets()[..], &address.port().to_be_bytes()].concat());
            }
            kept.push_back(client);
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
    });
    Ok(())
}
