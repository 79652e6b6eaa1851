//! Fault tests: parts break, and no number may be wrong because of that. Each test has its own control plane, because most of
//! them break it.

/// The tests, by what breaks and how.
mod faults {
    mod access;
    mod balanced;
    mod blind;
    mod cgroup;
    mod compaction;
    mod controller;
    mod crash;
    mod delayed;
    mod frozen;
    mod gateway;
    mod goaway;
    mod identity;
    mod one_sided;
    mod reckoning;
    mod recorded;
    mod relay;
    mod restart;
    mod rewound;
    mod silence;
    mod slices;
    mod slowness;
    mod standing;
    mod stopped;
    mod teardown;
    mod throttled;

    use anyhow::Result;
    use serde_json::{Value, json};
    use testkit::controlplane::plane::{ControlPlane, Options};
    use tokio::sync::{Semaphore, SemaphorePermit};

    /// Maximum number of control planes at a time. Each takes half a gigabyte and most of a core while it starts.
    const AT_ONCE: usize = 2;

    /// A control plane, and the permit to run it. Keep them in variables in this order, so that the plane is dropped first.
    async fn start_plane(options: Options) -> Result<(SemaphorePermit<'static>, ControlPlane)> {
        static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);
        let permit = PERMITS.acquire().await?;
        Ok((permit, ControlPlane::start(options).await?))
    }

    /// The spec of an ordinary Service.
    fn selecting(app: &str) -> Value {
        json!({ "selector": { "app": app }, "ports": [{ "port": 80, "targetPort": 8080 }] })
    }
}
