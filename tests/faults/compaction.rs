//! The version to resume from is gone.

use super::reckoning::{Gap, reckon};
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::daemon::samples::Outcome;
use testkit::http;
use testkit::scene::{Scene, Setup};
use testkit::truth::Change;

const RESOURCES: [&str; 3] = ["pods", "services", "endpointslices"];

/// How long the server cannot be reached, at least. The pauses between two attempts double from 250 ms, and each may be up to twice as long
/// by chance. So after this time a pause is 8 s or longer.
const REFUSED: Duration = Duration::from_secs(16);

/// Ample time for a list on a busy machine, and less than such a pause.
const LISTED: SignedDuration = SignedDuration::from_secs(6);

/// Compacts etcd up to its current revision, over its JSON API.
async fn compact(plane: &ControlPlane) -> Result<()> {
    let call = async |path: &str, body: Value| -> Result<Value> {
        let answer = http::post(&plane.etcd_address(), path, body.to_string()).await?;
        ensure!(answer.status.is_success(), "etcd's {path} answers {}: {}", answer.status, answer.body);
        serde_json::from_str(&answer.body).context("etcd's answer")
    };
    // Keys are in base64: this is `/`.
    let head = call("/v3/kv/range", json!({ "key": "Lw==" })).await?;
    call("/v3/kv/compaction", json!({ "revision": head["header"]["revision"], "physical": true })).await?;
    Ok(())
}

/// Checks that a watch that cannot be resumed, which the daemon logs with these words, lists at once, however long it had to wait for the
/// server before.
///
/// # Errors
/// It does not.
pub fn lists_at_once(scene: &Scene, words: &str) -> Result<()> {
    let log = scene.daemon.log()?;
    for resource in RESOURCES {
        let mut of_watch = log.iter().filter(|line| line.field("watch").starts_with(resource));
        let ended = of_watch.find(|line| line.field("message").contains(words)).context("no line about the end")?;
        let listed = of_watch.find(|line| line.field("message") == "listed").context("no list after the end")?;
        let took = listed.written()?.duration_since(ended.written()?);
        ensure!(took < LISTED, "{resource}: {took:?} from {words:?} to the list");
    }
    Ok(())
}

/// The watches are cut, pods and Services come and go, and etcd is compacted. A running API server would still resume the watches
/// from its memory. One that starts after the compaction answers 410.
#[tokio::test(flavor = "multi_thread")]
async fn compacted_while_the_watches_are_cut() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) };
    let mut scene = Scene::prepare(&plane, "compacted", setup.with(&["--namespace", "compacted"])).await?;
    scene.daemon.wait_until_ready().await?;
    let objects = &scene.objects;
    // The deleted Service selects its own app. The lists come one by one, so a change of a pod that it selects could be found
    // before its own deletion is found.
    for service in ["web", "doomed"] {
        scene.create_service(service, selecting(service)).await?;
    }
    let [stays, flaps, fails, leaves] = ["stays", "flaps", "fails", "leaves"];
    let mut pods = Vec::new();
    let pods_before = [stays, flaps, fails, leaves];
    for name in pods_before {
        let pod = objects.create_pod(name, "web").await?;
        objects.report(&pod, true).await?;
        pods.push(pod);
    }
    scene.agree().await?;

    let (from, refused) = (Timestamp::now(), Instant::now());
    relay.refuse();
    let objects = &scene.objects;
    for ready in [false, true] {
        objects.report(&pods[1], ready).await?;
        objects
            .wait_for_slices("web", |slices| {
                let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
                let conditions = endpoints.filter_map(|endpoint| endpoint.conditions.as_ref());
                conditions.into_iter().all(|it| it.ready == Some(true)) == ready
            })
            .await?;
    }
    objects.report(&pods[2], false).await?;
    objects.terminate(&pods[3]).await?;
    objects.finish(&pods[3]).await?;
    objects.delete_service("doomed").await?;
    // Its pods changed before it was created.
    objects.create_service("new", selecting("web")).await?;
    let arrives = objects.create_pod("arrives", "web").await?;
    objects.report(&arrives, true).await?;
    scene.settle().await?;
    compact(&plane).await?;
    plane.kill_api_server()?;
    plane.start_api_server().await?;
    tokio::time::sleep(REFUSED.saturating_sub(refused.elapsed())).await;

    let dark_until = Timestamp::now();
    relay.accept();
    scene.daemon.wait_until_ready().await?;
    let until = Timestamp::now();
    // Each watch, not only one: a watch that was not cut would also resume the later events.
    let metrics = scene.daemon.metrics().await?;
    for resource in RESOURCES {
        let expired = [("resource", resource), ("reason", "expired")];
        assert_eq!(metrics.sum("endpointlag_watch_restarts_total", &expired), 1.0, "410 for {resource}");
    }
    let last = scene.objects.create_pod("last", "web").await?;
    scene.objects.report(&last, true).await?;
    let tally = reckon(&mut scene, Gap { from, dark_until, until, relisted: true, crashed: false }).await?;

    let told: Vec<_> = scene
        .daemon
        .samples()?
        .into_iter()
        .map(|it| (it.pod.unwrap_or_default(), it.service, it.change, it.outcome))
        .collect();
    let count = |pod: &str, service: &str, change, outcome| {
        told.iter().filter(|it| **it == (pod.to_owned(), service.to_owned(), change, outcome)).count()
    };
    // Found when states are compared. Nothing is reported of the pod that did not change, nor of the one that changed back.
    assert_eq!(count(leaves, "web", Change::Removed, Outcome::Censored), 1, "{told:?}");
    assert_eq!(count(fails, "web", Change::Unready, Outcome::Censored), 1, "{told:?}");
    assert_eq!(count("arrives", "web", Change::Ready, Outcome::Censored), 1, "{told:?}");
    assert_eq!(count("", "new", Change::Service, Outcome::Censored), 1, "{told:?}");
    let of_newcomer = |it: &&(String, String, Change, Outcome)| it.1 == "new" && pods_before.contains(&&*it.0);
    assert_eq!(told.iter().filter(of_newcomer).count(), 0, "they had changed before it was created: {told:?}");
    for pod in [stays, flaps] {
        assert_eq!(told.iter().filter(|it| it.0 == pod && it.1 == "web").count(), 1, "{pod}: {told:?}");
    }
    let of_last = [Outcome::Propagated, Outcome::Censored].map(|outcome| count("last", "web", Change::Ready, outcome));
    assert!(of_last == [1, 0] || (tally.doubts && of_last == [0, 1]), "{told:?}");
    assert!(tally.unseen >= 2, "the flap came and went: {tally:?}");
    lists_at_once(&scene, "(410)")?;
    let objectives = scene.daemon.metrics().await?;
    let doomed = [("service", "doomed")];
    assert_eq!(objectives.matching("endpointlag_objective_seconds", &doomed).count(), 0, "a deleted Service was found");
    scene.finish().await
}
