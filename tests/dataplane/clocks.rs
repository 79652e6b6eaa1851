//! Nodes whose clock is another than the daemon's, and one whose clock is stepped while its agent runs.
//!
//! A time namespace shows a process another CLOCK_MONOTONIC_RAW, but from its start on: nothing steps that clock under a running process, except
//! the suspension of a whole machine. So for a step a library before libc changes what the agent, which is not changed, reads.

use super::fleet::{Fleet, Judged};
use super::story::Kind;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use testkit::daemon::metrics::Metrics;
use testkit::executable;
use testkit::namespace::run;
use testkit::node::{Mode, PORTS};
use testkit::progress::say;
use testkit::workspace::Workspace;

/// How often the pod becomes ready and unready.
const ROUNDS: usize = 6;

/// How far a moment may be outside of what the clients saw, beyond the stated error, on a busy machine. A clock is off by at least twice that.
const TOLERANCE: Duration = Duration::from_millis(200);

const SECOND: i64 = 1_000_000_000;
const LITTLE: i64 = 2 * TOLERANCE.as_nanos() as i64;

/// Adds the number in the file `$CLOCK_STEP` to what CLOCK_MONOTONIC_RAW shows, in nanoseconds.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *step;

__attribute__((constructor)) static void map_step(void) {
    const char *path = getenv("CLOCK_STEP");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(0, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) step = page;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    if (failed || clock != CLOCK_MONOTONIC_RAW || !step) return failed;
    int64_t shown = time->tv_sec * 1000000000LL + time->tv_nsec + *step;
    time->tv_sec = shown / 1000000000LL;
    time->tv_nsec = shown % 1000000000LL;
    return 0;
}
"#;

/// Time in which kube-proxy has probably written a change. The agent tells it within a second.
const WRITTEN: Duration = Duration::from_millis(60);

/// The difference that a process sees.
#[derive(Clone)]
struct Step {
    file: PathBuf,
    library: PathBuf,
    _workspace: Arc<Workspace>,
}

impl Step {
    /// No difference.
    fn make() -> Result<Self> {
        let workspace = Workspace::create("clock")?;
        let source = workspace.write("clock.c", LIBRARY)?;
        let (file, library) = (workspace.write("step", 0i64.to_ne_bytes())?, workspace.file("clock.so"));
        run(Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).args([&library, &source]))?;
        Ok(Self { file, library, _workspace: Arc::new(workspace) })
    }

    /// The clock shows this many nanoseconds more than without a difference, from now on.
    fn set(&self, nanos: i64) -> Result<()> {
        // In place: the file is mapped.
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().write(true).open(&self.file)?;
        file.write_all_at(&nanos.to_ne_bytes(), 0).context("stepping a clock")
    }
}

/// Nothing may be wrong by what the clocks differ.
fn are_true(judged: &[Judged]) -> Result<()> {
    let worst = judged.iter().max_by_key(|it| it.off).context("no change has a time")?;
    let off = Duration::from_nanos(worst.off);
    let side = if worst.is_early { "too early" } else { "too late" };
    say("dataplane", &format!("clocks: {} times, the worst {off:?} {side}: {:?}", judged.len(), worst.kind));
    ensure!(off < TOLERANCE, "{off:?} {side}: {:?}", worst.kind);
    let error = judged.iter().map(|it| it.error).max().unwrap_or_default();
    ensure!(Duration::from_nanos(error) < TOLERANCE, "an error of {:?} is stated", Duration::from_nanos(error));
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_off_changes_nothing() -> Result<()> {
    let mut fleet = Fleet::begin("off", &[Mode::Nftables, Mode::Nftables, Mode::Nftables], &[]).await?;
    for (number, seconds) in [(1, "1"), (2, "-1")] {
        fleet.kill_agent(number);
        let mut command = fleet.followers[number].node.namespace.command("unshare");
        command.args(["--time", "--monotonic", seconds]).arg(executable()).arg("node");
        fleet.start_agent_as(number, command).await?;
    }
    let pod = fleet.pod("pod").await?;
    for _ in 0..ROUNDS {
        fleet.report(Kind::First, &pod, true, PORTS[0]).await?;
        fleet.report(Kind::Last, &pod, false, PORTS[0]).await?;
    }
    let metrics = fleet.metrics().await?;
    let timed = metrics.sum("endpointlag_dataplane_changes_total", &[("outcome", "in_effect")]);
    let all = metrics.sum("endpointlag_dataplane_changes_total", &[]);
    ensure!(all >= (3 * ROUNDS) as f64 && timed >= all / 2.0, "{timed} of {all} have a time");
    are_true(&fleet.judge()?)
}

#[tokio::test]
async fn a_clock_that_is_stepped_gives_no_wrong_figure() -> Result<()> {
    let mut fleet = Fleet::begin("stepped", &[Mode::Nftables, Mode::Nftables], &[]).await?;
    let step = Step::make()?;
    fleet.kill_agent(1);
    let mut command = fleet.followers[1].node.command();
    command.env("LD_PRELOAD", &step.library).env("CLOCK_STEP", &step.file);
    fleet.start_agent_as(1, command).await?;
    let pod = fleet.pod("pod").await?;
    let mut steps = 0.0;
    for (round, nanos) in [-SECOND, 0, -LITTLE, SECOND, 0, LITTLE].into_iter().enumerate() {
        // In every other round kube-proxy has probably written the change when the clock is stepped, and the agent has not told it yet. Then
        // the clock is stepped forward, as by a suspension.
        let stepping = if round % 2 == 0 {
            step.set(nanos)?;
            None
        } else {
            let step = step.clone();
            Some(thread::spawn(move || {
                thread::sleep(WRITTEN);
                step.set(nanos)
            }))
        };
        fleet.report(Kind::First, &pod, true, PORTS[0]).await?;
        if let Some(stepping) = stepping {
            stepping.join().ok().context("a thread died")??;
        }
        fleet.report(Kind::Last, &pod, false, PORTS[0]).await?;
        steps += 1.0;
        let noticed = |metrics: &Metrics| metrics.sum("endpointlag_agent_clock_steps_total", &[]) >= steps;
        fleet.wait(&format!("{steps} steps are noticed"), noticed).await?;
        // Afterwards all is as before.
        fleet.report(Kind::First, &pod, true, PORTS[0]).await?;
        fleet.report(Kind::Last, &pod, false, PORTS[0]).await?;
    }
    let metrics = fleet.metrics().await?;
    let all = metrics.sum("endpointlag_dataplane_changes_total", &[]);
    // On a busy machine some are censored before they reach the nodes.
    ensure!(all > 4.0 * steps && all <= 2.0 * 4.0 * steps, "{all} outcomes");
    ensure!(metrics.sum("endpointlag_agent_clock_steps_total", &[]) == steps, "each step is noticed once");
    are_true(&fleet.judge()?)
}
