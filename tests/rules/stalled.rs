//! A controller that really stops: the alerts fire in a Prometheus that scrapes the daemon, and resolve when the controller is back.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use std::time::Duration;
use testkit::controlplane::plane::{ControlPlane, Controllers, Options};
use testkit::jsonnet::{evaluate, evaluate_text};
use testkit::prometheus::Prometheus;
use testkit::scene::{Scene, Setup};
use tokio::time::sleep;

const NAMESPACE: &str = "stalled";
const SERVICE: &str = "web";

/// More misses than any alert needs, also if a busy machine censors some.
const PODS: usize = 24;

/// Pause between two misses. The budget burns for as long as they come, and then for the short window: long enough for a busy Prometheus.
const PAUSE: Duration = Duration::from_millis(500);

/// The shipped mixin, with seconds instead of minutes.
const HURRIED: &str = "
    (import 'deploy/mixin/mixin.libsonnet') + {
      _config+:: {
        interval: '1s',
        longInterval: '1s',
        rateWindow: '5s',
        burnRates: [{ severity: 'critical', factor: 14.4, short: '5s', long: '20s' }],
        pendingOld: [{ severity: 'warning', factor: 3, most: '8m', 'for': '1s' }],
        outOfSync+: { factor: 3, least: '1s', 'for': '1s' },
        stalled+: { outOfSync: '3s', 'for': '1s' },
        blind+: { unsynced: '5s' },
        downFor: '5s',
      },
    }";

/// The alerts for a controller that has stopped. No other may fire.
const EXPECTED: [&str; 5] = [
    "EndpointLagClusterBudgetBurn",
    "EndpointLagControllerStalled",
    "EndpointLagOutOfSync",
    "EndpointLagPendingOld",
    "EndpointLagServiceBudgetBurn",
];

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_while_the_controller_is_stopped_and_resolve_when_it_is_back() -> Result<()> {
    let rules = tokio::task::spawn_blocking(|| {
        ["prometheusRules", "prometheusAlerts"]
            .map(|field| evaluate_text(&format!("std.manifestYamlDoc(({HURRIED}).{field})")))
            .into_iter()
            .collect::<Result<Vec<_>>>()
    });
    let rules = rules.await??;
    let mut plane = ControlPlane::start(Options::default()).await?;
    let setup = Setup::cluster(&plane).with(&["--namespace", NAMESPACE, "--objective", "1s"]);
    let mut scene = Scene::prepare(&plane, NAMESPACE, setup).await?;
    scene.daemon.wait_until_ready().await?;
    let prometheus = Prometheus::evaluating(scene.daemon.address(), "", &rules).await?;

    scene.create_service(SERVICE, json!({ "selector": { "app": SERVICE }, "ports": [{ "port": 80 }] })).await?;
    let mut pods = Vec::new();
    for number in 0..PODS {
        let pod = scene.objects.create_pod(&format!("pod-{number}"), SERVICE).await?;
        scene.objects.report(&pod, true).await?;
        pods.push(pod);
    }
    scene.settle().await?;
    prometheus.until("cluster_outcome:endpointlag_changes:rate5s{outcome=\"propagated\"} > 0").await?;
    ensure!(prometheus.query("ALERTS{severity=\"critical\"}").await?.is_empty(), "alerts before anything is wrong");

    plane.stop_controllers().await?;
    let objects = &scene.objects;
    let miss = async {
        for pod in &pods {
            objects.report(pod, false).await?;
            sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    let fire = EXPECTED.map(|alert| {
        let query = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        let prometheus = &prometheus;
        async move { prometheus.until(&query).await.map(drop) }
    });
    tokio::try_join!(miss, try_join_all(fire))?;
    let others = format!("ALERTS{{alertname!~\"{}\", alertstate=\"firing\"}}", EXPECTED.join("|"));
    let others = prometheus.query(&others).await?;
    ensure!(others.is_empty(), "a controller that stands still is no reason for {others:?}");
    let service = prometheus.query("ALERTS{alertname=\"EndpointLagPendingOld\"}").await?;
    let label = |name: &str| service.first().and_then(|alert| alert.labels[name].as_str()).map(str::to_owned);
    ensure!(label("namespace").as_deref() == Some(NAMESPACE), "of another namespace: {service:?}");
    ensure!(label("service").as_deref() == Some(SERVICE), "of another Service: {service:?}");

    plane.start_controllers(Controllers::default()).await?;
    scene.settle().await?;
    // The budget burns as long as the misses are in the windows. If a busy machine had changes censored, EndpointLagBlind says so, rightly.
    prometheus.until("absent(ALERTS{alertname!=\"EndpointLagBlind\"})").await?;
    selectors_of_pyrra_have_data(&prometheus).await?;
    scene.finish().await
}

/// Pyrra cannot be installed here. So this checks that the series exist that it would add up.
async fn selectors_of_pyrra_have_data(prometheus: &Prometheus) -> Result<()> {
    let selectors = tokio::task::spawn_blocking(|| {
        evaluate(
            "local pyrra = (import 'deploy/mixin/mixin.libsonnet').pyrra;
             [slo.spec.indicator.ratio[part].metric for slo in pyrra for part in ['errors', 'total']]",
        )
    });
    for selector in selectors.await??.as_array().context("no list")? {
        let selector = selector.as_str().context("no text")?;
        ensure!(!prometheus.query(selector).await?.is_empty(), "{selector} has no data");
    }
    Ok(())
}
