//! Runs the commands that the chart's README shows.

use super::kubectl::Cluster;
use anyhow::{Context, Result, ensure};
use std::env;
use std::fs;
use std::process::Command;
use testkit::helm::{CHART, Helm};
use testkit::prometheus::promtool;
use testkit::root;

/// The image in the commands.
const IMAGE: &str = "registry.example.org/endpointlag:0.1.0";

#[tokio::test]
async fn its_commands_install() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let text = readme()?;
    let mut commands = Vec::new();
    for start in ["helm install", "helm upgrade", "sed "] {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        commands.push(lines.find(|line| line.starts_with(start)).with_context(|| format!("no {start}"))?);
    }
    for helm in Helm::ALL {
        let mut vacancy = None;
        for command in &commands {
            if !command.starts_with("helm upgrade") {
                drop(vacancy.take());
                vacancy = Some(cluster.vacate().await?);
            }
            type_in(helm, cluster, command)?;
            let deployment = cluster.object("endpointlag", "deployment", "endpointlag")?;
            ensure!(
                deployment["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE,
                "{command}: {deployment}"
            );
            if command.starts_with("helm upgrade") {
                for object in
                    ["servicemonitor/endpointlag", "prometheusrule/endpointlag", "configmap/endpointlag-overview"]
                {
                    cluster.kubectl(&["get", "--namespace=endpointlag", object])?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn prometheus_takes_its_scrape_configuration() -> Result<()> {
    let text = readme()?;
    let config: Vec<_> = text.lines().skip_while(|line| !line.contains("scrape_configs:")).collect();
    let config: Vec<_> = config.iter().map_while(|line| line.strip_prefix("    ")).collect();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, config.join("\n"))?;
    promtool(&["check", "config", file.to_str().context("UTF-8")?], &file).map(drop)
}

/// A shell in the root of the repository, which finds the tests' own programs.
fn type_in(helm: Helm, cluster: &Cluster, line: &str) -> Result<()> {
    let helm = helm.command()?;
    let folders = [helm.get_program().as_ref(), cluster.program()].map(|program: &std::path::Path| program.parent());
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = folders.into_iter().flatten().map(ToOwned::to_owned).chain(env::split_paths(&path));
    let mut shell = Command::new("sh");
    shell.args(["-euc", line]).current_dir(root());
    shell.env("PATH", env::join_paths(folders)?).env("KUBECONFIG", &cluster.kubeconfig);
    let output = shell.output()?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn readme() -> Result<String> {
    fs::read_to_string(root().join(CHART).join("README.md")).context("the chart's README")
}
