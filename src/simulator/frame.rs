//! Encodes messages in the format of the API server's protobuf serializer.
//!
use super::{body::Bodies, object::Object};
use crate::{
    cluster::wire::{List, ListMeta, MAGIC, ObjectMeta, Status},
    simulator::messages::{RawExtension, TypeMeta, Unknown, WatchEvent},
};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// The type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The object is new, or part of the initial state.
    Added,
    /// The object was written.
    Modified,
    /// The object is deleted. The event contains its last state.
    Deleted,
}

/// An object with only metadata, which is the first field of every type.
///
/// Used for bookmarks, because the reduced metadata of a pod have no annotations.
#[derive(Clone, PartialEq, prost::Message)]
struct MetadataOnly {
    #[prost(message, required, tag = "1")]
    metadata: ObjectMeta,
}

/// Annotation of the bookmark that ends the initial events of a streaming list.
pub(super) const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// A watch event with an object, after its length.
pub(super) fn event<O: Object>(kind: EventKind, object: &O, bodies: Option<&Bodies>) -> Bytes {
    let kind = match kind {
        EventKind::Added => "ADDED",
        EventKind::Modified => "MODIFIED",
        EventKind::Deleted => "DELETED",
    };
    watch_frame(kind, enveloped(O::API_VERSION, O::KIND, object.encode_with(bodies)))
}

/// A bookmark: every event up to `version` has been sent.
pub(super) fn bookmark<O: Object>(version: u64, ends_initial_events: bool) -> Bytes {
    let mut object = MetadataOnly::default();
    object.metadata.resource_version = version.to_string();
    if ends_initial_events {
        let annotations = &mut object.metadata.annotations;
        annotations.insert(INITIAL_EVENTS_END.to_owned(), "true".to_owned());
    }
    watch_frame("BOOKMARK", enveloped(O::API_VERSION, O::KIND, object.encode_to_vec()))
}

/// The event that ends a watch which cannot continue.
pub(super) fn error(error: &Status) -> Bytes {
    watch_frame("ERROR", status(error))
}

/// The body of a failed request.
pub(super) fn status(status: &Status) -> Bytes {
    enveloped("v1", "Status", status.encode_to_vec())
}

/// The body of a list.
pub(super) fn list<'a, O: Object>(
    items: impl Iterator<Item = &'a O>,
    metadata: ListMeta,
    bodies: Option<&Bodies>,
) -> Bytes {
    let items = items.map(|object| Bytes::from(object.encode_with(bodies)));
    let list = List { metadata: Some(metadata), items: items.collect() };
    enveloped(O::API_VERSION, &format!("{}List", O::KIND), list.encode_to_vec())
}

fn enveloped(api_version: &str, kind: &str, object: Vec<u8>) -> Bytes {
    let unknown = Unknown {
        type_meta: Some(TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() }),
        raw: object.into(),
    };
    let mut out = BytesMut::with_capacity(MAGIC.len() + unknown.encoded_len());
    out.put_slice(MAGIC);
    append(&mut out, &unknown);
    out.freeze()
}

fn watch_frame(kind: &str, raw: Bytes) -> Bytes {
    let event = WatchEvent { kind: kind.to_owned(), object: RawExtension { raw } };
    let length = event.encoded_len();
    let mut out = BytesMut::with_capacity(size_of::<u32>() + length);
    // An object is far below 4 GiB: etcd takes 1.5 MiB.
    out.put_u32(length as u32);
    append(&mut out, &event);
    out.freeze()
}

fn append(out: &mut BytesMut, message: &impl Message) {
    // Encoding fails only if the buffer is too short, and this one grows.
    message.encode(out).expect("BytesMut grows");
}
