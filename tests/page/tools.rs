//! Chromium, from the machine or its package manager, and npm packages in the cache that drive it and check the page.

use anyhow::{Context, Result, bail, ensure};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::gobuild::cache_folder;
use testkit::progress::say;

/// Names the libraries and their versions.
const PACKAGE: &str = include_str!("package.json");

/// Names of Chromium's executable.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a test with the browser needs.
#[derive(Debug)]
pub struct Tools {
    /// The browser.
    pub chromium: PathBuf,
    /// The folder in which Node.js finds the libraries.
    pub libraries: PathBuf,
}

impl Tools {
    /// Finds them, and installs what is missing.
    ///
    /// # Errors
    /// With what a person must install.
    pub fn get() -> Result<Self> {
        let folder = cache_folder()?.join("page");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        // Tests may run at the same time. The second finds what the first has installed.
        let lock = File::create(folder.join(".lock")).context("creating the lock of the cache folder")?;
        lock.lock().context("locking the cache folder")?;
        ensure!(found(&["node"]).is_some(), "the page's test drives a browser by Node.js: no `node` was found on PATH");
        Ok(Self { chromium: chromium()?, libraries: libraries(&folder)? })
    }
}

fn chromium() -> Result<PathBuf> {
    if let Some(program) = found(&CHROMIUM) {
        return Ok(program);
    }
    let advice = "the page's test needs Chromium: install it, on Debian by `apt-get install chromium`";
    if !rustix::process::geteuid().is_root() || found(&["apt-get"]).is_none() {
        bail!("{advice}");
    }
    say("page", "installing chromium by apt-get");
    let install = ["install", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"];
    if run(Command::new("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive")).is_err() {
        // The package lists may be missing or old.
        run(Command::new("apt-get").arg("update"))
            .and_then(|()| run(Command::new("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive")))
            .context(advice)?;
    }
    found(&CHROMIUM).context(advice)
}

/// Installs the libraries into a separate folder and moves it into place when it is complete.
fn libraries(cache: &Path) -> Result<PathBuf> {
    let package: serde_json::Value = serde_json::from_str(PACKAGE).context("tests/page/package.json")?;
    let wanted = package["dependencies"].as_object().context("tests/page/package.json: no dependencies")?;
    let names = wanted.iter().map(|(name, version)| Some(format!("{name}-{}", version.as_str()?)));
    let names = names.collect::<Option<Vec<_>>>().context("tests/page/package.json: no version")?.join("+");
    let folder = cache.join(&names);
    if folder.is_dir() {
        return Ok(folder);
    }
    say("page", &format!("installing {names} by npm"));
    let scratch = tempfile::Builder::new().prefix(".npm-").tempdir_in(cache).context("creating a folder for npm")?;
    fs::write(scratch.path().join("package.json"), PACKAGE).context("writing package.json")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(scratch.path());
    run(&mut npm).context("the page's test needs libraries from npm")?;
    fs::rename(scratch.path(), &folder).context("moving the libraries into the cache")?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The first of these programs that is on the path.
fn found(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<_> = env::split_paths(&path).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}
