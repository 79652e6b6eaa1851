//! The cost of 5,000 agents for the daemon: memory and processor time of a process that only listens for them. All agents run together
//! in another process. Each sees one change a second, all at the same moment, as on real nodes.
//!
//! `cargo bench --bench agents -- 1000` runs it with 1,000 agents.

mod collector;

use anyhow::{Context, Result, bail};
use endpointlag::{
    dataplane::{
        Backend, Commit, Frontend, Observation, Outbox, Protocol, Report, SetChange, Uplink, UplinkSettings, When,
    },
    model::Stamp,
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

const AGENTS: usize = 5_000;

/// Duration of each phase.
const PHASE: Duration = Duration::from_secs(20);

/// How long the agents are quiet before they see changes.
const QUIET: Duration = Duration::from_secs(120);

/// Killed when dropped.
struct Agents(Child);

impl Drop for Agents {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match &*words {
        [role, number, address, folder] if role == "agents" => {
            runtime.block_on(agents(number.parse()?, address.parse()?, Path::new(folder)))
        }
        [] => runtime.block_on(daemon(AGENTS)),
        [number] => runtime.block_on(daemon(number.parse()?)),
        _ => bail!("one number of agents"),
    }
}

async fn daemon(number: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (address, agents) = collector::listen(folder.path()).await?;

    println!("| {number} agents | memory | processor |");
    println!("| --- | --- | --- |");
    let before = memory()?;
    let (spent, started) = (processor(), Instant::now());
    let mut child = Command::new(env::current_exe()?);
    child.args(["agents", &number.to_string(), &address.to_string()]).arg(folder.path());
    let _agents = Agents(child.spawn()?);
    while agents.summary().connected < number {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = started.elapsed().as_secs_f64();
    let row = |phase: &str, seconds: f64| -> Result<()> {
        let memory = memory()?.saturating_sub(before) as f64 / 1e6;
        println!("| {phase} | {memory:.0} MB | {seconds:.3} s |");
        Ok(())
    };
    row(&format!("all connect, in {took:.1} s"), processor() - spent)?;
    let spent = processor();
    tokio::time::sleep(PHASE).await;
    row(&format!("nothing happens, for {} s", PHASE.as_secs()), processor() - spent)?;
    while agents.summary().counts.received == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (spent, received) = (processor(), agents.summary().counts.received);
    tokio::time::sleep(PHASE).await;
    let summary = agents.summary();
    let told = summary.counts.received - received;
    row(&format!("{told} changes in {} s", PHASE.as_secs()), processor() - spent)?;
    println!("clock error at most {:?}; {:?}", summary.clock_error, summary.counts);
    Ok(())
}

async fn agents(number: usize, daemon: SocketAddr, folder: &Path) -> Result<()> {
    let mut outboxes = Vec::new();
    for index in 0..number {
        let (node, outbox) = (format!("node-{index}"), Arc::new(Outbox::default()));
        let token_file = folder.join(&node);
        fs::write(&token_file, &node)?;
        let settings = UplinkSettings {
            daemon: format!("localhost:{}", daemon.port()).parse()?,
            ca_file: Some(folder.join(collector::CA_FILE)),
            token_file,
            node,
        };
        tokio::spawn(Uplink::new(settings, outbox.clone()).run());
        outboxes.push(outbox);
        if index % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    tokio::time::sleep(QUIET).await;
    for generation in 0.. {
        outboxes.iter().for_each(|outbox| outbox.push(change(generation)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

fn change(generation: u32) -> Report {
    let frontend = Frontend { address: [10, 96, 0, 10].into(), protocol: Protocol::Tcp, port: 80 };
    let added = vec![Backend { address: generation.to_be_bytes().into(), port: 8080 }];
    let time = clock_gettime(ClockId::MonotonicRaw);
    let at = Stamp::new(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32));
    let commit = Commit { first: at, end: at, messages: 9, generation };
    let change = SetChange { frontend, added, removed: Vec::new() };
    Report::Changed(Observation { change, when: When::Commit(commit) })
}

/// Resident memory of this process, in bytes.
fn memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// Processor time of this process, in seconds.
fn processor() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}
