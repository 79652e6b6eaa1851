//! Puts the revision of the source into the binary.

use std::process::Command;

fn main() {
    // Set by builds without a checkout, such as an image build.
    println!("cargo:rerun-if-env-changed=ENDPOINTLAG_REVISION");
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/index");
    let revision = std::env::var("ENDPOINTLAG_REVISION").ok().or_else(revision_of_checkout);
    println!("cargo:rustc-env=ENDPOINTLAG_BUILD_REVISION={}", revision.unwrap_or_else(|| "unknown".into()));
}

fn revision_of_checkout() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
