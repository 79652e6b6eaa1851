//! All that speaks to the Kubernetes API, up to plain objects with a stamp.
//!
//! ```text
//! client ──► watch (reads and stamps) ──► frame ──► intake (bounded) ──► decode ──► object, event
//! ```
//!
//! [`heartbeat`] says whether the thread of the watches ran, so that its stamps can be believed.

pub mod client;
pub mod clock;
pub mod decode;
pub mod event;
pub mod frame;
pub mod health;
pub mod heartbeat;
pub mod intake;
pub mod kubeconfig;
pub mod object;
pub mod shard;
pub mod watch;
pub mod wire;
