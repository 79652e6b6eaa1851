//! The workloads of ten public charts with their own values, and what is said about them.

use super::scene::{Scene, has};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::public_charts::PublicChart;

const CHARTS: [PublicChart; 10] = [
    PublicChart {
        name: "podinfo",
        module: "github.com/stefanprodan/podinfo@v1.8.1-0.20250910200901-e86405a8674e",
        sum: "h1:ikpMMm5HbQT/1DehrPM+Lpwk3WAw/1Hg540eR+jsXus=",
        folder: "charts/podinfo",
    },
    PublicChart {
        name: "ingress-nginx",
        module: "k8s.io/ingress-nginx@v0.0.0-20240708192948-52c50467d67d",
        sum: "h1:tZui5g6S4GO1hxLm6yrEoIXLkl4QfeGytlmZqZ+DmdQ=",
        folder: "charts/ingress-nginx",
    },
    PublicChart {
        name: "metrics-server",
        module: "sigs.k8s.io/metrics-server@v0.9.0",
        sum: "h1:nlqqZ2H0Xfko8eJC/1qaNVVT17hu4rxndkOi22KTZ4w=",
        folder: "charts/metrics-server",
    },
    PublicChart {
        name: "external-dns",
        module: "sigs.k8s.io/external-dns@v0.21.0",
        sum: "h1:YAC7ERW32eZAjSdhu44taaZGII6nwz2/wteT+BtpFzM=",
        folder: "charts/external-dns",
    },
    PublicChart {
        name: "gatekeeper",
        module: "github.com/open-policy-agent/gatekeeper/v3@v3.23.1",
        sum: "h1:njHTm0SJ6ZEhhEgmQTpJKTGQbc99fSs4hGiEp1OIKck=",
        folder: "charts/gatekeeper",
    },
    PublicChart {
        name: "minio",
        module: "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
        sum: "h1:/qdoYujxF5MBLDMVLeiYJ/7fBa1HikX39Dvzb9Ji8pA=",
        folder: "helm/minio",
    },
    PublicChart {
        name: "istiod",
        module: "istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad",
        sum: "h1:ui9TJjRMAV/hb5ehQaZDq7IUGxuQP6dra9lapT/VjHI=",
        folder: "manifests/charts/istio-control/istio-discovery",
    },
    PublicChart {
        name: "kueue",
        module: "sigs.k8s.io/kueue@v0.17.0",
        sum: "h1:7hzb38M4eKGzYW+CFv2s1L+swzzacUCHOCXxZmAV90I=",
        folder: "charts/kueue",
    },
    PublicChart {
        name: "istio-gateway",
        module: "istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad",
        sum: "h1:ui9TJjRMAV/hb5ehQaZDq7IUGxuQP6dra9lapT/VjHI=",
        folder: "manifests/charts/gateway",
    },
    PublicChart {
        name: "sealed-secrets",
        module: "github.com/bitnami-labs/sealed-secrets@v0.40.0",
        sum: "h1:rvCP35JL8ZV5LNA2SrwNR6iLyoM3ulrSFWN0lBtYEYI=",
        folder: "helm/sealed-secrets",
    },
];

/// The kinds that advice reads.
const KINDS: [&str; 6] =
    ["Service", "Deployment", "StatefulSet", "DaemonSet", "PodDisruptionBudget", "HorizontalPodAutoscaler"];

/// What a person finds who reads the charts: the check, and the Service.
const EXPECTED: [(&str, &str); 15] = [
    // One replica, of which maxUnavailable lets one be missing.
    ("rollout-without-endpoints", "podinfo"),
    ("single-replica", "podinfo"),
    ("single-replica", "ingress-nginx-controller"),
    ("single-replica", "metrics-server"),
    ("rollout-recreate", "external-dns"),
    // The liveness probe asks the same and gives up after a third of the time.
    ("readiness-probe-same-as-liveness", "external-dns"),
    ("readiness-probe-same-as-liveness", "sealed-secrets"),
    ("pre-stop-missing", "gatekeeper-webhook-service"),
    ("pod-disruption-budget-keeps-unhealthy", "gatekeeper-webhook-service"),
    ("readiness-probe-missing", "minio"),
    ("pod-disruption-budget-missing", "minio"),
    ("spread-not-set", "minio"),
    ("autoscaler-minimum-one", "istiod"),
    ("autoscaler-minimum-one", "istio-gateway"),
    ("single-replica", "kueue-webhook-service"),
];

/// What would be wrong.
const UNEXPECTED: [(&str, &str); 9] = [
    // Its preStop hook drains by itself.
    ("pre-stop-missing", "ingress-nginx-controller"),
    ("pre-stop-exec-sleep", "ingress-nginx-controller"),
    // The liveness probe is the more patient one, or asks something else.
    ("readiness-probe-same-as-liveness", "ingress-nginx-controller"),
    ("readiness-probe-same-as-liveness", "metrics-server"),
    // It has three replicas, a budget, and an anti-affinity.
    ("single-replica", "gatekeeper-webhook-service"),
    ("pod-disruption-budget-missing", "gatekeeper-webhook-service"),
    ("spread-not-set", "gatekeeper-webhook-service"),
    // The autoscaler has the number of replicas.
    ("single-replica", "istiod"),
    // 25 % of one replica is none.
    ("rollout-without-endpoints", "metrics-server"),
];

#[tokio::test]
async fn public_charts_get_the_advice_that_matters() -> Result<()> {
    let scene = Scene::start("public-charts").await?;
    for chart in CHARTS {
        let objects = tokio::task::spawn_blocking(move || chart.objects("public-charts")).await??;
        let mut objects: Vec<Value> = objects.into_iter().filter(is_read).collect();
        for object in &mut objects {
            object["metadata"]["namespace"] = "public-charts".into();
        }
        scene.apply(&objects).with_context(|| chart.name)?;
    }
    let found = scene.findings(&["--for=0s"]).await?;
    for (check, service) in EXPECTED {
        ensure!(has(&found, check, service), "{check} of {service}: {found:#?}");
    }
    for (check, service) in UNEXPECTED {
        ensure!(!has(&found, check, service), "{check} of {service}: {found:#?}");
    }
    let text = scene.advise(&["--for=0s"]).await?;
    println!("{}", text.printed);
    ensure!(text.code == Some(1), "{text:?}");

    // The API server takes all patches, and what a patch can set right is right.
    scene.apply_patches(&["--for=0s"]).await?;
    let after = scene.findings(&["--for=0s"]).await?;
    for (check, service) in [("rollout-without-endpoints", "podinfo"), ("autoscaler-minimum-one", "istiod")] {
        ensure!(!has(&after, check, service), "{check} of {service}: {after:#?}");
    }
    Ok(())
}

/// Whether it is of a kind that advice reads, and no hook of Helm's.
fn is_read(object: &Value) -> bool {
    let is_hook = object["metadata"]["annotations"]["helm.sh/hook"].is_string();
    !is_hook && object["kind"].as_str().is_some_and(|kind| KINDS.contains(&kind))
}
