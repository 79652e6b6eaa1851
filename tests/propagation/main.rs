//! The pure core, compared with an independent reference, over a long time and with many changes.

mod agreement;
mod coverage;
mod flood;
mod kubernetes;
mod recorded;
mod reference;
mod retold;
mod week;
mod world;
