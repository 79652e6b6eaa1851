//! Turns the state into output: Prometheus metrics, the JSON of the API, HDR histograms and logs, and a line of JSON for every
//! change that ended.

pub mod advice;
mod args;

pub mod api;
pub mod hdr;
pub mod hdr_log;
pub mod lines;
pub mod metrics;
mod nodes;
pub mod outputs;
pub mod samples;
mod slice;

pub use self::args::{Args, ExpositionSettings};
