//! Helm in both versions that people use, built from source, and the chart as it renders.

use crate::gobuild::{Module, Program, version};
use crate::root;
use crate::workspace::scratch;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The chart's folder, from the root of the repository.
pub const CHART: &str = "deploy/helm/endpointlag";

/// The API server that the chart is rendered for, unless one is asked.
const KUBE_VERSION: &str = "--kube-version=1.37.2";

/// A version of Helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    /// The one that most clusters are installed by.
    Three,
    /// The one that follows it.
    Four,
}

impl Helm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Three, Self::Four];

    /// Runs it in the root of the repository and returns what it prints.
    ///
    /// # Errors
    /// What it complains about.
    pub fn run(self, arguments: &[&str]) -> Result<String> {
        let output = self.command()?.args(arguments).output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {self:?} {}: {complaint}", arguments.join(" "));
        String::from_utf8(output.stdout).context("not UTF-8")
    }

    /// The program, without the settings and the repositories of whoever runs the tests.
    ///
    /// # Errors
    /// It cannot be built, or its folder not made.
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

    /// The chart as text, for a release of this name in a namespace of this name.
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
    /// As for [`Self::run`], or text that is no YAML.
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
/// It is no YAML.
pub fn parse(manifest: &str) -> Result<Vec<Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).with_context(|| manifest.to_owned())?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}
