//! A network namespace as a node. The addresses of all pods are local in it.

use crate::progress::say;
use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, id};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Where `ip netns` stores the namespaces.
const FOLDER: &str = "/run/netns";

/// Debian packages that a node needs: for the tests, and for kube-proxy.
const PACKAGES: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables-save", "iptables"),
    ("conntrack", "conntrack"),
    ("setpriv", "util-linux"),
];

/// The setup of a node: its own address, all pod addresses local, and a route for clusterIPs. Without the route the kernel would
/// send nothing to them.
const SET_UP: [&str; 10] = [
    "link set lo up",
    "link add node type veth peer name wire",
    "link set wire up",
    "addr add 192.168.77.2/24 dev node",
    "addr add fd00:77::2/64 dev node nodad",
    "link set node up",
    "route add local 10.244.0.0/16 dev lo",
    "route add 10.96.0.0/16 dev node",
    "-6 route add local fd00:10:244::/64 dev lo",
    "-6 route add fd00:10:96::/112 dev node",
];

/// A network namespace, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates one.
    ///
    /// # Errors
    /// The machine does not permit it, or a program is missing.
    pub fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        install()?;
        let name = format!("endpointlag-{}-{}", id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(Command::new("ip").args(["netns", "add", &name]))
            .context("making a network namespace, which needs root and CAP_SYS_ADMIN")?;
        let namespace = Self { name };
        for line in SET_UP {
            namespace.run("ip", &line.split(' ').collect::<Vec<_>>())?;
        }
        // Lets a client use any pod's address as its own, as it may anyway over IPv4.
        namespace.run("sh", &["-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"])?;
        Ok(namespace)
    }

    /// A command that will run in it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program in it, and returns what it prints.
    ///
    /// # Errors
    /// It cannot be run, or fails; the error contains its message.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run(self.command(program).args(arguments))
    }

    /// Runs `inside` on a thread whose sockets are in the namespace.
    ///
    /// # Errors
    /// The machine does not permit it.
    pub fn enter<T: Send + 'static>(
        &self,
        inside: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<T>> {
        let file = File::open(format!("{FOLDER}/{}", self.name)).context("opening a network namespace")?;
        let (entered, answer) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let moved = move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network));
            let is_moved = moved.is_ok();
            // The receiver waits for this.
            let _ = entered.send(moved);
            assert!(is_moved, "not in the namespace");
            inside()
        });
        answer.recv()?.context("entering a network namespace")?;
        Ok(thread)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Anything left of it disappears with the machine.
        let _ = run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

/// Runs a command, and returns what it prints.
///
/// # Errors
/// It cannot be run, or fails; the error contains its message.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Installs missing packages.
fn install() -> Result<()> {
    static LOCK: Mutex<()> = Mutex::new(());
    let _lock = LOCK.lock().map_err(|_| anyhow::anyhow!("another test failed to install what it needs"))?;
    let is_there = |program: &str| {
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|folder| std::path::Path::new(folder).join(program).exists())
    };
    let missing = || PACKAGES.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package);
    let packages: Vec<_> = missing().collect();
    if packages.is_empty() {
        return Ok(());
    }
    say("dataplane", &format!("installing {} by apt-get", packages.join(" ")));
    let apt =
        |arguments: &[&str]| run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    let advice = || format!("a node needs them: on Debian, apt-get install {}", packages.join(" "));
    apt(&["update"]).with_context(advice)?;
    apt(&[&["install", "-y", "--no-install-recommends"], &*packages].concat()).with_context(advice)?;
    match missing().next() {
        Some(package) => bail!("{package} was installed, and its program is not there"),
        None => Ok(()),
    }
}
