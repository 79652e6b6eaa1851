//! A client that connects to a clusterIP every two milliseconds, and records which endpoint it reaches.

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, connect, recv, socket_with};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use testkit::namespace::Namespace;

/// Time between two connections.
pub const SPACING: Duration = Duration::from_millis(2);

/// How long a connection waits for an answer. After that it counts as unanswered.
const PATIENCE: Duration = Duration::from_millis(200);

/// One connection. The kernel decided between the two stamps where it goes. Stamps are nanoseconds of CLOCK_MONOTONIC_RAW.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub from: u64,
    pub to: u64,
    /// Which endpoint answered.
    pub reached: Option<SocketAddr>,
}

/// A client that runs until it is asked for its results.
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Probe>>>>,
}

impl Prober {
    /// Starts to connect.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn start(namespace: &Namespace, target: impl Into<SocketAddr>) -> Result<Self> {
        let target = target.into();
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = stop.clone();
        let thread = namespace.enter(move || probe(target, &is_stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops, and returns all connections in order.
    ///
    /// # Errors
    /// A connection could not be tried.
    pub fn finish(mut self) -> Result<Vec<Probe>> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it was finished before")?;
        thread.join().ok().context("the prober died")?
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn probe(target: SocketAddr, stop: &AtomicBool) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    let mut waiting: VecDeque<(usize, Instant, OwnedFd)> = VecDeque::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) || !waiting.is_empty() {
        if !stop.load(Ordering::Relaxed) {
            let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let fd = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
            // Closes with a reset, so that no port stays in TIME_WAIT for a minute.
            set_socket_linger(&fd, Some(Duration::ZERO))?;
            bind(&fd, &source(probes.len(), target)?)?;
            let from = now();
            let started = connect(&fd, &target);
            let to = now();
            match started {
                Ok(()) | Err(Errno::INPROGRESS) => waiting.push_back((probes.len(), Instant::now(), fd)),
                Err(Errno::CONNREFUSED | Errno::ACCESS | Errno::PERM | Errno::NETUNREACH | Errno::HOSTUNREACH) => {}
                Err(error) => return Err(error).context("connecting"),
            }
            probes.push(Probe { from, to, reached: None });
        }
        waiting.retain(|(index, since, fd)| {
            let mut answer = [0; 18];
            match recv(fd, &mut answer[..], RecvFlags::empty()) {
                Ok((_, 18)) => {
                    let [ip @ .., high, low] = answer;
                    let (ip, port) = (Ipv6Addr::from(ip).to_canonical(), u16::from_be_bytes([high, low]));
                    probes[*index].reached = Some(SocketAddr::new(ip, port));
                    false
                }
                // Before the connection is established, the error is NOTCONN.
                Err(Errno::AGAIN | Errno::NOTCONN) => since.elapsed() < PATIENCE,
                _ => false,
            }
        });
        next += SPACING;
        match next.checked_duration_since(Instant::now()) {
            Some(pause) => thread::sleep(pause),
            // It was delayed. The missed connections are not made up for.
            None => next = Instant::now(),
        }
    }
    Ok(probes)
}

/// An address and port that no connection used before. If a connection got no answer, the kernel remembers its target for two
/// minutes, and sends another connection from the same port there too.
fn source(number: usize, target: SocketAddr) -> Result<SocketAddr> {
    // Above the ports that the pods and kube-proxy use.
    const FIRST: usize = 12_000;
    const PORTS: usize = 50_000;
    let host = u8::try_from(1 + number / PORTS).context("too many connections")?;
    let address = match target.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::new(10, 244, 200, host)),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 200, host.into())),
    };
    Ok(SocketAddr::new(address, u16::try_from(FIRST + number % PORTS)?))
}

/// The time now, on the agent's clock.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::MonotonicRaw);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
