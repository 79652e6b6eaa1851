//! End-to-end tests: the daemon as a process with a real control plane, compared with the truth of its audit log.

/// The tests by topic.
mod e2e {
    mod access;
    mod changes;
    mod daemon;
    mod plane;
    mod process;
    mod record;
    mod rollout;
    mod scale;
    mod services;
    mod shards;
    mod startup;
    mod states;
    mod truth;
    mod watch;

    use anyhow::Result;
    use testkit::controlplane::plane::{ControlPlane, Options};
    use tokio::sync::OnceCell;

    /// The control plane that the tests share. Each test has its own namespace. The first test that needs it starts it.
    async fn shared_plane() -> Result<&'static ControlPlane> {
        static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
        PLANE.get_or_try_init(|| ControlPlane::start(Options::default())).await
    }
}
