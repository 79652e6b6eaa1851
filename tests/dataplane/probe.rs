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

/// How long a connection waits for an answer. A shorter time would take an endpoint that a busy machine lets wait for no endpoint.
const PATIENCE: Duration = Duration::from_millis(800);

/// The kernel sends the first packet again after a second. What answers then says nothing of the time of the first one.
const AGAIN: Duration = Duration::from_millis(950);

/// A connection is looked at each time while it is younger than this, and then one time in [`OLD_EVERY`].
const YOUNG: Duration = Duration::from_millis(20);
const OLD_EVERY: usize = 16;

/// One connection. The kernel decided between the two stamps where it goes. Stamps are nanoseconds of CLOCK_MONOTONIC_RAW.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub from: u64,
    pub to: u64,
    /// What answered.
    pub answer: Answer,
}

/// The answer to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An endpoint.
    Endpoint(SocketAddr),
    /// Nothing, or the kernel: there is no endpoint. The kernel says so only if the client does not wait in `connect` any more.
    NoEndpoint,
    /// It is not known: the client did not run when the answer was due.
    Unknown,
}

impl Probe {
    /// Which endpoint answered.
    pub fn reached(&self) -> Option<SocketAddr> {
        match self.answer {
            Answer::Endpoint(endpoint) => Some(endpoint),
            Answer::NoEndpoint | Answer::Unknown => None,
        }
    }
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
    let (mut next, mut round) = (Instant::now(), 0);
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
            let answer = match started {
                Ok(()) | Err(Errno::INPROGRESS) => {
                    waiting.push_back((probes.len(), Instant::now(), fd));
                    Answer::Unknown
                }
                Err(error) if is_refused(error) => Answer::NoEndpoint,
                Err(error) => return Err(error).context("connecting"),
            };
            probes.push(Probe { from, to, answer });
        }
        round += 1;
        waiting.retain(|(index, since, fd)| {
            let waited = since.elapsed();
            if waited > YOUNG && (round + index) % OLD_EVERY != 0 {
                return true;
            }
            let mut bytes = [0; 18];
            let answer = match recv(fd, &mut bytes[..], RecvFlags::empty()) {
                Ok((_, 18)) => {
                    let [ip @ .., high, low] = bytes;
                    let (ip, port) = (Ipv6Addr::from(ip).to_canonical(), u16::from_be_bytes([high, low]));
                    Answer::Endpoint(SocketAddr::new(ip, port))
                }
                // Before the connection is established, the error is NOTCONN.
                Err(Errno::AGAIN | Errno::NOTCONN) if waited < PATIENCE => return true,
                Err(Errno::AGAIN | Errno::NOTCONN) => Answer::NoEndpoint,
                Err(error) if is_refused(error) => Answer::NoEndpoint,
                _ => Answer::Unknown,
            };
            if since.elapsed() < AGAIN {
                probes[*index].answer = answer;
            }
            false
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

/// Whether the kernel says so that there is no endpoint.
fn is_refused(error: Errno) -> bool {
    matches!(error, Errno::CONNREFUSED | Errno::ACCESS | Errno::PERM | Errno::NETUNREACH | Errno::HOSTUNREACH)
}

/// An address and port that no connection used before. If a connection got no answer, the kernel remembers its target for two
/// minutes, and sends another connection from the same port there too.
fn source(number: usize, target: SocketAddr) -> Result<SocketAddr> {
    // Above the ports that the pods and kube-proxy use.
    const FIRST: usize = 12_000;
    const PORTS: usize = 50_000;
    let host = u8::try_from(1 + number / PORTS).context("too many connections")?;
    // Of a port's own: another client of the same node may connect to another port.
    let net = u8::try_from(120 + target.port() % 100).context("a byte")?;
    let address = match target.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::new(10, 244, net, host)),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, net.into(), host.into())),
    };
    Ok(SocketAddr::new(address, u16::try_from(FIRST + number % PORTS)?))
}

/// The time now, on the agent's clock.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::MonotonicRaw);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
