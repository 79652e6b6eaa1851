//! Files that are generated and committed.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// With this variable set to 1, generators write what they render instead of comparing it.
const WRITE: &str = "ENDPOINTLAG_WRITE_GENERATED";

/// Compares what was rendered with the committed file, or writes it. `path` is relative to the root of the repository.
///
/// # Errors
/// They differ. The error has the first line that differs.
pub fn check(path: &str, rendered: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(WRITE).is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().context("a path with a folder")?)?;
        return fs::write(&file, rendered).with_context(|| format!("writing {path}"));
    }
    let committed = fs::read_to_string(&file)
        .with_context(|| format!("{path}: {WRITE}=1 cargo test --test generated writes it"))?;
    if committed == rendered {
        return Ok(());
    }
    let (old, new) = (committed.lines().chain([""; 1]), rendered.lines().chain([""; 1]));
    let (number, (old, new)) =
        old.zip(new).enumerate().find(|(_, (old, new))| old != new).unwrap_or((0, ("", "other line ends or length")));
    bail!(
        "{path} is not what its source renders. Line {}:\n  committed: {old}\n  rendered:  {new}\n\
         {WRITE}=1 cargo test --test generated writes it anew.",
        number + 1
    )
}
