//! kubectl, as people use it.

use crate::controlplane::binaries::{Binaries, Binary};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program with a kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// The program, which is built first if it has not been yet.
    ///
    /// # Errors
    /// It cannot be built.
    pub async fn new(kubeconfig: &Path) -> Result<Self> {
        let binaries = tokio::task::spawn_blocking(|| Binaries::get(&[Binary::Kubectl])).await??;
        Ok(Self { program: binaries.path(Binary::Kubectl), kubeconfig: kubeconfig.to_owned() })
    }

    /// Runs it and returns its output.
    ///
    /// # Errors
    /// kubectl fails; the error is its output.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--kubeconfig").arg(&self.kubeconfig);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().context("starting kubectl")?;
        process.stdin.take().context("standard input is a pipe")?.write_all(input.as_bytes())?;
        let output = process.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {arguments:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
