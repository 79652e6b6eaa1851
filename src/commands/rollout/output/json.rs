//! The result as JSON. Times are UTC, durations seconds.

use super::Told;
use crate::{
    advice::Help,
    commands::rollout::follow::End,
    model::Stamp,
    rollout::{HopDelay, InEffect, Leg, Moment, Serving},
};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct Answer<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    /// `complete`, `failed`, `timed_out` or `interrupted`.
    result: &'static str,
    /// Why it has failed, or what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Where the figures come from.
    source: &'a str,
    began: Option<Timestamp>,
    /// Until it was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_seconds: Option<f64>,
    /// How long it was followed.
    followed_seconds: f64,
    /// How long a watch may have missed something meanwhile.
    unseen_seconds: f64,
    /// Changes that missed the objective.
    missed: usize,
    pods: Vec<PodLine<'a>>,
    services: Vec<ServiceLine<'a>>,
}

#[derive(Serialize)]
struct PodLine<'a> {
    pod: &'a str,
    uid: String,
    first_seen: Time,
    ready: Option<Time>,
    turned_unready: usize,
    leaving: Option<Time>,
    gone: Option<Time>,
}

/// When something was seen.
#[derive(Serialize)]
struct Time {
    time: Option<Timestamp>,
    /// Since the rollout began; negative if it was before.
    seconds: f64,
    /// Whether it happened then. If not, it happened then or earlier.
    exact: bool,
}

#[derive(Serialize)]
struct ServiceLine<'a> {
    namespace: &'a str,
    service: &'a str,
    objective_seconds: f64,
    serving: ServingLine,
    endpoints: Vec<EndpointLine<'a>>,
    delays: Vec<DelayLine<'a>>,
    censored: u64,
    levers: Vec<LeverLine<'a>>,
}

/// Endpoint time is the sum over endpoints.
#[derive(Serialize)]
struct ServingLine {
    wanted: u32,
    at_begin: u32,
    least: u32,
    below_wanted_seconds: f64,
    missing_endpoint_seconds: f64,
    waiting_endpoint_seconds: f64,
    lingering_endpoint_seconds: f64,
    hurried: u32,
}

#[derive(Serialize)]
struct EndpointLine<'a> {
    pod: &'a str,
    uid: String,
    listed: Option<Time>,
    unlisted: Option<Time>,
    /// When all nodes followed. Only from a daemon with agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    visible: Option<InEffectLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<InEffectLine<'a>>,
}

/// How a change spread over the nodes; seconds count from the slice event.
#[derive(Serialize)]
struct InEffectLine<'a> {
    at: Option<Time>,
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    all_seconds: Option<f64>,
    last: Option<&'a str>,
    error_seconds: f64,
}

#[derive(Serialize)]
struct DelayLine<'a> {
    pod: &'a str,
    change: &'static str,
    hop: &'static str,
    seconds: f64,
    /// It has not ended, so it takes at least this long.
    pending: bool,
    missed: bool,
}

#[derive(Serialize)]
struct LeverLine<'a> {
    lever: &'static str,
    would_have_helped: bool,
    happened: &'a str,
    set: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    better: Option<&'a str>,
    findings: Vec<FindingLine<'a>>,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    check: &'static str,
    severity: &'static str,
    measured: Option<&'a str>,
    advice: &'a str,
}

/// The whole.
pub(super) fn text(told: &Told<'_>) -> serde_json::Result<String> {
    let Told { name, report, end, helps, .. } = told;
    let (result, reason, after) = match end {
        End::Complete { after } => ("complete", None, Some(after.as_secs_f64())),
        End::Failed(why) => ("failed", Some(&**why), None),
        End::TimedOut { why, .. } => ("timed_out", Some(&**why), None),
        End::Interrupted => ("interrupted", None, None),
    };
    let time = |moment: Moment| told.time(moment);
    let pods = report.pods.iter().map(|it| PodLine {
        pod: &it.pod.name,
        uid: it.pod.uid.to_string(),
        first_seen: time(it.first_seen),
        ready: it.ready.map(time),
        turned_unready: it.turned_unready,
        leaving: it.leaving.map(time),
        gone: it.gone.map(time),
    });
    let services = report.services.iter().enumerate().map(|(index, it)| ServiceLine {
        namespace: &it.service.namespace,
        service: &it.service.name,
        objective_seconds: it.objective.as_secs_f64(),
        serving: ServingLine::from(&it.serving),
        endpoints: it
            .endpoints
            .iter()
            .zip(&report.pods)
            .filter(|(endpoint, _)| endpoint.listed.is_some())
            .map(|(endpoint, pod)| EndpointLine {
                pod: &pod.pod.name,
                uid: pod.pod.uid.to_string(),
                listed: endpoint.listed.map(time),
                unlisted: endpoint.unlisted.map(time),
                visible: endpoint.visible.as_ref().map(|it| told.in_effect(it)),
                withdrawn: endpoint.withdrawn.as_ref().map(|it| told.in_effect(it)),
            })
            .collect(),
        delays: it.delays.iter().map(DelayLine::from).collect(),
        censored: it.censored,
        levers: helps.iter().filter(|(of, _)| *of == index).flat_map(|(_, helps)| helps).map(LeverLine::from).collect(),
    });
    serde_json::to_string(&Answer {
        kind: name.kind.as_str(),
        namespace: &name.namespace,
        name: &name.name,
        result,
        reason,
        source: told.source,
        began: told.wall(report.begin),
        complete_seconds: after,
        followed_seconds: report.lasted().as_secs_f64(),
        unseen_seconds: report.unseen.as_secs_f64(),
        missed: report.missed(),
        pods: pods.collect(),
        services: services.collect(),
    })
}

// === impl Told ===

impl Told<'_> {
    fn in_effect<'b>(&self, it: &'b InEffect) -> InEffectLine<'b> {
        let seconds = |value: Option<Duration>| value.map(|value| value.as_secs_f64());
        let spreading = &it.spreading;
        InEffectLine {
            at: it.moment.map(|moment| self.time(moment)),
            p50_seconds: seconds(spreading.half),
            p99_seconds: seconds(spreading.most),
            all_seconds: seconds(spreading.all),
            last: spreading.last.as_deref(),
            error_seconds: spreading.error.as_secs_f64(),
        }
    }

    fn time(&self, Moment { at, exact }: Moment) -> Time {
        let begin = self.report.begin;
        let seconds = at.since(begin).as_secs_f64() - begin.since(at).as_secs_f64();
        Time { time: self.wall(at), seconds, exact }
    }

    /// A clock that is wrong by millennia has no time.
    fn wall(&self, at: Stamp) -> Option<Timestamp> {
        Timestamp::try_from(self.clock.wall(at)).ok()
    }
}

// === impl ServingLine ===

impl From<&Serving> for ServingLine {
    fn from(serving: &Serving) -> Self {
        Self {
            wanted: serving.wanted,
            at_begin: serving.at_begin,
            least: serving.least,
            below_wanted_seconds: serving.below.as_secs_f64(),
            missing_endpoint_seconds: serving.missing.as_secs_f64(),
            waiting_endpoint_seconds: serving.waiting.as_secs_f64(),
            lingering_endpoint_seconds: serving.lingering.as_secs_f64(),
            hurried: serving.hurried,
        }
    }
}

// === impl DelayLine ===

impl<'a> From<&'a HopDelay> for DelayLine<'a> {
    fn from(hop: &'a HopDelay) -> Self {
        Self {
            pod: &hop.pod.name,
            change: hop.change.as_str(),
            hop: match hop.leg {
                Leg::Slices => "slices",
                Leg::Nodes => "nodes",
            },
            seconds: hop.delay.as_secs_f64(),
            pending: hop.is_pending,
            missed: hop.missed,
        }
    }
}

// === impl LeverLine ===

impl<'a> From<&'a Help> for LeverLine<'a> {
    fn from(help: &'a Help) -> Self {
        let findings = help.findings.iter().map(|finding| FindingLine {
            check: finding.check.id,
            severity: finding.severity.as_str(),
            measured: finding.measured.as_deref(),
            advice: &finding.advice,
        });
        Self {
            lever: help.lever.as_str(),
            would_have_helped: help.helps,
            happened: &help.happened,
            set: &help.set,
            better: help.better.as_deref(),
            findings: findings.collect(),
        }
    }
}
