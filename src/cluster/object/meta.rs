//! What is read of every object's metadata.

use super::{ObjectError, Uid};
use crate::cluster::wire::fields::{Fields, MessageError, Value, entry, text};
use std::collections::BTreeMap;

/// Metadata where it lies.
#[derive(Clone, Debug, Default)]
pub(super) struct Meta<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    uid: &'a str,
    resource_version: &'a str,
    /// deletionTimestamp is set.
    pub(super) terminating: bool,
    labels: Vec<(&'a str, &'a str)>,
}

// === impl Meta ===

impl<'a> Meta<'a> {
    /// Reads an `ObjectMeta`. Fields that are already there are kept where the message does not have them, as protobuf wants it.
    pub(super) fn read(&mut self, message: &'a [u8]) -> Result<(), MessageError> {
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(bytes)) => self.name = text(bytes)?,
                (3, Value::Bytes(bytes)) => self.namespace = text(bytes)?,
                (5, Value::Bytes(bytes)) => self.uid = text(bytes)?,
                (6, Value::Bytes(bytes)) => self.resource_version = text(bytes)?,
                (9, Value::Bytes(_)) => self.terminating = true,
                (11, Value::Bytes(message)) => {
                    let (key, value) = entry(message)?;
                    self.labels.push((text(key)?, text(value)?));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// UID and resourceVersion.
    pub(super) fn identity(&self, kind: &'static str) -> Result<(Uid, u64), ObjectError> {
        super::identity(kind, self.namespace, self.name, self.uid, self.resource_version)
    }

    /// The value of a label.
    pub(super) fn label(&self, key: &str) -> Option<&'a str> {
        self.labels.iter().rev().find(|(other, _)| *other == key).map(|(_, value)| *value)
    }

    /// All labels.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}
