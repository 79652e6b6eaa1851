//! A connection to the daemon, from the host name to the stream.

use super::{UplinkError, UplinkSettings};
use crate::dataplane::messages::{AgentMessage, DaemonMessage, MAX_MESSAGE, PATH};
use futures::{
    channel::mpsc::{self, Sender},
    future::BoxFuture,
};
use http::{
    Request, Response, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{self, CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject},
    },
};
use tonic::{Streaming, body::Body, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

/// How long connecting may take, including TLS; and how long until the daemon has had the token reviewed.
const CONNECT: Duration = Duration::from_secs(10);
const ADMISSION: Duration = Duration::from_secs(30);

/// Messages that may wait to be sent. There are never more than a batch and a reply.
const OUTBOUND: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The token or the certificates cannot be read.
    #[error("cannot read {}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The contents of the token file cannot be a token.
    #[error("{} holds no token", .0.display())]
    NoToken(PathBuf),
    /// The file of the authorities cannot be used.
    #[error("{} holds no certificates in PEM", file.display())]
    NoCertificates {
        /// Which file.
        file: PathBuf,
        /// Why not, unless it is simply empty.
        source: Option<pki_types::pem::Error>,
    },
    /// The system has no authorities.
    #[error("the system trusts no authority; name the one of the daemon's certificate with --daemon-ca-file")]
    NoAuthorities,
    /// The daemon's host name cannot be in a certificate.
    #[error("{0} is no name that a certificate could be for")]
    Name(String, #[source] InvalidDnsNameError),
    /// The daemon's host does not answer.
    #[error("cannot connect to {0}")]
    Unreachable(Authority, #[source] io::Error),
    /// The daemon's certificate is not trusted, or it does not use TLS.
    #[error("no TLS connection to {0}")]
    Tls(Authority, #[source] io::Error),
    /// The cryptography library lacks something that TLS needs.
    #[error("TLS cannot be used")]
    Cryptography(#[from] rustls::Error),
    /// It takes too long.
    #[error("no connection to {0} within 10 s")]
    Slow(Authority),
    /// It is not the port for agents.
    #[error("{0} speaks no HTTP/2: the port of --agents-listen is meant")]
    NoHttp2(Authority),
    /// It violates HTTP/2.
    #[error("no HTTP/2 connection to {0}")]
    Http2(Authority, #[source] hyper::Error),
}

/// Sends requests on one connection.
struct Http2(SendRequest<Body>);

/// Both directions of a stream.
type Ways = (Sender<AgentMessage>, Streaming<DaemonMessage>);

/// Connects, shows the token, and opens the stream.
pub(super) async fn open(settings: &UplinkSettings) -> Result<Ways, UplinkError> {
    let daemon = &settings.daemon;
    let token = token(&settings.token_file)?;
    let connecting = tokio::time::timeout(CONNECT, connect(daemon, settings.ca_file.as_deref()));
    let requests = connecting.await.map_err(|_| ConnectError::Slow(daemon.clone()))??;

    let (outbound, messages) = mpsc::channel(OUTBOUND);
    let mut request = tonic::Request::new(messages);
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| ConnectError::NoToken(settings.token_file.clone()))?;
    value.set_sensitive(true);
    request.metadata_mut().insert("authorization", value);
    let mut origin = Uri::default().into_parts();
    origin.scheme = Some(Scheme::HTTPS);
    origin.authority = Some(daemon.clone());
    origin.path_and_query = Some(PathAndQuery::from_static("/"));
    // It has all required parts.
    let origin = Uri::from_parts(origin).unwrap_or_default();
    let codec = ProstCodec::<AgentMessage, DaemonMessage>::default();
    let mut grpc = Grpc::with_origin(requests, origin).max_decoding_message_size(MAX_MESSAGE);
    let opening = grpc.streaming(request, PathAndQuery::from_static(PATH), codec);
    let opened = tokio::time::timeout(ADMISSION, opening).await.map_err(|_| UplinkError::Silent)?;
    Ok((outbound, opened?.into_inner()))
}

async fn connect(daemon: &Authority, ca_file: Option<&Path>) -> Result<Http2, ConnectError> {
    let stream = secure(daemon, ca_file).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::NoHttp2(daemon.clone()));
    }
    let handshake = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
    let (requests, connection) = handshake.await.map_err(|error| ConnectError::Http2(daemon.clone(), error))?;
    // It ends when nothing is left to send or to receive.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the daemon ended in disorder");
        }
    });
    Ok(Http2(requests))
}

async fn secure(daemon: &Authority, ca_file: Option<&Path>) -> Result<TlsStream<TcpStream>, ConnectError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(ca_file)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let host = daemon.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|error| ConnectError::Name(host.clone(), error))?;
    let port = daemon.port_u16().unwrap_or(443);
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.map_err(|error| ConnectError::Unreachable(daemon.clone(), error))?;
    let _ = stream.set_nodelay(true);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting.await.map_err(|error| ConnectError::Tls(daemon.clone(), error))
}

/// Read again for each connection: the authority may have been replaced.
fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(ConnectError::NoAuthorities) } else { Ok(roots) };
    };
    let pem = fs::read(file).map_err(|source| ConnectError::File { file: file.into(), source })?;
    let bad = |source| ConnectError::NoCertificates { file: file.into(), source };
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    roots.add_parsable_certificates(certificates.map_err(|error| bad(Some(error)))?);
    if roots.is_empty() { Err(bad(None)) } else { Ok(roots) }
}

/// Read again for each connection: the kubelet replaces it well before it expires.
fn token(file: &Path) -> Result<String, ConnectError> {
    let text = fs::read_to_string(file).map_err(|source| ConnectError::File { file: file.into(), source })?;
    match text.trim() {
        "" => Err(ConnectError::NoToken(file.into())),
        token => Ok(token.to_owned()),
    }
}

// === impl Http2 ===

impl tower::Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
