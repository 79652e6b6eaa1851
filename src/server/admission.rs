//! What admits requests to the routes of a port: who may ask, for what, and how many answers there are at a time.

use super::{
    authorization::{Authorizer, Refusal},
    hosts::Hosts,
};
use crate::logging::on_one_line;
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Answers that are made at a time; one may be a scrape of a large cluster.
const MAKING: usize = 2;

/// Bytes of answers that are being sent; further answers wait. With [`MAKING`], it bounds what answers cost in memory, however
/// many ask and however slowly they read.
const SENDING: usize = 64 << 20;

/// What the bytes are counted in.
const UNIT: usize = 1 << 10;

/// An answer of this size or less is not counted: the kernel takes it at once.
const SMALL: usize = 16 << 10;

/// What a port lets through.
pub(super) enum Access {
    /// Everything, for everybody.
    All {
        /// By these names alone, where not everybody is meant.
        hosts: Option<Hosts>,
    },
    /// What the API server allows.
    Guarded {
        /// Who decides.
        authorizer: Arc<Authorizer>,
        /// Whether probes are for everybody: they are, unless they have a port of their own.
        open_probes: bool,
    },
    /// Probes, for everybody.
    Probes,
}

/// Bounds on answers.
struct Bounds {
    making: Semaphore,
    /// A permit for each [`UNIT`].
    sending: Arc<Semaphore>,
}

/// An answer that counts among those that are being sent.
struct Counted {
    body: Body,
    share: Arc<OwnedSemaphorePermit>,
}

/// Bytes of it.
struct CountedBytes {
    bytes: Bytes,
    _share: Arc<OwnedSemaphorePermit>,
}

/// Bounds how many answers of these routes are made at a time, and how many bytes of them are sent.
pub(super) fn in_turn(router: Router) -> Router {
    let bounds = Bounds { making: Semaphore::new(MAKING), sending: Arc::new(Semaphore::new(SENDING / UNIT)) };
    let pass = async |State(bounds): State<Arc<Bounds>>, request: Request, next: Next| {
        // Neither is ever closed. A large answer that has to wait keeps others from being made.
        let _turn = bounds.making.acquire().await;
        Counted::until_sent(next.run(request).await, &bounds.sending).await
    };
    router.layer(from_fn_with_state(Arc::new(bounds), pass))
}

/// Answers only who asks by one of these names.
pub(super) fn by_name(router: Router, hosts: Hosts) -> Router {
    let pass = async |State(hosts): State<Arc<Hosts>>, request: Request, next: Next| match hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(host) => misdirected(&host),
    };
    router.layer(from_fn_with_state(Arc::new(hosts), pass))
}

/// Answers only whom the API server allows to ask.
pub(super) fn guarded(router: Router, authorizer: Arc<Authorizer>) -> Router {
    let pass = async |State(authorizer): State<Arc<Authorizer>>, request: Request, next: Next| {
        let (method, path) = (request.method(), request.uri().path());
        match authorizer.check(method, path, request.headers(), Instant::now()).await {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        }
    };
    router.layer(from_fn_with_state(authorizer, pass))
}

/// Refuses requests that bring a body.
pub(super) fn without_bodies(router: Router) -> Router {
    let pass = async |request: Request, next: Next| {
        if request.body().is_end_stream() {
            return next.run(request).await;
        }
        // It will not be read, so no other request can follow it.
        (StatusCode::PAYLOAD_TOO_LARGE, [(header::CONNECTION, "close")], "no body is expected\n").into_response()
    };
    router.layer(from_fn(pass))
}

fn misdirected(host: &str) -> Response {
    let text = format!(
        "this is not {host}: ask for localhost or an address, or allow the name by --allow-host\n",
        host = on_one_line(host)
    );
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

// === impl Refusal ===

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Unanswered => StatusCode::SERVICE_UNAVAILABLE,
        };
        let challenge = (status == StatusCode::UNAUTHORIZED).then_some([(header::WWW_AUTHENTICATE, "Bearer")]);
        (status, challenge, format!("{self}\n")).into_response()
    }
}

// === impl Counted ===

impl Counted {
    /// Counts the bytes of an answer until the last of them was written to the socket: hyper drops them then. Waits until they
    /// can be.
    async fn until_sent(answer: Response, sending: &Arc<Semaphore>) -> Response {
        let size = usize::try_from(answer.body().size_hint().lower()).unwrap_or(SENDING);
        if size <= SMALL {
            return answer;
        }
        // One that is larger than all that may be sent is sent alone. The units fit into 32 bits, as all of them do.
        let units = size.min(SENDING).div_ceil(UNIT) as u32;
        match sending.clone().acquire_many_owned(units).await {
            Ok(share) => answer.map(|body| Body::new(Self { body, share: Arc::new(share) })),
            Err(_) => answer,
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, share } = &mut *self;
        let counted = |bytes| Bytes::from_owner(CountedBytes { bytes, _share: share.clone() });
        Pin::new(body).poll_frame(cx).map_ok(|frame| frame.map_data(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl CountedBytes ===

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// What the bound on memory rests on: an answer counts until its last byte is with the socket, and no longer.
    #[tokio::test]
    async fn an_answer_counts_until_it_is_sent() {
        const SIZE: usize = 1 << 20;
        let sending = Arc::new(Semaphore::new(SENDING / UNIT));
        let (mut client, server) = duplex(SMALL);
        let counted = sending.clone();
        let answer = service_fn(move |_: http::Request<Incoming>| {
            let counted = counted.clone();
            async move {
                let answer = Response::new(Body::from(vec![b'.'; SIZE]));
                Ok::<_, Infallible>(Counted::until_sent(answer, &counted).await)
            }
        });
        let connection = tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), answer));
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("taken");
        let mut half = vec![0; SIZE / 2];
        client.read_exact(&mut half).await.expect("half of it");
        assert_eq!(sending.available_permits(), (SENDING - SIZE) / UNIT);
        client.read_exact(&mut half).await.expect("most of the rest");
        let mut head = [0; SMALL];
        let _ = client.read(&mut head).await.expect("the rest");
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the connection goes on");
        client.read_exact(&mut half).await.expect("half of the next");
        assert_eq!(sending.available_permits(), (SENDING - SIZE) / UNIT, "the first does not count any more");
        drop(client);
        let _ = connection.await.expect("no panic");
        assert_eq!(sending.available_permits(), SENDING / UNIT);
    }

    #[tokio::test]
    async fn more_than_may_be_sent_goes_alone() {
        let sending = Arc::new(Semaphore::new(SENDING / UNIT));
        let large = Counted::until_sent(Response::new(Body::from(vec![0; SENDING + 1])), &sending).await;
        assert_eq!(sending.available_permits(), 0);
        let small = Counted::until_sent(Response::new(Body::from("ok")), &sending).await;
        drop((large, small));
        assert_eq!(sending.available_permits(), SENDING / UNIT);
    }
}
