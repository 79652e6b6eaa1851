//! Helm in the two versions that people use, built from source, and the chart as it renders.

use crate::gobuild::{Module, Program, version};
use crate::root;
use crate::workspace::scratch;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The chart's folder, from the root of the repository.
pub const CHART: &str = "deploy/helm/endpointlag";

/// The API server for which the chart is rendered, if no other is given.
const KUBE_VERSION: &str = "--kube-version=1.37.2";

/// A version of Helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    /// The one with which most clusters are installed.
    Three,
    /// The next one.
    Four,
}

impl Helm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Three, Self::Four];

    /// Runs it in the root of the repository and returns what it prints.
    ///
    /// # Errors
    /// Helm fails; the error is what it prints.
    pub fn run(self, arguments: &[&str]) -> Result<String> {
        let output = self.command()?.args(arguments).output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {self:?} {}: {complaint}", arguments.join(" "));
        String::from_utf8(output.stdout).context("not UTF-8")
    }

    /// The program, without settings and repositories from the environment of the tests.
    ///
    /// # Errors
    /// It cannot be built, or its folder cannot be made.
    pub fn command(self) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        command.current_dir(root());
        let homes = scratch()?.join("helm");
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(folder, &homes);
        }
        command.env_remove("HELM_NAMESPACE").env_remove("KUBECONFIG");
        Ok(command)
    }

    /// The chart as text, for a release with this name in a namespace with this name.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn template(self, release: &str, namespace: &str, flags: &[&str]) -> Result<String> {
        let arguments = [&["template", release, CHART, "--namespace", namespace, KUBE_VERSION], flags].concat();
        self.run(&arguments)
    }

    /// The chart's objects.
    ///
    /// # Errors
    /// As for [`Self::run`], or the text is not YAML.
    pub fn objects(self, release: &str, namespace: &str, flags: &[&str]) -> Result<Vec<Value>> {
        parse(&self.template(release, namespace, flags)?)
    }

    fn program(self) -> Result<PathBuf> {
        let (folder, go_mod, module, package) = match self {
            Self::Three => (
                concat!(env!("CARGO_MANIFEST_DIR"), "/go/helm/v3"),
                include_str!("../go/helm/v3/go.mod"),
                "helm.sh/helm/v3",
                "helm.sh/helm/v3/cmd/helm",
            ),
            Self::Four => (
                concat!(env!("CARGO_MANIFEST_DIR"), "/go/helm/v4"),
                include_str!("../go/helm/v4/go.mod"),
                "helm.sh/helm/v4",
                "helm.sh/helm/v4/cmd/helm",
            ),
        };
        let key = format!("helm-{}", version(go_mod, module)?);
        let module = Module { folder, topic: "helm", key, flags: vec!["-ldflags=-s -w".into()] };
        let program = Program { name: "helm", package };
        Ok(module.build(&[program])?.join(program.name))
    }
}

/// The objects of a manifest.
///
/// # Errors
/// It is not YAML.
pub fn parse(manifest: &str) -> Result<Vec<Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).with_context(|| manifest.to_owned())?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}
