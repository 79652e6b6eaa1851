//! What endpointlag's integration tests and benches share. It knows the daemon only as users do, as a program: it does not
//! depend on its library, so that a test cannot agree with the daemon by sharing its code.
//!
//! - The cluster: [`controlplane`] runs a real one, and [`truth`] works out of its audit log what happened.
//! - The daemon: [`daemon`] runs it against a cluster, [`demo`] beside its own simulated one, [`bench`] where its cost is measured.
//! - Both: [`scene`] is a namespace with a daemon that watches it, held against the truth.
//! - Other people's programs: [`helm`], [`jsonnet`] and [`prometheus`], built by [`gobuild`], and packages of [`pypi`].
//! - Below them: [`process`], [`http`], [`workspace`], [`progress`].

#![deny(missing_docs)]

pub mod bench;
pub mod controlplane;
pub mod daemon;
pub mod demo;
pub mod gobuild;
pub mod helm;
pub mod http;
pub mod jsonnet;
pub mod process;
pub mod progress;
pub mod prometheus;
pub mod pypi;
pub mod scene;
pub mod truth;
pub mod workspace;

use std::env;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("this crate is two folders below it")
}

/// The daemon's executable, which Cargo has built for the test or bench that runs.
///
/// # Panics
/// Something else than Cargo runs it: only Cargo says where the executable is.
pub fn executable() -> PathBuf {
    let path = env::var_os("CARGO_BIN_EXE_endpointlag");
    path.expect("run this by cargo, which says in CARGO_BIN_EXE_endpointlag where the executable is").into()
}
