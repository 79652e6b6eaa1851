//! The schemas of Kubernetes' own kinds, from PyPI, in the format of kubeconform.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use testkit::pypi::installed;

/// The package. Its version is that of Kubernetes.
const PACKAGE: &str = "kubernetes-validate==1.37.0";

/// Where the schemas are in it.
const SCHEMAS: &str = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local";

/// The schemas' name for the file of shared definitions.
const DEFINITIONS: &str = "/api/_definitions.json";

/// A folder of schemas that reject unknown properties. They are made from the package's schemas, which accept them.
pub struct Schemas {
    folder: tempfile::TempDir,
}

impl Schemas {
    /// Installs the package, if needed, and makes the folder.
    ///
    /// # Errors
    /// It cannot be installed, or has changed.
    pub fn strict() -> Result<Self> {
        let source = installed(&[PACKAGE])?.join(SCHEMAS);
        let folder = tempfile::tempdir()?;
        for entry in fs::read_dir(&source).with_context(|| format!("reading {}", source.display()))? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let own = folder.path().join("_definitions.json");
            let text = text.replace(DEFINITIONS, &format!("file://{}", own.display()));
            let mut schema: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            close(&mut schema);
            if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
                definitions.values_mut().for_each(close);
            }
            fs::write(folder.path().join(path.file_name().context("a name")?), schema.to_string())?;
        }
        Ok(Self { folder })
    }

    /// For kubeconform's `-schema-location`.
    pub fn location(&self) -> PathBuf {
        self.folder.path().join("{{.ResourceKind}}{{.KindSuffix}}.json")
    }
}

/// Restricts an object to the properties that are described.
fn close(schema: &mut Value) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema["additionalProperties"] = json!(false);
    }
}
