//! A Service is deleted and created again while its slices stay: they belong to the old one.

use super::super::selecting;
use super::View;
use anyhow::{Result, ensure};
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::samples::Outcome;
use testkit::truth::Change;

pub struct Anew {
    objects: Objects,
    moves: PodHandle,
}

impl Anew {
    /// Two Services whose slices show their pods.
    pub async fn prepare(plane: &ControlPlane, daemon: &Daemon) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, "anew").await?;
        View::create(&objects, daemon, "web", selecting("web")).await?;
        View::create(&objects, daemon, "empty", selecting("moves")).await?;
        let moves = objects.create_pod("moves", "moves").await?;
        let stays = objects.create_pod("stays", "web").await?;
        for pod in [&moves, &stays] {
            objects.report(pod, true).await?;
        }
        for service in ["web", "empty"] {
            objects.wait_for_endpoints(service, 1).await?;
        }
        Ok(Self { objects, moves })
    }

    /// Both are created again, one after its pod has moved away. No slices are written for them.
    pub async fn play(&self, daemon: &Daemon) -> Result<()> {
        let objects = &self.objects;
        let view = |service| View { daemon, namespace: "anew", service };
        // A busy machine may have needed too long for the first ones.
        let mut missed = [0.0; 2];
        for (missed, service) in missed.iter_mut().zip(["web", "empty"]) {
            *missed = view(service).figure(|it| it.missed(Change::Service)).await?;
            objects.delete_service(service).await?;
        }
        objects.relabel(&self.moves, "elsewhere").await?;
        objects.create_service("web", selecting("web")).await?;
        objects.create_service("empty", selecting("moves")).await?;
        let views = [(view("web"), 1.0), (view("empty"), 0.0)];
        for (view, out_of_sync) in views {
            view.wait_pending(out_of_sync, &[Change::Service]).await?;
            let left = objects.slices(view.service).await?;
            ensure!(left.len() == 1, "the case that this is about: the old slice is there, {left:?}");
        }
        for ((view, out_of_sync), before) in views.into_iter().zip(missed) {
            view.wait("missed", |it| it.missed(Change::Service) == before + 1.0).await?;
            view.wait_standing(out_of_sync).await?;
        }
        Ok(())
    }

    /// The old one was reflected, the new one expired, and the only changes of pods are their own.
    pub async fn check_end(&self, daemon: &Daemon) -> Result<()> {
        for service in ["web", "empty"] {
            let view = View { daemon, namespace: "anew", service };
            let told = view.told(Change::Service).await?;
            ensure!(told.len() == 2, "{service}: {told:?}");
            view.check_last(Change::Service, &[Outcome::Expired]).await?;
            let removed = view.told(Change::Removed).await?;
            view.check_all(Change::Removed, &vec![Outcome::Withdrawn; removed.len()]).await?;
        }
        Ok(())
    }
}
