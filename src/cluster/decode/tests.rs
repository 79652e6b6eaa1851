use super::*;
use crate::simulator::messages;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Default)]
struct Collected {
    events: Vec<(Seen, Event)>,
    malformed: Vec<ObjectError>,
}

impl Sink for Collected {
    fn event(&mut self, seen: Seen, event: Event) {
        self.events.push((seen, event));
    }

    fn malformed(&mut self, error: ObjectError) {
        self.malformed.push(error);
    }
}

fn at() -> Stamp {
    Stamp::new(Duration::from_secs(1))
}

fn enveloped(object: &impl Message) -> Bytes {
    let unknown = messages::Unknown { type_meta: None, raw: object.encode_to_vec().into() };
    [&wire::MAGIC[..], &unknown.encode_to_vec()].concat().into()
}

fn frame(kind: &str, object: &impl Message) -> Bytes {
    let object = messages::RawExtension { raw: enveloped(object) };
    messages::WatchEvent { kind: kind.into(), object }.encode_to_vec().into()
}

fn pod(uid: &str, version: &str) -> messages::Pod {
    let mut pod = messages::Pod::default();
    pod.metadata.uid = uid.into();
    pod.metadata.resource_version = version.into();
    pod
}

/// A decoder that has listed up to version 10.
fn synced() -> (Decoder, Collected) {
    let (mut decoder, mut sink) = (Decoder::new(Resource::Pods, Shard::WHOLE), Collected::default());
    decoder.begin_list(at(), &mut sink);
    decoder.end_list(at(), 10, &mut sink);
    (decoder, Collected::default())
}

#[test]
fn objects_of_other_shards_are_read_past() {
    let mut shards = ["0/2", "1/2"].map(|shard| Decoder::new(Resource::Pods, shard.parse().expect("valid")));
    let mut sinks = [Collected::default(), Collected::default()];
    let mut pod = pod("a", "11");
    pod.metadata.namespace = "shop".into();
    for (decoder, sink) in shards.iter_mut().zip(&mut sinks) {
        decoder.begin_list(at(), sink);
        decoder.end_list(at(), 10, sink);
        sink.events.clear();
        decoder.frame(at(), &frame("ADDED", &pod), ReplayBound::UpTo(10), sink).expect("whole");
        assert_eq!(decoder.end_connection(), Some(11), "both resume behind it");
    }
    assert_eq!(sinks.each_ref().map(|sink| sink.events.len()).iter().sum::<usize>(), 1, "one hands it on");
    assert!(sinks.iter().all(|sink| sink.malformed.is_empty()));
}

#[test]
fn a_streamed_list_ends_with_its_bookmark_and_not_before() {
    let (mut decoder, mut sink) = (Decoder::new(Resource::Pods, Shard::WHOLE), Collected::default());
    decoder.begin_list(at(), &mut sink);
    decoder.frame(at(), &frame("ADDED", &pod("a", "3")), ReplayBound::All, &mut sink).expect("whole");
    assert!(decoder.is_listing());
    assert_eq!(decoder.end_connection(), None, "half a list is nothing to resume from");
    let mut bookmark = wire::Service::default();
    bookmark.metadata.resource_version = "7".into();
    bookmark.metadata.annotations.insert(INITIAL_EVENTS_END.into(), "true".into());
    decoder.frame(at(), &frame("BOOKMARK", &bookmark), ReplayBound::All, &mut sink).expect("whole");
    assert!(matches!(sink.events.last(), Some((_, Event::InitDone(Resource::Pods)))));
    assert_eq!(decoder.end_connection(), Some(7));
}

#[test]
fn events_up_to_the_bound_are_late_and_later_ones_live() {
    let (mut decoder, mut sink) = synced();
    for version in ["20", "21"] {
        decoder.frame(at(), &frame("MODIFIED", &pod("a", version)), ReplayBound::UpTo(20), &mut sink).expect("whole");
    }
    let late: Vec<_> = sink.events.iter().map(|(seen, _)| seen.is_late()).collect();
    assert_eq!(late, [true, false]);
    decoder.frame(at(), &frame("DELETED", &pod("a", "22")), ReplayBound::All, &mut sink).expect("whole");
    assert!(matches!(&sink.events[2], (seen, Event::PodDeleted(_)) if seen.is_late()));
    assert_eq!(decoder.end_connection(), Some(22));
}

#[test]
fn an_object_without_identity_is_counted_and_the_watch_goes_on() {
    let (mut decoder, mut sink) = synced();
    for pod in [pod("", "20"), pod("b", "21")] {
        decoder.frame(at(), &frame("ADDED", &pod), ReplayBound::UpTo(0), &mut sink).expect("goes on");
    }
    assert_eq!((sink.events.len(), sink.malformed.len()), (1, 1));
}

#[test]
fn an_address_that_is_none_is_counted_once_and_the_pod_is_used() {
    let (mut decoder, mut sink) = synced();
    let mut with = |kind: &str, version: &str, address: &str| {
        let mut pod = pod("a", version);
        let ip = address.into();
        pod.status = Some(messages::PodStatus { pod_ips: vec![messages::PodIp { ip }], ..Default::default() });
        decoder.frame(at(), &frame(kind, &pod), ReplayBound::UpTo(0), &mut sink).expect("goes on");
        (sink.events.len(), sink.malformed.len())
    };
    assert_eq!(with("ADDED", "20", "10.2.0"), (1, 1));
    assert_eq!(with("MODIFIED", "21", "10.2.0"), (2, 1), "the same");
    assert_eq!(with("MODIFIED", "22", "10.2.0.7"), (3, 1), "well now");
    assert_eq!(with("MODIFIED", "23", "10.2.0"), (4, 2), "and no more");
    assert_eq!(with("DELETED", "24", "10.2.0"), (5, 2), "its end is no new state");
    assert!(decoder.half_read.is_empty());
}

#[test]
fn an_error_event_ends_the_watch_with_its_status() {
    let (mut decoder, mut sink) = synced();
    let status = wire::Status { code: 410, reason: "Expired".into(), message: "too old".into() };
    let error = decoder.frame(at(), &frame("ERROR", &status), ReplayBound::UpTo(0), &mut sink).expect_err("ends");
    assert_eq!(error.to_string(), "the API server ended the watch: Expired (410): too old");
    let error =
        decoder.frame(at(), &frame("RENAMED", &pod("a", "20")), ReplayBound::UpTo(0), &mut sink).expect_err("unknown");
    assert_eq!(error.to_string(), "unknown type of watch event \"RENAMED\"");
}

#[test]
fn a_page_carries_its_version_and_the_next_token() {
    let (mut decoder, mut sink) = (Decoder::new(Resource::Pods, Shard::WHOLE), Collected::default());
    let items = vec![pod("a", "3").encode_to_vec().into(), pod("b", "4").encode_to_vec().into()];
    let metadata = Some(wire::ListMeta { resource_version: "9".into(), r#continue: "more".into() });
    let body = enveloped(&wire::List { metadata, items });
    assert_eq!(list_version(body.clone()).expect("a list"), 9);
    let page = decoder.page(at(), body, &mut sink).expect("a list");
    assert_eq!(page, Page { resource_version: 9, next: Some("more".into()), items: 2 });
    assert_eq!(sink.events.len(), 2);
}

#[test]
fn a_version_that_is_no_number_is_an_error_and_never_zero() {
    for version in ["", "0", "abc", "-1", "99999999999999999999"] {
        let (mut decoder, mut sink) = (Decoder::new(Resource::Pods, Shard::WHOLE), Collected::default());
        decoder.begin_list(at(), &mut sink);
        let metadata = Some(wire::ListMeta { resource_version: version.into(), r#continue: String::new() });
        let body = enveloped(&wire::List { metadata, items: Vec::new() });
        assert!(matches!(list_version(body.clone()), Err(DecodeError::Version { .. })), "{version:?}");
        assert!(matches!(decoder.page(at(), body, &mut sink), Err(DecodeError::Version { .. })), "{version:?}");
        let bookmark = frame("BOOKMARK", &pod("", version));
        let end = decoder.frame(at(), &bookmark, ReplayBound::All, &mut sink);
        assert!(matches!(end, Err(DecodeError::Version { .. })), "{version:?}");
        assert_eq!(decoder.end_connection(), None);
    }
}

#[test]
fn a_refusal_is_read_in_both_encodings() {
    let status = wire::Status { code: 403, reason: "Forbidden".into(), message: "no".into() };
    assert_eq!(status_of(&enveloped(&status)), Some(("Forbidden".into(), "no".into())));
    assert_eq!(
        status_of(&Bytes::from_static(br#"{"reason":"Gone","message":"x"}"#)),
        Some(("Gone".into(), "x".into()))
    );
    assert_eq!(status_of(&Bytes::from_static(b"<html>")), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        resource in prop::sample::select(Resource::ALL.to_vec()),
    ) {
        let (mut decoder, mut sink) = (Decoder::new(resource, Shard::WHOLE), Collected::default());
        decoder.begin_list(at(), &mut sink);
        let _ = decoder.frame(at(), &bytes.clone().into(), ReplayBound::All, &mut sink);
        let _ = decoder.page(at(), bytes.clone().into(), &mut sink);
        let _ = list_version(bytes.into());
    }

    #[test]
    fn a_damaged_frame_is_an_error_or_another_object_and_never_a_panic(
        at_byte in 0..400usize, value in any::<u8>(), cut in 0..400usize,
    ) {
        let mut whole = pod("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "20");
        whole.metadata.labels.insert("app".into(), "web".into());
        let mut bytes = frame("ADDED", &whole).to_vec();
        if let Some(byte) = bytes.get_mut(at_byte) {
            *byte = value;
        }
        bytes.truncate(cut);
        let (mut decoder, mut sink) = synced();
        let _ = decoder.frame(at(), &bytes.into(), ReplayBound::UpTo(0), &mut sink);
    }
}
