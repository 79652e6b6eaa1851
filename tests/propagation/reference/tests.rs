//! Tests of the definitions, each with one history.

mod blindness;
mod late_writes;
mod scene;
mod services;
mod states;
