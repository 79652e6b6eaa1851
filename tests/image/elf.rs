//! The built files, checked without running them.

use super::build::{Arch, REVISION, binary, run};
use anyhow::{Context, Result, ensure};
use flate2::read::ZlibDecoder;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use testkit::gobuild::cache_folder;

#[test]
fn they_are_static_and_for_their_machine() -> Result<()> {
    for (arch, machine) in [(Arch::Amd64, "X86-64"), (Arch::Arm64, "AArch64")] {
        let file = binary(arch)?;
        let header = readelf("--file-header", &file)?;
        ensure!(header.contains(machine), "{arch:?}: {header}");
        let (segments, needs) = (readelf("--segments", &file)?, readelf("--dynamic", &file)?);
        ensure!(!segments.contains("INTERP"), "{arch:?} needs a loader: {segments}");
        ensure!(!needs.contains("NEEDED"), "{arch:?} needs libraries: {needs}");
        ensure!(readelf("--symbols", &file)?.trim().is_empty(), "{arch:?} has symbols");
    }
    Ok(())
}

/// A scanner finds the crates that were compiled in, with versions.
#[test]
fn they_list_what_is_in_them() -> Result<()> {
    for arch in Arch::ALL {
        let section = unhex(&run(Command::new("readelf").arg("--hex-dump=.dep-v0").arg(binary(arch)?))?)?;
        let mut json = String::new();
        ZlibDecoder::new(&*section).read_to_string(&mut json)?;
        let list: Value = serde_json::from_str(&json)?;
        let packages = list["packages"].as_array().context("packages")?;
        for name in ["endpointlag", "kube", "rustls", "ring"] {
            ensure!(packages.iter().any(|it| it["name"] == name), "{arch:?} does not list {name}: {list}");
        }
        let of_build = |it: &&Value| it["name"] == "proptest" || it["name"] == "rcgen";
        ensure!(!packages.iter().any(|it| of_build(&it)), "{arch:?} lists what only tests need");
    }
    Ok(())
}

/// The bytes must not depend on the place of the build.
#[test]
fn they_name_no_folder_of_the_machine_that_built_them() -> Result<()> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))?;
    let sources = cache_folder()?.join("image");
    for arch in Arch::ALL {
        let bytes = fs::read(binary(arch)?)?;
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        for folder in [home.as_str(), sources.to_str().context("UTF-8")?, env!("CARGO_MANIFEST_DIR")] {
            ensure!(!has(folder), "{arch:?} names {folder}");
        }
        ensure!(has(REVISION), "{arch:?} does not name its revision");
        ensure!(has("/cargo/registry"), "{arch:?}: paths are not what they were expected to be");
    }
    Ok(())
}

fn readelf(what: &str, file: &Path) -> Result<String> {
    run(Command::new("readelf").arg("--wide").arg(what).arg(file)).context("readelf comes with the C compiler")
}

/// The bytes of a dump: an address, four groups of digits, and the same as characters.
fn unhex(dump: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in dump.lines().filter(|line| line.starts_with("  0x")) {
        // The groups are in columns, and the text after them may look like a group.
        let groups = line.get(13..48).unwrap_or(line.get(13..).context("a line of the dump")?);
        for group in groups.split_whitespace() {
            for at in (0..group.len()).step_by(2) {
                bytes.push(u8::from_str_radix(group.get(at..at + 2).context("two digits")?, 16)?);
            }
        }
    }
    Ok(bytes)
}
