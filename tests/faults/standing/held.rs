//! A Service that a finalizer holds in deletion: no slices are made for it, so no change of it is pending.

use super::super::selecting;
use super::View;
use anyhow::{Result, ensure};
use serde_json::json;
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::samples::Outcome;
use testkit::truth::Change;

pub struct Held {
    objects: Objects,
    pod: PodHandle,
}

impl Held {
    /// A pod that is listed as not ready. The objective is longer than the scene.
    pub async fn prepare(plane: &ControlPlane, daemon: &Daemon) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, "held").await?;
        View::create(&objects, daemon, "web", selecting("web")).await?;
        objects.annotate_service("web", json!({ "endpointlag.io/objective": "5s" })).await?;
        objects.hold_service("web").await?;
        let pod = objects.create_pod("web-0", "web").await?;
        objects.report(&pod, false).await?;
        objects.wait_for_endpoints("web", 1).await?;
        Ok(Self { objects, pod })
    }

    /// The deletion comes while a change is pending.
    pub async fn play(&self, daemon: &Daemon) -> Result<()> {
        let view = View { daemon, namespace: "held", service: "web" };
        self.objects.report(&self.pod, true).await?;
        view.wait_pending(1.0, &[Change::Ready]).await?;
        self.objects.delete_service("web").await?;
        view.wait_standing(0.0).await?;
        let told = view.outcomes(Change::Ready).await?;
        // `Censored` if the daemon had to wait for a CPU at that moment.
        ensure!(matches!(told[..], [Outcome::Withdrawn | Outcome::Censored]), "{told:?}");
        view.wait("no miss", |it| it.missed(Change::Ready) == 0.0).await
    }

    /// Lets the deletion of the Service finish.
    pub async fn release(&self) -> Result<()> {
        self.objects.release_service("web").await
    }
}
