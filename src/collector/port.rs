//! The port for the agents: TLS, HTTP/2 and gRPC, with limits.

use super::{
    agents::Agents,
    identity::Identity,
    refusal::Refusal,
    session::{OUTBOUND, Session},
    visit::Visit,
};
use crate::dataplane::messages::{AgentMessage, DaemonMessage, MAX_MESSAGE, PATH};
use futures::channel::mpsc::{self, Receiver};
use http::{HeaderMap, Request, Response, header};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tonic::{
    Status, Streaming,
    body::Body,
    server::{Grpc, StreamingService},
};
use tonic_prost::ProstCodec;

/// Maximum number of connections whose agents have not been let in yet.
const PLACES: usize = 256;

/// How long a TLS handshake may take, and then everything up to the first event.
const HANDSHAKE: Duration = Duration::from_secs(10);
const GREETING: Duration = Duration::from_secs(30);

/// How long sending the last message may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes that an agent may send before they are read. It has only one batch in flight at a time.
const WINDOW: u32 = 64 << 10;

/// The maximum head of a request. A token is 1 or 2 KB.
const HEAD: u32 = 16 << 10;

/// A port for agents, with everything that its connections need.
pub(super) struct Port {
    pub(super) listener: TcpListener,
    pub(super) tls: TlsAcceptor,
    pub(super) agents: Arc<Agents>,
    pub(super) identity: Arc<Identity>,
}

/// One connection.
#[derive(Clone)]
struct Caller {
    agents: Arc<Agents>,
    identity: Arc<Identity>,
    peer: SocketAddr,
    visit: Arc<Visit>,
}

/// The method that agents call.
struct Follow {
    caller: Caller,
    node: Arc<str>,
}

// === impl Port ===

impl Port {
    /// Serves until it is dropped.
    pub(super) async fn serve(self) {
        let places = Arc::new(Semaphore::new(PLACES));
        // The connections end with this.
        let mut connections = JoinSet::new();
        loop {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let accepted = loop {
                tokio::select! {
                    accepted = self.listener.accept() => break accepted,
                    Some(_) = connections.join_next() => {}
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (agents, identity) = (self.agents.clone(), self.identity.clone());
                    let caller = Caller { agents, identity, peer, visit: Visit::new(place) };
                    connections.spawn(caller.converse(stream, self.tls.clone()));
                }
                Err(error) => {
                    // Usually there are no file descriptors left. They become free when connections end.
                    tracing::warn!(%error, "cannot accept a connection of an agent");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

// === impl Caller ===

impl Caller {
    async fn converse(self, stream: TcpStream, tls: TlsAcceptor) {
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            // Load balancers connect and disconnect without sending anything, to check the port.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return,
            Ok(Err(error)) => return self.refuse(&Refusal::Tls(error.to_string())),
            Err(_) => return self.refuse(&Refusal::Tls(format!("no handshake within {} s", HANDSHAKE.as_secs()))),
        };
        let answer = service_fn(|request| {
            let caller = self.clone();
            async move { Ok::<_, Infallible>(caller.answer(request).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(1)
            .max_header_list_size(HEAD)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .serve_connection(TokioIo::new(stream), answer);
        let mut connection = pin!(connection);
        let too_late = async {
            if tokio::time::timeout(GREETING, self.visit.entered()).await.is_ok() {
                self.visit.ended().await;
            } else {
                self.refuse(&Refusal::Silent);
            }
        };
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, peer = %self.peer, "a connection of an agent ended in disorder");
                }
                return;
            }
            () = too_late => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(FAREWELL, connection).await;
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        match self.identify(&request).await {
            Ok(node) => {
                let codec = ProstCodec::<DaemonMessage, AgentMessage>::default();
                let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE);
                grpc.streaming(Follow { caller: self, node }, request).await
            }
            Err(refusal) => {
                self.refuse(&refusal);
                self.visit.end();
                refusal.status().into_http()
            }
        }
    }

    async fn identify(&self, request: &Request<Incoming>) -> Result<Arc<str>, Refusal> {
        if request.uri().path() != PATH {
            return Err(Refusal::NoAgent);
        }
        self.identity.node(bearer(request.headers()).ok_or(Refusal::NoToken)?).await
    }

    fn refuse(&self, refusal: &Refusal) {
        self.agents.refuse(refusal, &self.peer.to_string());
    }
}

// === impl Follow ===

impl StreamingService<AgentMessage> for Follow {
    type Response = DaemonMessage;
    type ResponseStream = Receiver<Result<DaemonMessage, Status>>;
    type Future = std::future::Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<AgentMessage>>) -> Self::Future {
        let (outbound, answers) = mpsc::channel(OUTBOUND);
        let Caller { agents, visit, .. } = self.caller.clone();
        let (node, inbound) = (self.node.clone(), request.into_inner());
        let session = Session { agents, node, inbound, outbound, visit, probe: None, probes: 0 };
        // It ends with the connection, because nothing more comes then.
        tokio::spawn(session.run());
        std::future::ready(Ok(tonic::Response::new(answers)))
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    (!token.is_empty()).then_some(token)
}
