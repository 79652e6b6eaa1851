//! Decodes the bytes of one watch into its events.

mod slices;

use self::slices::Slices;
use crate::{
    cluster::{
        frame::FrameTooLarge,
        object::{self, ObjectError},
        shard::Shard,
        wire::{
            self,
            fields::{Fields, MessageError, Value, text},
        },
    },
    model::{Event, Pod, Resource, Seen, Stamp, Uid},
};
use bytes::{Buf, Bytes};
use prost::Message;
use std::collections::HashSet;

/// Annotation of the bookmark that ends a streaming list.
pub const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Which events of a stream are a replay: they may have happened before they were read, so no delay is computed from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayBound {
    /// All events: each may have waited before it was read.
    All,
    /// Events up to this resourceVersion, which was current when the watch was established.
    UpTo(u64),
}

/// The watch cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not a frame.
    #[error(transparent)]
    Frame(#[from] FrameTooLarge),
    /// A frame is not a watch event, or a body is not a list.
    #[error("malformed {what}: {source}")]
    Protobuf {
        /// The kind of data.
        what: &'static str,
        /// The error.
        source: MessageError,
    },
    /// The answer to a review is not a review.
    #[error("malformed review: {0}")]
    Json(#[from] serde_json::Error),
    /// A list or a bookmark has no resourceVersion that can be compared.
    #[error("{what} of resourceVersion {version:?}, which is no number")]
    Version {
        /// The list or bookmark.
        what: &'static str,
        /// Its resourceVersion.
        version: String,
    },
    /// An object does not start with the magic number of protobuf objects.
    #[error("an object does not begin with the magic number of Kubernetes' protobuf")]
    NoMagic,
    /// A watch event of a type that does not exist.
    #[error("unknown type of watch event {0:?}")]
    UnknownType(String),
    /// The API server ended the watch.
    #[error("the API server ended the watch: {reason} ({code}): {message}")]
    Status {
        /// HTTP status; 410 means that a new list is needed.
        code: i32,
        /// The reason, for programs.
        reason: String,
        /// The message, for people.
        message: String,
    },
}

/// Receives the decoded events.
pub trait Sink {
    /// An event.
    fn event(&mut self, seen: Seen, event: Event);
    /// An object, or a part of one, that cannot be used; the watch goes on without it.
    fn malformed(&mut self, error: ObjectError);
    /// A pod and its encoded object, before its event. For what is read only of some pods.
    fn pod_object(&mut self, seen: Seen, pod: &Pod, object: &[u8]) {
        let _ = (seen, pod, object);
    }
}

/// A page of a list that is not streamed.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// resourceVersion of the list.
    pub resource_version: u64,
    /// Token of the next page, if there is one.
    pub next: Option<String>,
    /// Number of objects in the page, including unusable ones.
    pub items: usize,
}

/// Decodes one watch, over all its connections.
#[derive(Debug)]
pub struct Decoder {
    resource: Resource,
    /// Skips objects of other shards.
    shard: Shard,
    listing: bool,
    resource_version: Option<u64>,
    /// Pods that are used although a part of them is malformed. Each is reported only once.
    half_read: HashSet<Uid>,
    /// What was told of slices, so that of each new version only what changed is read.
    slices: Slices,
}

// === impl Decoder ===

impl Decoder {
    /// For a watch of `resource` that has not started. Only objects of `shard` are passed on.
    pub fn new(resource: Resource, shard: Shard) -> Self {
        Self {
            resource,
            shard,
            listing: false,
            resource_version: None,
            half_read: HashSet::new(),
            slices: Slices::default(),
        }
    }

    /// Decodes the virtual IPs of Services and the routes of endpoints too, for the hop to the nodes.
    #[must_use]
    pub fn with_routes(mut self) -> Self {
        self.slices.with_routes = true;
        self
    }

    /// A list starts, streamed or in pages.
    pub fn begin_list(&mut self, at: Stamp, sink: &mut impl Sink) {
        self.listing = true;
        self.resource_version = None;
        self.half_read.clear();
        // A list tells of each whole, and leaves out those that have gone.
        self.slices.clear();
        sink.event(Seen::late(at), Event::Init(self.resource));
    }

    /// The list is complete.
    pub fn end_list(&mut self, at: Stamp, resource_version: u64, sink: &mut impl Sink) {
        self.listing = false;
        self.resource_version = Some(resource_version);
        sink.event(Seen::late(at), Event::InitDone(self.resource));
    }

    /// The connection ended. Returns the version to resume from, or `None` if a list was not complete.
    pub fn end_connection(&self) -> Option<u64> {
        self.resource_version.filter(|_| !self.listing)
    }

    /// Whether a list is in progress.
    pub fn is_listing(&self) -> bool {
        self.listing
    }

    /// A page of a list, as the body of a response.
    ///
    /// # Errors
    /// If the body is not a list. Single objects that cannot be used are reported to the sink.
    pub fn page(&mut self, at: Stamp, body: Bytes, sink: &mut impl Sink) -> Result<Page, DecodeError> {
        let list = body.slice_ref(unwrap(&body)?);
        let list: wire::List = decode("list", list)?;
        let items = list.items.len();
        for item in list.items {
            self.object(Seen::late(at), ReplayBound::All, true, &item, sink);
        }
        let meta = list.metadata.unwrap_or_default();
        Ok(Page {
            resource_version: version_of("a list", &meta.resource_version)?,
            next: Some(meta.r#continue).filter(|token| !token.is_empty()),
            items,
        })
    }

    /// A frame of a watch. Its last byte was read at `at`.
    ///
    /// # Errors
    /// If the watch cannot continue. Then it must be dropped, and resumed or listed again.
    pub fn frame(
        &mut self,
        at: Stamp,
        frame: &Bytes,
        replay: ReplayBound,
        sink: &mut impl Sink,
    ) -> Result<(), DecodeError> {
        let (kind, object) = watch_event(frame).map_err(malformed("watch event"))?;
        let object = unwrap(object)?;
        let applied = match kind {
            "ADDED" | "MODIFIED" => true,
            "DELETED" => false,
            "BOOKMARK" => return self.bookmark(at, object, sink),
            "ERROR" => {
                let status: wire::Status = decode("status", object)?;
                return Err(DecodeError::Status { code: status.code, reason: status.reason, message: status.message });
            }
            _ => return Err(DecodeError::UnknownType(kind.to_owned())),
        };
        let seen = if self.listing || replay == ReplayBound::All { Seen::late(at) } else { Seen::live(at) };
        let version = self.object(seen, replay, applied, object, sink);
        if !self.listing && version.is_some() {
            self.resource_version = version;
        }
        Ok(())
    }

    fn bookmark(&mut self, at: Stamp, object: &[u8], sink: &mut impl Sink) -> Result<(), DecodeError> {
        let meta = decode::<Bookmark>("bookmark", object)?.metadata;
        let version = version_of("a bookmark", &meta.resource_version)?;
        if !self.listing {
            self.resource_version = Some(version);
        } else if meta.annotations.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true") {
            self.end_list(at, version, sink);
        }
        Ok(())
    }

    /// Hands on one object. Returns its version, if it was one to be used.
    fn object(
        &mut self,
        seen: Seen,
        replay: ReplayBound,
        applied: bool,
        object: &[u8],
        sink: &mut impl Sink,
    ) -> Option<u64> {
        if self.shard.is_part()
            && let Some(version) = self.version_of_another(object)
        {
            return Some(version);
        }
        match self.read(applied, object, sink) {
            Ok((version, event)) => {
                let replayed = matches!(replay, ReplayBound::UpTo(bound) if version <= bound);
                let seen = if replayed { Seen::late(seen.at) } else { seen };
                if let Event::Pod(pod) = &event {
                    sink.pod_object(seen, pod, object);
                }
                sink.event(seen, event);
                Some(version)
            }
            Err(error) => {
                sink.malformed(error);
                None
            }
        }
    }

    /// The version of an object that another daemon measures. Nothing else of it is read, because in a large cluster most objects
    /// are such objects. The fields after the metadata are not even skipped one by one. If they are malformed, the other daemon
    /// reports it.
    fn version_of_another(&self, object: &[u8]) -> Option<u64> {
        let (mut namespace, mut version) = ("", "");
        for field in Fields::of(object) {
            let (1, Value::Bytes(meta)) = field.ok()? else { continue };
            for field in Fields::of(meta) {
                match field.ok()? {
                    (3, Value::Bytes(bytes)) => namespace = text(bytes).ok()?,
                    (6, Value::Bytes(bytes)) => version = text(bytes).ok()?,
                    _ => {}
                }
            }
            if !namespace.is_empty() && !version.is_empty() {
                break;
            }
        }
        if self.shard.holds(namespace) { None } else { version.parse().ok() }
    }

    fn read(&mut self, applied: bool, object: &[u8], sink: &mut impl Sink) -> Result<(u64, Event), ObjectError> {
        Ok(match self.resource {
            Resource::Pods => {
                let (pod, unread) = object::decode_pod(object)?;
                match unread {
                    Some(error) if applied => {
                        if self.half_read.insert(pod.uid.clone()) {
                            sink.malformed(error);
                        }
                    }
                    _ if self.half_read.is_empty() => {}
                    _ => drop(self.half_read.remove(&pod.uid)),
                }
                (pod.resource_version, if applied { Event::Pod(pod) } else { Event::PodDeleted(pod) })
            }
            Resource::Services => {
                let service = object::decode_service(object, self.slices.with_routes)?;
                let version = service.resource_version;
                (version, if applied { Event::Service(service) } else { Event::ServiceDeleted(service) })
            }
            Resource::EndpointSlices => {
                let slice = object::EncodedSlice::read(object)?;
                let version = slice.resource_version;
                (version, if applied { self.slices.written(slice)? } else { self.slices.deleted(slice) })
            }
        })
    }
}

/// The type and the object of a watch event.
fn watch_event(message: &[u8]) -> Result<(&str, &[u8]), MessageError> {
    let (mut kind, mut object) = ("", &[][..]);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => kind = text(bytes)?,
            (2, Value::Bytes(extension)) => object = bytes_in(extension, 1)?,
            _ => {}
        }
    }
    Ok((kind, object))
}

/// The bytes that one field of a message holds.
fn bytes_in(message: &[u8], tag: u32) -> Result<&[u8], MessageError> {
    let mut found = &[][..];
    for field in Fields::of(message) {
        match field? {
            (other, Value::Bytes(bytes)) if other == tag => found = bytes,
            _ => {}
        }
    }
    Ok(found)
}

/// A message that is rare enough to copy.
fn decode<T: Message + Default>(what: &'static str, bytes: impl Buf) -> Result<T, DecodeError> {
    T::decode(bytes).map_err(|source| malformed(what)(source.into()))
}

/// The fields that are read of a bookmark, which is an almost empty object of the watched type.
#[derive(Clone, PartialEq, prost::Message)]
struct Bookmark {
    #[prost(message, required, tag = "1")]
    metadata: wire::ObjectMeta,
}

/// The object inside its envelope, after [`wire::MAGIC`].
fn unwrap(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let envelope = bytes.strip_prefix(wire::MAGIC).ok_or(DecodeError::NoMagic)?;
    bytes_in(envelope, 2).map_err(malformed("envelope"))
}

fn malformed(what: &'static str) -> impl Fn(MessageError) -> DecodeError {
    move |source| DecodeError::Protobuf { what, source }
}

/// The status in the body of a rejected request, in either encoding.
pub fn status_of(body: &Bytes) -> Option<(String, String)> {
    if let Ok(object) = unwrap(body) {
        return wire::Status::decode(object).ok().map(|status| (status.reason, status.message));
    }
    #[derive(serde::Deserialize)]
    struct Status {
        #[serde(default)]
        reason: String,
        #[serde(default)]
        message: String,
    }
    serde_json::from_slice::<Status>(body).ok().map(|status| (status.reason, status.message))
}

/// The version of a list, from the body of an answer.
///
/// # Errors
/// If it is not a list.
pub fn list_version(body: Bytes) -> Result<u64, DecodeError> {
    /// A list whose items are not decoded.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Head {
        #[prost(message, optional, tag = "1")]
        metadata: Option<wire::ListMeta>,
    }
    let head: Head = decode("list", unwrap(&body)?)?;
    version_of("a list", &head.metadata.unwrap_or_default().resource_version)
}

/// A version as a number. Zero means "any version", so no object can have it.
fn version_of(what: &'static str, version: &str) -> Result<u64, DecodeError> {
    let number = version.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| DecodeError::Version { what, version: version.chars().take(64).collect() })
}

#[cfg(test)]
mod tests;
