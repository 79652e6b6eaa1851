//! Malformed annotations: each is logged once and counted.

use crate::model::{Annotation, IGNORE_ANNOTATION, OBJECTIVE_ANNOTATION, Service};
use std::{
    borrow::Cow,
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

/// How many malformed annotations are remembered, so that each is logged once.
const REMEMBERED: usize = 10_000;

/// How many characters of one are logged. All annotations of an object together may have 256 KiB.
const LOGGED_CHARACTERS: usize = 100;

/// What was logged and counted.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// Hashes, since the texts may be long.
    seen: HashSet<u64>,
    hasher: RandomState,
    malformed: u64,
}

// === impl Annotations ===

impl Annotations {
    /// How many were counted.
    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Logs and counts the malformed annotations of this Service.
    pub(super) fn check(&mut self, service: &Service) {
        if let Annotation::Malformed(text) = &service.objective {
            let consequence = "the default objective holds; write it like 2s or 500ms";
            self.complain(service, OBJECTIVE_ANNOTATION, text, consequence);
        }
        if let Annotation::Malformed(text) = &service.ignore {
            let consequence = "the Service is measured; write \"true\" or \"false\"";
            self.complain(service, IGNORE_ANNOTATION, text, consequence);
        }
    }

    fn complain(&mut self, service: &Service, annotation: &str, text: &str, consequence: &str) {
        let Service { namespace, name, .. } = service;
        let complaint = self.hasher.hash_one((namespace, name, annotation, text));
        if self.seen.contains(&complaint) {
            return;
        }
        self.malformed += 1;
        let value = cut(text);
        tracing::warn!(%namespace, service = %name, annotation, value = &*value, "malformed annotation: {consequence}");
        if self.seen.len() < REMEMBERED {
            self.seen.insert(complaint);
        }
    }
}

/// The beginning of a long text, and its length.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LOGGED_CHARACTERS) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{object::decode_service, wire},
        model::Uid,
    };
    use prost::Message;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    /// A log that the test can read.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn service(objective: &str) -> Service {
        let mut service = wire::Service::default();
        service.metadata.namespace = "shop".into();
        service.metadata.name = "cart".into();
        service.metadata.uid = Uid::from("u").to_string();
        service.metadata.resource_version = "1".into();
        service.metadata.annotations.insert(OBJECTIVE_ANNOTATION.into(), objective.into());
        decode_service(&service.encode_to_vec(), false).expect("a Service")
    }

    /// The log lines for these objectives, and how many are counted.
    fn complaints(objectives: &[&str]) -> (String, u64) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let mut annotations = Annotations::default();
        tracing::subscriber::with_default(subscriber, || {
            objectives.iter().for_each(|objective| annotations.check(&service(objective)));
        });
        let text = String::from_utf8(log.0.lock().expect("whole").clone()).expect("text");
        (text, annotations.malformed())
    }

    #[test]
    fn each_is_logged_once_and_counted() {
        let (log, malformed) = complaints(&["2s", "soon", "soon", "later"]);
        assert_eq!((log.lines().count(), malformed), (2, 2), "{log}");
        assert!(log.contains("value=\"soon\"") && log.contains("service=cart"), "{log}");
    }

    #[test]
    fn a_long_one_is_cut_in_the_log_and_not_kept() {
        let long = "ö".repeat(3_000);
        let (log, malformed) = complaints(&[&long, &long, &format!("{long}!")]);
        assert_eq!((log.lines().count(), malformed), (2, 2), "those that differ at the end are two");
        let logged = log.lines().next().unwrap_or_default();
        assert!(logged.contains(&format!("\"{}… (3000 characters)\"", "ö".repeat(LOGGED_CHARACTERS))), "{logged}");
        assert!(logged.chars().count() < 400, "{logged}");
    }
}
