//! Programs that the tests need and machines usually do not have: from a cache, or built by `go build` from a Go module of the tests.

use crate::progress::say;
use anyhow::{Context, Result, bail, ensure};
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a running build reports progress. Some programs take minutes on two cores, and a silent test run
/// would look like a hung one.
const PROGRESS: Duration = Duration::from_secs(15);

/// A Go module whose dependencies are the programs.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its folder.
    pub folder: &'static str,
    /// The prefix of the build's lines, and its folder in the cache.
    pub topic: &'static str,
    /// Made of the versions in `go.mod`, so that other versions have another place in the cache.
    pub key: String,
    /// Flags of `go build`.
    pub flags: Vec<String>,
}

/// A program of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// File name in the cache.
    pub name: &'static str,
    /// The Go package of its main function.
    pub package: &'static str,
}

impl Module {
    /// Finds the programs, and builds those that are not in the cache yet. A build blocks for minutes, and writes its
    /// progress to the real standard error: libtest would hold back printed progress until the test has failed.
    /// Returns the folder that they are in.
    ///
    /// # Errors
    /// There is no `go` on the path, a build fails, or a cache folder cannot be written.
    pub fn build(&self, wanted: &[Program]) -> Result<PathBuf> {
        let folder = cache_folder()?.join(self.topic).join(&self.key);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;

        // Test binaries may run at the same time. The second finds what the first has built.
        let lock = File::create(folder.join(".lock")).context("creating the lock of the cache folder")?;
        lock.lock().context("locking the cache folder")?;
        for program in wanted {
            if !folder.join(program.name).is_file() {
                self.build_one(*program, &folder)?;
            }
        }
        Ok(folder)
    }

    /// Builds one program into a separate folder and moves it into place when it is complete, so that an interrupted
    /// build leaves nothing that looks finished.
    fn build_one(&self, Program { name, package }: Program, folder: &Path) -> Result<()> {
        let scratch =
            tempfile::Builder::new().prefix(".build-").tempdir_in(folder).context("creating a folder to build in")?;
        let output = scratch.path().join(name);
        let mut command = Command::new("go");
        command
            .args(["build", "-trimpath"])
            .args(&self.flags)
            .arg("-o")
            .arg(&output)
            .arg(package)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());

        let child = match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("the tests build {name} from source and need Go: no `go` was found on PATH")
            }
            child => child.context("starting go build")?,
        };
        let built = self.with_progress(name, move || child.wait_with_output())?;
        ensure!(
            built.status.success(),
            "go build of {name} failed ({}):\n{}",
            built.status,
            String::from_utf8_lossy(&built.stderr)
        );
        fs::rename(&output, folder.join(name)).with_context(|| format!("moving {name} into the cache"))
    }

    /// Runs `build` and reports on the real standard error how long it has been running.
    fn with_progress<T: Send + 'static>(
        &self,
        name: &str,
        build: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let started = Instant::now();
        say(self.topic, &format!("building {name} ({}) for the tests, once", self.key));
        let (done, result) = mpsc::channel();
        thread::spawn(move || done.send(build()));
        loop {
            match result.recv_timeout(PROGRESS) {
                Ok(outcome) => {
                    say(self.topic, &format!("built {name} in {} s", started.elapsed().as_secs()));
                    return outcome.with_context(|| format!("waiting for go build of {name}"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    say(self.topic, &format!("still building {name}, {} s", started.elapsed().as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the thread that builds {name} died"),
            }
        }
    }
}

/// The version of `module` that a `go.mod` requires.
///
/// # Errors
/// It requires none.
pub fn version<'a>(go_mod: &'a str, module: &str) -> Result<&'a str> {
    go_mod
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' '))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("go.mod requires no {module}"))
}

/// `$ENDPOINTLAG_TEST_CACHE`, or else the user's cache folder.
///
/// # Errors
/// The environment names neither.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("ENDPOINTLAG_TEST_CACHE") {
        return Ok(folder);
    }
    set("XDG_CACHE_HOME")
        .or_else(|| Some(set("HOME")?.join(".cache")))
        .map(|cache| cache.join("endpointlag"))
        .context("none of ENDPOINTLAG_TEST_CACHE, XDG_CACHE_HOME and HOME is set: no place for the built programs")
}
