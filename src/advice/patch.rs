//! Changes that `kubectl` can make.

use super::Finding;
use serde_json::{Map, Value, json};

/// A change to one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Whether the object exists.
    pub action: Action,
    /// `apiVersion` of the object.
    pub api_version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its `spec`: what is to be merged into it, or all of it.
    pub spec: Spec,
}

/// A `spec` as JSON text. In a large cluster tens of thousands are kept at once, and as a tree each takes kilobytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec(Box<str>);

/// What to do with the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Merge this into it: a strategic merge patch.
    Merge,
    /// Create it.
    Create,
}

// === impl Spec ===

impl From<Value> for Spec {
    fn from(tree: Value) -> Self {
        Self(tree.to_string().into())
    }
}

impl Spec {
    /// The same as a tree.
    pub fn tree(&self) -> Value {
        // It was written from one.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

// === impl Patch ===

impl Patch {
    /// The whole document: a new object, or a strategic merge patch that also names its object.
    pub fn document(&self) -> Value {
        json!({
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": { "name": self.name, "namespace": self.namespace },
            "spec": self.spec.tree(),
        })
    }

    /// Whether both change the same object. Two new objects are never one, whatever their names: each has its own selector.
    fn is_of(&self, other: &Self) -> bool {
        self.action == Action::Merge
            && other.action == Action::Merge
            && (self.kind, &self.namespace, &self.name) == (other.kind, &other.namespace, &other.name)
    }
}

/// One patch for each object, with all that the findings want of it. Ignored findings want nothing.
pub fn merged<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<(Patch, Vec<&'static str>)> {
    let mut all: Vec<(Patch, Vec<&'static str>)> = Vec::new();
    for finding in findings.into_iter().filter(|finding| finding.ignored.is_none()) {
        let Some(patch) = &finding.patch else { continue };
        match all.iter_mut().find(|(other, _)| other.is_of(patch)) {
            Some((other, checks)) => {
                let mut spec = other.spec.tree();
                merge(&mut spec, &patch.spec.tree());
                other.spec = spec.into();
                checks.push(finding.check.id);
            }
            None => all.push((patch.clone(), vec![finding.check.id])),
        }
    }
    all
}

/// Merges as a strategic merge does: objects by key, lists of objects by `name`. Of two numbers of seconds the larger is right for both.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge_key(into, key, value);
            }
        }
        (Value::Array(into), Value::Array(from)) => {
            for value in from {
                let has_name = |it: &Value| it["name"] == value["name"] && !value["name"].is_null();
                match into.iter().position(|it| has_name(it) || it == value) {
                    Some(at) => merge(&mut into[at], value),
                    None => into.push(value.clone()),
                }
            }
        }
        (into, from) => {
            let is_larger = into.as_u64().zip(from.as_u64()).is_none_or(|(into, from)| from > into);
            if is_larger {
                *into = from.clone();
            }
        }
    }
}

fn merge_key(into: &mut Map<String, Value>, key: &str, value: &Value) {
    match into.get_mut(key) {
        Some(own) => merge(own, value),
        None => {
            into.insert(key.to_owned(), value.clone());
        }
    }
}
