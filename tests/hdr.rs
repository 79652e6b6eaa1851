//! HDR histograms of the daemon, read by HdrHistogram's Go library and compared with the exact delays of `--samples`.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::demo::Demo;
use testkit::gobuild::{Module, Program, version};
use testkit::http;
use testkit::workspace::Workspace;

const GO_MOD: &str = include_str!("hdr/go.mod");
const SOURCE: &str = include_str!("hdr/main.go");
const LIBRARY: &str = "github.com/HdrHistogram/hdrhistogram-go";
const READER: Program = Program { name: "hdr", package: "." };

/// The shares of delays for which the reader prints the quantiles.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

/// How long each daemon measures: enough for some tens of changes.
const MEASURED: Duration = Duration::from_secs(12);

/// A histogram as the Go library reads it. Values are in units of 2^-20 s.
#[derive(Debug, Deserialize)]
struct Histogram {
    tag: String,
    start_millis: i64,
    end_millis: i64,
    count: u64,
    digits: u64,
    /// Cells: from, to, count.
    values: Option<Vec<(u64, u64, u64)>>,
    quantiles: [u64; 4],
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interval_log_holds_every_delay() -> Result<()> {
    let reader = tokio::task::spawn_blocking(reader).await??;
    let workspace = Workspace::create("hdr-log")?;
    let log = workspace.file("delays.hlog");

    // Two daemons write into one log: the first writes many intervals, the second one long interval, which ends with the daemon.
    let (first, second) = (workspace.file("first.jsonl"), workspace.file("second.jsonl"));
    measure(&workspace, &log, &first, "1s").await?;
    let intervals = read(&reader, &["log", text(&log)?])?;
    let rounds = intervals.len() / 5;
    ensure!(intervals.len() == rounds * 5 && rounds >= 8, "{} lines of five kinds of change", intervals.len());
    let tags: Vec<_> = intervals[..5].iter().map(|it| it.tag.as_str()).collect();
    ensure!(tags == ["ready", "unready", "terminating", "removed", "service"], "{tags:?}");
    for pair in intervals.chunks(5).collect::<Vec<_>>().windows(2) {
        ensure!(pair[0][0].end_millis.abs_diff(pair[1][0].start_millis) <= 2, "intervals leave a gap: {pair:?}");
    }
    agree(&delays(&first)?, &intervals)?;

    measure(&workspace, &log, &second, "1h").await?;
    let all = read(&reader, &["log", text(&log)?])?;
    ensure!(all.len() == intervals.len() + 5, "the second daemon wrote {} lines", all.len() - intervals.len());
    let (delays, last) = (delays(&second)?, &all[intervals.len()..]);
    agree(&delays, last)?;
    for histogram in last.iter().filter(|it| it.count > 0) {
        let sorted = delays.get(&histogram.tag).context("delays of this kind")?;
        for (q, shown) in QUANTILES.into_iter().zip(histogram.quantiles) {
            // The library takes the nearest rank.
            let rank = ((q * sorted.len() as f64 + 0.5) as usize).max(1) - 1;
            let (truth, shown) = (sorted[rank], (shown + 1) as f64 / 2f64.powi(20));
            // The library rounds up to the end of a cell, a thousandth of the value or a unit wide.
            ensure!(
                shown >= truth - 1e-9 && shown <= truth * 1.001 + 2e-6,
                "p{q} of {}: {shown} s, the samples say {truth} s",
                histogram.tag
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_gives_out_histograms_that_another_library_reads() -> Result<()> {
    let reader = tokio::task::spawn_blocking(reader).await??;
    let workspace = Workspace::create("hdr-api")?;
    let demo = Demo::start(workspace.path(), &[]).await?;
    tokio::time::sleep(MEASURED).await;
    let cluster: Value = serde_json::from_str(&http::get(&demo.address, "/api/v1/histogram").await?.body)?;
    let services: Value = serde_json::from_str(&http::get(&demo.address, "/api/v1/services?sort=count").await?.body)?;
    let busiest = &services["services"][0];
    let [namespace, service, change] =
        ["namespace", "service", "change"].map(|key| busiest[key].as_str().unwrap_or("?"));
    let path = format!("/api/v1/histogram?namespace={namespace}&service={service}&change={change}");
    let one: Value = serde_json::from_str(&http::get(&demo.address, &path).await?.body)?;
    demo.stop().await?;

    let unit = cluster["unit"]["seconds"].as_f64().context("a unit")?;
    let mut compared = 0;
    for (histogram, digits) in entries(&cluster)?.map(|it| (it, 3)).chain(entries(&one)?.map(|it| (it, 2))) {
        let read = read(&reader, &["decode", histogram["histogram"].as_str().context("a histogram")?])?;
        let [read] = &*read else { anyhow::bail!("{} histograms", read.len()) };
        ensure!(Some(read.count) == histogram["count"].as_u64() && read.digits == digits, "{read:?} is {histogram}");
        for step in histogram["percentiles"].as_array().context("percentiles")? {
            let quantile = QUANTILES.iter().position(|q| step[1].as_f64() == Some(*q));
            let Some(at) = quantile else { continue };
            // The daemon takes the next rank, the library the nearest.
            let rank = (QUANTILES[at] * read.count as f64).fract();
            if rank > 0.0 && rank < 0.5 {
                continue;
            }
            let (shown, theirs) = (step[0].as_f64().context("seconds")?, (read.quantiles[at] + 1) as f64 * unit);
            ensure!((shown - theirs).abs() < 1e-8, "{shown} s at {step}, the library says {theirs} s");
            compared += 1;
        }
    }
    ensure!(compared >= 6, "only {compared} quantiles were compared");
    Ok(())
}

/// A daemon that measures for a while and then ends.
async fn measure(workspace: &Workspace, log: &Path, samples: &Path, interval: &str) -> Result<()> {
    let interval = format!("--hdr-log-interval={interval}");
    let flags = ["--hdr-log", text(log)?, &interval, "--samples", text(samples)?];
    let demo = Demo::start(workspace.path(), &flags).await?;
    tokio::time::sleep(MEASURED).await;
    let metrics = http::get(&demo.address, "/metrics").await?.body;
    ensure!(metrics.contains("endpointlag_hdr_log_errors_total 0\n"), "writes failed");
    demo.stop().await
}

/// Every delay of the samples is in a cell for its value, and no other delay is.
fn agree(delays: &BTreeMap<String, Vec<f64>>, histograms: &[Histogram]) -> Result<()> {
    let total: usize = delays.values().map(Vec::len).sum();
    let counted: u64 = histograms.iter().map(|it| it.count).sum();
    ensure!(total >= 5 && counted == total as u64, "{counted} delays in the log, {total} in the samples");
    let mut left: BTreeMap<&str, Vec<u64>> =
        delays.iter().map(|(tag, all)| (tag.as_str(), all.iter().map(|delay| units(*delay)).collect())).collect();
    for histogram in histograms {
        for (from, to, count) in histogram.values.iter().flatten() {
            let left = left.get_mut(&*histogram.tag).context("delays of this kind")?;
            for _ in 0..*count {
                let at = left.iter().position(|units| (*from..=*to).contains(units));
                left.swap_remove(at.with_context(|| format!("no delay of {from} to {to} in the samples"))?);
            }
        }
    }
    Ok(())
}

/// Known delays in seconds by kind of change, in ascending order.
fn delays(samples: &Path) -> Result<BTreeMap<String, Vec<f64>>> {
    let mut delays = BTreeMap::<_, Vec<f64>>::new();
    for line in fs::read_to_string(samples)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if let (Some(delay), Some(change)) = (line["delay_seconds"].as_f64(), line["change"].as_str()) {
            delays.entry(change.to_owned()).or_default().push(delay);
        }
    }
    delays.values_mut().for_each(|all| all.sort_by(f64::total_cmp));
    Ok(delays)
}

/// As defined in docs/api.md: value `v` is for delays of more than `v` and at most `v + 1` units of 2^-20 s.
fn units(seconds: f64) -> u64 {
    let nanos = (seconds * 1e9).round() as u128;
    u64::try_from((nanos << 20).div_ceil(1_000_000_000).saturating_sub(1)).expect("less than an hour")
}

fn entries(answer: &Value) -> Result<impl Iterator<Item = &Value>> {
    Ok(answer["histograms"].as_array().context("histograms")?.iter())
}

fn reader() -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let key = format!("hdrhistogram-go-{}-{:016x}", version(GO_MOD, LIBRARY)?, hasher.finish());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hdr");
    let built = Module { folder, topic: "hdr", key, flags: Vec::new() }.build(&[READER])?;
    Ok(built.join(READER.name))
}

fn read(reader: &Path, arguments: &[&str]) -> Result<Vec<Histogram>> {
    let output = Command::new(reader).args(arguments).output().context("starting the reader")?;
    ensure!(output.status.success(), "the library refuses it: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}
