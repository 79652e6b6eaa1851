//! The HTTP endpoint: what Prometheus, the kubelet and people ask.

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

/// What a user chose for the endpoint.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for probes, if not there.
    pub probe_listen: Option<SocketAddr>,
    /// TLS, but for probes.
    pub tls: Option<TlsFiles>,
    /// Who may ask.
    pub auth: Auth,
    /// Names by which it may be asked on the loopback interface, beside `localhost` and addresses.
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
    listener: Arc<TcpListener>,
    probes: Option<Arc<TcpListener>>,
    allowed_hosts: Vec<String>,
    tls_health: Option<Arc<TlsHealth>>,
    tls: Option<(TlsAcceptor, Renewal)>,
    /// Makes TLS of the connections of agents, with the same certificate.
    pub agents_tls: Option<TlsAcceptor>,
    http_metrics: Arc<HttpMetrics>,
}

// === impl Server ===

impl Server {
    /// Takes the ports and reads the certificate, so that what is wrong with them is known before anything else starts.
    ///
    /// # Errors
    /// If an address is taken or not this machine's, or the files are not to be served from.
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

    /// Serves while something else has to come first. It lives, and is not ready: `awaited` is all that it tells. What was
    /// asked meanwhile is answered before it returns.
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
            // It fails once the sender is gone, which is the only thing it does.
            let _ = over.await;
        };
        let (value, ()) = tokio::join!(first, self.serve_ports(routes, self.open_to_all(), acceptor, stop));
        value
    }

    /// Serves until `shutdown` completes, then ends the requests under way within a second. With a client of the API server,
    /// it asks that one who may read. At each hangup it reads the certificate anew.
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
                // It fails once the sender is gone, which is the only thing it does.
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
