//! A TCP relay before the API server, which can cut connections, turn new ones away, and fall silent.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

/// A running relay. It carries bytes and looks at none of them, so TLS goes through it. Dropping it ends it with all its
/// connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    orders: broadcast::Sender<Order>,
    refusing: Arc<AtomicBool>,
    acceptor: JoinHandle<()>,
}

/// What happens to the connections that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// They end.
    Cut,
    /// They stay open, and nothing comes through them any more: what a firewall does that has forgotten them.
    FallSilent,
}

impl Relay {
    /// Starts to listen before `server`, an `https://` address.
    ///
    /// # Errors
    /// There is no port for it.
    pub async fn start(server: &str) -> Result<Self> {
        let server = server.strip_prefix("https://").context("a server with https")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the relay")?;
        let address = listener.local_addr()?;
        let (orders, _) = broadcast::channel(8);
        let refusing = Arc::new(AtomicBool::new(false));
        let acceptor = tokio::spawn(accept(listener, server, orders.clone(), refusing.clone()));
        Ok(Self { address, orders, refusing, acceptor })
    }

    /// Where it listens, as an address of the API server.
    pub fn server(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Ends all connections.
    pub fn cut(&self) {
        // Without a connection there is nobody to be told.
        let _ = self.orders.send(Order::Cut);
    }

    /// Ends all connections and turns new ones away until [`Self::accept`].
    pub fn refuse(&self) {
        self.refusing.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Takes connections again.
    pub fn accept(&self) {
        self.refusing.store(false, Ordering::SeqCst);
    }

    /// Carries nothing any more through the connections that are there, and leaves them open. New ones work.
    pub fn fall_silent(&self) {
        let _ = self.orders.send(Order::FallSilent);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, server: String, orders: broadcast::Sender<Order>, refusing: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if !refusing.load(Ordering::SeqCst) {
            connections.spawn(carry(client, server.clone(), orders.subscribe()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection until an end closes it, or an order does.
async fn carry(mut client: TcpStream, server: String, mut orders: broadcast::Receiver<Order>) {
    // As late as they come, the bytes are to go on at once.
    let _ = client.set_nodelay(true);
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = server.set_nodelay(true);
    let order = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        order = orders.recv() => order,
    };
    if order == Ok(Order::FallSilent) {
        // Both sockets stay open meanwhile. A later silence changes nothing.
        while orders.recv().await == Ok(Order::FallSilent) {}
    }
}
