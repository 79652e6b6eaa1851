//! Admits requests to the routes of a port: who may ask, for what, and how many answers are prepared at a time.

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

/// How many answers are prepared at a time. One may be a scrape of a large cluster.
const MAKING: usize = 2;

/// How many bytes of answers are sent at a time; further answers wait. With [`MAKING`], it limits the memory for answers,
/// independent of the number and speed of the readers.
const SENDING: usize = 64 << 20;

/// The unit in which the bytes are counted.
const UNIT: usize = 1 << 10;

/// An answer of at most this size is not counted: the kernel accepts it at once.
const SMALL: usize = 16 << 10;

/// What a port allows.
pub(super) enum Access {
    /// Everything, for everyone.
    All {
        /// The accepted host names, if only local programs may ask.
        hosts: Option<Hosts>,
    },
    /// What the API server allows.
    Guarded {
        /// Who decides.
        authorizer: Arc<Authorizer>,
        /// Whether probes are open to everyone. They are, unless they have their own port.
        open_probes: bool,
    },
    /// Only probes, for everyone.
    Probes,
}

/// Limits for answers.
struct Bounds {
    making: Semaphore,
    /// A permit for each [`UNIT`].
    sending: Arc<Semaphore>,
}

/// An answer that counts as being sent.
struct Counted {
    body: Body,
    share: Arc<OwnedSemaphorePermit>,
}

/// Bytes of such an answer.
struct CountedBytes {
    bytes: Bytes,
    _share: Arc<OwnedSemaphorePermit>,
}

/// Limits how many answers of these routes are prepared at a time, and how many bytes of them are sent.
pub(super) fn in_turn(router: Router) -> Router {
    let bounds = Bounds { making: Semaphore::new(MAKING), sending: Arc::new(Semaphore::new(SENDING / UNIT)) };
    let pass = async |State(bounds): State<Arc<Bounds>>, request: Request, next: Next| {
        // Never closed. A large answer that waits keeps its turn, so fewer others are prepared.
        let _turn = bounds.making.acquire().await;
        Counted::until_sent(next.run(request).await, &bounds.sending).await
    };
    router.layer(from_fn_with_state(Arc::new(bounds), pass))
}

/// Answers only requests that use one of these host names.
pub(super) fn by_name(router: Router, hosts: Hosts) -> Router {
    let pass = async |State(hosts): State<Arc<Hosts>>, request: Request, next: Next| match hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(host) => misdirected(&host),
    };
    router.layer(from_fn_with_state(Arc::new(hosts), pass))
}

/// Answers only requests that the API server allows.
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

/// Refuses requests that have a body.
pub(super) fn without_bodies(router: Router) -> Router {
    let pass = async |request: Request, next: Next| {
        if request.body().is_end_stream() {
            return next.run(request).await;
        }
        // The body is not read, so no other request can follow it.
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
    /// Counts the bytes of an answer until the last byte was written to the socket: then hyper drops them. Waits for room
    /// first.
    async fn until_sent(answer: Response, sending: &Arc<Semaphore>) -> Response {
        let size = usize::try_from(answer.body().size_hint().lower()).unwrap_or(SENDING);
        if size <= SMALL {
            return answer;
        }
        // An answer larger than the limit is sent alone. The number of units fits into 32 bits, because the limit does.
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

    /// The memory limit depends on this: an answer counts until its last byte was written to the socket, and no longer.
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
