//! The page for people in a real browser: it shows what the API returns, and sends requests to no other server. The screenshots
//! stay in `target/tmp/page`.

/// Where the browser comes from.
#[path = "page/tools.rs"]
mod tools;

use anyhow::{Context, Result, ensure};
use endpointlag::cluster::clock::Clock;
use endpointlag::cluster::heartbeat::Heartbeat;
use endpointlag::cluster::queue::EventSender;
use endpointlag::exposition::metrics::Histograms;
use endpointlag::model::Stamp;
use endpointlag::pipeline::Pipeline;
use endpointlag::server::{Auth, Server, ServerSettings, Sources};
use endpointlag::signals::Hangups;
use endpointlag::stats::{Bounds, SeriesLimits, Stats};
use endpointlag::{
    ledger::{Cause, Change, Hop, Outcome},
    propagation::{Ended, Report, ServiceName, Subject},
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, api::PostParams};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::daemon::Daemon;
use testkit::demo::Demo;
use testkit::progress::say;
use testkit::workspace::Workspace;
use tokio::process::Command;
use tools::Tools;

/// How long a script may take. That of the demo waits half a minute for the controller to become slow.
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_the_api_says() -> Result<()> {
    let workspace = Workspace::create("page")?;
    let tools = tools().await?;
    let demo = Demo::start(workspace.path(), &[]).await?;
    drive(&tools, "demo.mjs", &demo.address).await?;
    drive(&tools, "history.mjs", &demo.address).await?;
    demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_services_are_searched_sorted_and_paged() -> Result<()> {
    let tools = tools().await?;
    let (_senders, queue) = EventSender::for_watches(0);
    let clock = Clock::start();
    let pipeline =
        Pipeline::new(clock, Arc::new(Heartbeat::new(clock)), Vec::new(), Vec::new(), synthetic()?, None, |_| {});
    let (handle, _thread) = pipeline.start(queue)?;
    let settings = ServerSettings {
        listen: "127.0.0.1:0".parse()?,
        probe_listen: None,
        tls: None,
        auth: Auth::None,
        allowed_hosts: Vec::new(),
    };
    let server = Server::bind(&settings).await?;
    let address = server.address.to_string();
    let sources = Sources {
        pipeline: handle,
        watches: Vec::new(),
        samples: Arc::default(),
        hdr_log_errors: Arc::default(),
        histograms: Histograms::Both,
        visible_slo: false,
        agents: None,
        advice: None,
        subject: "10,000 synthetic Services".to_owned(),
    };
    tokio::spawn(server.serve(sources, None, std::future::pending(), Hangups::never()));
    drive(&tools, "many.mjs", &address).await
}

/// A daemon that gives advice, with a real control plane: a Service with a workload that has no probe, and one without a budget, for which
/// there is a patch.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_advice() -> Result<()> {
    let tools = tools().await?;
    let plane = ControlPlane::start(Options::default()).await?;
    let workspace = Workspace::create("page-advice")?;
    let objects = Objects::create(plane.admin().await?, "shop").await?;
    let deployments: Api<Deployment> = Api::namespaced(objects.client().clone(), "shop");
    for (name, replicas, ready) in [("web", 1, None), ("api", 2, Some(json!({ "tcpSocket": { "port": 8080 } })))] {
        let labels = json!({ "app": name });
        objects.create_service(name, json!({ "selector": labels, "ports": [{ "port": 80 }] })).await?;
        let container = json!({ "name": "main", "image": "registry.example.org/main:1", "readinessProbe": ready });
        let deployment = json!({
            "metadata": { "name": name },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
            },
        });
        deployments.create(&PostParams::default(), &serde_json::from_value(deployment)?).await?;
    }
    let flags = ["--advice", "--advice-interval=1s"].map(str::to_owned);
    let daemon = Daemon::start(&plane.admin_kubeconfig()?, workspace.path(), &flags).await?;
    drive(&tools, "advice.mjs", daemon.address()).await
}

/// 10,000 Services in 100 namespaces. The higher its number, the slower is `service-N`, up to `N` milliseconds. One more has
/// a name that no cluster would allow.
fn synthetic() -> Result<Stats> {
    let limits = SeriesLimits { services: 20_000, idle: Duration::from_secs(24 * 3600) };
    let mut stats = Stats::new(Bounds::DEFAULT.parse()?, limits, Stamp::default());
    let mut record = |namespace: String, name: String, change, millis| {
        let service = Arc::new(ServiceName { namespace: namespace.into(), name: name.into() });
        let outcome = Outcome::Propagated { delay: Duration::from_millis(millis), reordered: None };
        let at = Stamp::default();
        let key = Subject { service, pod: None };
        let ended =
            Ended { hop: Hop::Slice, key, change, cause: Cause::Pod, began: at, outcome, at, shown: None, by: None };
        stats.record(&Report::Ended(ended), at);
    };
    for number in 0..10_000u64 {
        for part in 1..=10 {
            let change = if part % 2 == 0 { Change::Ready } else { Change::Removed };
            record(format!("team-{:02}", number % 100), format!("service-{number}"), change, number * part / 10);
        }
    }
    record("team-x".into(), "<img src=x onerror=alert(1)>".into(), Change::Ready, 1);
    Ok(stats)
}

/// Runs a script that drives the browser. Fails with the output of the script.
async fn drive(tools: &Tools, script: &str, address: &str) -> Result<()> {
    let pictures = pictures()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page").join(script);
    let mut command = Command::new("node");
    command
        .arg(&script)
        .arg(format!("http://{address}/"))
        .arg(&pictures)
        .env("CHROMIUM", &tools.chromium)
        .env("LIBRARIES", &tools.libraries)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.with_context(|| format!("{} takes longer than {LIMIT:?}", script.display()))??;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    said.lines().for_each(|line| say("page", line));
    ensure!(
        output.status.success(),
        "{} failed; pictures are in {}\n{complained}",
        script.display(),
        pictures.display()
    );
    Ok(())
}

async fn tools() -> Result<Tools> {
    tokio::task::spawn_blocking(Tools::get).await?
}

fn pictures() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}
