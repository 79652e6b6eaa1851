//! The metadata of an object.

use super::ObjectError;
use crate::{
    cluster::wire::fields::{Fields, MessageError, Value, entry, text},
    model::Uid,
};
use std::collections::BTreeMap;

/// Metadata, as slices of the encoded object.
#[derive(Clone, Debug, Default)]
pub(super) struct Meta<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    uid: &'a str,
    resource_version: &'a str,
    /// deletionTimestamp is set.
    pub(super) terminating: bool,
    labels: Vec<(&'a str, &'a str)>,
    /// Encoded ownerReferences. They are read only if requested; for pods they are not.
    owners: Option<Vec<&'a [u8]>>,
}

// === impl Meta ===

impl<'a> Meta<'a> {
    /// Empty metadata of an object whose owners are needed.
    pub(super) fn with_owners() -> Self {
        Self { owners: Some(Vec::new()), ..Self::default() }
    }

    /// Reads an `ObjectMeta`. Fields that the message does not have keep their value, as protobuf requires.
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
                (13, Value::Bytes(reference)) => {
                    if let Some(owners) = &mut self.owners {
                        owners.push(reference);
                    }
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

    /// UID of the Service that owns the object, determined as `ownedBy` of k8s.io/endpointslice does.
    pub(super) fn owning_service(&self) -> Result<Option<&'a str>, MessageError> {
        for reference in self.owners.iter().flatten() {
            let (mut kind, mut uid, mut version) = ("", "", "");
            for field in Fields::of(reference) {
                match field? {
                    (1, Value::Bytes(bytes)) => kind = text(bytes)?,
                    (4, Value::Bytes(bytes)) => uid = text(bytes)?,
                    (5, Value::Bytes(bytes)) => version = text(bytes)?,
                    _ => {}
                }
            }
            if (kind, version) == ("Service", "v1") && !uid.is_empty() {
                return Ok(Some(uid));
            }
        }
        Ok(None)
    }

    /// All labels.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}
