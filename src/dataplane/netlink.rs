//! Netlink as nf_tables speaks it: its bytes, its socket, and how its rules are asked for.
//!
//! Messages are read by hand. A full sync of kube-proxy is some ten thousand of them, and a library that turns each into owned types
//! takes up to 50 us for one; to walk its attributes takes less than one.

pub(crate) mod attributes;
pub(crate) mod dump;
pub(crate) mod message;
pub(crate) mod socket;
