//! Simulated clusters, and the events that three watches deliver of them.

mod cluster;
mod controller;
mod scenes;
mod script;
mod stage;
mod streams;
mod tale;

pub use self::{
    script::scripts,
    stage::{Play, Script},
    streams::Step,
    tale::tell,
};
