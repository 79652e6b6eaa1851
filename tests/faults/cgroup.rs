//! A limit of CPU time, like that of a container.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The period of the quota, as container runtimes choose it.
const PERIOD: Duration = Duration::from_millis(100);

/// A cgroup with a quota. Dropping it releases its processes.
#[derive(Debug)]
pub struct CpuLimit {
    folder: PathBuf,
    /// The cgroup to which the processes return.
    above: PathBuf,
}

/// How the kernel's controller of CPU time is mounted.
#[derive(Debug)]
enum Hierarchy {
    /// Alone, or with a few other controllers.
    V1(PathBuf),
    /// All controllers in one hierarchy.
    V2(PathBuf),
}

impl CpuLimit {
    /// Limits a process to thousandths of a CPU. This needs root, and a cgroup file system that is writable.
    ///
    /// # Errors
    /// One of the two is missing.
    pub fn apply(process: u32, millicores: u32) -> Result<Self> {
        let hierarchy = Hierarchy::find()?;
        let above = match &hierarchy {
            Hierarchy::V1(root) | Hierarchy::V2(root) => root.clone(),
        };
        let folder = above.join(format!("endpointlag-test-{process}"));
        fs::create_dir(&folder).with_context(|| format!("making a cgroup: {}", folder.display()))?;
        let limit = Self { folder, above };
        let (period, quota) = (PERIOD.as_micros(), PERIOD.as_micros() * u128::from(millicores) / 1000);
        match hierarchy {
            Hierarchy::V1(_) => {
                write(&limit.folder.join("cpu.cfs_period_us"), &period.to_string())?;
                write(&limit.folder.join("cpu.cfs_quota_us"), &quota.to_string())?;
            }
            Hierarchy::V2(root) => {
                write(&root.join("cgroup.subtree_control"), "+cpu")?;
                write(&limit.folder.join("cpu.max"), &format!("{quota} {period}"))?;
            }
        }
        write(&limit.folder.join("cgroup.procs"), &process.to_string())?;
        Ok(limit)
    }
}

impl Drop for CpuLimit {
    fn drop(&mut self) {
        // If the folder stays, it is empty and limits nothing.
        for process in fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = write(&self.above.join("cgroup.procs"), process);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Hierarchy {
    fn find() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("reading the mounts")?;
        mounts.lines().find_map(Self::read).context("no controller of CPU time is mounted")
    }

    /// The hierarchy, if this line of the mounts is the right one. A line has device, place, type and options.
    fn read(mount: &str) -> Option<Self> {
        let mut words = mount.split(' ').skip(1);
        let (place, kind, options) = (PathBuf::from(words.next()?), words.next()?, words.next()?);
        let controllers = || fs::read_to_string(place.join("cgroup.controllers")).unwrap_or_default();
        match kind {
            "cgroup" if options.split(',').any(|it| it == "cpu") => Some(Self::V1(place)),
            "cgroup2" if controllers().split_whitespace().any(|it| it == "cpu") => Some(Self::V2(place)),
            _ => None,
        }
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("writing {text} to {}", file.display()))
}
