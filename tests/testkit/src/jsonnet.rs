//! Jsonnet, its formatter and its linter, built from source in the version that `go/jsonnet/go.mod` names.

use crate::gobuild::{Module, Program, version};
use crate::root;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const JSONNET: Program = Program { name: "jsonnet", package: "github.com/google/go-jsonnet/cmd/jsonnet" };
const JSONNETFMT: Program = Program { name: "jsonnetfmt", package: "github.com/google/go-jsonnet/cmd/jsonnetfmt" };
const LINT: Program = Program { name: "jsonnet-lint", package: "github.com/google/go-jsonnet/cmd/jsonnet-lint" };

/// The value of an expression. Imports are relative to the root of the repository.
///
/// # Errors
/// What jsonnet reports about it.
pub fn evaluate(expression: &str) -> Result<Value> {
    let printed = run(JSONNET, &["--exec".as_ref(), expression.as_ref()])?;
    serde_json::from_str(&printed).with_context(|| format!("{expression} is no JSON"))
}

/// The text that an expression evaluates to.
///
/// # Errors
/// What jsonnet reports about it.
pub fn evaluate_text(expression: &str) -> Result<String> {
    let printed = run(JSONNET, &["--string".as_ref(), "--exec".as_ref(), expression.as_ref()])?;
    // Jsonnet adds a line end of its own to its output.
    Ok(printed.strip_suffix('\n').unwrap_or(&printed).to_owned())
}

/// Checks files with the formatter and the linter.
///
/// # Errors
/// What they report about one of the files.
pub fn check(files: &[PathBuf]) -> Result<()> {
    for file in files {
        run(JSONNETFMT, &["--test".as_ref(), file]).with_context(|| format!("jsonnetfmt -i {}", file.display()))?;
        run(LINT, &[file])?;
    }
    Ok(())
}

/// All jsonnet files in these folders of the repository, sorted.
///
/// # Errors
/// A folder cannot be read.
pub fn sources(folders: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => open.push(path),
                Some("jsonnet" | "libsonnet") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

fn run(program: Program, arguments: &[&Path]) -> Result<String> {
    let mut command = Command::new(programs()?.join(program.name));
    let output = command.args(arguments).current_dir(root()).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {}: {complaint}", program.name, arguments.last().unwrap_or(&root()).display());
    String::from_utf8(output.stdout).context("not UTF-8")
}

/// The folder of the programs, which are built at the first run.
fn programs() -> Result<PathBuf> {
    let go_mod = include_str!("../go/jsonnet/go.mod");
    let module = Module {
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/go/jsonnet"),
        topic: "jsonnet",
        key: format!("go-jsonnet-{}", version(go_mod, "github.com/google/go-jsonnet")?),
        flags: vec!["-ldflags=-s -w".into()],
    };
    module.build(&[JSONNET, JSONNETFMT, LINT])
}
