//! Netlink for nf_tables: its bytes, its socket, and the requests for its rules.
//!
//! Messages are parsed by hand. A full sync of kube-proxy is about ten thousand of them. A library that turns each one into owned
//! types takes up to 50 us for it; walking its attributes takes less than 1 us.

pub(crate) mod attributes;
pub(crate) mod dump;
pub(crate) mod message;
pub(crate) mod socket;
