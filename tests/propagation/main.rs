//! The pure core held against a reference that was written apart from it, and against time and mass.

mod agreement;
mod flood;
mod reference;
mod week;
mod world;
