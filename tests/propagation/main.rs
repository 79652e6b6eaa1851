//! The pure core held against a reference that was written apart from it, and against time and mass.

mod agreement;
mod coverage;
mod flood;
mod kubernetes;
mod reference;
mod retold;
mod week;
mod world;
