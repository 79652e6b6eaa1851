//! Simulated clusters and what three watches tell of them.

mod cluster;
mod controller;
mod script;
mod streams;
mod tale;

pub use self::{
    script::{Script, scripts},
    streams::Step,
    tale::tell,
};
