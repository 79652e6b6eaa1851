//! A controller that saw only the first of two opposite changes writes it after the second. Until then the slices already
//! showed the second. The test writes the slices as if it were the controller.

use super::super::selecting;
use super::{EXPIRY, OBJECTIVE, View, last};
use anyhow::{Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::time::{Duration, Instant};
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::samples::Outcome;
use testkit::truth::Change;

/// Between two steps: more than events need to reach the daemon. All steps together are shorter than the expiry of the first change.
const STEP: Duration = Duration::from_millis(400);

/// The error that no delay may reach on a busy machine.
const LOOSE: Duration = Duration::from_millis(500);

pub struct LateWrites {
    objects: Objects,
    /// Listed as ready.
    fails: PodHandle,
    /// Listed as not ready.
    starts: PodHandle,
    /// Not listed.
    leaves: PodHandle,
    /// Listed as ready.
    stops: PodHandle,
}

impl LateWrites {
    /// A Service for each pod.
    pub async fn prepare(plane: &ControlPlane, daemon: &Daemon) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, "late").await?;
        let mut pods = Vec::new();
        for name in ["fails", "starts", "leaves", "stops"] {
            View::create(&objects, daemon, name, selecting(name)).await?;
            pods.push(objects.create_pod(name, name).await?);
        }
        let [fails, starts, leaves, stops] = [0, 1, 2, 3].map(|at| pods[at].clone());
        objects.report(&fails, true).await?;
        objects.report(&starts, false).await?;
        objects.report(&stops, true).await?;
        for listed in [&fails, &starts, &stops] {
            objects.wait_for_endpoints(&listed.name, 1).await?;
        }
        objects.wait_for_slices("leaves", |slices: &[EndpointSlice]| slices.len() == 1).await?;
        Ok(Self { objects, fails, starts, leaves, stops })
    }

    pub async fn play(&self, daemon: &Daemon) -> Result<()> {
        tokio::try_join!(
            self.flap(daemon, &self.fails, true),
            self.flap(daemon, &self.starts, false),
            self.die(daemon, &self.leaves),
            self.stop(daemon, &self.stops),
        )?;
        Ok(())
    }

    /// Changes a pod's readiness and changes it back. Returns when it was back.
    async fn turn(&self, view: View<'_>, pod: &PodHandle, listed_ready: bool) -> Result<Instant> {
        self.objects.report(pod, !listed_ready).await?;
        tokio::time::sleep(STEP).await;
        self.objects.report(pod, listed_ready).await?;
        let back = Instant::now();
        view.wait_standing(0.0).await?;
        tokio::time::sleep(STEP).await;
        Ok(back)
    }

    /// Writes the slice as the first of the two changes requires, and waits until the second is pending since its own time.
    async fn write_late(
        &self,
        view: View<'_>,
        pod: &PodHandle,
        ready: bool,
        second: Change,
        back: Instant,
    ) -> Result<()> {
        let wrong = self.objects.endpoint(pod, ready);
        self.objects.rewrite_slice(view.service, |endpoints| *endpoints = vec![wrong]).await?;
        view.wait_pending(1.0, &[second]).await?;
        let age = back.elapsed().saturating_sub(LOOSE).as_secs_f64();
        view.wait("pending since its own arrival", |it| it.oldest_pending(second) >= age).await?;
        view.wait("out of sync since the late write", |it| it.oldest() < it.oldest_pending(second)).await
    }

    /// Waits until a change of a kind is reported as propagated between these times.
    async fn check_delay(view: View<'_>, change: Change, back: Instant, written: Instant) -> Result<()> {
        view.wait_standing(0.0).await?;
        view.check_last(change, &[Outcome::Propagated]).await?;
        let told = view.told(change).await?;
        let (sample, truth) = (last(&told)?, written.duration_since(back));
        ensure!(sample.delay().is_none_or(|delay| delay.abs_diff(truth) < LOOSE), "{truth:?}, told {sample:?}");
        Ok(())
    }

    /// A pod flaps, and the controller writes both changes, each too late.
    async fn flap(&self, daemon: &Daemon, pod: &PodHandle, listed_ready: bool) -> Result<()> {
        let view = View { daemon, namespace: "late", service: &pod.name };
        let [first, second] =
            if listed_ready { [Change::Unready, Change::Ready] } else { [Change::Ready, Change::Unready] };
        let back = self.turn(view, pod, listed_ready).await?;
        view.check_all(first, &[Outcome::Superseded]).await?;
        self.write_late(view, pod, !listed_ready, second, back).await?;
        tokio::time::sleep(STEP).await;
        let right = self.objects.endpoint(pod, listed_ready);
        self.objects.rewrite_slice(&pod.name, |endpoints| *endpoints = vec![right]).await?;
        Self::check_delay(view, second, back, Instant::now()).await
    }

    /// A pod becomes ready, dies before it is listed, and is listed after that.
    async fn die(&self, daemon: &Daemon, pod: &PodHandle) -> Result<()> {
        let view = View { daemon, namespace: "late", service: &pod.name };
        self.objects.report(pod, true).await?;
        tokio::time::sleep(STEP).await;
        self.objects.finish(pod).await?;
        let gone = Instant::now();
        view.wait_standing(0.0).await?;
        tokio::time::sleep(STEP).await;
        view.check_all(Change::Ready, &[Outcome::Superseded]).await?;
        self.write_late(view, pod, true, Change::Removed, gone).await?;
        tokio::time::sleep(STEP).await;
        self.objects.rewrite_slice(&pod.name, Vec::clear).await?;
        let written = Instant::now();
        for change in [Change::Terminating, Change::Removed] {
            Self::check_delay(view, change, gone, written).await?;
        }
        Ok(())
    }

    /// A pod flaps, and the controller writes the first change and nothing else.
    async fn stop(&self, daemon: &Daemon, pod: &PodHandle) -> Result<()> {
        let view = View { daemon, namespace: "late", service: &pod.name };
        // A busy machine may have needed too long for the first `ready`.
        let before = view.figure(|it| it.missed(Change::Ready)).await?;
        let back = self.turn(view, pod, true).await?;
        self.write_late(view, pod, false, Change::Ready, back).await?;
        view.wait("missed", |it| it.missed(Change::Ready) == before + 1.0).await?;
        ensure!(back.elapsed() >= OBJECTIVE, "missed before its time");
        view.wait_standing(1.0).await?;
        ensure!(back.elapsed() >= EXPIRY, "given up before its time");
        view.check_last(Change::Ready, &[Outcome::Expired]).await
    }
}
