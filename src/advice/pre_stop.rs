//! The preStop hook and the grace period: whether a pod serves until the last node has stopped sending to it.

use super::{
    Finding, Severity, case::Case, checks, finding::Findings, measured::Removal, patch::Patch, words::FIND_OUT,
};
use crate::{
    ledger::Change,
    model::spec::{Container, Hook, MESH_PROXIES, WorkloadKind},
};
use serde_json::{Value, json};
use std::time::Duration;

/// What is left of the grace period for requests under way, in seconds.
const DRAIN: u32 = 10;

/// What is added to the measured removal beside a quarter of it.
const SPARE: Duration = Duration::from_secs(1);

/// The first minor version of Kubernetes in which the sleep action is on by default.
const SLEEP_ACTION: u32 = 30;

/// Parts of names of images that have no shell.
const WITHOUT_SHELL: [&str; 4] = ["distroless", "chainguard", "scratch", "static"];

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    // There the endpoints stay listed until the pod is gone, so no sleep is long enough.
    if case.service.publishes_not_ready {
        return;
    }
    let template = &case.workload().template;
    let removal = case.measured.and_then(|measured| measured.reach(Change::Terminating));
    let wanted = removal.and_then(|removal| removal.with_margin(SPARE));
    let serving: Vec<_> = case.serving().into_iter().filter(|container| !case.is_sidecar(container)).collect();
    for container in &serving {
        match (&container.pre_stop, &removal) {
            (None, removal) => findings.add(missing(case, container, removal.as_ref())),
            (Some(hook), Some(removal)) => short(case, container, hook, removal, findings),
            (Some(_), None) => {}
        }
    }
    for container in &template.containers {
        if let Some(hook) = container.pre_stop.as_ref().filter(|hook| hook.is_exec_sleep()) {
            exec_sleep(case, container, hook, findings);
        }
    }
    let longest = serving.iter().filter_map(|container| container.pre_stop.as_ref()?.seconds()).max();
    if let Some(sleep) = longest.filter(|sleep| *sleep > 0) {
        sidecar_order(case, &serving, sleep.max(wanted.unwrap_or(0)), findings);
        grace(case, sleep, findings);
    }
}

fn missing(case: &Case<'_>, container: &Container, removal: Option<&Removal>) -> Finding {
    let finding = Finding::new(checks::PRE_STOP_MISSING, case.target_in(container), "no preStop hook");
    let Some(removal) = removal else {
        return finding
            .advice(
                "A preStop sleep that is longer than the removal takes. Measure it first: endpointlag advise \
                 --for 10m, during a rollout.",
            )
            .cost(
                "Each pod lives longer by the sleep. Nothing is needed if the application itself serves on \
                 after SIGTERM for as long.",
            );
    };
    with_sleep(case, container, removal, finding)
}

fn short(case: &Case<'_>, container: &Container, hook: &Hook, removal: &Removal, findings: &mut Findings) {
    let least = removal.with_margin(SPARE).unwrap_or_else(|| super::words::ceil(removal.total()));
    // What another program or an HTTP request waits for cannot be told.
    let Some(sleep) = hook.seconds().filter(|sleep| *sleep < least) else { return };
    let finding = Finding::new(checks::PRE_STOP_SHORT, case.target_in(container), format!("preStop sleeps {sleep} s"));
    // A hook that does more than sleep is for its owner to change.
    if matches!(hook, Hook::Exec { .. }) && !hook.is_exec_sleep() {
        findings.add(with_sleep(case, container, removal, finding).without_patch());
        return;
    }
    findings.add(with_sleep(case, container, removal, finding));
}

/// Proposes a sleep for this removal, and a grace period for it.
fn with_sleep(case: &Case<'_>, container: &Container, removal: &Removal, finding: Finding) -> Finding {
    let measured = case.measured.map(|measured| measured.in_words(Change::Terminating, removal)).unwrap_or_default();
    let total = super::words::delay(removal.total());
    let Some(wanted) = removal.with_margin(SPARE) else {
        return finding
            .severity(Severity::Warning)
            .measured(measured)
            .rule(format!("more than {total} until the last node stops sending"))
            .advice(format!("A preStop sleep that is longer than the removal takes. {FIND_OUT}"))
            .cost("Each pod lives longer by the sleep.");
    };
    let mut advice = format!("lifecycle.preStop.sleep.seconds: {wanted}{}.", and_grace(case, wanted));
    if let Some(beyond) = case.beyond() {
        advice += &format!(
            " This is a lower bound, because the path goes on: {beyond}. Add what is known of it, and shorten nothing."
        );
    }
    let surge = match case.workload().kind {
        WorkloadKind::Deployment => ", and a rollout has as many more pods at once",
        _ => ", so a rollout takes longer",
    };
    let finding = finding
        .measured(measured)
        .rule(format!("{total} until the last node stops sending, plus a quarter, plus 1 s: {wanted} s"))
        .advice(advice)
        .cost(format!("Each pod that is replaced lives {wanted} s longer{surge}."))
        .figure(wanted);
    if !has_sleep_action(case) {
        return finding;
    }
    finding.patch(sleep_patch(case, container, wanted))
}

/// The grace period that a sleep needs, if there is less.
fn grace_for(case: &Case<'_>, sleep: u32) -> Option<u32> {
    let least = sleep.saturating_add(DRAIN);
    (case.workload().template.grace_seconds < least).then_some(least)
}

/// The same in words, to be added to the sleep.
fn and_grace(case: &Case<'_>, sleep: u32) -> String {
    let and = |least| format!(", and terminationGracePeriodSeconds: {least}");
    grace_for(case, sleep).map(and).unwrap_or_default()
}

/// Sets the sleep action. The API server refuses one that is longer than the grace period.
fn sleep_patch(case: &Case<'_>, container: &Container, seconds: u32) -> Patch {
    let change = json!({ "lifecycle": { "preStop": sleep_only(seconds, container) } });
    let mut spec = case.patch_container(container, change);
    if let Some(least) = grace_for(case, seconds) {
        spec["template"]["spec"]["terminationGracePeriodSeconds"] = json!(least);
    }
    case.patch(spec)
}

fn exec_sleep(case: &Case<'_>, container: &Container, hook: &Hook, findings: &mut Findings) {
    let Some(sleep) = hook.seconds().filter(|sleep| *sleep > 0) else { return };
    let without = WITHOUT_SHELL.into_iter().find(|part| container.image.contains(part));
    let mut finding = Finding::new(
        checks::PRE_STOP_EXEC,
        case.target_in(container),
        format!("preStop runs a program that sleeps {sleep} s; image {}", container.image),
    )
    .advice(format!("lifecycle.preStop.sleep.seconds: {sleep}, instead of exec{}.", and_grace(case, sleep)))
    .cost("Needs Kubernetes 1.30 (1.34: stable).");
    if let Some(part) = without {
        finding = finding.severity(Severity::Warning).rule(format!(
            "The hook runs a program, and the name of the image ({part}) suggests that it has no \
             shell"
        ));
    }
    if has_sleep_action(case) {
        finding = finding.figure(sleep).patch(sleep_patch(case, container, sleep));
    }
    findings.add(finding);
}

fn sidecar_order(case: &Case<'_>, serving: &[&Container], sleep: u32, findings: &mut Findings) {
    for container in &case.workload().template.containers {
        let is_proxy = MESH_PROXIES.contains(&&*container.name);
        if !is_proxy || container.pre_stop.is_some() || serving.iter().any(|it| it.name == container.name) {
            continue;
        }
        let mut finding = Finding::new(
            checks::SIDECAR_ORDER,
            case.target_in(container),
            format!("an ordinary container without preStop; another one sleeps {sleep} s"),
        )
        .advice(format!(
            "Make it a native sidecar (an init container with restartPolicy: Always), which stops \
             last. Or let it sleep {sleep} s too{}.",
            and_grace(case, sleep)
        ))
        .cost("The proxy lives as long as the container that it serves.")
        .figure(sleep);
        if has_sleep_action(case) {
            finding = finding.patch(sleep_patch(case, container, sleep));
        }
        findings.add(finding);
    }
}

fn grace(case: &Case<'_>, sleep: u32, findings: &mut Findings) {
    let grace = case.workload().template.grace_seconds;
    let least = sleep.saturating_add(DRAIN);
    if grace >= least {
        return;
    }
    let severity = if grace <= sleep { Severity::Error } else { Severity::Warning };
    let left = grace.saturating_sub(sleep);
    let spec = json!({ "template": { "spec": { "terminationGracePeriodSeconds": least } } });
    let finding = Finding::new(
        checks::GRACE_SHORT,
        case.target(),
        format!("terminationGracePeriodSeconds: {grace}, preStop sleeps {sleep} s"),
    )
    .severity(severity)
    .rule(format!("{left} s are left for requests under way, and at least {DRAIN} s are wanted"))
    .advice(format!("terminationGracePeriodSeconds: {least}, more if requests last longer than {DRAIN} s."))
    .cost("A pod that does not end by itself holds its node up to this long.")
    .figure(least)
    .patch(case.patch(spec));
    findings.add(finding);
}

/// A sleep action that replaces whatever the hook was.
fn sleep_only(seconds: u32, container: &Container) -> Value {
    let mut hook = json!({ "sleep": { "seconds": seconds } });
    match &container.pre_stop {
        Some(Hook::Exec { .. }) => hook["exec"] = Value::Null,
        Some(Hook::Http { .. }) => hook["httpGet"] = Value::Null,
        Some(Hook::Sleep { .. }) | None => {}
    }
    hook
}

fn has_sleep_action(case: &Case<'_>) -> bool {
    case.facts.minor.is_none_or(|minor| minor >= SLEEP_ACTION)
}
