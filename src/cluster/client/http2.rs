//! One HTTP/2 connection for all that one scope asks: what holds one of its streams up holds up all of them, and PINGs say in a second
//! whether it holds any up.

use crate::{
    cluster::{clock::Clock, health::LinkHealth},
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

/// Between the answer to one PING and the next on the connection of the only scope, and on that of one of very many.
const PING_EVERY: RangeInclusive<Duration> = Duration::from_millis(25)..=Duration::from_secs(1);

/// How long an answer may take, counted in steps: while this process does not run, only one of them passes.
const PING_STEP: Duration = Duration::from_millis(200);
const PING_STEPS: usize = 25;

/// Bytes that may lie unread in all streams of their kind together, for each of a scope's three. What nobody has read yet is held by
/// this process.
const WINDOWS: usize = 16 << 20;

/// What the window of one stream is in any case, and at most. A watch never waits for its window with less than this on its way; a
/// window of 4 MiB lets 80 MB/s come from 50 ms away.
const WINDOW: RangeInclusive<usize> = 256 << 10..=4 << 20;

/// Streams whose windows fit into the one of the connection: three watches, and some requests beside them.
const STREAMS: u32 = 6;

/// How a connection is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    /// Bytes that each stream may hold and nobody has read.
    window: u32,
    /// Between the answer to one PING and the next.
    ping_every: Duration,
}

/// Why a connection is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server asked for it: it is going away, or spreads its clients.
    Closed,
    /// The connection broke.
    Broken,
    /// It answered no PING in time.
    Unanswered,
}

/// That a connection is to be left: the same for all that use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub cause: Loss,
    /// Up to when all that was sent has come.
    pub through: Stamp,
}

/// Tells all that use a connection that it is to be left.
#[derive(Clone)]
struct Teller {
    lost: watch::Sender<Option<Lost>>,
    health: Arc<LinkHealth>,
    clock: Clock,
}

/// Sends requests.
#[derive(Clone)]
pub(super) struct Requests {
    sender: SendRequest<Bytes>,
    teller: Teller,
}

/// The body of an answer, which gives the server leave to send more as it is read.
pub(super) struct Answer(RecvStream);

// === impl Keeping ===

impl Keeping {
    /// One of so many connections, whose windows and PINGs are shared out.
    pub(super) fn one_of(links: usize) -> Self {
        let links = links.max(1);
        let window = (WINDOWS / links).clamp(*WINDOW.start(), *WINDOW.end()) as u32;
        let ping_every = PING_EVERY.start().saturating_mul(links as u32).min(*PING_EVERY.end());
        Self { window, ping_every }
    }
}

// === impl Loss ===

impl Loss {
    /// How long a PING may stay without an answer.
    pub const TIMEOUT: Duration = Duration::from_millis(PING_STEP.as_millis() as u64 * PING_STEPS as u64);
}

/// Takes up an HTTP/2 connection, and keeps it up in the background.
///
/// # Errors
/// If the peer does not begin as HTTP/2 does.
pub(super) async fn connect<T>(
    io: T,
    keeping: Keeping,
    health: Arc<LinkHealth>,
    clock: Clock,
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
    let teller = Teller { lost, health, clock };
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

/// Looks again and again whether the connection carries what is sent, until it is lost.
async fn ping(mut pings: PingPong, every: Duration, requests: Requests, carrier: JoinHandle<()>) {
    let teller = &requests.teller;
    let Teller { health, clock, .. } = teller;
    loop {
        let sent = clock.now();
        health.ping_sent(sent);
        if !is_answered(&mut pings).await {
            // What ended by itself has said why.
            teller.tell(Loss::Unanswered);
            carrier.abort();
            return;
        }
        health.ping_answered(sent, clock.now());
        // Streams that are there would go on after a GOAWAY, each for as long as it likes, while new ones go elsewhere.
        if requests.ready().await.is_err() {
            return;
        }
        tokio::time::sleep(every).await;
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
    /// The first cause is the one that holds.
    fn tell(&self, cause: Loss) {
        let through = match cause {
            // What had been sent came before the end.
            Loss::Closed => self.clock.now(),
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
    /// Waits until one may be sent. Fails for ever after a GOAWAY, and then tells all that use the connection.
    async fn ready(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        self.sender.clone().ready().await.inspect_err(|_| self.teller.tell(Loss::Closed))
    }

    async fn send(&self, request: Request<()>) -> Result<Response<Answer>, h2::Error> {
        let (answer, _) = self.ready().await?.send_request(request, true)?;
        // Sent before the GOAWAY came, and too late for the server.
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
        // Each call waits for itself, so that none waits for another.
        Poll::Ready(Ok(()))
    }

    /// Sends a request, whose body has to be empty: a watch only reads.
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
    use http_body_util::BodyExt;
    use tokio::io::{DuplexStream, duplex};
    use tower::Service;

    /// Time that passes as soon as nothing else happens.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn connected(io: DuplexStream, health: &Arc<LinkHealth>) -> (Requests, watch::Receiver<Option<Lost>>) {
        connect(io, Keeping::one_of(1), health.clone(), Clock::start()).await.expect("HTTP/2")
    }

    async fn loss(losses: &mut watch::Receiver<Option<Lost>>) -> Loss {
        let loss = tokio::time::timeout(PATIENCE, losses.wait_for(Option::is_some)).await.expect("lost in time");
        loss.expect("carried").expect("is some").cause
    }

    fn request() -> Request<kube::client::Body> {
        Request::get("http://server/").body(kube::client::Body::empty()).expect("a request")
    }

    /// Answers each request with a body that goes on for ever, and then asks the client to leave if it is to.
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
        // After the first PING, and before the next.
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
        // Open, and never looked at again.
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
