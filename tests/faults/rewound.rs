//! etcd is restored from an older backup.

use super::compaction::lists_at_once;
use super::reckoning::measures;
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::controlplane::plane::{Controllers, Options};
use testkit::scene::{Scene, Setup};

const RESOURCES: [&str; 3] = ["pods", "services", "endpointslices"];

/// Writes after the backup: more than an API server makes on its own while it starts.
const WRITES: usize = 400;

/// Ample time for the daemon to reach the server again: the pauses between its attempts grow up to a minute while the server is away.
const SOON: Duration = Duration::from_secs(120);

/// After this time in order a watch is tried again at once, and with short pauses: 5 s, and the extra time of a busy machine.
const IN_ORDER: Duration = Duration::from_secs(6);

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").args([from, to]).status().context("running cp")?;
    ensure!(status.success(), "cp ends with {status}");
    Ok(())
}

/// The API server accepts a watch from a version that it has not reached yet, and sends nothing until it has. What was created
/// after the backup is gone, and no event says so.
#[tokio::test(flavor = "multi_thread")]
async fn restored_from_an_older_backup() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) };
    let scene = Scene::prepare(&plane, "rewound", setup.with(&["--namespace", "rewound"])).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let pod = scene.objects.create_pod("stays", "web").await?;
    scene.objects.report(&pod, true).await?;

    plane.kill_controllers();
    plane.kill_api_server()?;
    plane.kill_etcd();
    let (data, backup) = (plane.etcd_folder(), plane.etcd_folder().with_extension("backup"));
    copy(&data, &backup)?;
    plane.start_etcd().await?;
    plane.start_api_server().await?;
    plane.start_controllers(Controllers::default()).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("forgotten", selecting("web")).await?;
    for number in 0..WRITES {
        scene.objects.report(&pod, number % 2 == 1).await?;
    }
    let of_forgotten = [("service", "forgotten")];
    let metrics = scene.daemon.metrics().await?;
    ensure!(metrics.matching("endpointlag_objective_seconds", &of_forgotten).count() == 1);

    tokio::time::sleep(IN_ORDER).await;
    relay.refuse();
    plane.kill_controllers();
    plane.kill_api_server()?;
    plane.kill_etcd();
    std::fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    plane.start_etcd().await?;
    plane.start_api_server().await?;
    plane.start_controllers(Controllers::default()).await?;
    relay.accept();
    let started = Instant::now();
    loop {
        let metrics = scene.daemon.metrics().await?;
        let rewound = |resource| [("resource", resource), ("reason", "rewound")];
        let restarts = RESOURCES.map(|resource| metrics.sum("endpointlag_watch_restarts_total", &rewound(resource)));
        if restarts == [1.0; 3] {
            break;
        }
        ensure!(started.elapsed() < SOON, "not noticed: {}", scene.daemon.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.daemon.wait_until_ready().await?;
    let metrics = scene.daemon.metrics().await?;
    ensure!(metrics.matching("endpointlag_objective_seconds", &of_forgotten).count() == 0, "it does not exist");
    for resource in RESOURCES {
        let log = scene.daemon.log()?;
        let of_watch = log.iter().filter(|line| line.field("watch").starts_with(resource));
        let said = of_watch.filter(|line| line.field("message").contains("older backup")).count();
        ensure!(said == 1, "{said} lines about {resource}");
    }
    lists_at_once(&scene, "older backup")?;
    measures(&scene, "web").await?;
    scene.finish().await
}
