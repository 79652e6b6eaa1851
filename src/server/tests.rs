use super::{http_metrics::Dropped, write_timeout::WriteTimeout, *};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

/// Much longer than any step of these tests.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Much shorter than [`TIMEOUT`] and than the tested limits.
const SHORT: Duration = Duration::from_secs(1);

/// A port with nothing to measure. So it is ready.
struct Served {
    address: SocketAddr,
    http_metrics: Arc<HttpMetrics>,
    stop: Option<oneshot::Sender<()>>,
    port: JoinHandle<()>,
}

impl Served {
    async fn start(access: Access, limits: ConnectionLimits, tls: Option<TlsAcceptor>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (listener, address) = listen("127.0.0.1:0".parse().expect("an address"), "--listen").await.expect("free");
        let http_metrics = Arc::new(HttpMetrics::new(routes::paths()));
        let router =
            Routes::measuring(&Sources::ended(), None, http_metrics.clone()).of_port(access, http_metrics.clone());
        let port = Port::new(Arc::new(listener), tls, router, limits, http_metrics.clone());
        let port = tokio::spawn(port.serve(async {
            let _ = stopped.await;
        }));
        Self { address, http_metrics, stop: Some(stop), port }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// What the port sends until it closes the connection.
    async fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.expect("taken");
        rest(&mut stream).await
    }

    fn dropped(&self, reason: Dropped) -> u64 {
        self.http_metrics.counts().dropped[reason as usize].1
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer also ends it.
    let read = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer));
    let _ = read.await.expect("the port ends the connection");
    String::from_utf8(answer).expect("text")
}

async fn head(stream: &mut TcpStream) -> String {
    let mut answer = [0; 1024];
    let length = tokio::time::timeout(TIMEOUT, stream.read(&mut answer)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

const PROBE: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn half_a_request_is_not_waited_for_and_an_idle_connection_is_no_fault() {
    let served = Served::start(
        Access::All { hosts: None },
        ConnectionLimits { head: SHORT, ..ConnectionLimits::default() },
        None,
    )
    .await;
    let [mut silent, mut half, mut idle] = [served.connect().await, served.connect().await, served.connect().await];
    half.write_all(b"GET /met").await.expect("taken");
    idle.write_all(PROBE).await.expect("taken");
    assert!(head(&mut idle).await.starts_with("HTTP/1.1 200"));
    for stream in [&mut silent, &mut half, &mut idle] {
        assert_eq!(rest(stream).await, "");
    }
    assert_eq!(served.dropped(Dropped::SlowRequest), 2, "silent and half");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_counted() {
    let served = Served::start(Access::All { hosts: None }, ConnectionLimits::default(), None).await;
    let garbage = served.ask(b"\x16\x03\x01 what is this\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    assert_eq!(served.dropped(Dropped::MalformedRequest), 1);
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(32 << 10));
    let huge = served.ask(huge.as_bytes()).await;
    assert!(huge.starts_with("HTTP/1.1 431") || huge.is_empty(), "{huge}");
    assert_eq!(served.dropped(Dropped::LargeRequest), 1);
    for body in ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let body = served.ask(format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{body}").as_bytes()).await;
        assert!(body.starts_with("HTTP/1.1 413"), "{body}");
    }
    let counts = served.http_metrics.counts().requests;
    assert!(counts.contains(&("/healthz".to_owned(), 413, 2)), "{counts:?}");
}

#[tokio::test]
async fn a_new_connection_gets_in_whoever_is_connected() {
    let served = Served::start(
        Access::All { hosts: None },
        ConnectionLimits { connections: 4, ..ConnectionLimits::default() },
        None,
    )
    .await;
    let mut half_open = Vec::new();
    for _ in 0..20 {
        half_open.push(served.connect().await);
        let mut probe = served.connect().await;
        probe.write_all(PROBE).await.expect("taken");
        assert!(head(&mut probe).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(rest(&mut half_open[0]).await, "", "the first made room");
    assert!(served.dropped(Dropped::MadeRoom) > 10);
}

#[tokio::test]
async fn a_port_for_probes_has_nothing_else() {
    let served = Served::start(Access::Probes, ConnectionLimits::default(), None).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/", 404), ("/healthz/", 404)] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = served.ask(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let counts = served.http_metrics.counts().requests;
    assert!(
        counts.contains(&("other".to_owned(), 404, 1)) && counts.contains(&("/metrics".to_owned(), 404, 1)),
        "{counts:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    let acceptor = Certificate::load(files).expect("a pair").0.acceptor(b"http/1.1").expect("TLS");
    let served = Served::start(
        Access::All { hosts: None },
        ConnectionLimits { handshake: SHORT, ..ConnectionLimits::default() },
        Some(acceptor),
    )
    .await;
    assert_eq!(rest(&mut served.connect().await).await, "");
    assert_eq!(served.dropped(Dropped::TlsHandshake), 1, "silence");
    let alert = {
        let mut stream = served.connect().await;
        stream.write_all(PROBE).await.expect("taken");
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.expect("it ends");
        answer
    };
    assert!(!alert.starts_with(b"HTTP"), "plain HTTP is not answered");
    assert_eq!(served.dropped(Dropped::TlsHandshake), 2, "plain HTTP");
    served.connect().await.shutdown().await.expect("closed");
    served.connect().await.shutdown().await.expect("closed");
    assert_eq!(rest(&mut served.connect().await).await, "");
    assert_eq!(served.dropped(Dropped::TlsHandshake), 3, "who leaves at once is not dropped");
}

/// A reader that stops loses its connection, and affects nothing else.
#[tokio::test]
async fn who_does_not_read_is_dropped() {
    let write_timeout = WriteTimeout { stall: SHORT, answer: TIMEOUT };
    let served = Served::start(
        Access::All { hosts: None },
        ConnectionLimits { write_timeout, ..ConnectionLimits::default() },
        None,
    )
    .await;
    let mut stream = served.connect().await;
    // Sends requests without end and reads no answer, so at some point the kernel's buffers are full.
    let asking = async { while stream.write_all(PROBE).await.is_ok() {} };
    tokio::time::timeout(TIMEOUT, asking).await.expect("the port ends the connection");
    assert_eq!(served.dropped(Dropped::SlowReader), 1);
}

#[tokio::test]
async fn it_ends_in_time_with_connections_open() {
    let limits = ConnectionLimits { drain: SHORT, ..ConnectionLimits::default() };
    let mut served = Served::start(Access::All { hosts: None }, limits, None).await;
    let mut half = served.connect().await;
    half.write_all(b"GET /met").await.expect("taken");
    drop(served.stop.take());
    tokio::time::timeout(TIMEOUT, served.port).await.expect("in time").expect("no panic");
}
