//! What admits requests to the routes: which of them a port has, who may ask, and how many answers there are at a time.

use super::{
    authorization::{Authorizer, Refusal},
    hosts::Hosts,
    routes::{self, Answer, PATHS, ServerState},
};
use crate::logging::on_one_line;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use std::sync::Arc;
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

/// What the kubelet asks.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Lets the requests of one port in, or turns them away.
pub(super) struct Admission {
    state: Arc<ServerState>,
    access: Access,
    making: Semaphore,
    /// A permit for each [`UNIT`].
    sending: Arc<Semaphore>,
}

/// What a port lets through.
pub(super) enum Access {
    /// Everything, for everybody.
    All {
        /// By these names alone, where not everybody is meant.
        hosts: Option<Hosts>,
    },
    /// What the API server allows. Probes are for everybody, unless they have a port of their own.
    Guarded {
        /// Who decides.
        authorizer: Box<Authorizer>,
        /// Whether probes are for everybody.
        open_probes: bool,
    },
    /// Probes, for everybody.
    Probes,
}

/// The bytes of an answer, and their share of what may be sent at a time.
struct Counted {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

// === impl Admission ===

impl Admission {
    pub(super) fn new(state: Arc<ServerState>, access: Access) -> Self {
        let (making, sending) = (Semaphore::new(MAKING), Arc::new(Semaphore::new(SENDING / UNIT)));
        Self { state, access, making, sending }
    }

    /// Answers a request, and counts it.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let answer = match self.refusal(request).await {
            Some(refusal) => refusal,
            None if PROBES.contains(&request.uri().path()) => self.state.answer(request).await,
            None => {
                // Neither is ever closed. A large answer that has to wait keeps others from being made.
                let _turn = self.making.acquire().await;
                let answer = self.state.answer(request).await;
                Counted::until_sent(answer, &self.sending).await
            }
        };
        let path = PATHS.into_iter().find(|path| *path == request.uri().path()).unwrap_or("other");
        self.state.http_metrics.count_request(path, answer.status());
        answer.map(Full::new)
    }

    /// The answer to a request that is not let through.
    async fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        let path = request.uri().path();
        let is_probe = PROBES.contains(&path);
        if !request.body().is_end_stream() {
            let mut answer = routes::plain(StatusCode::PAYLOAD_TOO_LARGE, "no body is expected\n");
            // It will not be read, so no other request can follow it.
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return Some(answer);
        }
        match &self.access {
            Access::All { .. } if is_probe => None,
            Access::All { hosts } => hosts.as_ref()?.check(request).err().map(|host| misdirected(&host)),
            Access::Probes if is_probe => None,
            Access::Probes => Some(routes::plain(StatusCode::NOT_FOUND, "only /healthz and /readyz are here\n")),
            Access::Guarded { open_probes: true, .. } if is_probe => None,
            Access::Guarded { authorizer, .. } => {
                let checked = authorizer.check(request.method(), path, request.headers(), Instant::now()).await;
                checked.err().map(turn_away)
            }
        }
    }
}

fn misdirected(host: &str) -> Answer {
    let text = format!(
        "this is not {host}: ask for localhost or an address, or allow the name by --allow-host\n",
        host = on_one_line(host)
    );
    routes::plain(StatusCode::MISDIRECTED_REQUEST, text)
}

fn turn_away(refusal: Refusal) -> Answer {
    let status = match refusal {
        Refusal::NoToken | Refusal::BadToken => StatusCode::UNAUTHORIZED,
        Refusal::Forbidden { .. } => StatusCode::FORBIDDEN,
        Refusal::Unanswered => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = routes::plain(status, format!("{refusal}\n"));
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

// === impl Counted ===

impl Counted {
    /// Counts the bytes of an answer until the last of them was written to the socket: hyper drops them then. Waits until they
    /// can be.
    async fn until_sent(answer: Answer, sending: &Arc<Semaphore>) -> Answer {
        let size = answer.body().len();
        if size <= SMALL {
            return answer;
        }
        // One that is larger than all that may be sent is sent alone. The units fit into 32 bits, as all of them do.
        let units = size.min(SENDING).div_ceil(UNIT) as u32;
        match sending.clone().acquire_many_owned(units).await {
            Ok(share) => answer.map(|bytes| Bytes::from_owner(Self { bytes, _share: share })),
            Err(_) => answer,
        }
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::{server::conn::http1, service::service_fn};
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
        let answer = service_fn(move |_: Request<Incoming>| {
            let counted = counted.clone();
            async move {
                let answer = Response::new(Bytes::from(vec![b'.'; SIZE]));
                Ok::<_, Infallible>(Counted::until_sent(answer, &counted).await.map(Full::new))
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
        let large = Counted::until_sent(Response::new(Bytes::from(vec![0; SENDING + 1])), &sending).await;
        assert_eq!(sending.available_permits(), 0);
        let small = Counted::until_sent(Response::new(Bytes::from_static(b"ok")), &sending).await;
        drop((large, small));
        assert_eq!(sending.available_permits(), SENDING / UNIT);
    }
}
