//! Folders for what a control plane or a daemon leaves behind: data, credentials, logs.

use crate::executable;
use anyhow::{Context, Result};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder for files of tests, below `target`, so that `cargo clean` takes everything away. Cargo calls it
/// `CARGO_TARGET_TMPDIR`, and names it only to what it compiles as a test or a bench.
///
/// # Errors
/// It cannot be made.
pub(crate) fn scratch() -> Result<PathBuf> {
    let folder = executable().ancestors().nth(2).context("an executable is two folders below `target`")?.join("tmp");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// A folder of this process, removed when dropped.
///
/// The control plane that all tests of a binary share is never dropped, as nothing in a static is: its folder stays,
/// which keeps the logs of the last run at hand, and the next run removes it.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
}

impl Workspace {
    /// Makes a new folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(name: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let scratch = scratch()?;
        remove_leftovers(&scratch)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = scratch.join(format!("{}-{number}-{name}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The path of a file or folder in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // Left-overs are removed by the next run.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of processes that are no more.
fn remove_leftovers(scratch: &Path) -> Result<()> {
    for entry in fs::read_dir(scratch).with_context(|| format!("reading {}", scratch.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another test binary may be removing it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// A loopback port that nothing listens on.
///
/// It is taken from below Linux' ephemeral range (32768 and up): a component keeps its port across a restart, and an
/// outgoing connection of anybody must not sit on it meanwhile.
///
/// # Errors
/// All ports that were tried are taken.
pub fn free_port() -> Result<u16> {
    (0..100)
        .map(|_| rand::random_range(20_000..32_000))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .context("no free port on the loopback interface")
}
