//! The agent on a node, with a real kube-proxy that writes into a real kernel: each node is a network namespace. The reference is a
//! client that connects to a clusterIP all the time.

/// The tests by topic, and what they share.
mod dataplane {
    mod accuracy;
    mod again;
    mod agent;
    mod clocks;
    mod fleet;
    mod kernel;
    mod losses;
    mod many;
    mod modes;
    mod nodes;
    mod policies;
    mod probe;
    mod protocols;
    mod rights;
    mod rollout;
    mod story;

    use anyhow::Result;
    use testkit::controlplane::plane::{ControlPlane, Controllers, Options};
    use tokio::sync::{OnceCell, RwLock};

    /// Nodes of different tests are nodes of one cluster, on one machine: what one test does, all of them have to do. A test that writes rules for a
    /// thousand endpoints holds this for itself, and the others share it.
    static MACHINE: RwLock<()> = RwLock::const_new(());

    /// The control plane that the tests share. Each test has its own Services. The first test that needs it starts it.
    async fn shared_plane() -> Result<&'static ControlPlane> {
        static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
        let controllers = Controllers { workloads: true, ..Controllers::default() };
        let options = Options { dual_stack: true, unaudited: true, controllers, ..Options::default() };
        PLANE.get_or_try_init(|| ControlPlane::start(options)).await
    }
}
