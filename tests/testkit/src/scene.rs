//! A scene: a namespace of a control plane, with a daemon that watches it, and the truth.

pub mod agreement;

use crate::controlplane::access::{self, ACCOUNT};
use crate::controlplane::credentials::ADMIN;
use crate::controlplane::objects::Objects;
use crate::controlplane::plane::{ControlPlane, Logs};
use crate::daemon::Daemon;
use crate::truth::audit::AuditLog;
use crate::truth::{self, Record};
use crate::workspace::Workspace;
use agreement::Pair;
use anyhow::{Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the controller and the daemon may take. The controller retries after a second if its cache was stale, and
/// backs off further under load.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long both must stay in agreement: a change that the daemon reports by mistake may come after the last true one.
const QUIET: Duration = Duration::from_millis(400);

/// Pause between two comparisons.
const POLL: Duration = Duration::from_millis(50);

/// The error that no delay of a test may reach. It is far above what an idle machine shows and far below the effect of a wrong
/// pairing. The accuracy test has the tight bounds.
const LOOSE: Duration = Duration::from_millis(500);

/// What may differ between scenes.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The service account that the daemon uses.
    pub account: String,
    /// The address of the API server that the daemon gets.
    pub server: String,
    /// Its flags in addition to those that every test needs.
    pub flags: Vec<String>,
}

impl Setup {
    /// A daemon with the shipped ClusterRole that watches the whole cluster.
    pub fn cluster(plane: &ControlPlane) -> Self {
        Self { account: ACCOUNT.to_owned(), server: plane.server(), flags: Vec::new() }
    }

    /// Adds flags.
    pub fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Uses another account.
    pub fn account(mut self, account: &str) -> Self {
        account.clone_into(&mut self.account);
        self
    }
}

/// A namespace, its daemon and its truth. If a test does not reach [`Self::finish`], it has failed, and the logs are
/// shown.
pub struct Scene {
    /// What the test changes.
    pub objects: Objects,
    /// The daemon under test.
    pub daemon: Daemon,
    audit: AuditLog,
    logs: Logs,
    flags: Vec<String>,
    finished: bool,
    // Last, because the daemon writes into it.
    workspace: Workspace,
}

impl Scene {
    /// A new namespace, with a daemon that watches only it and is ready.
    ///
    /// # Errors
    /// The daemon does not become ready.
    pub async fn start(plane: &ControlPlane, namespace: &str) -> Result<Self> {
        let scene = Self::prepare(plane, namespace, Setup::cluster(plane).with(&["--namespace", namespace])).await?;
        scene.daemon.wait_until_ready().await?;
        Ok(scene)
    }

    /// A new namespace with a daemon that need not be ready.
    ///
    /// # Errors
    /// The daemon does not start.
    pub async fn prepare(plane: &ControlPlane, namespace: &str, setup: Setup) -> Result<Self> {
        let objects = Objects::create(plane.admin().await?, namespace).await?;
        Self::open(plane, objects, setup).await
    }

    /// A namespace that already has objects, with a daemon that need not be ready.
    ///
    /// # Errors
    /// The daemon does not start.
    pub async fn open(plane: &ControlPlane, objects: Objects, setup: Setup) -> Result<Self> {
        let workspace = Workspace::create(objects.namespace())?;
        let (client, authority) = (objects.client(), plane.authority());
        let config = access::account_kubeconfig(client, &setup.account, &setup.server, &authority, &workspace).await?;
        let daemon = Daemon::start(&config, workspace.path(), &setup.flags).await?;
        let audit = AuditLog::open(&plane.audit_log(), objects.namespace())?;
        Ok(Self { objects, daemon, audit, logs: plane.logs(), flags: setup.flags, finished: false, workspace })
    }

    /// Creates a Service, and waits until the daemon measures it. What happens to pods before the daemon sees the Service is part of
    /// the Service's creation, for the daemon; the truth knows an earlier moment, the API server's answer.
    ///
    /// # Errors
    /// The API server refuses it, or the daemon does not measure it.
    pub async fn create_service(&self, name: &str, spec: Value) -> Result<()> {
        self.objects.create_service(name, spec).await?;
        self.daemon.wait_until_measuring(self.objects.namespace(), name, true).await
    }

    /// Deletes a Service, and waits until the daemon does not measure it any more: later changes of pods are none of the Service then.
    ///
    /// # Errors
    /// The API server refuses it, or the daemon still measures it.
    pub async fn delete_service(&self, name: &str) -> Result<()> {
        self.objects.delete_service(name).await?;
        self.daemon.wait_until_measuring(self.objects.namespace(), name, false).await
    }

    /// Ends the daemon and starts another one. It appends to the same samples.
    ///
    /// # Errors
    /// The first does not end without an error, or the second does not start.
    pub async fn restart_daemon(&mut self) -> Result<()> {
        self.daemon.stop(Signal::TERM).await?;
        // A new daemon logs its address there.
        fs::rename(self.workspace.file("daemon.log"), self.workspace.file("daemon-before.log"))?;
        self.daemon = Daemon::start(&self.workspace.file("kubeconfig"), self.workspace.path(), &self.flags).await?;
        Ok(())
    }

    /// Starts another daemon beside the first, with the same flags and rights.
    ///
    /// # Errors
    /// It does not start.
    pub async fn another_daemon(&self, name: &str) -> Result<Daemon> {
        let folder = self.workspace.file(name);
        fs::create_dir(&folder)?;
        Daemon::start(&self.workspace.file("kubeconfig"), &folder, &self.flags).await
    }

    /// The file from which the daemon reads its token, like the one that a kubelet mounts.
    pub fn token_file(&self) -> PathBuf {
        self.workspace.file("token")
    }

    /// All changes so far, once none of them is pending.
    ///
    /// # Errors
    /// Some are still pending when the controller should have finished.
    pub async fn settle(&mut self) -> Result<Vec<Record>> {
        let started = Instant::now();
        loop {
            let records = self.records()?;
            if let Some(records) = &records
                && records.iter().all(|record| record.outcome.is_some())
            {
                return Ok(records.clone());
            }
            if started.elapsed() > TIMEOUT {
                let pending = records.into_iter().flatten().filter(|record| record.outcome.is_none());
                let pending: Vec<_> = pending.map(|record| format!("  {record}\n")).collect();
                bail!("the controller has not reflected\n{}", pending.concat());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until no change is pending, as [`Self::settle`] does, and the daemon has an outcome for each. Until then it may still wait
    /// for the slice of one, and see the next change of the same pod first.
    ///
    /// # Errors
    /// A change is pending for too long, or the daemon lacks an outcome.
    pub async fn told(&mut self) -> Result<Vec<Record>> {
        let records = self.settle().await?;
        let started = Instant::now();
        loop {
            let samples = self.daemon.samples()?;
            let samples: Vec<_> = samples.into_iter().filter(|it| it.namespace == self.objects.namespace()).collect();
            let histories = agreement::histories(&records, &samples);
            let Some((key, _)) = histories.iter().find(|(_, (records, samples))| samples.len() < records.len()) else {
                return Ok(records);
            };
            ensure!(started.elapsed() < TIMEOUT, "the daemon does not tell the end of {key:?}: {samples:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// All changes so far, or `None` while the audit log lacks a write of this test: it is written after the answer.
    ///
    /// # Errors
    /// The audit log cannot be read.
    pub fn records(&mut self) -> Result<Option<Vec<Record>>> {
        Ok(self.is_audited()?.then(|| truth::records(&self.audit)))
    }

    /// Waits until the audit log has every write of this test. If an API server is killed before that, the truth lacks
    /// its last write.
    ///
    /// # Errors
    /// The audit log cannot be read, or a write is missing for too long.
    pub async fn audited(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.is_audited()? {
            ensure!(started.elapsed() < TIMEOUT, "the audit log lacks a write");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn is_audited(&mut self) -> Result<bool> {
        self.audit.refresh()?;
        Ok(self.audit.writes_by(ADMIN) as u64 >= self.objects.writes())
    }

    /// Waits until everything is reflected and compares the daemon with the truth: [`Self::agree_on_outcomes`], and each delay
    /// is about right.
    ///
    /// # Errors
    /// All differences, or a delay that is far off.
    pub async fn agree(&mut self) -> Result<Vec<Pair>> {
        let pairs = self.agree_on_outcomes().await?;
        for pair in &pairs {
            let error = pair.error().unwrap_or_default();
            ensure!(error < LOOSE, "{} is measured as {:?}", pair.record, pair.sample.delay());
        }
        Ok(pairs)
    }

    /// Waits until everything is reflected and compares the daemon's outcomes with the truth: each change ends in the same way, the
    /// metrics have the same sums, and nothing is added for a while.
    ///
    /// # Errors
    /// All differences.
    pub async fn agree_on_outcomes(&mut self) -> Result<Vec<Pair>> {
        let started = Instant::now();
        let mut agreed = None;
        loop {
            let records = self.settle().await?;
            match self.compare(&records).await? {
                Ok(pairs) => {
                    let since = *agreed.get_or_insert_with(Instant::now);
                    if since.elapsed() > QUIET {
                        return Ok(pairs);
                    }
                }
                Err(differences) => {
                    ensure!(agreed.is_none(), "the daemon added to what was already right:\n{differences}");
                    ensure!(started.elapsed() < TIMEOUT, "the daemon differs from the truth:\n{differences}");
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The present differences between the daemon and the truth.
    async fn compare(&self, records: &[Record]) -> Result<Result<Vec<Pair>, String>> {
        let namespace = self.objects.namespace();
        let metrics = self.daemon.metrics().await?;
        let samples: Vec<_> =
            self.daemon.samples()?.into_iter().filter(|sample| sample.namespace == namespace).collect();
        let doubts = metrics.has_doubts();
        let sums = agreement::check_metrics(namespace, &metrics, records, doubts);
        Ok(agreement::pair(records, &samples, doubts).and_then(|pairs| sums.map(|()| pairs)))
    }

    /// Ends the daemon as Kubernetes would. It must end without an error.
    ///
    /// # Errors
    /// It does not do so.
    pub async fn finish(self) -> Result<()> {
        self.finish_by(Signal::TERM).await
    }

    /// Ends the daemon with a signal. It must end without an error.
    ///
    /// # Errors
    /// It does not do so.
    pub async fn finish_by(mut self, signal: Signal) -> Result<()> {
        self.daemon.stop(signal).await?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !self.finished {
            // libtest shows this below the failed test.
            eprintln!("{}{}", self.logs.tails(), self.daemon.log_tail());
        }
    }
}
