//! A Service drops an address family, and the slices of that family stay.

use super::super::selecting;
use super::View;
use anyhow::Result;
use serde_json::json;
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::samples::Outcome;
use testkit::truth::Change;

pub struct Families {
    objects: Objects,
}

impl Families {
    /// A pod that is listed in both families.
    pub async fn prepare(plane: &ControlPlane, daemon: &Daemon) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, "families").await?;
        let mut spec = selecting("web");
        spec["ipFamilyPolicy"] = json!("RequireDualStack");
        View::create(&objects, daemon, "web", spec).await?;
        let pod = objects.create_pod("both", "web").await?;
        objects.report_dual_stack(&pod, true).await?;
        objects.wait_for_endpoints("web", 2).await?;
        Ok(Self { objects })
    }

    /// The Service has one family, and nodes still send traffic to the other.
    pub async fn play(&self, daemon: &Daemon) -> Result<()> {
        let view = View { daemon, namespace: "families", service: "web" };
        self.objects.edit_service("web", json!({ "ipFamilyPolicy": "SingleStack" })).await?;
        view.wait_pending(1.0, &[Change::Service]).await?;
        view.wait("traffic of the family that was given up", |it| it.traffic() > 0.0).await?;
        view.wait_standing(1.0).await?;
        view.check_last(Change::Service, &[Outcome::Expired]).await
    }
}
