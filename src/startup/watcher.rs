//! Follows each pod from its first event until its Services list it.

use super::{
    classify::{Before, Kind},
    finished::{Finished, Timeline},
    phase::Phase,
    phases::{Phases, granularity},
    report::{Report, Standing},
    waiting::{MOST, Waiting},
};
use crate::{
    ledger::{Cause, Change, Outcome},
    model::{Pod, PodTimes, Resource, Seen, Stamp, Uid, WholeSecond},
    programming::{Share, Spread},
    propagation::Ended,
};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// The settings.
#[derive(Clone, Copy, Debug)]
pub struct StartupSettings {
    /// Age at which a change expires. No Service is waited for any longer.
    pub expiry: Duration,
}

/// A step of a pod for which its times are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// A new pod is Ready.
    FirstReady,
    /// A pod is Ready again.
    ReadyAgain,
    /// A pod was Ready, and no longer is.
    Unready,
}

/// Follows the starts of pods.
#[derive(Debug)]
pub struct Startup {
    expiry: Duration,
    waiting: Waiting,
    /// Pods that are Ready for the first time, until each of their Services has told how its change ended.
    settling: HashMap<Uid, Settling>,
    /// Scopes whose pods are being listed.
    listing: HashSet<usize>,
    finished: Finished,
    counts: Standing,
    reports: Vec<Report>,
}

/// A pod that has become Ready for the first time.
#[derive(Debug)]
struct Settling {
    created: Option<WholeSecond>,
    arrived: Stamp,
    phases: Phases,
    granularity: Option<Duration>,
    /// From its creation to the arrival of its Ready, if that is plausible.
    until_arrival: Option<Duration>,
    /// Services whose change `ready` of this pod has not ended.
    services: usize,
}

// === impl Transition ===

impl Transition {
    /// Whether the pod's spec is needed too.
    pub fn needs_spec(self) -> bool {
        self == Self::FirstReady
    }
}

// === impl Startup ===

impl Startup {
    /// Follows no pod yet.
    pub fn new(settings: StartupSettings) -> Self {
        Self {
            expiry: settings.expiry,
            waiting: Waiting::default(),
            settling: HashMap::new(),
            listing: HashSet::new(),
            finished: Finished::default(),
            counts: Standing::default(),
            reports: Vec::new(),
        }
    }

    /// A watch begins a list. What happened before it was not all seen, so the pods of this scope are not followed any longer.
    pub fn list_began(&mut self, scope: usize, resource: Resource) {
        if resource == Resource::Pods {
            self.waiting.forget(scope);
            self.listing.insert(scope);
        }
    }

    /// The list is complete.
    pub fn list_ended(&mut self, scope: usize, resource: Resource) {
        if resource == Resource::Pods {
            self.listing.remove(&scope);
        }
    }

    /// A pod was created or changed, or is in a list. `was_ready` is what the watch said of it before; `None` if it is new. Returns the
    /// step for which its times are needed, if it is one.
    pub fn step(&mut self, scope: usize, pod: &Pod, was_ready: Option<bool>) -> Option<Transition> {
        if pod.terminating || pod.terminal {
            self.waiting.remove(&pod.uid);
            return None;
        }
        let is_ready = pod.ready && !pod.families.is_empty();
        if was_ready == Some(is_ready) {
            return None;
        }
        if self.listing.contains(&scope) {
            // It is not known how often it changed until now.
            if was_ready.is_some() && is_ready {
                self.counts.kinds[Kind::Unseen.index()] += 1;
            }
            return None;
        }
        match (was_ready, is_ready) {
            (Some(true), false) => Some(Transition::Unready),
            (None, false) => {
                self.wait(scope, &pod.uid, None);
                None
            }
            (_, true) => match self.waiting.is_new(&pod.uid) {
                Some(true) => Some(Transition::FirstReady),
                _ => Some(Transition::ReadyAgain),
            },
            (Some(false), false) => None,
        }
    }

    /// The times of a pod in this step. It arrived at `seen`, which is `wall` after 1970 on the daemon's clock.
    pub fn moved(&mut self, scope: usize, seen: Seen, wall: Duration, pod: &Pod, step: Transition, times: &PodTimes) {
        let change = if step == Transition::Unready { Change::Unready } else { Change::Ready };
        let reported = self.reported(seen, wall, pod, change, times);
        match step {
            Transition::Unready => self.wait(scope, &pod.uid, Some(Before::of(times))),
            Transition::ReadyAgain => {
                let before = self.waiting.remove(&pod.uid).flatten();
                let kind = before.map_or(Kind::Unseen, |before| before.kind(times));
                self.counts.kinds[kind.index()] += 1;
            }
            Transition::FirstReady => {
                self.waiting.remove(&pod.uid);
                let kind = Kind::of_first(times);
                self.counts.kinds[kind.index()] += 1;
                if kind == Kind::FirstStart {
                    self.started(seen, pod, times, reported);
                }
            }
        }
    }

    /// A pod was deleted.
    pub fn deleted(&mut self, uid: &Uid) {
        self.waiting.remove(uid);
    }

    /// Tells by how many Services a pod is expected that has just become Ready for the first time. None is waited for any longer.
    pub fn expected_by(&mut self, uid: &Uid, services: usize) {
        if services == 0 {
            self.settling.remove(uid);
        } else if let Some(settling) = self.settling.get_mut(uid) {
            settling.services = services;
        }
    }

    /// A change ended on the slice hop. `number` names it on the hop to the nodes.
    pub fn ended(&mut self, ended: &Ended, number: u64) {
        let Some(pod) = ended.key.pod.as_ref().filter(|_| ended.change == Change::Ready) else { return };
        let is_own = |settling: &&mut Settling| ended.cause == Cause::Pod && settling.arrived == ended.began;
        let Some(settling) = self.settling.get_mut(&pod.uid).filter(is_own) else { return };
        let mut phases = settling.phases;
        if let Outcome::Propagated { delay, .. } = ended.outcome {
            phases.set(Phase::Listed, delay);
            if let Some(until_arrival) = settling.until_arrival {
                phases.set(Phase::Total, until_arrival + delay);
            }
        }
        let service = &ended.key.service;
        let of_service = |(phase, took)| Report::Phase { service: service.clone(), phase, took };
        self.reports.extend(phases.iter().map(of_service));
        self.finished.push(Timeline {
            number,
            service: service.clone(),
            pod: pod.clone(),
            created: settling.created,
            arrived: settling.arrived,
            outcome: ended.outcome,
            phases,
            granularity: settling.granularity,
        });
        settling.services = settling.services.saturating_sub(1);
        if settling.services == 0 {
            self.settling.remove(&pod.uid);
        }
    }

    /// A change has ended on each node.
    pub fn spread(&mut self, spread: &Spread) {
        let Some(timeline) = self.finished.find(spread.number) else { return };
        if let Some(took) = spread.shares[Share::All as usize] {
            timeline.phases.set(Phase::InEffect, took);
            self.reports.push(Report::Phase { service: timeline.service.clone(), phase: Phase::InEffect, took });
        }
    }

    /// Forgets pods of which nothing more can come.
    pub fn forget(&mut self, now: Stamp) {
        self.settling.retain(|_, settling| now.since(settling.arrived) <= self.expiry * 2);
    }

    /// What became known since the last call.
    pub fn reports(&mut self) -> std::vec::Drain<'_, Report> {
        self.reports.drain(..)
    }

    /// The current state and the counts.
    pub fn standing(&self) -> Standing {
        Standing { waiting: self.waiting.len(), settling: self.settling.len(), ..self.counts }
    }

    /// The last starts.
    pub fn finished(&self) -> &Finished {
        &self.finished
    }

    fn wait(&mut self, scope: usize, uid: &Uid, before: Option<Before>) {
        self.counts.overflowed += u64::from(!self.waiting.insert(scope, uid, before));
    }

    /// The report hop of a change of Ready. `None` if it was not seen as it arrived, or its time is not plausible.
    fn reported(
        &mut self,
        seen: Seen,
        wall: Duration,
        pod: &Pod,
        change: Change,
        times: &PodTimes,
    ) -> Option<Duration> {
        let changed = times.ready_changed.filter(|_| !seen.is_late())?;
        if times.created.is_some_and(|created| changed < created) {
            self.counts.implausible[Phase::Reported.index()] += 1;
            return None;
        }
        let delay = changed.until_moment(wall);
        self.counts.negative += u64::from(delay.is_err());
        let (namespace, clamped) = (pod.namespace.as_str().into(), delay.unwrap_or_default());
        self.reports.push(Report::Reported { namespace, change, delay: clamped });
        delay.ok()
    }

    /// A pod is Ready for the first time, and none of its containers was restarted.
    fn started(&mut self, seen: Seen, pod: &Pod, times: &PodTimes, reported: Option<Duration>) {
        if self.settling.len() >= MOST {
            self.counts.overflowed += 1;
            return;
        }
        let mut is_plausible = true;
        let mut phases = Phases::of(times, |phase| {
            self.counts.implausible[phase.index()] += 1;
            is_plausible = false;
        });
        if let Some(reported) = reported {
            phases.set(Phase::Reported, reported);
        }
        let until_ready = times.created.zip(times.ready_changed).and_then(|(created, ready)| created.until(ready));
        let until_arrival = until_ready.zip(reported).filter(|_| is_plausible).map(|(one, other)| one + other);
        let settling = Settling {
            created: times.created,
            arrived: seen.at,
            granularity: phases.get(Phase::ContainersReady).and_then(|took| granularity(&times.probes, took)),
            phases,
            until_arrival,
            services: 1,
        };
        self.settling.insert(pod.uid.clone(), settling);
    }
}
