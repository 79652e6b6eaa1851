//! The krew manifest of a release names the archives that the release workflow builds.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The manifest of a release with these checksums.
fn render(checksums: &str) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("checksums.txt");
    fs::write(&file, checksums)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/krew/render.sh");
    Command::new(script).args(["v1.2.3", "example/endpointlag"]).arg(&file).output().context("deploy/krew/render.sh")
}

#[test]
fn the_krew_manifest_has_each_archive_with_its_checksum() -> Result<()> {
    let archive = |arch: &str| format!("endpointlag-v1.2.3-linux-{arch}.tar.gz");
    let line = |arch: &str, digit: &str| format!("{}  {}\n", digit.repeat(64), archive(arch));
    let all = line("amd64", "a") + &line("arm64", "b") + &format!("{}  endpointlag-0.1.0.tgz\n", "c".repeat(64));
    let output = render(&all)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest: Value = serde_saphyr::from_str(&String::from_utf8(output.stdout)?)?;
    assert_eq!((&manifest["kind"], &manifest["spec"]["version"]), (&"Plugin".into(), &"v1.2.3".into()));
    let platforms = manifest["spec"]["platforms"].as_array().context("platforms")?;
    let found: Vec<_> = platforms
        .iter()
        .map(|platform| {
            let uri = platform["uri"].as_str().unwrap_or_default();
            let name = uri.rsplit('/').next().unwrap_or_default().to_owned();
            (platform["selector"]["matchLabels"]["arch"].clone(), name, platform["sha256"].clone())
        })
        .collect();
    let expected = |arch: &str, digit: &str| (arch.into(), archive(arch), digit.repeat(64).into());
    assert_eq!(found, [expected("amd64", "a"), expected("arm64", "b")]);

    let incomplete = render(&line("amd64", "a"))?;
    ensure!(!incomplete.status.success(), "a manifest without a checksum");
    let said = String::from_utf8(incomplete.stderr)?;
    ensure!(said.contains(&archive("arm64")), "{said}");

    let workflow = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows/release.yaml"))?;
    ensure!(workflow.contains("endpointlag-${GITHUB_REF_NAME}-linux-$architecture.tar.gz"), "other names of archives");
    Ok(())
}
