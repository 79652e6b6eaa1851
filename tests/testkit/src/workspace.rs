//! Folders for what a control plane or a daemon writes: data, credentials, logs.

use crate::executable;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder for files of tests, below `target`, so that `cargo clean` removes it. Cargo calls it
/// `CARGO_TARGET_TMPDIR`, and sets that only for what it compiles as a test or a bench.
///
/// # Errors
/// It cannot be created.
pub(crate) fn scratch() -> Result<PathBuf> {
    let folder = executable().ancestors().nth(2).context("an executable is two folders below `target`")?.join("tmp");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// A folder of this process, removed when dropped.
///
/// The control plane that all tests of a binary share is in a static, so it is never dropped. Its folder stays:
/// it has the logs of the last run, and the next run removes it.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
}

impl Workspace {
    /// Makes a new folder.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(name: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let scratch = scratch()?;
        remove_leftovers(&scratch)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Another process, in a container of its own, may have the same ID.
        let random = rand::random::<u32>();
        let folder = scratch.join(format!("{}-{number}-{name}-{random:08x}", process::id()));
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
        // The next run removes what is left.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of processes that no longer exist.
fn remove_leftovers(scratch: &Path) -> Result<()> {
    for entry in fs::read_dir(scratch).with_context(|| format!("reading {}", scratch.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another test binary may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// A loopback port at which nothing listens. No other caller in this process gets it: between this call and the start of the program that
/// uses the port, another test may ask for one.
///
/// It is below Linux' ephemeral range (32768 and up): a component keeps its port across a restart, and in the meantime no
/// outgoing connection may use it.
///
/// # Errors
/// All ports that were tried are in use.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().map_err(|_| anyhow!("a thread that asked for a port has panicked"))?;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..100)
        .map(|_| rand::random_range(20_000..32_000))
        .find(|port| is_free(port) && given.insert(*port))
        .context("no free port on the loopback interface")
}
