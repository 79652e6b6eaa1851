//! The patches as YAML: one document for each object, which names its object and says how to apply it.

use crate::{
    advice::{Action, Advice, Patch, merged},
    commands::advise::AdviseError,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// All patches as a stream of documents.
pub(super) fn stream(advice: &Advice) -> Result<String, AdviseError> {
    let documents = merged(&advice.findings).into_iter().map(|(patch, checks)| document(&patch, &checks));
    Ok(documents.collect::<Result<Vec<_>, _>>()?.join("---\n"))
}

/// Writes each patch into a file of its own, and returns their paths.
pub(in super::super) fn write_patches(advice: &Advice, folder: &Path) -> Result<Vec<PathBuf>, AdviseError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| AdviseError::Patch { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let write = |(patch, checks): (Patch, Vec<&'static str>)| {
        let path = folder.join(file_name(&patch));
        fs::write(&path, document(&patch, &checks)?).map_err(failed(&path))?;
        Ok(path)
    };
    merged(&advice.findings).into_iter().map(write).collect()
}

fn file_name(Patch { action, kind, namespace, name, .. }: &Patch) -> String {
    let ending = match action {
        Action::Merge => "patch",
        Action::Create => "new",
    };
    format!("{namespace}.{}.{name}.{ending}.yaml", kind.to_lowercase())
}

fn document(patch: &Patch, checks: &[&'static str]) -> Result<String, AdviseError> {
    let yaml = serde_saphyr::to_string(&patch.document()).map_err(|error| AdviseError::Format(error.to_string()))?;
    let how = match patch.action {
        Action::Merge => "kubectl patch -f FILE --patch-file FILE",
        Action::Create => "kubectl apply -f FILE",
    };
    Ok(format!("# {}\n# {how}\n{yaml}", checks.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Labels that look like something else stay texts.
    #[test]
    fn a_document_reads_as_what_was_written() {
        let labels =
            json!({ "a": "true", "b": "1.10", "c": "null", "d": "1e3", "e": "0x1f", "f": "on", "g": "~", "h": "5d4f" });
        let spec = json!({ "selector": { "matchLabels": labels }, "minAvailable": null, "maxUnavailable": 1 });
        let (namespace, name) = ("shop".to_owned(), "web".to_owned());
        let kind = "PodDisruptionBudget";
        let patch =
            Patch { action: Action::Create, api_version: "policy/v1", kind, namespace, name, spec: spec.into() };
        let text = document(&patch, &["pod-disruption-budget-missing"]).expect("can be written");
        assert!(text.starts_with("# pod-disruption-budget-missing\n# kubectl apply -f FILE\n"), "{text}");
        assert_eq!(serde_saphyr::from_str::<Value>(&text).expect("can be read"), patch.document());
        assert_eq!(file_name(&patch), "shop.poddisruptionbudget.web.new.yaml");
    }
}
