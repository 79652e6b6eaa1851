//! Ten workloads as public charts and teams write them, and what is said about them.

use super::scene::{Scene, has};
use anyhow::{Result, ensure};
use std::fs;
use testkit::root;

/// What matters most for each: the check, and the Service.
const EXPECTED: [(&str, &str); 12] = [
    ("pod-disruption-budget-missing", "ingress-controller"),
    ("single-replica", "certificate-webhook"),
    ("readiness-probe-same-as-liveness", "deploy-server"),
    ("rollout-recreate", "dashboard"),
    ("rollout-recreate", "metrics-server"),
    ("pod-disruption-budget-blocks", "log-store"),
    ("single-replica", "cache"),
    ("readiness-probe-same-as-liveness", "database"),
    ("pod-disruption-budget-keeps-unhealthy", "broker"),
    ("autoscaler-minimum-one", "shop"),
    ("grace-period-too-short", "shop"),
    ("pre-stop-exec-sleep", "shop"),
];

/// Which would be wrong: budgets of single pods, patches of StatefulSets with data, advice about ports that only peers use.
const UNEXPECTED: [(&str, &str); 4] = [
    ("pod-disruption-budget-missing", "certificate-webhook"),
    ("pod-disruption-budget-missing", "cache"),
    ("pre-stop-missing", "ingress-controller"),
    ("spread-not-set", "broker"),
];

#[tokio::test]
async fn the_sample_gets_the_advice_that_matters() -> Result<()> {
    let scene = Scene::start("advise-sample").await?;
    let mut files: Vec<_> = fs::read_dir(root().join("tests/advise/sample"))?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    ensure!(files.len() == 10, "{files:?}");
    for file in files {
        scene.kubectl.run(&["apply", "-n", "advise-sample", "-f", "-"], &fs::read_to_string(file.path())?)?;
    }
    let found = scene.findings(&["--for=0s"]).await?;
    for (check, service) in EXPECTED {
        ensure!(has(&found, check, service), "{check} of {service}: {found:#?}");
    }
    for (check, service) in UNEXPECTED {
        ensure!(!has(&found, check, service), "{check} of {service}: {found:#?}");
    }
    let ignored = |check: &str| found.iter().any(|it| it.check == check && it.whole["ignored"].is_string());
    ensure!(ignored("rollout-recreate") && ignored("single-replica"), "{found:#?}");
    let text = scene.advise(&["--for=0s"]).await?;
    ensure!(text.code == Some(1), "{text:?}");
    println!("{}", text.printed);
    // The API server takes all patches.
    scene.apply_patches(&["--for=0s"]).await?;
    let after = scene.findings(&["--for=0s"]).await?;
    let left: Vec<_> = after.iter().filter(|it| it.whole["severity"] == "error").collect();
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}
