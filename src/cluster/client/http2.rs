//! One HTTP/2 connection for all requests of one scope. What delays one of its streams delays all of them, and PINGs detect a
//! delay within a second.

use crate::{
    cluster::{
        health::LinkHealth,
        heartbeat::{self, Heartbeat},
    },
    model::Stamp,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use h2::{
    Ping, PingPong, Reason, RecvStream,
    client::{Connection, SendRequest},
};
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::{
    ops::RangeInclusive,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinHandle,
};

/// Pause between the answer to a PING and the next PING, which goes with a beat: with one scope, and with very many scopes.
const PING_EVERY: RangeInclusive<Duration> = heartbeat::PERIOD..=Duration::from_secs(1);

/// How long an answer may take, counted in steps. While this process does not run, only one of the steps passes.
const PING_STEP: Duration = Duration::from_millis(200);
const PING_STEPS: usize = 25;

/// Unread bytes that the streams of one resource may hold together, over all scopes. This process holds unread bytes in memory.
const WINDOWS: usize = 16 << 20;

/// Minimum and maximum of the window of one stream. A watch with less than this amount in transit never waits for its window. A
/// window of 4 MiB allows 80 MB/s at a round trip of 50 ms.
const WINDOW: RangeInclusive<usize> = 256 << 10..=4 << 20;

/// Number of streams whose windows fit into the window of the connection: three watches, and some other requests.
const STREAMS: u32 = 6;

/// Settings of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    /// Unread bytes that each stream may hold.
    window: u32,
    /// Pause between the answer to a PING and the next PING.
    ping_every: Duration,
}

/// Why a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server asked the client to leave: it shuts down, or balances its clients.
    Closed,
    /// The connection broke.
    Broken,
    /// The server answered no PING in time.
    Unanswered,
}

/// The loss of a connection. It is the same for all users of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The cause.
    pub cause: Loss,
    /// Up to this time, everything that was sent has arrived.
    pub through: Stamp,
}

/// Tells all users of a connection that it is lost.
#[derive(Clone)]
struct Teller {
    lost: watch::Sender<Option<Lost>>,
    health: Arc<LinkHealth>,
    heartbeat: Arc<Heartbeat>,
}

/// Sends requests.
#[derive(Clone)]
pub(super) struct Requests {
    sender: SendRequest<Bytes>,
    teller: Teller,
}

/// The body of an answer. Reading it allows the server to send more.
pub(super) struct Answer(RecvStream);

// === impl Keeping ===

impl Keeping {
    /// Settings for one of this number of connections, which share the limit for unread bytes and the rate of PINGs.
    pub(super) fn one_of(links: usize) -> Self {
        let links = links.max(1);
        let window = (WINDOWS / links).clamp(*WINDOW.start(), *WINDOW.end()) as u32;
        let ping_every = PING_EVERY.start().saturating_mul(links as u32).min(*PING_EVERY.end());
        Self { window, ping_every }
    }
}

// === impl Loss ===

impl Loss {
    /// How long a PING may remain unanswered.
    pub const TIMEOUT: Duration = Duration::from_millis(PING_STEP.as_millis() as u64 * PING_STEPS as u64);
}

/// Starts an HTTP/2 connection, and runs it in the background.
///
/// # Errors
/// If the peer does not start as HTTP/2 requires.
pub(super) async fn connect<T>(
    io: T,
    keeping: Keeping,
    health: Arc<LinkHealth>,
    heartbeat: Arc<Heartbeat>,
) -> Result<(Requests, watch::Receiver<Option<Lost>>), h2::Error>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, mut connection) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(keeping.window)
        .initial_connection_window_size(keeping.window.saturating_mul(STREAMS))
        .handshake(io)
        .await?;
    let (lost, losses) = watch::channel(None);
    let teller = Teller { lost, health, heartbeat };
    let pings = connection.ping_pong();
    let carrier = tokio::spawn(carry(connection, teller.clone()));
    let requests = Requests { sender, teller };
    if let Some(pings) = pings {
        tokio::spawn(ping(pings, keeping.ping_every, requests.clone(), carrier));
    }
    Ok((requests, losses))
}

async fn carry<T: AsyncRead + AsyncWrite + Unpin>(connection: Connection<T>, teller: Teller) {
    let ended = connection.await;
    if let Err(error) = &ended {
        tracing::debug!(%error, "the connection to the API server broke");
    }
    teller.tell(if ended.is_ok() { Loss::Closed } else { Loss::Broken });
}

/// Checks periodically whether the connection delivers, until it is lost.
async fn ping(mut pings: PingPong, every: Duration, requests: Requests, carrier: JoinHandle<()>) {
    let teller = &requests.teller;
    let Teller { health, heartbeat, .. } = teller;
    let clock = heartbeat.clock();
    loop {
        let sent = clock.now();
        health.ping_sent(sent);
        if !is_answered(&mut pings).await {
            // If the connection ended by itself, its task has already reported the cause.
            teller.tell(Loss::Unanswered);
            carrier.abort();
            return;
        }
        health.ping_answered(sent, clock.now());
        // After a GOAWAY the existing streams would go on for an unlimited time, while new ones use another connection.
        if requests.ready().await.is_err() {
            return;
        }
        if every > heartbeat::PERIOD {
            tokio::time::sleep(every - heartbeat::PERIOD).await;
        }
        heartbeat.next().await;
    }
}

/// Whether a PING is answered in time.
async fn is_answered(pings: &mut PingPong) -> bool {
    let mut answer = std::pin::pin!(pings.ping(Ping::opaque()));
    for _ in 0..PING_STEPS {
        if let Ok(answer) = tokio::time::timeout(PING_STEP, answer.as_mut()).await {
            return answer.is_ok();
        }
    }
    false
}

// === impl Teller ===

impl Teller {
    /// Only the first cause counts.
    fn tell(&self, cause: Loss) {
        let through = match cause {
            // Everything that had been sent arrived before the end.
            Loss::Closed => self.heartbeat.clock().now(),
            Loss::Broken | Loss::Unanswered => self.health.complete_through(),
        };
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            *lost = lost.or(Some(Lost { cause, through }));
            is_first
        });
    }
}

// === impl Requests ===

impl Requests {
    /// Waits until a request may be sent. After a GOAWAY it always fails, and then tells all users of the connection.
    async fn ready(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        self.sender.clone().ready().await.inspect_err(|_| self.teller.tell(Loss::Closed))
    }

    async fn send(&self, request: Request<()>) -> Result<Response<Answer>, h2::Error> {
        let (answer, _) = self.ready().await?.send_request(request, true)?;
        // Sent before the GOAWAY arrived, but too late for the server.
        let answer = answer.await.inspect_err(|error| {
            if error.is_go_away() && error.reason() == Some(Reason::NO_ERROR) {
                self.teller.tell(Loss::Closed);
            }
        });
        Ok(answer?.map(Answer))
    }
}

impl tower::Service<Request<kube::client::Body>> for Requests {
    type Response = Response<Answer>;
    type Error = h2::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Each call waits with its own clone, so that no call waits for another.
        Poll::Ready(Ok(()))
    }

    /// Sends a request. Its body must be empty, because a watch only reads.
    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let requests = self.clone();
        let (head, _) = request.into_parts();
        Box::pin(async move { requests.send(Request::from_parts(head, ())).await })
    }
}

// === impl Answer ===

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let data = ready!(self.0.poll_data(context));
        Poll::Ready(data.map(|data| {
            let data = data?;
            self.0.flow_control().release_capacity(data.len())?;
            Ok(Frame::data(data))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::clock::Clock;
    use http_body_util::BodyExt;
    use tokio::io::{DuplexStream, duplex};
    use tower::Service;

    /// Lets time pass as soon as nothing else happens.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn connected(io: DuplexStream, health: &Arc<LinkHealth>) -> (Requests, watch::Receiver<Option<Lost>>) {
        let heartbeat = Arc::new(Heartbeat::new(Clock::start()));
        let beating = heartbeat.clone();
        tokio::spawn(async move { beating.run().await });
        connect(io, Keeping::one_of(1), health.clone(), heartbeat).await.expect("HTTP/2")
    }

    async fn loss(losses: &mut watch::Receiver<Option<Lost>>) -> Loss {
        let loss = tokio::time::timeout(PATIENCE, losses.wait_for(Option::is_some)).await.expect("lost in time");
        loss.expect("carried").expect("is some").cause
    }

    fn request() -> Request<kube::client::Body> {
        Request::get("http://server/").body(kube::client::Body::empty()).expect("a request")
    }

    /// Answers each request with an endless body. Then asks the client to leave, if so configured.
    async fn serve(io: DuplexStream, leave: bool) {
        let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
        let mut bodies = Vec::new();
        while let Some(request) = connection.accept().await {
            let (_, mut respond) = request.expect("a request");
            let mut body = respond.send_response(Response::new(()), false).expect("open");
            body.send_data(Bytes::from_static(b"event"), false).expect("open");
            bodies.push(body);
            if leave {
                connection.graceful_shutdown();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_sends_goaway_is_left_though_its_streams_go_on() {
        let (client, server) = duplex(1 << 20);
        tokio::spawn(serve(server, true));
        let health = Arc::default();
        let (mut requests, mut losses) = connected(client, &health).await;
        let mut body = requests.call(request()).await.expect("an answer").into_body();
        assert_eq!(body.frame().await.expect("open").expect("whole").into_data().expect("data"), "event");
        assert_eq!(loss(&mut losses).await, Loss::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_after_the_goaway_finds_the_connection_closed() {
        let (client, server) = duplex(1 << 20);
        tokio::spawn(serve(server, true));
        let health = Arc::default();
        let (mut requests, losses) = connected(client, &health).await;
        // After the first PING, and before the second.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let _body = requests.call(request()).await.expect("an answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(*losses.borrow(), None);
        assert!(requests.call(request()).await.is_err(), "answered");
        assert_eq!(losses.borrow().expect("lost").cause, Loss::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_keeps_its_connection() {
        let (client, server) = duplex(1 << 20);
        tokio::spawn(serve(server, false));
        let health = Arc::default();
        let (mut requests, losses) = connected(client, &health).await;
        let _body = requests.call(request()).await.expect("an answer");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(*losses.borrow(), None);
        assert!(health.complete_through() > Stamp::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_carries_nothing_is_left_within_seconds() {
        let (client, server) = duplex(1 << 20);
        // Open, but never read again.
        let stuck = tokio::spawn(async move { h2::server::handshake(server).await });
        let health = Arc::default();
        let (mut requests, mut losses) = connected(client, &health).await;
        let _connection = stuck.await.expect("no panic").expect("HTTP/2");
        let began = tokio::time::Instant::now();
        let mut answer = requests.call(request());
        tokio::select! {
            biased;
            lost = loss(&mut losses) => assert_eq!(lost, Loss::Unanswered),
            _ = &mut answer => panic!("answered"),
        }
        let took = began.elapsed();
        assert!(took >= Loss::TIMEOUT && took < 2 * Loss::TIMEOUT, "{took:?}");
        assert!(answer.await.is_err(), "all that waits is told");
    }
}
