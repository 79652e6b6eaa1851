//! The HTTP endpoint for Prometheus, the kubelet and people.

mod admission;
mod answer;
mod api;
mod args;
mod authorization;
mod connections;
mod hosts;
mod http_metrics;
mod metrics;
mod page;
mod port;
mod probes;
mod routes;
mod sources;
mod tls;
mod write_timeout;

pub use self::{
    args::{Args, AuthArgs},
    sources::Sources,
    tls::{PairError, PemError, TlsError, TlsFiles},
};

use self::{
    admission::Access,
    authorization::Authorizer,
    hosts::Hosts,
    http_metrics::HttpMetrics,
    port::{ConnectionLimits, Port},
    routes::Routes,
    tls::{Certificate, Renewal, TlsHealth},
};
use crate::{cluster::client::ApiClient, signals::Hangups};
use clap::ValueEnum;
use futures::future::OptionFuture;
use std::{future::pending, io, net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use tokio_rustls::TlsAcceptor;

/// The settings of the endpoint.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Another address for probes.
    pub probe_listen: Option<SocketAddr>,
    /// TLS, except for the probe port.
    pub tls: Option<TlsFiles>,
    /// Who may read.
    pub auth: Auth,
    /// Host names that requests may use on the loopback interface, in addition to `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Everyone.
    #[default]
    None,
    /// Users that the API server allows.
    Kubernetes,
}

/// The endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The daemon cannot listen on an address.
    #[error("cannot listen on {address}: {source}; choose another with {flag}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
        /// The flag with the address.
        flag: &'static str,
    },
    /// The files for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The cryptography provider lacks what TLS needs.
    #[error("TLS cannot be served: {0}")]
    Cryptography(#[from] tokio_rustls::rustls::Error),
}

/// The endpoint, with its ports bound and its certificate read.
pub struct Server {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Whether it uses TLS.
    pub is_tls: bool,
    listener: Arc<TcpListener>,
    probes: Option<Arc<TcpListener>>,
    allowed_hosts: Vec<String>,
    tls_health: Option<Arc<TlsHealth>>,
    tls: Option<(TlsAcceptor, Renewal)>,
    /// Accepts TLS connections of agents, with the same certificate.
    pub agents_tls: Option<TlsAcceptor>,
    http_metrics: Arc<HttpMetrics>,
}

// === impl Server ===

impl Server {
    /// Binds the ports and reads the certificate, so that their errors are known before anything else starts.
    ///
    /// # Errors
    /// If an address is in use or not on this machine, or the files cannot be used.
    pub async fn bind(settings: &ServerSettings) -> Result<Self, BindError> {
        let (tls, tls_health, agents_tls) = match settings.tls.clone() {
            None => (None, None, None),
            Some(files) => {
                let (certificate, renewal) = Certificate::load(files)?;
                let (acceptor, agents_tls) = (certificate.acceptor(b"http/1.1")?, certificate.acceptor(b"h2")?);
                (Some((acceptor, renewal)), Some(certificate.health()), Some(agents_tls))
            }
        };
        let (listener, address) = listen(settings.listen, "--listen").await?;
        tracing::info!(%address, tls = tls.is_some(), "listening");
        let probes = match settings.probe_listen {
            None => None,
            Some(address) => {
                let (listener, address) = listen(address, "--probe-listen").await?;
                tracing::info!(%address, "listening for probes");
                Some(Arc::new(listener))
            }
        };
        let allowed_hosts = settings.allowed_hosts.clone();
        let (listener, http_metrics) = (Arc::new(listener), Arc::new(HttpMetrics::new(routes::paths())));
        Ok(Self {
            address,
            is_tls: tls.is_some(),
            listener,
            probes,
            allowed_hosts,
            tls_health,
            tls,
            agents_tls,
            http_metrics,
        })
    }

    /// Serves while something else must come first. The daemon is alive, but not ready, and says only `awaited`. It answers the
    /// requests of that time before it returns.
    pub async fn serve_while<T>(&self, awaited: String, first: impl Future<Output = T>) -> T {
        let routes = Routes::awaiting(&awaited);
        let acceptor = self.tls.as_ref().map(|(acceptor, _)| acceptor.clone());
        let (done, over) = oneshot::channel::<()>();
        let first = async {
            let value = first.await;
            drop(done);
            value
        };
        let stop = async {
            // It fails when the sender is dropped. The sender does nothing else.
            let _ = over.await;
        };
        let (value, ()) = tokio::join!(first, self.serve_ports(routes, self.open_to_all(), acceptor, stop));
        value
    }

    /// Serves until `shutdown` completes, then ends running requests within a second. If there is a client of the API server,
    /// it asks the API server who may read. At each hangup it reads the certificate again.
    pub async fn serve(
        mut self,
        sources: Sources,
        authority: Option<ApiClient>,
        shutdown: impl Future<Output = ()>,
        hangups: Hangups,
    ) {
        let open_probes = self.probes.is_none();
        let access = match authority {
            None => self.open_to_all(),
            Some(client) => Access::Guarded { authorizer: Arc::new(Authorizer::new(client)), open_probes },
        };
        let routes = Routes::measuring(&sources, self.tls_health.clone(), self.http_metrics.clone());
        let (acceptor, renewal) = self.tls.take().unzip();
        let renewal = async {
            match renewal {
                Some(renewal) => renewal.run(hangups).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.serve_ports(routes, access, acceptor, shutdown) => {}
            () = renewal => {}
        }
    }

    fn open_to_all(&self) -> Access {
        Access::All { hosts: Hosts::of(self.address, &self.allowed_hosts) }
    }

    async fn serve_ports(
        &self,
        routes: Routes,
        access: Access,
        acceptor: Option<TlsAcceptor>,
        shutdown: impl Future<Output = ()>,
    ) {
        let (limits, http_metrics) = (ConnectionLimits::default(), &self.http_metrics);
        let port = |listener: &Arc<TcpListener>, acceptor, access| {
            let router = routes.clone().of_port(access, http_metrics.clone());
            Port::new(listener.clone(), acceptor, router, limits, http_metrics.clone())
        };
        let main = port(&self.listener, acceptor, access);
        let probes = self.probes.as_ref().map(|listener| port(listener, None, Access::Probes));
        let (ending, ended) = watch::channel(());
        let stopped = || {
            let mut ended = ended.clone();
            async move {
                // It fails when the sender is dropped. The sender does nothing else.
                let _ = ended.changed().await;
            }
        };
        let stop = async {
            shutdown.await;
            drop(ending);
        };
        tokio::join!(stop, main.serve(stopped()), OptionFuture::from(probes.map(|port| port.serve(stopped()))));
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
