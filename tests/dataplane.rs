//! The agent on a node, with a real kube-proxy that writes into a real kernel: each node is a network namespace. The reference is a
//! client that connects to a clusterIP all the time.

/// The tests by topic, and the parts of a node.
mod dataplane {
    mod accuracy;
    mod agent;
    mod fleet;
    mod kernel;
    mod losses;
    mod modes;
    mod namespace;
    mod node;
    mod nodes;
    mod probe;
    mod rights;
    mod story;

    use anyhow::Result;
    use testkit::controlplane::plane::{ControlPlane, Options};
    use tokio::sync::OnceCell;

    /// The control plane that the tests share. Each test has its own Services. The first test that needs it starts it.
    async fn shared_plane() -> Result<&'static ControlPlane> {
        static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
        let options = Options { dual_stack: true, unaudited: true, ..Options::default() };
        PLANE.get_or_try_init(|| ControlPlane::start(options)).await
    }
}
