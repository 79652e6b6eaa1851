//! The API server's audit log, read as a list of writes to one namespace.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A write that the API server performed.
#[derive(Clone, Debug)]
pub struct Write {
    /// Version of the store after it. Unknown for a deleted slice, because the API server then answers with a mere status.
    pub version: Option<u64>,
    /// When it was answered, by the API server's clock, in microseconds.
    pub answered: Timestamp,
    /// The user.
    pub user: String,
    /// The result.
    pub written: Written,
}

/// The object after the write.
#[derive(Clone, Debug)]
pub enum Written {
    /// A pod, or its last state before it was removed.
    Pod {
        /// The state.
        pod: Box<Pod>,
        /// Whether the write removed it.
        gone: bool,
    },
    /// A Service, or its last state before it was removed.
    Service {
        /// The state.
        service: Box<Service>,
        /// Whether the write removed it.
        gone: bool,
    },
    /// A slice.
    Slice(Box<EndpointSlice>),
    /// The name of a deleted slice.
    SliceGone(String),
}

/// The part of a line that decides whether it matters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    object_ref: ObjectRef,
    response_status: ResponseStatus,
    stage: String,
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: u16,
}

/// The part of a line that has the object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<K> {
    response_object: K,
}

/// The log of a running API server, for one namespace.
#[derive(Debug)]
pub struct AuditLog {
    reader: BufReader<File>,
    /// The start of a line whose end is not written yet.
    unfinished: Vec<u8>,
    namespace: String,
    writes: Vec<Write>,
}

impl AuditLog {
    /// Opens the log at its beginning.
    ///
    /// # Errors
    /// There is no log.
    pub fn open(path: &Path, namespace: &str) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("opening the audit log {}", path.display()))?;
        Ok(Self {
            reader: BufReader::new(file),
            unfinished: Vec::new(),
            namespace: namespace.to_owned(),
            writes: Vec::new(),
        })
    }

    /// Reads what was written since the last call. A line without an end was begun by an API server that was killed. It is
    /// left out, like the lines that this API server did not begin.
    ///
    /// # Errors
    /// A line from which the truth cannot be computed: no truth is better than a wrong one.
    pub fn refresh(&mut self) -> Result<()> {
        while self.reader.read_until(b'\n', &mut self.unfinished)? > 0 && self.unfinished.ends_with(b"\n") {
            let line = std::mem::take(&mut self.unfinished);
            let line = std::str::from_utf8(&line).context("the audit log is not UTF-8")?;
            match read_line(line, &self.namespace) {
                Err(error) if error.downcast_ref().is_some_and(serde_json::Error::is_eof) => {}
                write => self.writes.extend(write.with_context(|| format!("in the audit log: {line}"))?),
            }
        }
        Ok(())
    }

    /// How many writes a user did.
    pub(crate) fn writes_by(&self, user: &str) -> usize {
        self.writes.iter().filter(|write| write.user == user).count()
    }

    /// All writes in the order in which the store performed them. The order of answers, and so of lines, may differ.
    pub fn in_order(&self) -> Vec<&Write> {
        // A deleted slice has no version. It is placed after everything that was answered before it.
        let place = |write: &Write| match write.version {
            Some(version) => (version, false),
            None => {
                let earlier = self.writes.iter().filter(|other| other.answered <= write.answered);
                (earlier.filter_map(|other| other.version).max().unwrap_or(0), true)
            }
        };
        let mut writes: Vec<_> = self.writes.iter().collect();
        writes.sort_by_cached_key(|write| place(write));
        writes
    }
}

/// The write that a line records, unless it failed or belongs to another namespace.
fn read_line(line: &str, namespace: &str) -> Result<Option<Write>> {
    let event: Event = serde_json::from_str(line)?;
    let carried_out = event.stage == "ResponseComplete" && (200..300).contains(&event.response_status.code);
    if !carried_out || event.object_ref.namespace.as_deref() != Some(namespace) {
        return Ok(None);
    }
    let deleted = event.verb == "delete";
    let (version, written) = match (event.object_ref.resource.as_str(), event.verb.as_str()) {
        (resource, "deletecollection") => bail!("the truth of a deletecollection of {resource} is not worked out"),
        ("pods", _) => {
            let pod: Box<Pod> = object(line)?;
            let gone = is_gone(&pod.metadata);
            (version(&pod.metadata)?, Written::Pod { pod, gone })
        }
        ("services", _) => {
            let service: Box<Service> = object(line)?;
            // The write that removes the last finalizer of a deleted Service also removes the Service.
            let ends = deleted || service.metadata.deletion_timestamp.is_some();
            let gone = ends && !has_finalizers(&service.metadata);
            (version(&service.metadata)?, Written::Service { service, gone })
        }
        ("endpointslices", "delete") => {
            (None, Written::SliceGone(event.object_ref.name.context("a deleted slice without a name")?))
        }
        ("endpointslices", _) => {
            let slice: Box<EndpointSlice> = object(line)?;
            (version(&slice.metadata)?, Written::Slice(slice))
        }
        (resource, verb) => bail!("the audit policy does not ask for {verb} of {resource}"),
    };
    let answered = event.stage_timestamp.parse().context("stageTimestamp")?;
    Ok(Some(Write { version, answered, user: event.user.username, written }))
}

fn object<K: DeserializeOwned>(line: &str) -> Result<K> {
    Ok(serde_json::from_str::<Answer<K>>(line)?.response_object)
}

fn version(metadata: &ObjectMeta) -> Result<Option<u64>> {
    let version = metadata.resource_version.as_deref().context("an object without resourceVersion")?;
    Ok(Some(version.parse().context("resourceVersion")?))
}

/// Whether a pod is gone after a write that left this metadata. The API server removes an object once its grace
/// period is zero and no finalizer holds it: at once if that is requested, else with the update that removes its last finalizer.
/// Before the removal it writes the zero, and answers with that state.
fn is_gone(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some()
        && metadata.deletion_grace_period_seconds.unwrap_or(0) == 0
        && !has_finalizers(metadata)
}

fn has_finalizers(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())
}
