//! What endpointlag's integration tests and benches share. It uses the daemon only as users do, as a program. It does not
//! depend on the daemon's library, so that a test cannot agree with the daemon because both share code.
//!
//! - The cluster: [`controlplane`] runs a real one, and [`truth`] computes from its audit log what happened.
//! - A node: [`mod@node`] is one with a real kube-proxy, in a [`namespace`] of the kernel.
//! - The daemon: [`daemon`] runs it with a cluster, [`demo`] with its own simulated one, [`mod@bench`] where its cost is measured; [`watching`] runs `watch`, [`running`] what ends by itself.
//! - Both: [`scene`] is a namespace with a daemon that watches it, compared with the truth.
//! - Other programs: [`kubectl`], [`helm`], [`jsonnet`] and [`prometheus`], built by [`gobuild`], packages of [`pypi`], and [`public_charts`].
//! - Below them: [`process`], [`http`], [`workspace`], [`progress`]; [`client`] and [`pair`] for TLS.

#![deny(missing_docs)]

pub mod bench;
pub mod client;
pub mod controlplane;
pub mod daemon;
pub mod demo;
pub mod forwarding;
pub mod gobuild;
pub mod helm;
pub mod http;
pub mod jsonnet;
pub mod kubectl;
pub mod namespace;
pub mod node;
pub mod pair;
pub mod process;
pub mod progress;
pub mod prometheus;
pub mod public_charts;
pub mod pypi;
pub mod running;
pub mod scene;
pub mod truth;
pub mod watching;
pub mod workspace;

use std::env;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("this crate is two folders below it")
}

/// The daemon's executable, which Cargo has built for this test or bench.
///
/// # Panics
/// It is not run by Cargo: only Cargo sets the path of the executable.
pub fn executable() -> PathBuf {
    let path = env::var_os("CARGO_BIN_EXE_endpointlag");
    path.expect("run this by cargo, which says in CARGO_BIN_EXE_endpointlag where the executable is").into()
}
