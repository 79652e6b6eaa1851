use super::*;
use crate::{
    cluster::{
        object::{CONTROLLER, MANAGED_BY_LABEL, SERVICE_NAME_LABEL},
        wire,
    },
    model::Endpoint,
    simulator::messages,
};
use proptest::prelude::*;
use prost::Message;

/// An endpoint of this pod; 0 means no pod.
fn endpoint(pod: u8, ready: bool) -> messages::Endpoint {
    let target = wire::ObjectReference { kind: "Pod".into(), name: format!("web-{pod}"), uid: format!("pod-{pod}") };
    let conditions = wire::EndpointConditions { ready: Some(ready), serving: None, terminating: None };
    let target_ref = Some(target).filter(|_| pod != 0);
    messages::Endpoint { conditions: Some(conditions), target_ref, ..Default::default() }
}

fn slice(endpoints: &[(u8, bool)], port: i32) -> messages::EndpointSlice {
    let mut slice = messages::EndpointSlice { address_type: "IPv4".into(), ..Default::default() };
    slice.metadata.owner_references.push(wire::OwnerReference::to_service("web", "service"));
    (slice.metadata.uid, slice.metadata.resource_version) = ("slice".into(), "7".into());
    slice.metadata.labels.insert(SERVICE_NAME_LABEL.into(), "web".into());
    slice.metadata.labels.insert(MANAGED_BY_LABEL.into(), CONTROLLER.into());
    slice.ports = vec![wire::EndpointPort { port: Some(port), ..Default::default() }];
    slice.endpoints = endpoints.iter().map(|(pod, ready)| endpoint(*pod, *ready)).collect();
    slice
}

fn written(slices: &mut Slices, slice: &messages::EndpointSlice) -> Result<Event, ObjectError> {
    slices.written(EncodedSlice::read(&slice.encode_to_vec()).expect("a slice"))
}

/// All endpoints of the slice after an event.
fn told(before: &[Endpoint], event: Event) -> Vec<Endpoint> {
    match event {
        Event::EndpointSlice(slice) => slice.endpoints,
        Event::EndpointsChanged(change) => {
            let of_part = |part| match part {
                EndpointsPart::Kept(range) => before[range].to_vec(),
                EndpointsPart::New(endpoint) => vec![endpoint],
            };
            change.endpoints.into_iter().flat_map(of_part).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_changed_is_read() {
    let mut slices = Slices::default();
    let first = written(&mut slices, &slice(&[(1, true), (2, true), (3, true), (4, true)], 80)).expect("read");
    assert!(matches!(&first, Event::EndpointSlice(slice) if slice.endpoints.len() == 4), "{first:?}");
    let next = written(&mut slices, &slice(&[(1, true), (2, true), (3, false), (4, true)], 80)).expect("read");
    let Event::EndpointsChanged(EndpointsChange { endpoints, resource_version: 7, .. }) = next else {
        panic!("{next:?}")
    };
    let [EndpointsPart::Kept(Range { start: 0, end: 2 }), EndpointsPart::New(new), EndpointsPart::Kept(last)] =
        &*endpoints
    else {
        panic!("{endpoints:?}")
    };
    assert_eq!((new.pod.to_string(), new.ready, last), ("pod-3".to_owned(), false, &(3..4)));
}

#[test]
fn what_is_more_than_a_change_of_endpoints_is_told_whole() {
    let mut slices = Slices::default();
    let is_whole =
        |event: Result<Event, ObjectError>| matches!(event, Ok(Event::EndpointSlice(it)) if it.endpoints.len() == 1);
    let one = slice(&[(1, true)], 80);
    assert!(is_whole(written(&mut slices, &one)));
    assert!(is_whole(written(&mut slices, &slice(&[(1, true)], 81))), "other ports");
    let mut other = slice(&[(1, true)], 81);
    other.metadata.owner_references[0].uid = "other".into();
    assert!(is_whole(written(&mut slices, &other)), "another owner");
    assert!(!is_whole(written(&mut slices, &other)), "the same again");
    other.metadata.labels.clear();
    let foreign = written(&mut slices, &other).expect("read");
    assert!(matches!(foreign, Event::EndpointSlice(it) if it.owner.is_none() && it.endpoints.is_empty()));
    assert!(is_whole(written(&mut slices, &one)), "it was nothing to us meanwhile");
    let deleted = slices.deleted(EncodedSlice::read(&one.encode_to_vec()).expect("a slice"));
    assert!(matches!(deleted, Event::EndpointSliceDeleted(_)));
    assert!(is_whole(written(&mut slices, &one)), "it was gone");
    slices.clear();
    assert!(is_whole(written(&mut slices, &one)), "a list began");
}

#[test]
fn what_cannot_be_read_leaves_the_slice_as_it_was() {
    let mut slices = Slices::default();
    let first = written(&mut slices, &slice(&[(1, true), (2, true)], 80)).expect("read");
    let before = told(&[], first);
    let mut broken = slice(&[(2, true), (3, true)], 80).encode_to_vec();
    // One more endpoint: a key without its value.
    broken.extend([0x12, 0x01, 0xff]);
    let error = slices.written(EncodedSlice::read(&broken).expect("a slice")).expect_err("no endpoint");
    assert!(error.to_string().starts_with("malformed Endpoint: "), "{error}");
    let next = written(&mut slices, &slice(&[(2, true), (3, true)], 80)).expect("read");
    let pods: Vec<_> = told(&before, next).iter().map(|endpoint| endpoint.pod.to_string()).collect();
    assert_eq!(pods, ["pod-2", "pod-3"]);
}

proptest! {
    #[test]
    fn what_changed_makes_of_the_version_before_the_new_one(
        versions in prop::collection::vec(prop::collection::vec((0..6_u8, any::<bool>()), 0..8), 1..6),
    ) {
        let (mut slices, mut before) = (Slices::default(), Vec::new());
        for version in versions {
            let event = written(&mut slices, &slice(&version, 80)).expect("read");
            before = told(&before, event);
            let expected = version.iter().filter(|(pod, _)| *pod != 0);
            let expected: Vec<_> = expected.map(|(pod, ready)| (Uid::from(&*format!("pod-{pod}")), *ready)).collect();
            let told: Vec<_> = before.iter().map(|endpoint| (endpoint.pod.clone(), endpoint.ready)).collect();
            prop_assert_eq!(told, expected);
        }
    }
}
