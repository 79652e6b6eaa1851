//! Decodes pods, Services and EndpointSlices into the [`model`](crate::model). Resolves nil values, and keeps only what the model
//! needs.

mod address;
mod meta;
mod pod;
mod service;
mod slice;
mod times;

pub use self::{
    pod::decode_pod,
    service::decode_service,
    slice::{CONTROLLER, EncodedSlice, MANAGED_BY_LABEL, SERVICE_NAME_LABEL, read_endpoint},
    times::decode_times,
};

pub(crate) use self::address::parse_address;

use crate::{cluster::wire::fields::MessageError, model::Uid};

/// Why an object cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectError {
    /// Without a UID an object has no identity.
    #[error("{kind} {namespace}/{name} has no UID")]
    NoUid {
        /// Kind of the object.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The bytes are not an encoded object of this kind.
    #[error("malformed {kind}: {source}")]
    Undecodable {
        /// Kind of the object.
        kind: &'static str,
        /// The error.
        source: MessageError,
    },
    /// In every API server that stores in etcd, resourceVersions are decimal numbers. Since 1.35 the API guarantees this.
    #[error("{kind} {namespace}/{name} has the resourceVersion {version:?}, which is no number")]
    BadVersion {
        /// Kind of the object.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The resourceVersion.
        version: String,
    },
    /// The EndpointSlice controller cannot parse the address either, and writes a slice that the API server rejects. The rest of
    /// the pod is used.
    #[error("pod {namespace}/{name} has the invalid address {address:?}")]
    BadAddress {
        /// The pod's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The address.
        address: String,
    },
}

fn identity(
    kind: &'static str,
    namespace: &str,
    name: &str,
    uid: &str,
    version: &str,
) -> Result<(Uid, u64), ObjectError> {
    if uid.is_empty() {
        return Err(ObjectError::NoUid { kind, namespace: namespace.into(), name: name.into() });
    }
    let version = version.parse().map_err(|_| ObjectError::BadVersion {
        kind,
        namespace: namespace.into(),
        name: name.into(),
        version: version.into(),
    })?;
    Ok((Uid::from(uid), version))
}
