//! Commands for people and pipelines: each measures by itself for a while, prints what it saw, and ends with an exit code.
//!
//! [`session`] is what they share: a connection, a measurement and its end. They need no daemon, and serve nothing.

pub mod completions;
pub mod session;
pub(crate) mod text;
pub mod watch;
