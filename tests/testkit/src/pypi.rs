//! Packages from PyPI, unpacked into the cache.

use crate::gobuild::cache_folder;
use crate::progress::say;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The folder with these packages, each written `name==version`, without their dependencies.
///
/// # Errors
/// There is no Python with pip, or no such package.
pub fn installed(packages: &[&str]) -> Result<PathBuf> {
    let cache = cache_folder()?.join("pypi");
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    // Test binaries may run at the same time. The second finds what the first has installed.
    let lock = File::create(cache.join(".lock")).context("creating the lock of the cache folder")?;
    lock.lock().context("locking the cache folder")?;
    let folder = cache.join(packages.join("+").replace("==", "-"));
    if folder.is_dir() {
        return Ok(folder);
    }
    say("pypi", &format!("installing {}", packages.join(", ")));
    let scratch = tempfile::Builder::new().prefix(".pip-").tempdir_in(&cache).context("creating a folder for pip")?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"]);
    pip.arg(scratch.path()).args(packages).stdin(Stdio::null());
    let output = pip.output().context("the tests need Python: no `python3` was found on PATH")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pip install {}: {complaint}", packages.join(" "));
    fs::rename(scratch.path(), &folder).context("moving packages into the cache")?;
    Ok(folder)
}
