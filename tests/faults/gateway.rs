//! A plain HTTP gateway before the API server. It can make one resource slow, or block it. A TCP relay cannot do this,
//! because it does not know which connection has which watch.

use anyhow::{Context, Result, anyhow, ensure};
use futures::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::controlplane::credentials::{Token, kubeconfig};
use testkit::controlplane::plane::ControlPlane;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// A running gateway. It passes requests on with their credentials. Dropping it ends it.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    away: watch::Sender<bool>,
    acceptor: JoinHandle<()>,
}

/// The resource that is treated differently.
#[derive(Clone, Copy, Debug)]
pub struct Odd {
    /// Its plural name.
    pub resource: &'static str,
    /// How much later answers to its watches begin.
    pub begins_late_by: Duration,
    /// How much later their events come. Nothing is held back longer than that: the latency is higher, the bandwidth is not lower.
    pub late_by: Duration,
}

impl Gateway {
    /// Starts to listen, in front of the API server of `plane`.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(plane: &ControlPlane, odd: Odd) -> Result<Self> {
        let config = Kubeconfig::from_yaml(&kubeconfig(&plane.server(), &plane.authority(), Token::Inline("")))?;
        let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        config.auth_info = AuthInfo::default();
        let client = kube::Client::try_from(config).context("making the gateway's client")?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the gateway")?;
        let address = listener.local_addr()?;
        let (away, _) = watch::channel(false);
        let acceptor = tokio::spawn(accept(listener, client, odd, away.subscribe()));
        Ok(Self { address, away, acceptor })
    }

    /// Breaks off all answers about the odd resource and gives none, or answers again.
    pub fn keep_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    /// Its address, to be used as that of the API server.
    pub fn server(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, client: kube::Client, odd: Odd, away: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Events of a watch are small, and each must be sent on at once.
        let _ = stream.set_nodelay(true);
        let (client, away) = (client.clone(), away.clone());
        let service = service_fn(move |request| pass_on(client.clone(), request, odd, away.clone()));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers a request. If this fails, the connection ends.
async fn pass_on(
    client: kube::Client,
    request: Request<Incoming>,
    odd: Odd,
    away: watch::Receiver<bool>,
) -> Result<Response<Answer>> {
    let is_odd = request.uri().path().ends_with(odd.resource);
    ensure!(!is_odd || !*away.borrow(), "kept away");
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
    // The daemon only reads: none of its requests has a body.
    let answer = client.send(request.map(|_| Body::empty())).await?;
    if !(is_odd && is_watch) {
        return Ok(answer.map(|body| StreamBody::new(body.into_data_stream().map(as_frame).boxed())));
    }
    tokio::time::sleep(odd.begins_late_by).await;
    Ok(answer.map(|body| StreamBody::new(late(body, odd.late_by, away).boxed())))
}

type Answer = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>>>>;

fn as_frame(data: kube::Result<Bytes>) -> Result<Frame<Bytes>> {
    Ok(Frame::data(data?))
}

/// The chunks of a body, each `by` after it came, until `away` says to block them. They are read in the meantime, so that none
/// waits for the previous one.
fn late(body: Body, by: Duration, away: watch::Receiver<bool>) -> impl Stream<Item = Result<Frame<Bytes>>> {
    let (chunks, on_their_way) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut body = body.into_data_stream();
        while let Some(chunk) = body.next().await {
            if chunks.send((Instant::now() + by, chunk)).is_err() {
                return;
            }
        }
    });
    stream::unfold((on_their_way, away), async move |(mut on_their_way, mut away)| {
        let next = async {
            let (due, chunk) = on_their_way.recv().await?;
            sleep_until(due).await;
            Some(as_frame(chunk))
        };
        let frame = tokio::select! {
            frame = next => frame?,
            _ = away.wait_for(|away| *away) => Err(anyhow!("kept away")),
        };
        Some((frame, (on_their_way, away)))
    })
}
