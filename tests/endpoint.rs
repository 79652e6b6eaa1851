//! The edges of the daemon: TLS, who may read, hostile clients, outputs that break, and how it ends.

/// The tests by topic.
mod endpoint {
    mod abuse;
    mod agents;
    mod authorization;
    mod broken;
    mod commands;
    mod demo;
    mod ending;
    mod hosts;
    mod kubeconfig;
    mod logging;
    mod outputs;
    mod panics;
    mod tls;
}
