//! The slice that showed a change, for people to find it.

use crate::model::SliceVersion;
use serde::Serialize;

/// A version of a slice in a line.
#[derive(Debug, Serialize)]
pub(super) struct SliceLine<'a> {
    name: &'a str,
    uid: String,
    /// As a text, as in Kubernetes: it may exceed what a number in JSON holds.
    resource_version: String,
}

// === impl SliceLine ===

impl<'a> From<&'a SliceVersion> for SliceLine<'a> {
    fn from(version: &'a SliceVersion) -> Self {
        let SliceVersion { uid, name, resource_version } = version;
        Self { name, uid: uid.to_string(), resource_version: resource_version.to_string() }
    }
}
