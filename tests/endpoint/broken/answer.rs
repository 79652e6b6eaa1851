//! What a broken API server sends, piece by piece.

use endpointlag::{
    cluster::wire::{List, ListMeta, MAGIC, ObjectMeta, Status},
    simulator::messages::{Pod, RawExtension, Unknown, WatchEvent},
};
use prost::Message;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// An answer, sent in this order. It ends with the connection.
#[derive(Default)]
pub struct Answer(Vec<Piece>);

enum Piece {
    Bytes(Vec<u8>),
    /// The same again and again, with a pause between.
    Forever(Vec<u8>, Duration),
    /// Nothing for this time.
    Pause(Duration),
    /// Nothing more, and the connection stays open.
    Hold,
    /// The connection is reset instead of closed.
    Reset,
}

/// A bookmark has only metadata, for any kind of object.
#[derive(Clone, PartialEq, prost::Message)]
struct Bookmark {
    #[prost(message, required, tag = "1")]
    metadata: ObjectMeta,
}

/// An empty answer.
pub fn nothing() -> Answer {
    Answer::default()
}

/// An error, as Kubernetes sends it.
pub fn refusal(code: u16, message: &str) -> Answer {
    answer(code, "content-type: application/json\r\n", json(code, message).as_bytes())
}

/// The body of an error.
pub fn json(code: u16, message: &str) -> String {
    format!(r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"{message}","code":{code}}}"#)
}

/// A complete answer.
pub fn answer(code: u16, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {code}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    nothing().bytes([head.as_bytes(), body].concat())
}

/// A page of a list with this many objects. Its version and the token of the next page may be empty.
pub fn page(version: &str, token: &str, objects: usize) -> Answer {
    let metadata = Some(ListMeta { resource_version: version.to_owned(), r#continue: token.to_owned() });
    let items = (0..objects).map(|_| pod("uid").encode_to_vec().into()).collect();
    let body = enveloped(&List { metadata, items });
    answer(200, "content-type: application/vnd.kubernetes.protobuf\r\n", &body)
}

/// The beginning of a watch.
pub fn watch() -> Answer {
    answer_without_end("content-type: application/vnd.kubernetes.protobuf;stream=watch\r\n")
}

/// The head of a chunked answer.
pub fn answer_without_end(headers: &str) -> Answer {
    nothing().bytes(format!("HTTP/1.1 200\r\n{headers}transfer-encoding: chunked\r\nconnection: close\r\n\r\n"))
}

/// A watch that begins with a list and continues, as a correct server answers it.
pub fn listed() -> Answer {
    watch().bookmark("10", true)
}

/// A pod of a list.
pub fn pod(uid: &str) -> Pod {
    let metadata = ObjectMeta {
        name: "web".to_owned(),
        namespace: "shop".to_owned(),
        uid: uid.to_owned(),
        resource_version: "7".to_owned(),
        ..ObjectMeta::default()
    };
    Pod { metadata, ..Pod::default() }
}

/// A frame of a watch.
pub fn frame(kind: &str, object: &impl Message) -> Vec<u8> {
    let event = WatchEvent { kind: kind.to_owned(), object: RawExtension { raw: enveloped(object).into() } };
    let event = event.encode_to_vec();
    [&(event.len() as u32).to_be_bytes(), &*event].concat()
}

fn enveloped(object: &impl Message) -> Vec<u8> {
    let unknown = Unknown { type_meta: None, raw: object.encode_to_vec().into() };
    [&MAGIC[..], &unknown.encode_to_vec()].concat()
}

/// One chunk of a chunked body.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

impl Answer {
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push(Piece::Bytes(bytes.into()));
        self
    }

    /// A part of a chunked body.
    pub fn chunk(self, bytes: &[u8]) -> Self {
        self.bytes(chunk(bytes))
    }

    pub fn event(self, kind: &str, object: &impl Message) -> Self {
        self.chunk(&frame(kind, object))
    }

    /// The event with which a watch says that it cannot continue.
    pub fn error(self, code: i32, reason: &str) -> Self {
        self.event("ERROR", &Status { code, reason: reason.to_owned(), message: "no more".to_owned() })
    }

    /// The bookmark for everything up to a version; optionally it also ends the list before it.
    pub fn bookmark(self, version: &str, ends_list: bool) -> Self {
        let mut metadata = ObjectMeta { resource_version: version.to_owned(), ..ObjectMeta::default() };
        if ends_list {
            metadata.annotations.insert("k8s.io/initial-events-end".to_owned(), "true".to_owned());
        }
        self.event("BOOKMARK", &Bookmark { metadata })
    }

    /// Bytes again and again.
    pub fn forever(mut self, bytes: &[u8], pause: Duration) -> Self {
        self.0.push(Piece::Forever(bytes.to_owned(), pause));
        self
    }

    /// Chunks again and again.
    pub fn chunks_forever(self, bytes: &[u8], pause: Duration) -> Self {
        self.forever(&chunk(bytes), pause)
    }

    /// The correct end of a chunked body.
    pub fn end(self) -> Self {
        self.bytes("0\r\n\r\n")
    }

    /// Nothing for this time.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.0.push(Piece::Pause(pause));
        self
    }

    pub fn hold(mut self) -> Self {
        self.0.push(Piece::Hold);
        self
    }

    pub fn reset(mut self) -> Self {
        self.0.push(Piece::Reset);
        self
    }

    /// Sends everything.
    ///
    /// # Errors
    /// The client disconnects.
    pub async fn say(self, stream: &mut TcpStream) -> io::Result<()> {
        for piece in self.0 {
            match piece {
                Piece::Bytes(bytes) => stream.write_all(&bytes).await?,
                Piece::Forever(bytes, pause) => loop {
                    stream.write_all(&bytes).await?;
                    tokio::time::sleep(pause).await;
                },
                Piece::Pause(pause) => tokio::time::sleep(pause).await,
                Piece::Hold => std::future::pending().await,
                Piece::Reset => {
                    // A reset would overtake what was sent before it.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    return stream.set_zero_linger();
                }
            }
        }
        stream.shutdown().await
    }
}
