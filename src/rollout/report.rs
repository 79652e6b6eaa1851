//! The result: what happened to each pod, in each Service.

use super::{
    Follower, InEffect, Moment, Serving,
    follower::{Followed, Life, Phase},
    serving::{Pair, serving},
};
use crate::{
    ledger::{Change, Outcome},
    model::{Stamp, Uid},
    propagation::{PendingChange, PodRef, ServiceName},
};
use std::{sync::Arc, time::Duration};

/// What happened between the begin of a rollout and its end.
#[derive(Clone, Debug)]
pub struct Report {
    /// The begin.
    pub begin: Stamp,
    /// The end.
    pub end: Stamp,
    /// How long a watch may have missed something, or delivered it late, meanwhile.
    pub unseen: Duration,
    /// The pods that were there: first those from before, then by the time at which they were first seen.
    pub pods: Vec<PodReport>,
    /// The Services that select them.
    pub services: Vec<ServiceReport>,
}

/// What happened to a pod.
#[derive(Clone, Debug)]
pub struct PodReport {
    /// The pod.
    pub pod: PodRef,
    /// When it was first seen.
    pub first_seen: Moment,
    /// When it was ready for the first time.
    pub ready: Option<Moment>,
    /// How often it turned unready without being deleted, since the begin.
    pub turned_unready: usize,
    /// When its deletion was requested, or when it was gone without one.
    pub leaving: Option<Moment>,
    /// When it was gone.
    pub gone: Option<Moment>,
}

/// What happened in the slices of a Service.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// Its objective.
    pub objective: Duration,
    /// How many endpoints served.
    pub serving: Serving,
    /// For each of [`Report::pods`].
    pub endpoints: Vec<EndpointReport>,
    /// How long single changes took on a hop, in the order in which they ended.
    pub delays: Vec<HopDelay>,
    /// Changes that happened, and whose delays are not known.
    pub censored: u64,
}

/// A pod in the slices of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointReport {
    /// When all slices that must list it did, for the first time.
    pub listed: Option<Moment>,
    /// Since when none lists it, if any did.
    pub unlisted: Option<Moment>,
    /// When all nodes sent connections to it, if a daemon with agents tells.
    pub visible: Option<InEffect>,
    /// When none did any more.
    pub withdrawn: Option<InEffect>,
}

/// A part of the way of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// From the API server into the slices.
    Slices,
    /// From the slices to the last node.
    Nodes,
}

/// How long one change took on one hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopDelay {
    /// The pod.
    pub pod: PodRef,
    /// Kind of change.
    pub change: Change,
    /// The hop.
    pub leg: Leg,
    /// How long it took.
    pub delay: Duration,
    /// It has not ended, or its end is not known. It takes at least this long.
    pub is_pending: bool,
    /// Whether the change missed the Service's objective. The objective is for the slice hop.
    pub missed: bool,
}

// === impl Follower ===

impl Follower {
    /// What happened until `end`, and what is pending then. Nothing before [`Follower::begin`].
    pub fn report(&self, end: Stamp, pending: &[PendingChange]) -> Report {
        let begin = self.begun().unwrap_or(end);
        let is_listed = |uid: &Uid| {
            let mut listed = self.services.iter().filter_map(|service| service.listed.get(uid));
            listed.any(|facts| {
                facts.at(begin) || facts.changes().iter().any(|(moment, listed)| *listed && moment.at > begin)
            })
        };
        // One that is gone may be listed all the same.
        let was_there = |uid: &Uid, life: &Life| life.gone.is_none_or(|gone| gone.at > begin) || is_listed(uid);
        let mut pods: Vec<_> = self.pods.iter().filter(|(uid, life)| was_there(uid, life)).collect();
        let place = |life: &Life| life.first_seen.at.max(begin);
        pods.sort_by(|(_, a), (_, b)| place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name)));
        Report {
            begin,
            end,
            unseen: self.unseen(begin, end),
            services: self
                .services
                .iter()
                .map(|service| self.service_report(service, &pods, begin, end, pending))
                .collect(),
            pods: pods.into_iter().map(|(uid, life)| pod_report(uid, life, begin)).collect(),
        }
    }

    fn unseen(&self, begin: Stamp, end: Stamp) -> Duration {
        let changes = self.blind.changes();
        let ends = changes.iter().skip(1).map(|(moment, _)| moment.at).chain([end]);
        let lost = changes.iter().zip(ends).filter(|((_, is_lost), _)| *is_lost);
        lost.map(|((from, _), to)| to.min(end).since(from.at.max(begin))).sum()
    }

    fn service_report(
        &self,
        service: &Followed,
        pods: &[(&Uid, &Life)],
        begin: Stamp,
        end: Stamp,
        pending: &[PendingChange],
    ) -> ServiceReport {
        let none = super::facts::Facts::default();
        let listed = |uid: &Uid| service.listed.get(uid).unwrap_or(&none);
        let pairs: Vec<_> = pods
            .iter()
            .map(|(uid, life)| Pair {
                phase: &life.phase,
                listed: listed(uid),
                leaving: life.leaving.map(|moment| moment.at),
            })
            .collect();
        let endpoint = |uid: &Uid| {
            let changes = listed(uid).changes();
            EndpointReport {
                listed: changes.iter().find(|(_, is_listed)| *is_listed).map(|(moment, _)| *moment),
                unlisted: changes.last().filter(|(_, is_listed)| !is_listed).map(|(moment, _)| *moment),
                ..EndpointReport::default()
            }
        };
        let own = self.ended.iter().filter(|ended| ended.began >= begin && ended.key.service == service.name);
        let hop = |pod: &PodRef, change, delay, is_pending| HopDelay {
            pod: pod.clone(),
            change,
            leg: Leg::Slices,
            delay,
            is_pending,
            missed: delay > service.objective,
        };
        let mut delays = Vec::new();
        let mut censored = 0;
        for ended in own {
            let Some(pod) = &ended.key.pod else { continue };
            match ended.outcome {
                Outcome::Propagated { delay, .. } => delays.push(hop(pod, ended.change, delay, false)),
                Outcome::Expired { age } => delays.push(hop(pod, ended.change, age, true)),
                Outcome::Censored => censored += 1,
                Outcome::Superseded => {
                    // Its opposite came first. Until then no slice had shown it.
                    let hop = hop(pod, ended.change, ended.at.since(ended.began), true);
                    delays.extend(Some(hop).filter(|hop| hop.missed));
                }
                Outcome::Withdrawn => {}
            }
        }
        for pending in pending.iter().filter(|it| self.is_of_rollout(it) && it.key.service == service.name) {
            let Some(pod) = &pending.key.pod else { continue };
            delays.push(hop(pod, pending.change, end.since(pending.since), true));
        }
        ServiceReport {
            service: service.name.clone(),
            objective: service.objective,
            serving: serving(&self.wanted, &pairs, begin, end),
            endpoints: pods.iter().map(|(uid, _)| endpoint(uid)).collect(),
            delays,
            censored,
        }
    }
}

fn pod_report(uid: &Uid, life: &Life, begin: Stamp) -> PodReport {
    let phases = life.phase.changes();
    let left_by_itself = |(moment, phase): &&(Moment, Phase)| {
        *phase == Phase::Left && moment.at > begin && life.leaving.is_none_or(|leaving| moment.at < leaving.at)
    };
    PodReport {
        pod: PodRef { name: life.name.clone(), uid: uid.clone() },
        first_seen: life.first_seen,
        ready: phases.iter().find(|(_, phase)| *phase == Phase::Servable).map(|(moment, _)| *moment),
        turned_unready: phases.iter().filter(left_by_itself).count(),
        leaving: life.leaving,
        gone: life.gone,
    }
}

// === impl Report ===

impl Report {
    /// How long it took.
    pub fn lasted(&self) -> Duration {
        self.end.since(self.begin)
    }

    /// The slowest change on any hop, with its Service.
    pub fn slowest(&self) -> Option<(&ServiceReport, &HopDelay)> {
        let all = self.services.iter().flat_map(|service| service.delays.iter().map(move |delay| (service, delay)));
        all.max_by_key(|(_, delay)| delay.delay)
    }

    /// Number of changes that missed the objective of their Service.
    pub fn missed(&self) -> usize {
        self.services.iter().flat_map(|service| &service.delays).filter(|delay| delay.missed).count()
    }
}
