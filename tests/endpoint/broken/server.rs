//! A server with prescribed answers, over hand-written HTTP/1.1: a library would not let it be broken.

use super::answer::{self, Answer};
use anyhow::{Context, Result};
use h2::Reason;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use testkit::pair::Pair;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A watch that begins with a list.
    List,
    /// A watch that continues after a list.
    Watch,
    /// A page of a list.
    Page,
    /// The current version: a list of one object.
    Version,
}

/// One request.
#[derive(Debug)]
pub struct Request {
    pub asked: Asked,
    /// Earlier requests of this kind for the same resource.
    pub before: usize,
    /// The user's bearer token.
    pub bearer: String,
}

/// How it answers.
#[derive(Clone, Copy)]
pub enum Speech {
    /// It does not listen.
    Nothing,
    /// It speaks HTTP/2 and does this at every request.
    Http2(Refusal),
    /// The same answer on each connection, for any request.
    Always(fn() -> Answer),
    /// An answer that depends on the request.
    To(fn(&Request) -> Answer),
}

/// What a server does over HTTP/2.
#[derive(Clone, Copy)]
pub enum Refusal {
    /// It begins an answer and sends GOAWAY, as a server that spreads its clients.
    GoAway,
    /// It resets the request's stream.
    Reset,
}

/// A running server. Dropping it ends it.
pub struct Server {
    address: SocketAddr,
    /// Its certificate in PEM, if it speaks TLS.
    pub certificate: String,
    connections: Arc<AtomicUsize>,
    acceptor: JoinHandle<()>,
}

impl Request {
    /// The answer of a correct server: the cluster is empty, and nothing happens.
    pub fn in_order(&self) -> Answer {
        match self.asked {
            Asked::List => answer::listed().hold(),
            Asked::Watch => answer::watch().hold(),
            Asked::Page | Asked::Version => answer::page("10", "", 0),
        }
    }

    /// The answer of a correct server, except to this kind of request.
    pub fn but(&self, asked: Asked, answer: impl FnOnce() -> Answer) -> Answer {
        if self.asked == asked { answer() } else { self.in_order() }
    }

    /// The answer of a server that does not stream lists, correct except for the pages.
    pub fn in_pages(&self, page: impl FnOnce() -> Answer) -> Answer {
        match self.asked {
            Asked::List => answer::refusal(422, "sendInitialEvents is forbidden for watch"),
            Asked::Page => page(),
            _ => self.in_order(),
        }
    }

    fn read(head: &str, seen: &Mutex<HashMap<(String, Asked), usize>>) -> Option<Self> {
        let target = head.split(' ').nth(1)?;
        let (path, query) = target.split_once('?')?;
        let resource = path.rsplit('/').next()?.to_owned();
        let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
        let is = |name: &str, value: &str| query.get(name).is_some_and(|own| own == value);
        let asked = match (is("watch", "true") || is("watch", "1"), is("sendInitialEvents", "true"), is("limit", "1")) {
            (true, true, _) => Asked::List,
            (true, false, _) => Asked::Watch,
            (false, _, true) => Asked::Version,
            (false, _, false) => Asked::Page,
        };
        let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
        let mut seen = seen.lock().ok()?;
        let count = seen.entry((resource, asked)).or_default();
        let before = std::mem::replace(count, *count + 1);
        Some(Self { asked, before, bearer: bearer.to_owned() })
    }
}

impl Server {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(speech: Speech) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let pair = Pair::make()?;
        let acceptor = match speech {
            Speech::Nothing => {
                drop(listener);
                tokio::spawn(async {})
            }
            _ => tokio::spawn(accept(listener, speech, pair.acceptor()?, connections.clone())),
        };
        Ok(Self { address, certificate: pair.pem(), connections, acceptor })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far. Each carries one request, except over HTTP/2.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, speech: Speech, tls: TlsAcceptor, connections: Arc<AtomicUsize>) {
    let seen = Arc::<Mutex<HashMap<_, _>>>::default();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.fetch_add(1, SeqCst);
        let (seen, tls) = (seen.clone(), tls.clone());
        tokio::spawn(async move {
            let answer = match speech {
                Speech::Always(answer) => Some(answer()),
                Speech::To(answer) => {
                    head(&mut stream).await.and_then(|head| Request::read(&head, &seen)).map(|request| answer(&request))
                }
                Speech::Http2(refusal) => {
                    // The daemon may not trust it, or may disconnect.
                    let _ = refuse(&tls, stream, refusal).await;
                    return;
                }
                Speech::Nothing => None,
            };
            if let Some(answer) = answer {
                // The daemon may have disconnected.
                let _ = answer.say(&mut stream).await;
            }
        });
    }
}

/// Answers all requests of a connection over HTTP/2.
async fn refuse(tls: &TlsAcceptor, stream: TcpStream, refusal: Refusal) -> Result<()> {
    let mut connection = h2::server::handshake(tls.accept(stream).await?).await?;
    let mut open = Vec::new();
    while let Some(request) = connection.accept().await {
        let (_, mut answer) = request?;
        match refusal {
            Refusal::GoAway => {
                let head = http::Response::builder().header("content-type", "application/vnd.kubernetes.protobuf");
                open.push(answer.send_response(head.body(())?, false)?);
                connection.graceful_shutdown();
            }
            Refusal::Reset => answer.send_reset(Reason::INTERNAL_ERROR),
        }
    }
    Ok(())
}

/// The head of a request, whose body is empty.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
