//! The safety of the HTTP endpoint: TLS, who may read, and clients that mean no good.

mod controlplane;
mod daemon;
mod truth;

/// The tests by topic.
mod endpoint {
    mod abuse;
    mod authorization;
    mod client;
    mod demo;
    mod pair;
    mod tls;
}
