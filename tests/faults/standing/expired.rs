//! Changes expire, and the endpoints stay wrong.

use super::super::selecting;
use super::{EXPIRY, View};
use anyhow::Result;
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::samples::Outcome;
use testkit::truth::Change;

pub struct Expired {
    objects: Objects,
    starts: PodHandle,
    fails: PodHandle,
}

impl Expired {
    /// One pod is listed as ready, one as not ready.
    pub async fn prepare(plane: &ControlPlane, daemon: &Daemon) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, "expired").await?;
        View::create(&objects, daemon, "web", selecting("web")).await?;
        let starts = objects.create_pod("starts", "web").await?;
        let fails = objects.create_pod("fails", "web").await?;
        objects.report(&starts, false).await?;
        objects.report(&fails, true).await?;
        objects.wait_for_endpoints("web", 2).await?;
        Ok(Self { objects, starts, fails })
    }

    /// Both change, the slices are not written, and the changes expire.
    pub async fn play(&self, daemon: &Daemon) -> Result<()> {
        let view = View { daemon, namespace: "expired", service: "web" };
        self.objects.report(&self.starts, true).await?;
        self.objects.report(&self.fails, false).await?;
        view.wait_pending(2.0, &[Change::Ready, Change::Unready]).await?;
        view.wait_standing(2.0).await?;
        view.check_all(Change::Ready, &[Outcome::Propagated, Outcome::Expired]).await?;
        view.check_all(Change::Unready, &[Outcome::Expired]).await?;
        let age = EXPIRY.as_secs_f64();
        view.wait("out of sync for longer than any change", |it| it.oldest() >= age && it.traffic() >= age).await
    }
}
