//! Advice: which settings of a workload and its Services to change, judged by what is set and what was measured.
//!
//! ```text
//! model::spec (what is set) ──┐
//! Measured (per Service) ─────┼──► one file for each lever ──► Finding ──► Advice, ignored ──► patches
//! Facts (of the cluster) ─────┘
//! ```
//!
//! Each file of a lever has the checks of one row of `docs/advice.md`. A [`Finding`] names what is set, what was measured, the rule
//! that decided, what to set, and what this costs. [`checks`] lists all checks. Below [`ENOUGH`] samples there is no advice that
//! rests on them, and [`Skipped`] says so.
//!
//! [`in_rollout`] looks back at one [rollout](crate::rollout): which lever would have helped, judged by what happened in it.
//!
//! This module is pure: it reads nothing, and the same input gives the same advice.

mod autoscaling;
mod case;
pub mod checks;
mod disruption_budget;
mod endpoint_controller;
mod ends;
mod finding;
mod ignored;
mod in_rollout;
mod liveness_probe;
mod load_balancing;
mod measured;
mod min_ready_seconds;
mod patch;
mod pre_stop;
mod readiness_probe;
mod rolling_update;
mod samples;
mod spreading;
mod starts;
mod words;

pub use self::{
    checks::{CHECKS, Check, Lever, Severity},
    ends::{Ends, OnNodes},
    finding::{Advice, Finding, Skipped, Target},
    in_rollout::{Help, in_rollout},
    measured::{Bound, ENOUGH, Facts, Measured, NodeHop, Open, Removal, Sample, rollouts},
    patch::{Action, Patch, Spec, merged},
    samples::of_cluster,
    starts::Starts,
};

use self::{case::Case, finding::Findings};
use crate::{
    model::spec::{Backing, ServiceSpec},
    propagation::ServiceName,
};

/// A Service with the workloads behind it, and what was measured of it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The Service.
    pub service: ServiceSpec,
    /// The workloads whose pods it selects.
    pub backings: Vec<Backing>,
    /// Owners of its pods that cannot be judged, such as `Rollout checkout`, each with the reason.
    pub unread: Vec<(String, String)>,
    /// What was measured of it; `None` if nothing was.
    pub measured: Option<Measured>,
}

// === impl Subject ===

impl Subject {
    /// The same, with the starts that a daemon has seen in place of what the status of its pods says, where there are enough of them.
    #[must_use]
    pub fn with_starts(mut self, name: &ServiceName, starts: &Starts) -> Self {
        for backing in &mut self.backings {
            let seen = starts.of_workload(name, &backing.workload);
            if let Some(seen) = seen.filter(|seen| seen.ready.pods >= liveness_probe::ENOUGH_PODS) {
                (backing.startup, backing.containers_ready) = (Some(seen.ready), Some(seen.containers_ready));
            }
        }
        self
    }
}

/// Judges all of these Services, and the cluster as a whole. A finding that several Services share is there once.
pub fn advise(subjects: &[Subject], facts: &Facts) -> Advice {
    let mut findings = Findings::default();
    endpoint_controller::of_cluster(facts, &mut findings);
    load_balancing::of_cluster(facts, &mut findings);
    for subject in subjects {
        of_service(subject, facts, &mut findings);
    }
    findings.end()
}

fn of_service(subject: &Subject, facts: &Facts, findings: &mut Findings) {
    let Subject { service, backings, unread, measured } = subject;
    let ignored = findings.ignored(service, service.ignored.as_deref(), || Target::of_service(service));
    findings.begin(service, ignored.clone());
    measured::skip(service, measured.as_ref(), findings);
    endpoint_controller::of_service(service, measured.as_ref(), facts, findings);
    load_balancing::of_service(service, measured.as_ref(), findings);
    spreading::of_service(service, facts, findings);
    for (owner, why) in unread {
        findings.skip(Some(service), &Lever::OF_WORKLOADS, &format!("{owner}: {why}"));
    }
    for backing in backings {
        let own =
            findings.ignored(service, backing.workload.ignored.as_deref(), || Target::of_workload(&backing.workload));
        findings.begin(service, ignored.clone().and(own));
        let case = Case { service, backing, measured: measured.as_ref(), facts };
        readiness_probe::check(&case, findings);
        liveness_probe::check(&case, findings);
        pre_stop::check(&case, findings);
        min_ready_seconds::check(&case, findings);
        rolling_update::check(&case, findings);
        disruption_budget::check(&case, findings);
        autoscaling::check(&case, findings);
        spreading::of_workload(&case, findings);
    }
}

#[cfg(test)]
mod tests;
