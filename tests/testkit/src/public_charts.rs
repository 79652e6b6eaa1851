//! Helm charts that others publish, as they are in the Go modules of their projects: fixed versions with checksums, from the module proxy.

use crate::helm::{Helm, parse};
use crate::workspace::scratch;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// A chart.
#[derive(Clone, Copy, Debug)]
pub struct PublicChart {
    /// The name of its release.
    pub name: &'static str,
    /// The Go module, with its version.
    pub module: &'static str,
    /// The module's checksum, as in a `go.sum`.
    pub sum: &'static str,
    /// The chart's folder in the module.
    pub folder: &'static str,
}

/// What `go mod download` says about a module.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    dir: Option<PathBuf>,
    sum: Option<String>,
    error: Option<String>,
}

impl PublicChart {
    /// What Helm makes of it with the chart's own values, for a namespace.
    ///
    /// # Errors
    /// The module cannot be downloaded, or is another one than expected; Helm fails.
    pub fn objects(self, namespace: &str) -> Result<Vec<Value>> {
        let chart = self.download()?.join(self.folder);
        let chart = chart.to_str().context("the chart's path is not UTF-8")?;
        let flags = ["template", self.name, chart, "--namespace", namespace, "--kube-version=1.37.2"];
        parse(&Helm::Four.run(&flags)?)
    }

    /// The module's folder in Go's own cache.
    fn download(self) -> Result<PathBuf> {
        let mut go = Command::new("go");
        // Outside of every module, so that no go.mod asks for the module's own dependencies.
        go.args(["mod", "download", "-json", self.module])
            .current_dir(scratch()?)
            .env("GOWORK", "off")
            .env("GOFLAGS", "");
        let output = go.output().context("the tests get public charts by Go")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        let said: Download = serde_json::from_slice(&output.stdout).with_context(|| complaint.into_owned())?;
        ensure!(said.error.is_none(), "{}: {}", self.module, said.error.unwrap_or_default());
        ensure!(said.sum.as_deref() == Some(self.sum), "{} has the checksum {:?}", self.module, said.sum);
        said.dir.with_context(|| format!("Go has no folder for {}", self.module))
    }
}
