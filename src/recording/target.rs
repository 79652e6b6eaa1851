//! The file of a recording: for its owner only, and never written over by accident.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Only the owner may read it: names say much about a cluster.
const MODE: u32 = 0o600;

/// A file to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its path.
    pub path: PathBuf,
    /// Whether to replace a file that exists.
    pub force: bool,
}

/// The file cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It exists.
    #[error("{} exists. To replace it: --force", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// It exists, and is a folder, a device or a link, which is not replaced.
    #[error("{} is not a regular file, and is not replaced", path.display())]
    Irregular {
        /// Its path.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot create {}: {source}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

// === impl Target ===

impl Target {
    /// Checks whether the file may be created, so that a command fails before it connects.
    ///
    /// # Errors
    /// If there is a file that is not to be replaced.
    pub fn check(&self) -> Result<(), TargetError> {
        let path = self.path.clone();
        match fs::symlink_metadata(&self.path) {
            Err(_) => Ok(()),
            Ok(_) if !self.force => Err(TargetError::Exists { path }),
            Ok(metadata) if !metadata.is_file() => Err(TargetError::Irregular { path }),
            Ok(_) => Ok(()),
        }
    }

    /// Creates it. A file that is to be replaced is removed first: it may have another owner, and other readers.
    ///
    /// # Errors
    /// If it exists and is not to be replaced, or the system refuses.
    pub(super) fn create(&self) -> Result<File, TargetError> {
        self.check()?;
        let failed = |source| TargetError::Io { path: self.path.clone(), source };
        if self.force {
            remove(&self.path).map_err(failed)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(&self.path).map_err(failed)
    }

    /// Removes it, because there is nothing in it.
    pub fn remove(&self) {
        // It is in nobody's way.
        let _ = remove(&self.path);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
