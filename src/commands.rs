//! Commands for people and pipelines: each measures by itself for a while, prints what it saw, and ends with an exit code.
//!
//! [`session`] is what they share: a connection, a measurement and its end. They need no daemon, and serve nothing. Some use the figures of
//! a [`daemon`] if there is one. Changes are printed as
//! rows or lines while they end (`printer`, `rows`), and counted at the end (`summary`).

pub mod advise;
pub mod completions;
pub mod daemon;
mod print;
mod printer;
pub mod record;
pub mod replay;
pub mod rollout;
mod rows;
mod service;
pub mod session;
mod summary;
pub(crate) mod text;
pub mod watch;

pub use self::summary::Verdict;
