//! What the definitions say of single histories, one after the other.

mod blindness;
mod late_writes;
mod scene;
mod services;
mod states;
