//! Everything that talks to the Kubernetes API, up to the [`model`](crate::model)'s events with a stamp.
//!
//! ```text
//! client ──► watch (reads and stamps) ──► frame ──► queue (bounded) ──► decode, object ──► model
//! ```
//!
//! [`watches`] starts all of them on the thread of [`readers`]. [`heartbeat`] checks whether that thread ran, so that its stamps are
//! reliable. [`inventory`] and [`workload`] read what is set, through kube's typed API.

mod args;
pub mod client;
pub mod clock;
pub mod decode;
pub mod frame;
pub mod health;
pub mod heartbeat;
pub mod inventory;
pub mod kubeconfig;
pub mod object;
pub mod queue;
pub mod readers;
pub mod review;
pub mod shard;
pub mod watch;
pub mod watches;
pub mod wire;
pub mod workload;

pub(crate) use self::args::is_label;
pub use self::args::{Args, ScopeSettings, TargetArgs, WatchArgs, WatchSettings};
