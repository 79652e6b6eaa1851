//! A client that connects to a clusterIP every two milliseconds, and sees where it gets.

use super::namespace::Namespace;
use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, connect, recv, socket_with};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between two connections.
pub const SPACING: Duration = Duration::from_millis(2);

/// A connection that has no answer by then gets none.
const PATIENCE: Duration = Duration::from_millis(200);

/// One connection. The kernel decided where it goes between the two stamps, which are nanoseconds of CLOCK_MONOTONIC_RAW.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub from: u64,
    pub to: u64,
    /// Which endpoint answered.
    pub reached: Option<SocketAddrV4>,
}

/// A client that is at work until it is asked for what it saw.
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Probe>>>>,
}

impl Prober {
    /// Begins to connect.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn start(namespace: &Namespace, target: SocketAddrV4) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = stop.clone();
        let thread = namespace.enter(move || probe(target, &is_stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends, and tells of all connections in their order.
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

fn probe(target: SocketAddrV4, stop: &AtomicBool) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    let mut waiting: VecDeque<(usize, Instant, OwnedFd)> = VecDeque::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) || !waiting.is_empty() {
        if !stop.load(Ordering::Relaxed) {
            let fd = socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
                None,
            )?;
            // Ends with a reset, so that no port waits for a minute.
            set_socket_linger(&fd, Some(Duration::ZERO))?;
            bind(&fd, &source(probes.len())?)?;
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
            let mut answer = [0; 6];
            match recv(fd, &mut answer[..], RecvFlags::empty()) {
                Ok((_, 6)) => {
                    let [a, b, c, d, high, low] = answer;
                    let port = u16::from_be_bytes([high, low]);
                    probes[*index].reached = Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port));
                    false
                }
                // Before the connection is there it is NOTCONN.
                Err(Errno::AGAIN | Errno::NOTCONN) => since.elapsed() < PATIENCE,
                _ => false,
            }
        });
        next += SPACING;
        match next.checked_duration_since(Instant::now()) {
            Some(pause) => thread::sleep(pause),
            // It was held up. What it missed is not made good by hurry.
            None => next = Instant::now(),
        }
    }
    Ok(probes)
}

/// An address and port that no connection came from before. The kernel remembers for two minutes where a connection went that got no
/// answer, and sends another one from the same port there too.
fn source(number: usize) -> Result<SocketAddrV4> {
    // Above the ports of the pods and of kube-proxy.
    const FIRST: usize = 12_000;
    const PORTS: usize = 50_000;
    let host = u8::try_from(1 + number / PORTS).context("too many connections")?;
    Ok(SocketAddrV4::new(Ipv4Addr::new(10, 244, 200, host), u16::try_from(FIRST + number % PORTS)?))
}

/// Now, as the agent stamps.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::MonotonicRaw);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
