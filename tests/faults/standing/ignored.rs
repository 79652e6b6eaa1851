//! Services that were not measured for a while are measured again after pods have changed. As at a start of the daemon, a
//! disagreement is pending with an unknown start.

use super::super::selecting;
use super::View;
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::samples::Outcome;
use testkit::truth::Change;

/// Each is excluded in another way.
const SERVICES: [&str; 3] = ["annotated", "unselecting", "external"];

/// Enough for events on their way to the daemon.
const ON_THE_WAY: Duration = Duration::from_millis(500);

pub struct Ignored {
    objects: Objects,
    fails: PodHandle,
    leaves: PodHandle,
}

impl Ignored {
    /// Three pods are listed as ready in each Service, and then the Services are no longer measured.
    pub async fn prepare(plane: &ControlPlane, daemon: &Daemon) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, "ignored").await?;
        for service in SERVICES {
            View::create(&objects, daemon, service, selecting("web")).await?;
        }
        let mut pods = Vec::new();
        for name in ["fails", "leaves", "stays"] {
            let pod = objects.create_pod(name, "web").await?;
            objects.report(&pod, true).await?;
            pods.push(pod);
        }
        for service in SERVICES {
            objects.wait_for_endpoints(service, 3).await?;
        }
        let [fails, leaves] = [pods[0].clone(), pods[1].clone()];
        objects.annotate_service("annotated", json!({ "endpointlag.io/ignore": "true" })).await?;
        objects.edit_service("unselecting", json!({ "selector": null })).await?;
        objects.edit_service("external", json!({ "type": "ExternalName", "externalName": "web.invalid" })).await?;
        for service in SERVICES {
            let view = View { daemon, namespace: "ignored", service };
            view.wait("not measured", |it| !it.is_measured()).await?;
        }
        Ok(Self { objects, fails, leaves })
    }

    /// Two pods change unseen, and the Services are measured again.
    pub async fn play(&self, daemon: &Daemon) -> Result<()> {
        let objects = &self.objects;
        objects.report(&self.fails, false).await?;
        objects.finish(&self.leaves).await?;
        tokio::time::sleep(ON_THE_WAY).await;
        objects.annotate_service("annotated", json!({ "endpointlag.io/ignore": null })).await?;
        objects.edit_service("unselecting", json!({ "selector": { "app": "web" } })).await?;
        objects.edit_service("external", json!({ "type": "ClusterIP", "externalName": null })).await?;
        let views = SERVICES.map(|service| View { daemon, namespace: "ignored", service });
        for view in views {
            view.wait_pending(2.0, &[Change::Unready, Change::Removed]).await?;
        }
        for view in views {
            view.wait("missed", |it| it.missed(Change::Unready) == 1.0 && it.missed(Change::Removed) == 1.0).await?;
        }
        for view in views {
            view.wait_standing(2.0).await?;
        }
        Ok(())
    }

    /// These changes have no known delay.
    pub async fn check_end(&self, daemon: &Daemon) -> Result<()> {
        for service in SERVICES {
            let view = View { daemon, namespace: "ignored", service };
            for change in [Change::Unready, Change::Removed] {
                let outcomes = view.outcomes(change).await?;
                ensure!(outcomes == [Outcome::Censored], "{service} {}: {outcomes:?}", change.label());
            }
            ensure!(view.told(Change::Terminating).await?.is_empty(), "{service}");
        }
        Ok(())
    }
}
