//! The controllers are stopped, and what is wrong stays wrong. It is shown as long as it is wrong: by a daemon that saw it happen, by one
//! whose changes expired long ago, and by one that starts now.

mod anew;
mod expired;
mod families;
mod held;
mod ignored;
mod late_write;

use super::start_plane;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::{Controllers, Options};
use testkit::daemon::Daemon;
use testkit::daemon::metrics::Metrics;
use testkit::daemon::samples::{Outcome, Sample};
use testkit::scene::{Scene, Setup};
use testkit::truth::Change;

/// The objective of all Services without their own.
const OBJECTIVE: Duration = Duration::from_secs(1);

/// When a change expires. Long enough for the steps before, on a busy machine.
const EXPIRY: Duration = Duration::from_secs(15);

/// Ample time for what the daemon should show.
const TIMEOUT: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(50);

/// One control plane for all, because its controllers are stopped only once. Each scene has its own namespace.
#[tokio::test]
async fn what_is_wrong_is_shown_until_it_is_right() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options { dual_stack: true, ..Options::default() }).await?;
    let setup = Setup::cluster(&plane).with(&["--objective", "1s", "--expiry", "15s"]);
    let scene = Scene::prepare(&plane, "standing", setup).await?;
    scene.daemon.wait_until_ready().await?;
    let daemon = &scene.daemon;
    let (expired, ignored, anew, families, held, late) = tokio::try_join!(
        expired::Expired::prepare(&plane, daemon),
        ignored::Ignored::prepare(&plane, daemon),
        anew::Anew::prepare(&plane, daemon),
        families::Families::prepare(&plane, daemon),
        held::Held::prepare(&plane, daemon),
        late_write::LateWrites::prepare(&plane, daemon),
    )?;

    plane.stop_controllers().await?;
    tokio::try_join!(
        expired.play(daemon),
        ignored.play(daemon),
        anew.play(daemon),
        families.play(daemon),
        held.play(daemon),
        late.play(daemon),
    )?;

    let expected = [
        ("anew", "web", 1.0),
        ("expired", "web", 2.0),
        ("families", "web", 1.0),
        ("ignored", "annotated", 2.0),
        ("ignored", "external", 2.0),
        ("ignored", "unselecting", 2.0),
        ("late", "stops", 1.0),
    ];
    let named = |(namespace, service, count): (&str, &str, f64)| ((namespace.to_owned(), service.to_owned()), count);
    let expected: BTreeMap<_, _> = expected.into_iter().map(named).collect();
    let old = daemon.metrics().await?;
    assert_eq!(wrong(&old, OUT_OF_SYNC), expected, "the daemon that saw it come");
    let fresh = scene.another_daemon("fresh").await?;
    fresh.wait_until_ready().await?;
    let new = fresh.metrics().await?;
    assert_eq!(wrong(&new, OUT_OF_SYNC), expected, "the one that started now");
    let traffic = |metrics: &Metrics| wrong(metrics, TRAFFIC).into_keys().collect::<Vec<_>>();
    assert_eq!(traffic(&old), traffic(&new));
    for (service, oldest) in wrong(&old, OLDEST) {
        let lower = wrong(&new, OLDEST).remove(&service).unwrap_or_default();
        ensure!(lower < oldest, "{service:?}: {lower} s where the start was not seen, {oldest} s where it was");
    }

    plane.start_controllers(Controllers::default()).await?;
    for daemon in [daemon, &fresh] {
        let well = |metrics: &Metrics| [OUT_OF_SYNC, OLDEST, TRAFFIC].iter().all(|it| wrong(metrics, it).is_empty());
        wait_for(daemon, "all is right", "", well).await?;
    }
    held.release().await?;
    anew.check_end(daemon).await?;
    ignored.check_end(daemon).await?;
    scene.finish().await
}

const OUT_OF_SYNC: &str = "endpointlag_out_of_sync_endpoints";
const OLDEST: &str = "endpointlag_oldest_out_of_sync_seconds";
const TRAFFIC: &str = "endpointlag_oldest_out_of_sync_traffic_seconds";

/// Namespace and name of each Service whose series of a metric is above zero, with the value.
fn wrong(metrics: &Metrics, name: &str) -> BTreeMap<(String, String), f64> {
    let label = |labels: &BTreeMap<String, String>, key: &str| labels.get(key).cloned().unwrap_or_default();
    let series = metrics.matching(name, &[]).filter(|(_, value)| *value > 0.0);
    series.map(|(labels, value)| ((label(labels, "namespace"), label(labels, "service")), value)).collect()
}

/// Waits until a scrape satisfies `expected`. The error shows the series with these labels.
async fn wait_for(daemon: &Daemon, what: &str, labels: &str, expected: impl Fn(&Metrics) -> bool) -> Result<()> {
    let started = Instant::now();
    loop {
        let metrics = daemon.metrics().await?;
        if expected(&metrics) {
            return Ok(());
        }
        if started.elapsed() > TIMEOUT {
            let page = daemon.get("/metrics").await?.body;
            let shown = |line: &&str| line.contains(labels) && line.contains("service=") && !line.contains("_bucket");
            bail!("not seen: {what}\n{}", page.lines().filter(shown).collect::<Vec<_>>().join("\n"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A Service as the daemon shows it.
#[derive(Clone, Copy, Debug)]
struct View<'a> {
    daemon: &'a Daemon,
    namespace: &'a str,
    service: &'a str,
}

/// The figures of one Service in one scrape.
struct Figures<'a> {
    metrics: &'a Metrics,
    view: View<'a>,
}

impl View<'_> {
    /// Waits until the Service's figures satisfy `expected`.
    async fn wait(&self, what: &str, expected: impl Fn(&Figures<'_>) -> bool) -> Result<()> {
        let what = format!("{}/{}: {what}", self.namespace, self.service);
        let labels = format!("namespace=\"{}\"", self.namespace);
        wait_for(self.daemon, &what, &labels, |metrics| expected(&Figures { metrics, view: *self })).await
    }

    /// Waits until this many endpoints are out of sync and a change of each of these kinds is pending.
    async fn wait_pending(&self, out_of_sync: f64, pending: &[Change]) -> Result<()> {
        let what = format!("{out_of_sync} out of sync, pending {pending:?}");
        self.wait(&what, |it| {
            it.out_of_sync() == out_of_sync && pending.iter().all(|change| it.pending(*change) == 1.0)
        })
        .await
    }

    /// Waits until nothing is pending, although this many endpoints are out of sync.
    async fn wait_standing(&self, out_of_sync: f64) -> Result<()> {
        self.wait(&format!("nothing pending, {out_of_sync} out of sync"), |it| {
            it.all_pending() == 0.0 && it.out_of_sync() == out_of_sync
        })
        .await
    }

    /// The daemon's samples of a kind of change, in order. They are written by another thread: this waits for as many as it has counted.
    async fn told(&self, change: Change) -> Result<Vec<Sample>> {
        let counted = self.figure(|it| it.ended(change)).await?;
        let of_kind = |it: &Sample| it.namespace == self.namespace && it.service == self.service && it.change == change;
        let started = Instant::now();
        loop {
            let told: Vec<_> = self.daemon.samples()?.into_iter().filter(of_kind).collect();
            if told.len() as f64 >= counted {
                return Ok(told);
            }
            ensure!(started.elapsed() < TIMEOUT, "{counted} are counted, and told: {told:#?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Checks how the last changes of a kind ended. A daemon that says that it was too busy may have censored any of them.
    async fn check_last(&self, change: Change, expected: &[Outcome]) -> Result<()> {
        // First the samples: what they say of doubts is counted before.
        let told = self.told(change).await?;
        let doubts = self.daemon.metrics().await?.has_doubts();
        let is_right = |(sample, expected): (&Sample, &Outcome)| {
            sample.outcome == *expected || (doubts && sample.outcome == Outcome::Censored)
        };
        let last = told.len().checked_sub(expected.len()).and_then(|before| told.get(before..));
        ensure!(last.is_some_and(|last| last.iter().zip(expected).all(is_right)), "not {expected:?}: {told:#?}");
        Ok(())
    }

    /// The same of all changes of a kind.
    async fn check_all(&self, change: Change, expected: &[Outcome]) -> Result<()> {
        let told = self.told(change).await?;
        ensure!(told.len() == expected.len(), "not {expected:?}: {told:#?}");
        self.check_last(change, expected).await
    }

    /// A figure of the Service.
    async fn figure(&self, read: impl Fn(&Figures<'_>) -> f64) -> Result<f64> {
        let metrics = self.daemon.metrics().await?;
        Ok(read(&Figures { metrics: &metrics, view: *self }))
    }

    /// Creates a Service, and waits until the daemon measures it. For the daemon, earlier changes of pods are part of its creation.
    async fn create(objects: &Objects, daemon: &Daemon, service: &str, spec: Value) -> Result<()> {
        objects.create_service(service, spec).await?;
        daemon.wait_until_measuring(objects.namespace(), service, true).await
    }

    /// The outcomes of a kind of change, in order.
    async fn outcomes(&self, change: Change) -> Result<Vec<Outcome>> {
        Ok(self.told(change).await?.iter().map(|sample| sample.outcome).collect())
    }
}

impl Figures<'_> {
    fn sum(&self, name: &str, of: &[(&str, &str)]) -> f64 {
        let mut wanted = vec![("namespace", self.view.namespace), ("service", self.view.service)];
        wanted.extend(of);
        self.metrics.sum(name, &wanted)
    }

    fn pending(&self, change: Change) -> f64 {
        self.sum("endpointlag_pending_changes", &[("change", change.label())])
    }

    fn ended(&self, change: Change) -> f64 {
        self.sum("endpointlag_changes_total", &[("change", change.label())])
    }

    fn all_pending(&self) -> f64 {
        self.sum("endpointlag_pending_changes", &[])
    }

    fn oldest_pending(&self, change: Change) -> f64 {
        self.sum("endpointlag_oldest_pending_seconds", &[("change", change.label())])
    }

    fn missed(&self, change: Change) -> f64 {
        self.sum("endpointlag_slo_missed_total", &[("change", change.label())])
    }

    fn out_of_sync(&self) -> f64 {
        self.sum(OUT_OF_SYNC, &[])
    }

    fn oldest(&self) -> f64 {
        self.sum(OLDEST, &[])
    }

    /// How long traffic has gone where it should not, or not gone where it should.
    fn traffic(&self) -> f64 {
        self.sum(TRAFFIC, &[])
    }

    /// Whether the daemon measures the Service.
    fn is_measured(&self) -> bool {
        self.sum("endpointlag_objective_seconds", &[]) > 0.0
    }
}

/// The last sample of a kind of change.
fn last(samples: &[Sample]) -> Result<&Sample> {
    samples.last().context("no sample")
}
