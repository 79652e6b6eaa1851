//! The HTTP endpoint: what Prometheus, the kubelet and people ask.

mod api;
mod authorization;
mod connections;
mod gate;
mod pace;
mod page;
mod port;
mod routes;
mod tls;
mod traffic;

pub use self::{
    routes::State,
    tls::{TlsError, TlsFiles},
};

use self::{
    authorization::Authorizer,
    gate::{Access, Gate},
    port::{Limits, Port},
    tls::{Certificate, Renewal},
};
use crate::cluster::client::ApiClient;
use clap::ValueEnum;
use futures::future::OptionFuture;
use std::{future::pending, io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;

/// What a user chose for the endpoint.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for probes, if not there.
    pub probe_listen: Option<SocketAddr>,
    /// TLS, but for probes.
    pub tls: Option<TlsFiles>,
    /// Who may ask.
    pub auth: Auth,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Everybody.
    #[default]
    None,
    /// Whom the API server allows to.
    Kubernetes,
}

/// The endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with {flag}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
        /// The flag that it came by.
        flag: &'static str,
    },
    /// The files for TLS are no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The cryptography lacks what TLS needs.
    #[error("TLS cannot be served: {0}")]
    Cryptography(#[from] tokio_rustls::rustls::Error),
}

/// The endpoint, its ports taken and its certificate read.
pub struct Server {
    /// Where it is listening.
    pub address: SocketAddr,
    /// Whether that is by TLS.
    pub is_tls: bool,
    listener: TcpListener,
    probes: Option<TcpListener>,
    tls: Option<(TlsAcceptor, Renewal)>,
}

// === impl Server ===

impl Server {
    /// Takes the ports and reads the certificate, so that what is wrong with them is known before anything else starts.
    ///
    /// # Errors
    /// If an address is taken or not this machine's, or the files are not to be served from.
    pub async fn bind(settings: &Settings) -> Result<Self, BindError> {
        let tls = match settings.tls.clone() {
            None => None,
            Some(files) => {
                let (certificate, renewal) = Certificate::load(files)?;
                Some((certificate.acceptor()?, renewal))
            }
        };
        let (listener, address) = listen(settings.listen, "--listen").await?;
        tracing::info!(%address, tls = tls.is_some(), "listening");
        let probes = match settings.probe_listen {
            None => None,
            Some(address) => {
                let (listener, address) = listen(address, "--probe-listen").await?;
                tracing::info!(%address, "listening for probes");
                Some(listener)
            }
        };
        Ok(Self { address, is_tls: tls.is_some(), listener, probes, tls })
    }

    /// Serves until `shutdown` completes, then ends the requests under way within a second. With a client of the API server,
    /// it asks that one who may read.
    pub async fn serve(self, state: Arc<State>, authority: Option<ApiClient>, shutdown: impl Future<Output = ()>) {
        let traffic = state.traffic.clone();
        let open_probes = self.probes.is_none();
        let access = match authority {
            None => Access::All,
            Some(client) => Access::Guarded { authorizer: Box::new(Authorizer::new(client)), open_probes },
        };
        let (acceptor, renewal) = self.tls.unzip();
        let limits = Limits::default();
        let main = Port::new(self.listener, acceptor, Gate::new(state.clone(), access), limits, traffic.clone());
        let probes =
            self.probes.map(|listener| Port::new(listener, None, Gate::new(state, Access::Probes), limits, traffic));

        let (ending, ended) = watch::channel(());
        let stopped = || {
            let mut ended = ended.clone();
            async move {
                // It fails once the sender is gone, which is the only thing it does.
                let _ = ended.changed().await;
            }
        };
        let ports = async {
            let stop = async {
                shutdown.await;
                drop(ending);
            };
            tokio::join!(stop, main.serve(stopped()), OptionFuture::from(probes.map(|port| port.serve(stopped()))))
        };
        let renewal = async {
            match renewal {
                Some(renewal) => renewal.run().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = ports => {}
            () = renewal => {}
        }
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |source| BindError::Listen { address, source, flag };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests;
