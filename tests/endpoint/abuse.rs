//! Hostile clients, all at once, together with normal ones.

use super::demo::{Demo, SOON, changes};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use testkit::client::{Answer, Client};
use testkit::daemon::metrics::Metrics;
use testkit::workspace::Workspace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Scrapes at the same time.
const SCRAPES: usize = 200;

/// How often each is tried.
const TRIES: usize = 5;

/// How many times that many scrapes are made, and the pause between. In the simulated cluster something changes about every two seconds.
const ROUNDS: u32 = 6;
const PAUSE: Duration = Duration::from_secs(2);

/// How much later than that it may have counted them, on a busy machine.
const LATE: Duration = Duration::from_secs(15);

/// How much more memory than before it may use: each connection's buffers, and answers in progress.
const GROWTH: u64 = 64 << 20;

/// The longest time that a probe may take with all these clients, on a machine that also makes the scrapes. The kubelet
/// waits for a configurable time, by default one second.
const PROBE: Duration = Duration::from_secs(5);

/// Connects, sends something, and stays until the server ends the connection.
async fn stay(address: String, sent: Vec<u8>) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let _ = stream.write_all(&sent).await;
    let mut sink = Vec::new();
    let _ = stream.read_to_end(&mut sink).await;
}

/// Sends something until it gets an answer: a busy daemon may drop the connection to make room before it has read the request.
async fn insist(address: String, sent: Vec<u8>) {
    loop {
        let Ok(mut stream) = TcpStream::connect(&address).await else { return };
        let _ = stream.write_all(&sent).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        if !answer.is_empty() {
            return;
        }
    }
}

/// Requests a lot and reads a byte a second, into a very small buffer.
async fn read_slowly(address: String) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect(address.parse()?).await?;
    let (mut reader, mut writer) = stream.into_split();
    let asking = async {
        // It ends when the daemon drops the connection.
        while writer.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.is_ok() {}
    };
    let reading = async {
        while reader.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::join!(asking, reading);
    Ok(())
}

/// Starts 200 clients that send only half of a request, and some of each other kind.
fn abuse(address: &str) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let huge = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(1 << 20)).into_bytes();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500)).into_bytes();
    let body = b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\nhello".to_vec();
    let garbage: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    for number in 0..SCRAPES {
        clients.spawn(stay(address.to_owned(), b"GET /met"[..number % 9].to_vec()));
    }
    for _ in 0..20 {
        for sent in [&huge, &many, &garbage] {
            clients.spawn(stay(address.to_owned(), sent.clone()));
        }
        clients.spawn(insist(address.to_owned(), body.clone()));
    }
    for _ in 0..10 {
        let address = address.to_owned();
        clients.spawn(async move {
            let _ = read_slowly(address).await;
        });
    }
    clients
}

/// Probes until it is dropped. Returns the longest time of a probe.
async fn probe(client: Client, until: Instant) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    while Instant::now() < until {
        let started = Instant::now();
        let answer = client.get("/healthz").await.context("a probe")?;
        ensure!(answer.status == 200, "a probe is answered {} {}", answer.status, answer.body);
        longest = longest.max(started.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(longest)
}

/// Scrapes, and again if there is no answer: a busy daemon may drop the connection to make room before it has read the request.
async fn scrape(client: &Client) -> Result<Answer> {
    for _ in 1..TRIES {
        if let Ok(answer) = client.get("/metrics").await {
            return Ok(answer);
        }
    }
    client.get("/metrics").await
}

/// All at once. Returns the answer of each.
async fn scrape_all(client: &Client) -> Result<Vec<String>> {
    let scrapes = (0..SCRAPES).map(|_| scrape(client));
    let answers = futures::future::try_join_all(scrapes).await.context("a scrape")?;
    answers
        .into_iter()
        .map(|answer| {
            ensure!(answer.status == 200, "a scrape is answered {} {}", answer.status, answer.body);
            Ok(answer.body)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measuring_goes_on_whatever_clients_do() -> Result<()> {
    let workspace = Workspace::create("abuse")?;
    let demo = Demo::start(&workspace, &[]).await?;
    let client = Client::plain(&demo.address);
    let started = Instant::now();
    let mut counted = 0.0;
    while counted == 0.0 {
        ensure!(started.elapsed() < SOON, "the demo counts nothing");
        tokio::time::sleep(Duration::from_millis(200)).await;
        counted = changes(&client.get("/metrics").await?.body)?;
    }
    // The first simultaneous scrapes grow the buffers that are kept for the next ones.
    scrape_all(&client).await?;
    let before = demo.memory()?;

    let clients = abuse(&demo.address);
    let probes = tokio::spawn(probe(client.clone(), Instant::now() + Duration::from_secs(20)));
    let mut most = before;
    for round in 0..ROUNDS {
        scrape_all(&client).await.with_context(|| format!("round {round}"))?;
        most = most.max(demo.memory()?);
        tokio::time::sleep(PAUSE).await;
    }
    let started = Instant::now();
    loop {
        let now = changes(&scrape(&client).await?.body)?;
        if now >= counted + 5.0 {
            break;
        }
        ensure!(started.elapsed() < LATE, "measuring stood still: {counted} changes, then {now}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let longest = probes.await??;
    assert!(longest < PROBE, "a probe took {longest:?}");

    let started = Instant::now();
    loop {
        let metrics = Metrics::parse(&scrape(&client).await?.body)?;
        let drops = ["slow_reader", "made_room", "malformed_request", "large_request"];
        let dropped = drops.map(|reason| (reason, dropped(&metrics, reason)));
        let refused = metrics.sum("endpointlag_http_requests_total", &[("path", "/metrics"), ("code", "413")]);
        if dropped.iter().all(|(_, count)| *count > 0.0) && refused >= 20.0 {
            break;
        }
        ensure!(started.elapsed() < SOON, "counted of dropped connections: {dropped:?}, of large bodies: {refused}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    most = most.max(demo.memory()?);
    eprintln!("memory {} MiB, then at most {} MiB; a probe took at most {longest:?}", before >> 20, most >> 20);
    assert!(most < before + GROWTH, "from {before} to {most} bytes");
    drop(clients);
    Ok(())
}

fn dropped(metrics: &Metrics, reason: &str) -> f64 {
    metrics.sum("endpointlag_http_connections_dropped_total", &[("reason", reason)])
}
