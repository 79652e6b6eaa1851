//! Builds the binary of the image: with the script of the Dockerfile, from the files that it copies.

use super::dockerfile::{self, text};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::gobuild::cache_folder;
use testkit::progress::say;
use testkit::pypi::installed;

/// The revision that is given to the build.
pub const REVISION: &str = "0123456789ab";

/// An architecture for which the image is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// The usual one.
    Amd64,
    /// The other.
    Arm64,
}

impl Arch {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Docker's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's name for it.
    pub fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Whether binaries for it run here without an emulator.
    pub fn is_native(self) -> bool {
        let here = if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 };
        self == here
    }
}

/// Builds the binary and returns its file. Takes minutes, once for the same sources: a stamp beside the binary identifies them. Cargo
/// would compile the daemon each time, because without a checkout it cannot know whether the revision has changed.
///
/// # Errors
/// A tool cannot be installed, or the script fails.
pub fn binary(arch: Arch) -> Result<PathBuf> {
    let folder = cache_folder()?.join("image");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    // Both architectures share sources and tools.
    let lock = File::create(folder.join(".lock")).context("creating the lock of the cache folder")?;
    lock.lock().context("locking the cache folder")?;
    let sources = folder.join("src");
    let stamp = stage(&sources)?;
    let output = folder.join("out").join(arch.name());
    let stamped = output.with_extension("stamp");
    if output.is_file() && fs::read_to_string(&stamped).is_ok_and(|there| there == stamp) {
        return Ok(output);
    }

    let (auditable, python) = (auditable(&folder)?, python_tools()?);
    run(Command::new("rustup").args(["target", "add", arch.target()])).context("the standard library of the target")?;
    say("image", &format!("building for {}", arch.name()));
    let own = [auditable.join("bin"), python.join("bin")];
    let path = env::var_os("PATH").unwrap_or_default();
    let mut script = Command::new(sources.join("deploy/image/build.sh"));
    script.arg(arch.name()).arg(&output).current_dir(&sources);
    script.env("PATH", env::join_paths(own.into_iter().chain(env::split_paths(&path)))?);
    script.env("PYTHONPATH", python).env("CARGO_TARGET_DIR", folder.join("target"));
    script.env("RUSTUP_TOOLCHAIN", dockerfile::rust()?).env("ENDPOINTLAG_REVISION", REVISION);
    run(&mut script)?;
    fs::write(&stamped, stamp)?;
    Ok(output)
}

/// The Python tools of `requirements.txt`.
fn python_tools() -> Result<PathBuf> {
    let requirements = text("deploy/image/requirements.txt")?;
    let packages: Vec<_> = requirements.lines().filter(|line| !line.starts_with('#')).collect();
    installed(&packages)
}

/// cargo-auditable, at the version that the Dockerfile names.
fn auditable(folder: &Path) -> Result<PathBuf> {
    let version = dockerfile::argument("CARGO_AUDITABLE")?;
    let place = folder.join(format!("auditable-{version}"));
    if !place.join("bin/cargo-auditable").is_file() {
        say("image", &format!("installing cargo-auditable {version}"));
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--quiet", "--root"]).arg(&place);
        run(cargo.arg(format!("cargo-auditable@{version}")))?;
    }
    Ok(place)
}

/// Copies what the Dockerfile copies. A file that has not changed keeps its time, so that Cargo does not compile it again. What
/// the Dockerfile does not copy is missing, so a build that needs it fails here and not in a user's pipeline. Returns
/// a stamp that identifies the state of all sources of the binary.
fn stage(folder: &Path) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wanted = BTreeSet::new();
    for source in dockerfile::sources()? {
        files(&root.join(source), &mut wanted)?;
    }
    let mut there = BTreeSet::new();
    if folder.is_dir() {
        files(folder, &mut there)?;
    }
    let inside = |path: &Path, base: &Path| path.strip_prefix(base).map(Path::to_owned);
    let wanted: BTreeSet<_> = wanted.iter().map(|path| inside(path, root)).collect::<Result<_, _>>()?;
    for stale in there.iter().filter(|path| inside(path, folder).is_ok_and(|path| !wanted.contains(&path))) {
        fs::remove_file(stale)?;
    }
    let mut stamp = DefaultHasher::new();
    (REVISION, dockerfile::rust()?, dockerfile::argument("CARGO_AUDITABLE")?).hash(&mut stamp);
    for path in wanted {
        let (from, to) = (root.join(&path), folder.join(&path));
        let content = fs::read(&from)?;
        (&path, &content).hash(&mut stamp);
        if content != fs::read(&to).unwrap_or_default() {
            fs::create_dir_all(to.parent().context("a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(format!("{:016x}", stamp.finish()))
}

/// A file, or all files in a folder.
fn files(path: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        found.insert(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
        files(&entry?.path(), found)?;
    }
    Ok(())
}

/// Runs a command and shows its output if it fails.
///
/// # Errors
/// The command fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("not UTF-8")
}
