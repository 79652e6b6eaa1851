//! Waits for the rollout, and follows it until it is over.

use super::{RolloutError, Settings};
use crate::{
    cluster::{
        ScopeSettings,
        clock::Clock,
        inventory::Set,
        workload::{Sight, WorkloadError, WorkloadName},
    },
    commands::{
        session::{Connection, Session, SessionError, SessionSettings, over},
        text::{counted, round},
    },
    logging::LogFormat,
    model::{Event, Pod, Stamp},
    pipeline::{Ending, PipelineHandle, Step, Tap},
    propagation::{PendingChange, ServiceName},
    rollout::{Follower, Progress, Report, is_made_by, progress, under_way},
    signals::OsSignals,
};
use kube::{
    Client,
    core::{Selector, SelectorExt as _},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedReceiver;

/// How often it looks whether everything has settled.
const POLL: Duration = Duration::from_millis(50);

/// By how much the watch of the workload may be behind that of the pods: it is read by a thread with a lower priority.
const BEHIND: Duration = Duration::from_millis(500);

/// How long the end waits for a watch that the API server has just ended.
const RECONNECT: Duration = Duration::from_secs(1);

/// A rollout that is waited for, or followed.
pub(super) struct Rollout {
    session: Session,
    follower: Arc<Mutex<Follower>>,
    sights: UnboundedReceiver<Result<Sight, WorkloadError>>,
    /// What the pods were made from when it was last looked at.
    template: String,
    /// Its controller has not seen the spec yet, so it is not known whether a rollout is under way.
    is_undecided: bool,
    clock: Clock,
    started: Instant,
    log_format: LogFormat,
    /// When the controller last said something about the progress of the rollout before.
    said_before: String,
    /// How many pods can serve, as the status says.
    available: u32,
    /// What the rollout waits for, as its controller's status says.
    why: String,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is complete.
    Complete {
        /// How long it took.
        after: Duration,
    },
    /// It has failed, for this reason.
    Failed(String),
    /// It was not over in time, and waits for this.
    TimedOut {
        /// How much time it was given.
        given: Duration,
        /// What it waits for.
        why: String,
    },
    /// A signal came.
    Interrupted,
}

/// What was seen of a rollout.
pub(super) struct Followed {
    pub(super) report: Report,
    pub(super) end: End,
    /// Whether every change was seen until the end.
    pub(super) is_seen: Result<(), SessionError>,
    pub(super) clock: Clock,
}

// === impl Rollout ===

impl Rollout {
    /// Starts to follow the pods of a workload that looks so, and waits until all changes are seen.
    pub(super) async fn start(
        connection: Connection,
        client: Client,
        settings: &Settings,
        name: &WorkloadName,
        sight: Sight,
        services: &[Set],
        clock: Clock,
    ) -> Result<Self, RolloutError> {
        let names = services.iter().map(|set| ServiceName {
            namespace: set.service.namespace.as_str().into(),
            name: set.service.name.as_str().into(),
        });
        let follower = Arc::new(Mutex::new(Follower::new(names, settings.tracker.objective)));
        let scope = ScopeSettings::namespace(name.namespace.clone());
        let session = SessionSettings {
            cluster: settings.cluster.clone(),
            scope,
            watch: settings.watch,
            tracker: settings.tracker,
        };
        let of_slices = follower.clone();
        let output = move |ending: Ending<'_>| {
            if let Ending::Slice(ended) = ending {
                of_slices.lock().ended(ended);
            }
        };
        let tap = tap(follower.clone(), name.clone(), sight.selector.clone());
        let session = Session::start_tapped(connection, &session, clock, Some(tap), output)?;
        session.synced().await?;
        let mut sights = name.clone().follow(client, clock);
        // It may have been edited meanwhile: then that rollout is under way.
        let sight = sights.recv().await.ok_or(RolloutError::Ended)??;
        let log_format = settings.log_format;
        let (template, started, said_before) = (sight.template, Instant::now(), sight.status.progress_said.clone());
        let mut rollout = Self {
            session,
            follower,
            sights,
            template,
            is_undecided: sight.status.is_outdated(),
            clock,
            started,
            log_format,
            said_before,
            available: 0,
            why: String::new(),
        };
        rollout.follower.lock().want(clock.now(), sight.status.wanted);
        let in_services = counted(services.len() as u64, "Service");
        match under_way(&sight.status) {
            Some(why) => rollout.begin_now(name, why),
            None => {
                let until = settings.timeout.map(|timeout| format!(" within {}", round(timeout))).unwrap_or_default();
                let but = match progress(&sight.status) {
                    Progress::Waiting(why) if !rollout.is_undecided => format!("; {why} now, which is no rollout"),
                    _ => String::new(),
                };
                rollout.say(&format!("waiting for a rollout of {name} in {in_services} to begin{until}{but}"));
            }
        }
        Ok(rollout)
    }

    /// A rollout has begun before, and is followed from now on.
    fn begin_now(&mut self, name: &WorkloadName, why: String) {
        self.follower.lock().begin(self.clock.now(), Duration::ZERO);
        self.say(&format!("a rollout of {name} is under way, and is followed from now on: {why}"));
        self.why = why;
    }

    /// Goes on until the end.
    pub(super) async fn finish(
        mut self,
        settings: &Settings,
        name: &WorkloadName,
        signals: &OsSignals,
    ) -> Result<Followed, RolloutError> {
        let timeout = settings.timeout.map(|timeout| timeout.saturating_sub(self.started.elapsed()));
        let end = tokio::select! {
            end = self.over(name) => end?,
            () = over(timeout) => match self.has_begun() {
                true => End::TimedOut { given: settings.timeout.unwrap_or_default(), why: self.why.clone() },
                false => {
                    return Err(RolloutError::NotBegun { name: name.clone(), waited: settings.timeout.unwrap_or_default() });
                }
            },
            () = signals.stopped() => match self.has_begun() {
                true => End::Interrupted,
                false => return Err(RolloutError::Early),
            },
        };
        if let End::Complete { after } = &end {
            let waits = self.waits_for().map(|what| format!("; waiting until {what}")).unwrap_or_default();
            self.say(&format!("complete after {}{waits}", round(*after)));
            tokio::select! {
                () = self.settled() => {}
                () = over(Some(settings.linger)) => {}
                () = signals.stopped() => {}
            }
        }
        let Self { session, follower, clock, .. } = self;
        let is_seen = match tokio::time::timeout(RECONNECT, session.synced()).await {
            Ok(synced) => synced,
            Err(_) => session.check(),
        };
        let pending = pending(&session.handle).await.ok_or(RolloutError::Ended)?;
        let report = follower.lock().report(clock.now(), &pending);
        session.end().await;
        Ok(Followed { report, end, is_seen, clock })
    }

    /// Completes when the rollout is over.
    async fn over(&mut self, name: &WorkloadName) -> Result<End, RolloutError> {
        while let Some(sight) = self.sights.recv().await {
            let mut sight = sight?;
            self.available = sight.status.available;
            self.follower.lock().want(sight.at, sight.status.wanted);
            let is_new = sight.template != self.template;
            if is_new && self.has_begun() {
                self.say(&format!("{name} was edited: another rollout continues this one"));
            } else if is_new {
                self.follower.lock().begin(sight.at, BEHIND);
                self.say(&format!("a rollout of {name} has begun"));
            } else if self.is_undecided
                && let Some(why) = under_way(&sight.status)
            {
                self.begin_now(name, why);
            }
            self.is_undecided &= sight.status.is_outdated();
            self.template = sight.template;
            let Some(begun) = self.begun() else {
                self.said_before = sight.status.progress_said;
                continue;
            };
            // A rollback to an old ReplicaSet begins with the failure of the rollout before, until there is progress.
            if sight.status.progress_said == self.said_before {
                sight.status.has_exceeded_deadline = false;
            }
            match progress(&sight.status) {
                Progress::Complete => return Ok(End::Complete { after: sight.at.since(begun) }),
                Progress::Failed(why) => return Ok(End::Failed(why)),
                Progress::Waiting(now) => {
                    if self.why != now {
                        self.say(&now);
                        self.why = now;
                    }
                }
            }
        }
        Err(RolloutError::Ended)
    }

    /// Completes when nothing of the rollout is under way any more. The slices have yet to follow the last pod when it is gone.
    async fn settled(&self) {
        while !self.follower.lock().is_settled(self.available) || self.has_pending().await {
            tokio::time::sleep(POLL).await;
        }
    }

    async fn has_pending(&self) -> bool {
        let pending = pending(&self.session.handle).await.unwrap_or_default();
        let follower = self.follower.lock();
        pending.iter().any(|change| follower.is_of_rollout(change))
    }

    /// What is still under way, in words.
    fn waits_for(&self) -> Option<String> {
        let follower = self.follower.lock();
        match follower.leaving() as u64 {
            _ if follower.is_settled(self.available) => None,
            0 => Some("the slices show it".to_owned()),
            1 => Some("1 pod is gone".to_owned()),
            more => Some(format!("{more} pods are gone")),
        }
    }

    fn begun(&self) -> Option<Stamp> {
        self.follower.lock().begun()
    }

    fn has_begun(&self) -> bool {
        self.begun().is_some()
    }

    fn say(&self, text: &str) {
        self.log_format.say(text);
    }
}

/// The changes that have not ended on the slice hop. `None` if the measurement has ended.
async fn pending(handle: &PipelineHandle) -> Option<Vec<PendingChange>> {
    Some(handle.changes().await?.value.pending)
}

/// What passes each event to the follower.
fn tap(follower: Arc<Mutex<Follower>>, name: WorkloadName, selector: Selector) -> Tap {
    Box::new(move |step: Step<&Event>| {
        if let Step::Event { seen, event, .. } = step {
            let is_own = |pod: &Pod| selector.matches(&pod.labels) && is_made_by(name.kind, &name.name, pod);
            follower.lock().apply(seen, event, is_own);
        }
    })
}
