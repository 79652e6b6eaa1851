//! A port of a pod as a local one, through the API server, as `kubectl port-forward` does it.

use super::find::{Found, Unfound};
use crate::errors::chain;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::Portforwarder};
use std::net::SocketAddr;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// An open port. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) address: SocketAddr,
    task: AbortHandle,
}

// === impl Forward ===

impl Forward {
    /// Opens a port of the loopback interface. The first connection is opened at once, so that a missing right shows.
    pub(super) async fn start(client: Client, found: &Found) -> Result<Self, Unfound> {
        let Found { namespace, pod, port, .. } = found.clone();
        let pods: Api<Pod> = Api::namespaced(client, &namespace);
        let first = pods.portforward(&pod, &[port]).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == StatusCode::FORBIDDEN.as_u16() => {
                Unfound::NoForward { namespace: namespace.clone(), pod: pod.clone() }
            }
            error => Unfound::Forward { namespace: namespace.clone(), pod: pod.clone(), source: Box::new(error) },
        })?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Unfound::Port)?;
        let address = listener.local_addr().map_err(Unfound::Port)?;
        let accepting = async move {
            let mut first = Some(first);
            // Connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((local, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                match first.take() {
                    Some(first) => drop(connections.spawn(carry(local, first, port))),
                    None => match pods.portforward(&pod, &[port]).await {
                        Ok(forwarder) => drop(connections.spawn(carry(local, forwarder, port))),
                        Err(error) => tracing::warn!(pod, error = chain(&error), "cannot forward another connection"),
                    },
                }
            }
        };
        Ok(Self { address, task: tokio::spawn(accepting).abort_handle() })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection. How it ends shows to both of its ends.
async fn carry(mut local: TcpStream, mut forwarder: Portforwarder, port: u16) {
    if let Some(mut remote) = forwarder.take_stream(port) {
        let _ = copy_bidirectional(&mut local, &mut remote).await;
    }
    forwarder.abort();
}
