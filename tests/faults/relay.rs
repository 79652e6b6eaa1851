//! A TCP relay before the API server, which can cut connections, refuse new ones, fall silent, and delay what it carries.

use anyhow::{Context, Result};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// A running relay. It carries bytes and does not look at them, so TLS goes through it. Dropping it ends it with all its
/// connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    orders: broadcast::Sender<Order>,
    refusing: Arc<AtomicBool>,
    /// Connections so far.
    connections: Arc<AtomicUsize>,
    /// The orders for the bytes to the client and to the server, by [`Direction`].
    slowness: [watch::Sender<Slowness>; 2],
    acceptor: JoinHandle<()>,
}

/// The direction of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToClient,
    ToServer,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slowness {
    /// They wait here.
    is_frozen: bool,
    /// Each takes this much longer.
    delay: Duration,
}

/// What happens to the existing connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// They end.
    Cut,
    /// They stay open, and nothing comes through them any longer, as with a firewall that has forgotten them.
    FallSilent,
}

impl Relay {
    /// Starts to listen in front of `server`, an `https://` address.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(server: &str) -> Result<Self> {
        Self::balance(server, server).await
    }

    /// Starts to listen in front of two servers: the first connection goes to the first one, all later ones to the second.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn balance(first: &str, others: &str) -> Result<Self> {
        let address_of = |server: &str| anyhow::Ok(server.strip_prefix("https://").context("with https")?.to_owned());
        let (first, server) = (address_of(first)?, address_of(others)?);
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the relay")?;
        let address = listener.local_addr()?;
        let (orders, _) = broadcast::channel(8);
        let refusing = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let slowness: [watch::Sender<Slowness>; 2] = Default::default();
        let way = Way {
            server,
            orders: orders.clone(),
            refusing: refusing.clone(),
            connections: connections.clone(),
            slowness: slowness.each_ref().map(watch::Sender::subscribe),
        };
        let acceptor = tokio::spawn(accept(listener, first, way));
        Ok(Self { address, orders, refusing, connections, slowness, acceptor })
    }

    /// Its address, to be used as that of the API server.
    pub fn server(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many connections it has carried so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends all connections.
    pub fn cut(&self) {
        // Without a connection there is no receiver.
        let _ = self.orders.send(Order::Cut);
    }

    /// Ends all connections and refuses new ones until [`Self::accept`].
    pub fn refuse(&self) {
        self.refusing.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Accepts connections again.
    pub fn accept(&self) {
        self.refusing.store(false, Ordering::SeqCst);
    }

    /// Holds back everything that the server sends, or releases it in one burst, in the original order.
    pub fn freeze(&self, frozen: bool) {
        self.slowness[Direction::ToClient as usize].send_modify(|slowness| slowness.is_frozen = frozen);
    }

    /// Delays each byte of one direction by this much from now on, and keeps their order.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.slowness[direction as usize].send_modify(|slowness| slowness.delay = delay);
    }

    /// Carries nothing any longer through the existing connections, and leaves them open. New ones work.
    pub fn fall_silent(&self) {
        let _ = self.orders.send(Order::FallSilent);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Where connections go, and what happens to them.
#[derive(Clone)]
struct Way {
    server: String,
    orders: broadcast::Sender<Order>,
    refusing: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    slowness: [watch::Receiver<Slowness>; 2],
}

/// Carries the first connection to a server of its own.
async fn accept(listener: TcpListener, first: String, way: Way) {
    let mut first = Some(first);
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if !way.refusing.load(Ordering::SeqCst) {
            way.connections.fetch_add(1, Ordering::SeqCst);
            let server = first.take().unwrap_or_else(|| way.server.clone());
            connections.spawn(carry(client, server, way.clone(), way.orders.subscribe()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection until an end closes it, or an order ends it.
async fn carry(client: TcpStream, server: String, way: Way, mut orders: broadcast::Receiver<Order>) {
    // However late the bytes come, they must be sent on at once.
    let _ = client.set_nodelay(true);
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = server.set_nodelay(true);
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let [to_client_slowly, to_server_slowly] = way.slowness;
    let order = tokio::select! {
        _ = convey(&mut from_client, &mut to_server, to_server_slowly) => return,
        _ = convey(&mut from_server, &mut to_client, to_client_slowly) => return,
        order = orders.recv() => order,
    };
    if order == Ok(Order::FallSilent) {
        // Both sockets stay open in the meantime. A later silence changes nothing.
        while orders.recv().await == Ok(Order::FallSilent) {}
    }
}

/// Carries one direction to its end.
async fn convey(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut slowness: watch::Receiver<Slowness>,
) -> Result<()> {
    let (queue, mut queued) = mpsc::unbounded_channel();
    let read = async move {
        loop {
            let mut buffer = BytesMut::with_capacity(64 << 10);
            let is_end = from.read_buf(&mut buffer).await? == 0;
            if is_end || queue.send((Instant::now(), buffer)).is_err() {
                return anyhow::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((read, mut bytes)) = queued.recv().await {
            let delay = slowness.borrow().delay;
            tokio::time::sleep_until(read + delay).await;
            slowness.wait_for(|slowness| !slowness.is_frozen).await?;
            to.write_all_buf(&mut bytes).await?;
        }
        Ok(to.shutdown().await?)
    };
    tokio::try_join!(read, write)?;
    Ok(())
}
