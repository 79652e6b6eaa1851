//! Several daemons that divide a cluster among them.

use super::changes::selecting;
use super::shared_plane;
use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use endpointlag::stats::{Precision, empty_histogram, units};
use hdrhistogram::serialization::Deserializer;
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::controlplane::access::{ACCOUNT, account_kubeconfig};
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::samples::Sample;
use testkit::scene::agreement;
use testkit::truth::audit::AuditLog;
use testkit::truth::{self, Record};
use testkit::workspace::Workspace;

/// Enough that each of three shards has some. The chance that one has none is 1 in 10,000, and the names are fixed.
const NAMESPACES: usize = 9;

/// How long the controller and the daemons may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A daemon, and its folder.
struct Shard {
    daemon: Daemon,
    _workspace: Workspace,
}

/// Three shards together report each change once, and so do the two that replace them.
#[tokio::test]
async fn each_change_is_told_by_one_shard() -> Result<()> {
    let plane = shared_plane().await?;
    let mut namespaces = Vec::new();
    for number in 0..NAMESPACES {
        let objects = Objects::create(plane.admin().await?, &format!("shard-{number}")).await?;
        let audit = AuditLog::open(&plane.audit_log(), objects.namespace())?;
        namespaces.push((objects, audit));
    }

    let mut shards = start(plane, 3).await?;
    let mut pods = Vec::new();
    for (objects, _) in &namespaces {
        objects.create_service("web", selecting("web")).await?;
        is_measured(objects.namespace(), &shards).await?;
        let pod = objects.create_pod("web-0", "web").await?;
        objects.report(&pod, true).await?;
        pods.push(pod);
    }
    let told = agree(&mut namespaces, &[], &shards).await?;
    let busy = shards.iter().filter(|shard| shard.daemon.samples().is_ok_and(|samples| !samples.is_empty())).count();
    assert_eq!(busy, 3, "each has some of the namespaces");
    merge(&shards).await?;
    for shard in &mut shards {
        shard.daemon.stop(Signal::TERM).await?;
    }

    let mut shards = start(plane, 2).await?;
    change_back(&namespaces, &pods).await?;
    agree(&mut namespaces, &told, &shards).await?;
    for shard in &mut shards {
        shard.daemon.stop(Signal::TERM).await?;
    }
    Ok(())
}

async fn start(plane: &ControlPlane, number: u32) -> Result<Vec<Shard>> {
    let mut shards = Vec::new();
    for index in 0..number {
        let workspace = Workspace::create("shard")?;
        let client = plane.admin().await?;
        let config = account_kubeconfig(&client, ACCOUNT, &plane.server(), &plane.authority(), &workspace).await?;
        let flags = ["--shard".to_owned(), format!("{index}/{number}")];
        let daemon = Daemon::start(&config, workspace.path(), &flags).await?;
        daemon.wait_until_ready().await?;
        shards.push(Shard { daemon, _workspace: workspace });
    }
    Ok(shards)
}

/// Waits until one of the shards measures the Service of a namespace. For it, earlier changes of pods are part of the Service's creation.
async fn is_measured(namespace: &str, shards: &[Shard]) -> Result<()> {
    let started = Instant::now();
    loop {
        for shard in shards {
            if shard.daemon.is_measuring(namespace, "web").await? {
                return shard.daemon.wait_until_measuring(namespace, "web", true).await;
            }
        }
        ensure!(started.elapsed() < TIMEOUT, "no shard measures {namespace}/web");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn change_back(namespaces: &[(Objects, AuditLog)], pods: &[PodHandle]) -> Result<()> {
    for ((objects, _), pod) in namespaces.iter().zip(pods) {
        objects.report(pod, false).await?;
    }
    Ok(())
}

fn told_by(shards: &[Shard]) -> Result<Vec<Sample>> {
    let samples = shards.iter().map(|shard| shard.daemon.samples());
    Ok(samples.collect::<Result<Vec<_>>>()?.concat())
}

/// The sums over the shards' metrics, and their HDR histograms together, match their samples. Other tests change the
/// cluster in the meantime, so both are read again until no change came between.
async fn merge(shards: &[Shard]) -> Result<()> {
    let started = Instant::now();
    let (told, merged, mut services) = loop {
        let told = told_by(shards)?;
        let mut merged = empty_histogram(Precision::Cluster);
        let (mut counted, mut services) = (0.0, Vec::new());
        for shard in shards {
            let answer: Value = serde_json::from_str(&shard.daemon.get("/api/v1/histogram").await?.body)?;
            for entry in answer["histograms"].as_array().context("histograms")? {
                let bytes = STANDARD.decode(entry["histogram"].as_str().context("a histogram")?)?;
                merged.add(&Deserializer::new().deserialize::<u64, _>(&mut &*bytes)?)?;
            }
            let metrics = shard.daemon.metrics().await?;
            counted += metrics.sum("endpointlag_changes_total", &[]);
            services.extend(metrics.matching("endpointlag_objective_seconds", &[]).map(|(labels, _)| labels.clone()));
        }
        if counted as usize == told.len() {
            break (told, merged, services);
        }
        ensure!(started.elapsed() < TIMEOUT, "{counted} changes are counted, {} told", told.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let all = services.len();
    services.sort_unstable();
    services.dedup();
    assert_eq!(services.len(), all, "a Service is one shard's");
    let mut delays: Vec<_> = told.iter().filter_map(Sample::delay).map(units).collect();
    delays.sort_unstable();
    assert_eq!(merged.len() as usize, delays.len());
    for (quantile, delay) in [(0.5, delays[(delays.len() - 1) / 2]), (1.0, delays[delays.len() - 1])] {
        assert_eq!(merged.value_at_quantile(quantile), merged.highest_equivalent(delay), "quantile {quantile}");
    }
    Ok(())
}

/// Waits until the shards' reports after `before` agree with the truth in each namespace. Returns all of them.
async fn agree(namespaces: &mut [(Objects, AuditLog)], before: &[Sample], shards: &[Shard]) -> Result<Vec<Sample>> {
    let started = Instant::now();
    loop {
        let mut told = before.to_vec();
        let mut doubts = false;
        for shard in shards {
            told.extend(shard.daemon.samples()?);
            doubts |= shard.daemon.metrics().await?.has_doubts();
        }
        let mut differences = String::new();
        for (objects, audit) in &mut *namespaces {
            audit.refresh()?;
            let records: Vec<Record> = truth::records(audit);
            let own: Vec<_> = told.iter().filter(|it| it.namespace == objects.namespace()).cloned().collect();
            if records.iter().any(|record| record.outcome.is_none()) || records.is_empty() {
                differences += &format!("  {}: not all is reflected\n", objects.namespace());
            } else if let Err(difference) = agreement::pair(&records, &own, doubts) {
                differences += &format!("{}:\n{difference}", objects.namespace());
            }
        }
        if differences.is_empty() {
            return Ok(told);
        }
        if started.elapsed() > TIMEOUT {
            bail!("the shards differ from the truth:\n{differences}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
