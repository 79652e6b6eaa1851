//! Daemons, agents, a relay between them, and an API server that reviews tokens.

use super::super::*;
use crate::{
    dataplane::{
        AUDIENCE, Backend, Commit, Event, Frontend, Observation, Outbox, Protocol, Report, SetChange, Uplink,
        UplinkHealth, UplinkSettings, When,
    },
    model::Stamp,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rcgen::{CertifiedKey, KeyPair};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinHandle, JoinSet},
    time::Instant,
};
use tokio_rustls::rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// Enough time for anything here.
const SOON: Duration = Duration::from_secs(30);

/// The certificate of all daemons here.
pub(super) static CERTIFICATE: LazyLock<CertifiedKey<KeyPair>> = LazyLock::new(self_signed);

/// An API server: a token `ACCOUNT@NODE` is that of a pod of this account on this node, unless its audience is another.
#[derive(Clone)]
pub(super) struct Reviews {
    url: String,
    asked: Arc<AtomicUsize>,
    _server: Arc<Task>,
}

/// A daemon, only with its part for agents.
pub(super) struct Daemon {
    pub(super) address: SocketAddr,
    pub(super) agents: Arc<Agents>,
    pub(super) clock: Clock,
    _reviews: Reviews,
    _running: Task,
}

/// An agent that sends what it is given.
pub(super) struct Agent {
    pub(super) outbox: Arc<Outbox>,
    pub(super) health: Arc<UplinkHealth>,
    pub(super) folder: TempDir,
    _running: Task,
}

/// A connection to a daemon that can be cut.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<RelayState>>,
    _running: Task,
}

struct RelayState {
    /// The target, unless it is cut.
    towards: Option<SocketAddr>,
    last: SocketAddr,
    connections: Vec<AbortHandle>,
}

/// Aborted when dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A new certificate that no other daemon has.
pub(super) fn self_signed() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
}

impl Reviews {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    count.fetch_add(1, Relaxed);
                    async move {
                        let body = request.into_body().collect().await.expect("a body").to_bytes();
                        let review = review(serde_json::from_slice(&body).expect("JSON"));
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(review.to_string()))))
                    }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { url, asked, _server: Arc::new(Task(server)) }
    }

    /// How many tokens were reviewed.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }

    fn client(&self) -> ApiClient {
        ApiClient::new(kube::Config::new(self.url.parse().expect("an address"))).expect("a client")
    }
}

fn review(mut review: Value) -> Value {
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    let audiences = review["spec"]["audiences"].clone();
    assert_eq!(audiences, json!([AUDIENCE]));
    review["status"] = match token.split_once('@') {
        Some(("elsewhere", _)) => {
            json!({ "error": "token audiences [\"elsewhere\"] is invalid for the target audiences" })
        }
        Some((account, node)) => {
            let extra = match node {
                "" => json!({}),
                node => json!({ "authentication.kubernetes.io/node-name": [node] }),
            };
            let user = json!({ "username": format!("system:serviceaccount:monitoring:{account}"), "extra": extra });
            json!({ "authenticated": true, "audiences": audiences, "user": user })
        }
        None => json!({ "error": "invalid bearer token" }),
    };
    review
}

impl Daemon {
    pub(super) async fn start(reviews: Reviews) -> Self {
        let settings = CollectorSettings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            account: "monitoring/agent".parse().expect("two names"),
        };
        let port = AgentsPort::bind(settings).await.expect("free");
        let (address, clock) = (port.address, Clock::start());
        let collector = Collector::new(port, acceptor(), reviews.client(), clock);
        let agents = collector.agents();
        Self { address, agents, clock, _reviews: reviews, _running: Task(tokio::spawn(collector.run())) }
    }
}

fn acceptor() -> TlsAcceptor {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(CERTIFICATE.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![CERTIFICATE.cert.der().clone()], key)
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

impl Agent {
    /// An agent with the token of a pod of the right account on this node.
    pub(super) fn start(daemon: SocketAddr, outbox: Outbox, node: &str) -> Self {
        Self::with(daemon, outbox, node, &format!("agent@{node}"), &CERTIFICATE)
    }

    /// An agent that says it is on this node, shows this token, and trusts this certificate.
    pub(super) fn with(
        daemon: SocketAddr,
        outbox: Outbox,
        node: &str,
        token: &str,
        trusted: &CertifiedKey<KeyPair>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| -> PathBuf {
            let file = folder.path().join(name);
            fs::write(&file, text).expect("written");
            file
        };
        let (ca_file, token_file) = (file("ca.pem", &trusted.cert.pem()), file("token", token));
        let settings = UplinkSettings {
            daemon: format!("localhost:{}", daemon.port()).parse().expect("an address"),
            ca_file: Some(ca_file),
            token_file,
            node: node.to_owned(),
        };
        let outbox = Arc::new(outbox);
        let uplink = Uplink::new(settings, outbox.clone());
        let health = uplink.health();
        Self { outbox, health, folder, _running: Task(tokio::spawn(uplink.run())) }
    }
}

impl Agent {
    /// Waits until the agent is connected for the first time.
    pub(super) async fn connected(&self) {
        let started = Instant::now();
        while self.health.streams() == 0 {
            assert!(started.elapsed() < SOON, "not connected: {:?}", self.health.state());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Relay {
    pub(super) async fn start(towards: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
        let address = listener.local_addr().expect("bound");
        let state = RelayState { towards: Some(towards), last: towards, connections: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let relaying = state.clone();
        let running = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = relaying.lock();
                let Some(towards) = state.towards else { continue };
                let connection = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(towards).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                state.connections.push(connection.abort_handle());
            }
        });
        Self { address, state, _running: Task(running) }
    }

    /// Ends all connections, and accepts no more.
    pub(super) fn cut(&self) {
        let mut state = self.state.lock();
        state.towards = None;
        state.connections.drain(..).for_each(|connection| connection.abort());
    }

    pub(super) fn mend(&self) {
        let towards = self.state.lock().last;
        self.mend_towards(towards);
    }

    pub(super) fn mend_towards(&self, address: SocketAddr) {
        let mut state = self.state.lock();
        (state.towards, state.last) = (Some(address), address);
    }
}

/// A change with a number, in a commit at this time.
pub(super) fn change(number: u32, at: Stamp) -> Report {
    let address = Ipv4Addr::new(10, 96, 0, 10).into();
    let frontend = Frontend { address, protocol: Protocol::Tcp, port: 80 };
    let added = vec![Backend { address: Ipv4Addr::from(number).into(), port: 8080 }];
    let commit = Commit { first: at, end: at, messages: 3, generation: number };
    let change = SetChange { frontend, added, removed: Vec::new() };
    Report::Changed(Observation { change, when: When::Commit(commit) })
}

/// The number of a received change.
pub(super) fn number_of(told: &Told) -> Option<u32> {
    match &told.what {
        What::Event(Event::Changed(Observation { when: When::Commit(commit), .. })) => Some(commit.generation),
        _ => None,
    }
}

pub(super) async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
