//! Files: written, read, cut short, damaged and crafted.

mod examples;

use self::examples::{header, steps};
use super::{
    End, Header, Names, ReadError, Reader, Recorder, Target, TargetError, WriteError,
    line::Line,
    recorder::{push, seal},
};
use crate::{
    model::{Event, Resource, Stamp},
    pipeline::{Replay, Step},
    stats::{Bounds, SeriesLimits, Stats},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use proptest::prelude::*;
use std::{
    fs,
    io::{Read, Write},
    ops::ControlFlow,
    os::unix::fs::{PermissionsExt, symlink},
    time::Duration,
};
use tempfile::TempDir;

/// No limit.
const ANY_SIZE: u64 = u64::MAX / 2;

fn target(folder: &TempDir) -> Target {
    Target { path: folder.path().join("recording"), force: false }
}

fn borrowed(step: &Step) -> Step<&Event> {
    match step {
        Step::Event { scope, seen, event } => Step::Event { scope: *scope, seen: *seen, event },
        Step::Through { scope, at } => Step::Through { scope: *scope, at: *at },
    }
}

/// Records these steps, and returns whether the file is full, and its bytes.
fn record(steps: &[Step], header: &Header, max_size: u64) -> (bool, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let names = Names::new(header.anonymized).expect("random numbers");
    let (mut recorder, mut writing) = Recorder::create(&target(&folder), max_size, header, names).expect("a file");
    steps.iter().for_each(|step| recorder.take(borrowed(step)));
    drop(recorder);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let written = runtime.block_on(writing.ended()).expect("written");
    let bytes = fs::read(target(&folder).path).expect("the file");
    assert_eq!(written.bytes, bytes.len() as u64);
    (written.is_full, bytes)
}

/// Reads to the end.
fn read(bytes: &[u8]) -> Result<(Vec<Step>, End), ReadError> {
    let mut reader = Reader::new(bytes)?;
    let mut steps = Vec::new();
    loop {
        match reader.next_step()? {
            ControlFlow::Continue(step) => steps.push(step),
            ControlFlow::Break(end) => return Ok((steps, end)),
        }
    }
}

fn lines(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

fn zipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn header_line() -> String {
    let mut line = Vec::new();
    header(false).write(&mut line).expect("a header");
    String::from_utf8(line).expect("text")
}

/// A recording with these lines after the header.
fn crafted(steps: &[Line<'_>]) -> Vec<u8> {
    let mut text = header_line().into_bytes();
    steps.iter().for_each(|line| push(&mut text, line));
    seal(&mut text);
    zipped(&text)
}

/// The same without labels, which are replaced by codes.
fn unlabelled(mut steps: Vec<Step>) -> Vec<Step> {
    for step in &mut steps {
        match step {
            Step::Event { event: Event::Pod(pod) | Event::PodDeleted(pod), .. } => pod.labels.clear(),
            Step::Event { event: Event::Service(service) | Event::ServiceDeleted(service), .. } => {
                service.selector.clear();
            }
            _ => {}
        }
    }
    steps
}

#[test]
fn what_was_recorded_is_read_again() {
    let (is_full, bytes) = record(&steps(), &header(false), ANY_SIZE);
    let (read, end) = read(&bytes).expect("whole");
    assert_eq!(unlabelled(read), unlabelled(steps()));
    assert_eq!((is_full, end), (false, End::Complete(Stamp::from_nanos(3_000_000_500))));
    assert_eq!(Reader::new(&*bytes).expect("whole").header(), &header(false));
}

/// The version of the program that reads it may be years newer.
#[test]
fn format_1_stays_what_it_is() {
    let text = include_str!("tests/format-1.jsonl");
    let (read, end) = read(&zipped(text.as_bytes())).expect("whole");
    assert_eq!(unlabelled(read), unlabelled(steps()));
    assert_eq!(end, End::Complete(Stamp::from_nanos(3_000_000_500)));
    for line in text.lines().skip(1) {
        let parsed: Line<'_> = serde_json::from_str(line).expect("a line");
        assert_eq!(serde_json::to_string(&parsed).expect("JSON"), line);
    }
}

#[test]
fn labels_are_equal_where_they_were_and_are_never_written() {
    let (_, bytes) = record(&steps(), &header(false), ANY_SIZE);
    assert!(!["tier", "app.kubernetes", "password", "hunter2"].iter().any(|text| lines(&bytes).contains(text)));
    let (read, _) = read(&bytes).expect("whole");
    let labels = read.iter().find_map(|step| match step {
        Step::Event { event: Event::Pod(pod), .. } => Some(pod.labels.clone()),
        _ => None,
    });
    let selector = read.iter().find_map(|step| match step {
        Step::Event { event: Event::Service(service), .. } => Some(service.selector.clone()),
        _ => None,
    });
    let (labels, selector) = (labels.expect("a pod"), selector.expect("a Service"));
    assert_eq!((labels.len(), selector.len()), (3, 1));
    assert!(selector.iter().all(|(key, value)| labels.get(key) == Some(value)));
    // Two keys with the same value are not told from two with different values.
    assert_eq!(labels.values().collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[test]
fn nothing_of_a_name_is_left_when_it_is_anonymized() {
    let header = Header { namespaces: vec!["namespace-0123".into()], ..header(true) };
    let (_, bytes) = record(&steps(), &header, ANY_SIZE);
    let text = lines(&bytes);
    let names = ["shop", "checkout", "metrics", "grpc", "0f1e2d3c", "other-uid", "h2c", "QUIC", "soon"];
    assert!(!names.iter().any(|name| text.contains(name)), "{text}");
    // They stay, since they say nothing about whose they are.
    assert!(["IPv4", "IPv6", "\"TCP\"", "8080"].iter().all(|words| text.contains(words)), "{text}");
    let (read, _) = read(&bytes).expect("whole");
    assert_eq!(read.len(), steps().len());
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for step in &read {
        match step {
            Step::Event { event: Event::Service(service), .. } => {
                names.push((&service.namespace, &service.name));
                ports.extend(service.ports.iter().map(|port| port.name.clone()));
            }
            Step::Event { event: Event::EndpointSlice(slice), .. } => {
                names.extend(slice.owner.iter().map(|owner| (&slice.namespace, &owner.service)));
                assert!(slice.ports.is_sorted(), "as the model has them");
                ports.extend(slice.ports.iter().map(|port| port.name.clone()));
            }
            _ => {}
        }
    }
    assert!(names.len() > 1 && names.windows(2).all(|pair| pair[0] == pair[1]), "{names:?}");
    ports.sort_unstable();
    assert_eq!(ports.chunk_by(|a, b| a == b).map(<[_]>::len).collect::<Vec<_>>(), [3, 3]);
}

#[test]
fn a_file_that_is_cut_anywhere_is_replayed_to_its_last_whole_part() {
    let (_, bytes) = record(&steps(), &header(false), ANY_SIZE);
    let (whole, _) = read(&bytes).expect("whole");
    let mut lengths = Vec::new();
    for length in 0..bytes.len() {
        match read(&bytes[..length]) {
            Ok((read, End::CutShort(_))) => {
                assert_eq!(read, whole[..read.len()]);
                lengths.push(read.len());
            }
            // Only the end of gzip itself is missing.
            Ok((read, End::Complete(_))) => assert_eq!(read, whole),
            Err(error) => assert!(matches!(error, ReadError::Empty), "{length}: {error}"),
        }
    }
    assert!(lengths.is_sorted());
    lengths.dedup();
    assert!(lengths.len() > 2, "parts of a second each: {lengths:?}");
}

#[test]
fn damage_is_found_wherever_it_is() {
    let (_, bytes) = record(&steps(), &header(false), ANY_SIZE);
    let (whole, _) = read(&bytes).expect("whole");
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            // The header of gzip has fields that mean nothing here, and its end nothing that was not checked before.
            if let Ok((read, _)) = read(&damaged) {
                assert_eq!(read, whole[..read.len()], "byte {at}");
            }
        }
    }
    let edited = lines(&bytes).replacen("\"ready\":true", "\"ready\":false", 1);
    let error = read(&zipped(edited.as_bytes())).expect_err("damaged").to_string();
    assert_eq!(error, "it is damaged: the checksum of a part is wrong");
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let refused = |bytes: &[u8]| read(bytes).expect_err("no recording").to_string();
    assert_eq!(refused(b""), "it ends before the first step was written");
    assert_eq!(refused(b"TIME  SERVICE\n"), "it is not a recording of endpointlag");
    assert_eq!(refused(&zipped(b"{\"kind\":\"Pod\"}\n")), "it is not a recording of endpointlag");
    let newer = refused(&zipped(b"{\"endpointlag_recording\":2,\"version\":\"3.1.0\",\"codec\":\"columns\"}\n"));
    assert!(newer.starts_with("it has format 2, from endpointlag 3.1.0. This is endpointlag "), "{newer}");
    assert_eq!(refused(&zipped(header_line().as_bytes())), "it ends before the first step was written");
    assert_eq!(refused(&crafted(&[])[..20]), "it ends before the first step was written");
}

/// A recording comes from someone else. Whatever it says, it does not reach the core.
#[test]
fn steps_that_cannot_be_are_damage() {
    let refused = |lines: &[&str]| {
        let lines: Vec<Line<'_>> = lines.iter().map(|line| serde_json::from_str(line).expect("a line")).collect();
        read(&crafted(&lines)).expect_err("damage").to_string()
    };
    assert!(refused(&[r#"{"through":{"at":1,"scope":1}}"#]).contains("a namespace that was not watched"));
    let change = |kept: &str| {
        let endpoints = format!("{{\"uid\":\"u\",\"name\":\"s\",\"version\":2,\"endpoints\":[{{\"kept\":{kept}}}]}}");
        format!("{{\"event\":{{\"at\":2,\"is\":{{\"endpoints_changed\":{endpoints}}}}}}}")
    };
    assert!(refused(&[&change(r#"{"start":0,"end":0}"#)]).contains("a slice that is not known"));
    let endpoint = r#"{"pod":"p","name":"p","ready":true}"#;
    let slice = format!(
        "{{\"event\":{{\"at\":1,\"is\":{{\"endpoint_slice\":{{\"namespace\":\"n\",\"name\":\"s\",\"uid\":\"u\",\"version\":1,\
         \"endpoints\":[{endpoint},{endpoint}]}}}}}}}}"
    );
    for kept in [r#"{"start":0,"end":3}"#, r#"{"start":2,"end":1}"#] {
        assert!(refused(&[&slice, &change(kept)]).contains("endpoints that do not exist"), "{kept}");
    }
    let whole = change(r#"{"start":1,"end":2}"#);
    assert!(refused(&[&slice, &whole, &change(r#"{"start":1,"end":2}"#)]).contains("endpoints that do not exist"));
}

#[test]
fn a_file_is_its_owners_and_is_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let create = |target: &Target| {
        Recorder::create(target, ANY_SIZE, &header(false), Names::new(false).expect("random numbers")).map(drop)
    };
    let target = target(&folder);
    create(&target).expect("created");
    assert_eq!(fs::metadata(&target.path).expect("a file").permissions().mode() & 0o777, 0o600);
    let error = create(&target).expect_err("it exists");
    assert!(matches!(error, WriteError::Target(TargetError::Exists { .. })), "{error}");

    fs::set_permissions(&target.path, fs::Permissions::from_mode(0o644)).expect("changed");
    let forced = Target { force: true, ..target.clone() };
    create(&forced).expect("replaced");
    assert_eq!(fs::metadata(&target.path).expect("a file").permissions().mode() & 0o777, 0o600);

    let link = Target { path: folder.path().join("link"), force: true };
    symlink(&target.path, &link.path).expect("a link");
    for irregular in [link, Target { path: folder.path().to_owned(), force: true }] {
        let error = create(&irregular).expect_err("not a file");
        assert!(matches!(error, WriteError::Target(TargetError::Irregular { .. })), "{error}");
    }
}

#[test]
fn a_full_file_ends_whole() {
    let event = Event::WatchLost(Resource::Pods);
    let many: Vec<_> = (0..40_000)
        .map(|number: u64| {
            // Hard to compress.
            let at = Stamp::from_nanos(number * 1_000_000 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 999_983);
            Step::Event { scope: 0, seen: crate::model::Seen::live(at), event: event.clone() }
        })
        .collect();
    let max_size = 160 << 10;
    let (is_full, bytes) = record(&many, &header(false), max_size);
    let (read, end) = read(&bytes).expect("whole");
    assert!(is_full && bytes.len() as u64 <= max_size, "{} bytes", bytes.len());
    assert!(
        bytes.len() as u64 > max_size / 3 && read.len() < many.len(),
        "{} bytes, {} steps",
        bytes.len(),
        read.len()
    );
    assert!(matches!(end, End::Complete(_)) && read == many[..read.len()]);
}

proptest! {
    #[test]
    fn bytes_from_anywhere_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), is_zipped: bool) {
        let _ = read(&if is_zipped { zipped(&bytes) } else { bytes });
    }

    /// Whoever edits a line can edit its check as well.
    #[test]
    fn edited_lines_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let lines = include_str!("tests/format-1.jsonl").split_inclusive('\n').filter(|line| !line.starts_with("{\"check"));
        let mut text = lines.collect::<String>().into_bytes();
        for (at, byte) in edits {
            let at = at.index(text.len());
            text[at] = byte;
        }
        seal(&mut text);
        if let Ok((steps, _)) = read(&zipped(&text)) {
            let limits = SeriesLimits { services: usize::MAX, idle: Duration::MAX };
            let stats = Stats::new(Bounds::default(), limits, Stamp::default());
            let mut replay = Replay::new(1, header(false).tracker, stats);
            steps.into_iter().for_each(|step| replay.take(step, |_| {}).expect("its scope"));
        }
    }
}
