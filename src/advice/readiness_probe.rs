//! The readiness probe: whether there is one, how long it takes to notice, and what makes it fail.

use super::{Finding, Severity, case::Case, checks, finding::Findings, patch::Patch, words::delay};
use crate::{
    ledger::Change,
    model::spec::{Container, ContainerPort, Handler, Hook, HttpGet, Probe, Transport},
};
use serde_json::json;
use std::time::Duration;

/// Detection up to this long, in seconds, is no finding.
const QUICK: u32 = 10;

/// How much more patience is proposed for a liveness probe that asks the same.
const MORE: u32 = 3;

/// Words by which a preStop hook names readiness.
const OF_READINESS: [&str; 6] = ["unready", "not-ready", "notready", "not_ready", "readiness", "healthcheck/fail"];

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for container in case.serving() {
        match &container.readiness {
            // There every pod gets traffic, whatever its probe says.
            None if case.service.publishes_not_ready => {}
            None => missing(case, container, findings),
            Some(probe) => {
                slow_detection(case, container, probe, findings);
                same_as_liveness(case, container, probe, findings);
                fails_on_sigterm(case, container, probe, findings);
            }
        }
    }
}

fn missing(case: &Case<'_>, container: &Container, findings: &mut Findings) {
    let gates = &case.workload().template.readiness_gates;
    let set = match &**gates {
        [] => "no readinessProbe".to_owned(),
        gates => format!("no readinessProbe; readiness gates: {}", gates.join(", ")),
    };
    // A port that the Service does not send to may be open early, or never: a probe of it is worse than none.
    let is_target = |port: &&ContainerPort| {
        port.transport == Transport::Tcp && case.service.target_ports.iter().any(|target| port.is(target))
    };
    let port = container.ports.iter().find(is_target);
    let mut finding = Finding::new(checks::READINESS_MISSING, case.target_in(container), set)
        .advice(
            "A readinessProbe that asks what a request needs: an HTTP path or gRPC health. A TCP probe is the \
             least: it shows that the port is open.",
        )
        .cost(
            "A request to each pod in each period. A probe that asks for too much, such as a database, takes \
             all pods out at once.",
        );
    if let Some(port) = port {
        let probe = json!({ "tcpSocket": { "port": port.number }, "periodSeconds": 5 });
        finding = finding.patch(patch(case, container, json!({ "readinessProbe": probe })));
    }
    findings.add(finding);
}

fn slow_detection(case: &Case<'_>, container: &Container, probe: &Probe, findings: &mut Findings) {
    let Some(measured) = case.measured else { return };
    let Some(reach) = measured.reach(Change::Unready) else { return };
    let detection = probe.patience();
    let is_slow = detection > QUICK && Duration::from_secs(detection.into()) > reach.total() * 10;
    // Where the path goes on, the measured part is a lower bound, and nothing may be said to be the larger one.
    if !is_slow || !case.service.beyond.is_empty() {
        return;
    }
    let period = (QUICK / probe.failures.max(1)).max(1);
    let (every, failures, total) = (probe.period, probe.failures, delay(reach.total()));
    let mut finding = Finding::new(
        checks::READINESS_DETECTION,
        case.target_in(container),
        format!("readinessProbe: every {every} s, {failures} failures"),
    )
    .measured(measured.in_words(Change::Unready, &reach))
    .rule(format!(
        "{every} s x {failures} = {detection} s until the probe fails, and {total} from then on until \
         no node sends to the pod"
    ))
    .advice(format!("periodSeconds: {period}, if a broken pod should be out within {QUICK} s."))
    .cost("More probes; and a short pause of the application takes it out of the endpoints sooner.");
    if period < every {
        finding = finding.patch(patch(case, container, json!({ "readinessProbe": { "periodSeconds": period } })));
    }
    findings.add(finding);
}

fn same_as_liveness(case: &Case<'_>, container: &Container, probe: &Probe, findings: &mut Findings) {
    let Some(liveness) = container.liveness.as_ref().filter(|liveness| liveness.handler == probe.handler) else {
        return;
    };
    let wanted = probe.patience().saturating_mul(MORE);
    if liveness.patience() > probe.patience() {
        return;
    }
    let failures = wanted.div_ceil(liveness.period.max(1));
    let (out, restarted) = (probe.patience(), liveness.patience());
    let finding = Finding::new(
        checks::READINESS_AS_LIVENESS,
        case.target_in(container),
        format!("both probes ask {}", asked(&probe.handler)),
    )
    .rule(format!("out of the endpoints after {out} s of failures, and restarted after {restarted} s"))
    .advice(format!(
        "livenessProbe.failureThreshold: {failures}, or a liveness probe that asks only whether the \
         process still runs."
    ))
    .cost("A process that hangs is restarted later.")
    .figure(failures)
    .patch(patch(case, container, json!({ "livenessProbe": { "failureThreshold": failures } })));
    findings.add(finding);
}

fn fails_on_sigterm(case: &Case<'_>, container: &Container, probe: &Probe, findings: &mut Findings) {
    let Some(hook) = &container.pre_stop else { return };
    let hook = match hook {
        Hook::Exec { command } => command.join(" "),
        Hook::Http { path } => path.clone(),
        Hook::Sleep { .. } => return,
    };
    let read = match &probe.handler {
        Handler::Exec { command } => command.join(" "),
        _ => String::new(),
    };
    let is_file = |word: &&str| word.starts_with('/') && !word.starts_with("/bin/") && !word.starts_with("/usr/");
    let shared = words(&read).filter(is_file).find(|file| words(&hook).any(|word| word == *file));
    let named = OF_READINESS.into_iter().find(|word| hook.to_lowercase().contains(word));
    let Some(sign) =
        shared.map(|file| format!("both use {file}")).or_else(|| named.map(|word| format!("it contains {word:?}")))
    else {
        return;
    };
    let finding = Finding::new(checks::READINESS_ON_SIGTERM, case.target_in(container), format!("preStop: {hook}"))
        .severity(Severity::Warning)
        .rule(format!("The preStop hook seems to make the readiness probe fail: {sign}"))
        .advice(
            "Let the readiness probe succeed as long as the pod can serve, also after SIGTERM, and only sleep \
             in preStop.",
        )
        .cost("Nothing: a pod that is being deleted leaves the ready endpoints without it.");
    findings.add(finding);
}

/// The words of a command, without the signs of a shell.
fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split(|it: char| it.is_whitespace() || ";&|()'\"<>".contains(it)).filter(|word| !word.is_empty())
}

fn asked(handler: &Handler) -> String {
    match handler {
        Handler::Http(HttpGet { path, port, is_https, .. }) => {
            let scheme = if *is_https { " by HTTPS" } else { "" };
            format!("{path} on port {port}{scheme}")
        }
        Handler::Tcp { port, .. } => format!("for a TCP connection to port {port}"),
        Handler::Grpc { port, service } if service.is_empty() => format!("gRPC health on port {port}"),
        Handler::Grpc { port, service } => format!("gRPC health of {service} on port {port}"),
        Handler::Exec { command } => format!("by the command {}", command.join(" ")),
    }
}

fn patch(case: &Case<'_>, container: &Container, change: serde_json::Value) -> Patch {
    case.patch(case.patch_container(container, change))
}
