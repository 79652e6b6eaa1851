//! The findings of `endpointlag advise` in a running daemon: in the background it reads what is set, again and again, and judges it by
//! what the daemon has measured.
//!
//! ```text
//! cluster::inventory: what is set ──┐
//! pipeline: what was measured ──────┼──► judge ──► Board ──► exposition, server
//! collector: modes of kube-proxy ───┘
//! ```
//!
//! It is on only with `--advice`, and needs permission that the daemon does not need otherwise. Whatever happens here, the daemon goes
//! on measuring. Nothing that was read is kept but the findings.

mod args;
mod board;
mod judge;
mod measurement;

pub use self::{
    args::Args,
    board::{Board, Evaluation, Found, KEPT, Series, View},
    judge::judge,
    measurement::Measurement,
};

use crate::{
    advice::Skipped,
    cluster::{
        ScopeSettings,
        client::{ApiClient, ConnectError},
        health::WatchHealth,
        inventory::{Inventory, InventoryError, Pace},
    },
    collector::Agents,
    errors::chain,
    pipeline::PipelineHandle,
};
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};
use tokio::{runtime::Builder, sync::oneshot, task::spawn_blocking};

/// How often it looks whether the watches are synced, in the beginning.
const POLL: Duration = Duration::from_millis(200);

/// The longest time from then until the first evaluation. It is a part of it by chance, so that many daemons do not read at once.
const FIRST: Duration = Duration::from_secs(10);

/// An evaluation that takes longer has failed. In the largest clusters it takes a few minutes.
const LONGEST: Duration = Duration::from_secs(900);

/// How long it waits after one that failed, if the interval is longer.
const RETRY: Duration = Duration::from_secs(60);

/// It waits at least this many times as long as the evaluation took: in a large cluster it reads less often, and never most of the time.
const SHARE: u32 = 10;

/// By how much the priority of its threads is below that of the threads that read and measure.
const NICENESS: i32 = 10;

/// The interval varies by up to this share of it.
const JITTER: f64 = 0.1;

/// The checked settings.
#[derive(Clone, Copy, Debug)]
pub struct AdviserSettings {
    /// Time between two evaluations.
    pub interval: Duration,
}

/// Evaluates again and again.
pub struct Adviser {
    /// Reads what is set, over connections of its own.
    pub client: ApiClient,
    /// Of which part of the cluster.
    pub scope: ScopeSettings,
    /// How often.
    pub settings: AdviserSettings,
    /// Tells what was measured.
    pub pipeline: PipelineHandle,
    /// Nothing is read before they are synced.
    pub watches: Vec<Arc<WatchHealth>>,
    /// Tell the modes of kube-proxy, if there are any.
    pub agents: Option<Arc<Agents>>,
    /// Where the findings go.
    pub board: Arc<Board>,
}

/// An adviser that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Advising {
    _stop: oneshot::Sender<()>,
}

/// Why there is nothing new.
#[derive(Debug, thiserror::Error)]
enum EvaluationError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    #[error("the API server has not told all within {} min", LONGEST.as_secs() / 60)]
    Late,
    /// The pipeline does not answer.
    #[error("the daemon is ending")]
    Ending,
}

// === impl Adviser ===

impl Adviser {
    /// Runs on a thread of its own, with a lower priority: parsing a page takes some milliseconds, in which it can do nothing else.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn start(self) -> io::Result<Advising> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // If the system does not allow it, it works without it.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            runtime.block_on(async {
                tokio::select! {
                    () = self.run() => {}
                    // It fails when the sender is dropped. The sender does nothing else.
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        };
        thread::Builder::new().name("adviser".into()).spawn(run)?;
        Ok(Advising { _stop: stop })
    }

    async fn run(self) {
        while !self.watches.iter().all(|watch| watch.is_synced()) {
            tokio::time::sleep(POLL).await;
        }
        tokio::time::sleep(self.settings.interval.min(FIRST).mul_f64(rand::random())).await;
        let mut failed = false;
        let mut missing = Vec::new();
        loop {
            let began = Instant::now();
            let evaluated = self.evaluate(&mut missing).await;
            let took = began.elapsed();
            let interval = match evaluated {
                Ok(()) => {
                    if failed {
                        tracing::info!("advice: findings are evaluated again");
                    }
                    failed = false;
                    self.settings.interval
                }
                Err(EvaluationError::Ending) => return,
                Err(error) => {
                    let error = chain(&error);
                    if !failed {
                        tracing::warn!("no advice, measuring goes on: {error}");
                    }
                    failed = true;
                    self.board.fail(error);
                    self.settings.interval.min(RETRY)
                }
            };
            tokio::time::sleep(pause(interval, took, rand::random())).await;
        }
    }

    /// Reads, judges and shows. Logs what may not be read, unless it is `logged` already.
    async fn evaluate(&self, logged: &mut Vec<Skipped>) -> Result<(), EvaluationError> {
        let began = Instant::now();
        // If a program issues credentials, it is called again. They may have expired since the last time.
        let client = self.client.apart()?.typed();
        let reading = Inventory::read(client, &self.scope, Pace::GENTLE);
        let inventory = tokio::time::timeout(LONGEST, reading).await.map_err(|_| EvaluationError::Late)??;
        let agents = self.agents.as_deref();
        let measurement = Measurement::of_daemon(&self.pipeline, agents).await.ok_or(EvaluationError::Ending)?;
        let missing = inventory.missing.clone();
        // It takes a second of CPU time in a large cluster. Findings are made and trimmed there, and all that was read is dropped.
        let judging = spawn_blocking(move || Found::new(judge(inventory, &measurement, None), &missing));
        let found = judging.await.map_err(|_| EvaluationError::Ending)?;
        // Before it is shown: who sees that something is left out finds the reason in the log.
        if found.missing_rights() != logged.as_slice() {
            found.missing_rights().iter().for_each(|skipped| tracing::warn!("advice: {}", words(skipped)));
            *logged = found.missing_rights().to_vec();
        }
        self.board.show(found, Evaluation { at: SystemTime::now(), took: began.elapsed() });
        Ok(())
    }
}

/// Time until the next evaluation. `chance` is from 0 to 1.
fn pause(interval: Duration, took: Duration, chance: f64) -> Duration {
    interval.max(took * SHARE).mul_f64(1.0 + JITTER * (2.0 * chance - 1.0))
}

fn words(Skipped { checks, why, .. }: &Skipped) -> String {
    if checks.is_empty() { why.clone() } else { format!("{why}, so these checks are left out: {}", checks.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_that_takes_long_comes_less_often() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(seconds(600), seconds(2), 0.5), seconds(600));
        assert_eq!(pause(seconds(600), seconds(120), 0.5), seconds(1_200));
        assert_eq!([0.0, 1.0].map(|chance| pause(seconds(600), seconds(2), chance).as_secs()), [540, 660]);
    }
}
