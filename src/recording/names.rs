//! What becomes of text in a recording.

use crate::model::Uid;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac::{self, HMAC_SHA256},
    rand::SystemRandom,
};
use std::{borrow::Cow, collections::HashMap};

/// Number of labels whose codes are remembered.
const REMEMBERED: usize = 16_384;

/// Protocols that a port can have. They say nothing about whose port it is.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Replaces text by codes. Equal text has equal codes, and that is all that a code says: the key is random, and is never written.
///
/// Labels and selectors are always replaced. Only whether they agree matters, and labels may hold anything. With `anonymized`, so are
/// the names of namespaces, Services, pods, slices and ports, and UIDs.
#[derive(Debug)]
pub struct Names {
    key: hmac::Key,
    anonymized: bool,
    /// Codes of labels, by key and value. Most pods share theirs with others.
    labels: HashMap<(Box<str>, Box<str>), (String, String)>,
}

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Namespace,
    Service,
    Pod,
    Slice,
    Port,
    Protocol,
}

/// The system has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system has no random numbers")]
pub struct NoRandomness;

// === impl Names ===

impl Names {
    /// With a new key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(anonymized: bool) -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).map_err(|_| NoRandomness)?;
        Ok(Self { key, anonymized, labels: HashMap::new() })
    }

    /// The name of a namespace.
    pub fn namespace(&self, name: &str) -> String {
        self.name(Kind::Namespace, name).into_owned()
    }

    /// A name. An empty one stays empty, since that means that there is none.
    pub(super) fn name<'a>(&self, kind: Kind, name: &'a str) -> Cow<'a, str> {
        if !self.anonymized || name.is_empty() || (kind == Kind::Protocol && PROTOCOLS.contains(&name)) {
            return name.into();
        }
        let code = u64::from_be_bytes(self.code(&[kind.prefix(), name]));
        format!("{}-{code:016x}", kind.prefix()).into()
    }

    /// An identity.
    pub(super) fn uid(&self, uid: &Uid) -> String {
        if !self.anonymized {
            return uid.to_string();
        }
        Uid::Uuid(self.code(&["uid", &uid.to_string()])).to_string()
    }

    /// The codes of a label. A value has another code below another key.
    pub(super) fn label(&mut self, key: &str, value: &str) -> (String, String) {
        // Looked up with owned texts: a recording has time for that.
        let label: (Box<str>, Box<str>) = (key.into(), value.into());
        if let Some(codes) = self.labels.get(&label) {
            return codes.clone();
        }
        let short = |parts: &[&str]| BASE64_URL_SAFE_NO_PAD.encode(self.code::<8>(parts));
        let codes = (short(&["key", key]), short(&["value", key, value]));
        if self.labels.len() >= REMEMBERED {
            self.labels.clear();
        }
        self.labels.insert(label, codes.clone());
        codes
    }

    /// The first bytes of the code of these parts.
    fn code<const LENGTH: usize>(&self, parts: &[&str]) -> [u8; LENGTH] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            // With its length, so that no two lists of parts are the same text.
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let tag = context.sign();
        let mut code = [0; LENGTH];
        code.copy_from_slice(&tag.as_ref()[..LENGTH]);
        code
    }
}

// === impl Kind ===

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Service => "service",
            Self::Pod => "pod",
            Self::Slice => "slice",
            Self::Port => "port",
            Self::Protocol => "protocol",
        }
    }
}
