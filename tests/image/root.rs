//! A file system with only the binary, like the image's.

use super::build::{Arch, binary};
use anyhow::{Context, Result, bail};
use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use testkit::progress::say;

/// The user of the image.
const USER: &str = "65532:65532";

/// The file system.
pub struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    /// With the binary for this machine.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn create() -> Result<Self> {
        let here = Arch::ALL.into_iter().find(|arch| arch.is_native()).context("a machine that the image is for")?;
        let folder = tempfile::tempdir()?;
        fs::copy(binary(here)?, folder.path().join("endpointlag"))?;
        // The folder is private to its owner, and the image's user is another one.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        Ok(Self { folder })
    }

    /// Adds a file, as a volume would.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn mount(&self, path: &str, content: &str) -> Result<()> {
        let file = self.folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::write(&file, content).with_context(|| path.to_owned())
    }

    /// The program in this file system, as the image's user, with no variables except those that are added.
    ///
    /// # Errors
    /// Only root can change the root directory.
    pub fn program(&self) -> Result<Command> {
        if !rustix::process::geteuid().is_root() {
            bail!("the image's test runs the binary in a root of its own by chroot, which takes root");
        }
        let mut command = Command::new("chroot");
        let path = env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).arg(format!("--userspec={USER}")).arg(self.folder.path());
        command.arg("/endpointlag");
        Ok(command)
    }
}

/// A program that runs binaries of the other architecture, from the package manager if needed.
///
/// # Errors
/// It cannot be installed.
pub fn emulator(arch: Arch) -> Result<Command> {
    let name = match arch {
        Arch::Amd64 => "qemu-x86_64",
        Arch::Arm64 => "qemu-aarch64",
    };
    let there = || env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(name).is_file());
    if !there() {
        say("image", "installing qemu-user by apt-get");
        for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", "qemu-user"]] {
            let mut command = Command::new("apt-get");
            super::build::run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
                .with_context(|| format!("the image's test needs {name}: on Debian, apt-get install qemu-user"))?;
        }
    }
    let mut command = Command::new(name);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default()).arg(binary(arch)?);
    Ok(command)
}

/// The folder in which a pod finds its account.
pub fn account_file(name: &str) -> String {
    Path::new("/var/run/secrets/kubernetes.io/serviceaccount").join(name).display().to_string()
}
