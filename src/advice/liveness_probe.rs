//! The liveness probe: whether there is one, and whether it waits for the start.

use super::{Finding, Severity, case::Case, checks, finding::Findings, words::containers_ready};
use crate::model::spec::{Beyond, Container, Handler, HttpGet, Probe};
use serde_json::{Value, json};

/// The least number of pods whose start-up is taken for how the workload starts.
pub(super) const ENOUGH_PODS: u32 = 3;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for container in case.serving() {
        match &container.liveness {
            None => findings.add(missing(case, container)),
            Some(probe) if container.startup.is_none() => eager(case, container, probe, findings),
            Some(_) => {}
        }
    }
}

fn missing(case: &Case<'_>, container: &Container) -> Finding {
    Finding::new(checks::LIVENESS_MISSING, case.target_in(container), "no livenessProbe")
        .advice(
            "Nothing, if the process ends by itself when it cannot go on. Otherwise a probe that asks only \
             whether it still runs.",
        )
        .cost("A liveness probe that is wrong restarts pods that work.")
}

fn eager(case: &Case<'_>, container: &Container, probe: &Probe, findings: &mut Findings) {
    let startup = case.backing.containers_ready.filter(|startup| startup.pods >= ENOUGH_PODS);
    let Some(startup) = startup else { return };
    // A pod is Ready no earlier than its readiness probe asks, however early the application is up.
    let by_readiness = container.readiness.as_ref().map_or(0, |it| it.initial_delay.saturating_add(it.period));
    let own = startup.longest.saturating_sub(by_readiness);
    let allowed = probe.first_effect();
    let wanted = own.saturating_mul(3).div_ceil(2);
    if allowed >= wanted {
        return;
    }
    let without = match by_readiness {
        0 => String::new(),
        seconds => format!(
            ", where {own} s is the longest start-up without the {seconds} s (initialDelaySeconds + periodSeconds) that \
             the readiness probe can add"
        ),
    };
    let period = probe.period.max(1);
    // The first failure comes at once, and each further one a period later.
    let failures = startup.longest.saturating_mul(2).div_ceil(period).saturating_add(1);
    let (delay, given_up) = (probe.initial_delay, probe.failures);
    let started = json!({ "periodSeconds": period, "timeoutSeconds": probe.timeout, "failureThreshold": failures });
    let finding = Finding::new(
        checks::LIVENESS_EAGER,
        case.target_in(container),
        format!("livenessProbe: first after {delay} s, every {period} s, {given_up} failures; no startupProbe"),
    )
    .measured(containers_ready(&startup))
    .rule(format!("{allowed} s until the first restart, and 1.5 x {own} s = {wanted} s are wanted{without}"))
    .cost("A container that hangs while it starts is restarted later.")
    .figure(failures);
    let advice = format!("A startupProbe that asks the same, every {period} s, failureThreshold: {failures}.");
    findings.add(match doubt(case, container, probe, own) {
        Some(doubt) => finding.severity(Severity::Note).advice(format!("Nothing, if {doubt}. Otherwise: {advice}")),
        None => {
            let change = json!({ "startupProbe": with_handler(started, &probe.handler) });
            finding.advice(advice).patch(case.patch(case.patch_container(container, change)))
        }
    });
}

/// Why it may not be this container that took so long, or not its start.
fn doubt(case: &Case<'_>, container: &Container, probe: &Probe, own: u32) -> Option<String> {
    let template = &case.workload().template;
    let others: Vec<_> = template.running().filter(|it| it.name != container.name).collect();
    // A startup probe of a native sidecar holds back the start of the containers, so it is no part of the time.
    let decides = |it: &&&Container| it.readiness.is_some() || (it.startup.is_some() && !case.is_sidecar(it));
    if let Some(other) = others.iter().find(decides) {
        return Some(format!("it was container {} that took so long, which is not known here", other.name));
    }
    let injected = case.service.beyond.iter().find_map(|beyond| match beyond {
        Beyond::Mesh(proxy) if template.running().all(|it| it.name != *proxy) => Some(proxy),
        _ => None,
    });
    if let Some(proxy) = injected {
        return Some(format!("it was {proxy} that took so long, which something adds to the pods"));
    }
    let latest = probe.last_effect();
    // So what was slow is not what the probe asks for, or not the start.
    (own > latest).then(|| {
        format!(
            "the pods are of this template: after {latest} s of failures they would have been restarted, so the probe \
             succeeded before they were ready, or they were unready in between"
        )
    })
}

/// Adds what is asked, as in a manifest.
fn with_handler(mut probe: Value, handler: &Handler) -> Value {
    let (key, value) = match handler {
        Handler::Http(http) => ("httpGet", http_get(http)),
        Handler::Tcp { port, host } => ("tcpSocket", with_host(json!({ "port": port_value(port) }), host)),
        Handler::Grpc { port, service } if service.is_empty() => ("grpc", json!({ "port": port_value(port) })),
        Handler::Grpc { port, service } => ("grpc", json!({ "port": port_value(port), "service": service })),
        Handler::Exec { command } => ("exec", json!({ "command": command })),
    };
    probe[key] = value;
    probe
}

/// All of the request: a server of HTTPS answers HTTP with an error, and one that needs a header answers without it with another.
fn http_get(HttpGet { path, port, is_https, host, headers }: &HttpGet) -> Value {
    let mut request = with_host(json!({ "path": path, "port": port_value(port) }), host);
    if *is_https {
        request["scheme"] = json!("HTTPS");
    }
    if !headers.is_empty() {
        request["httpHeaders"] = headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    }
    request
}

fn with_host(mut asked: Value, host: &Option<String>) -> Value {
    if let Some(host) = host {
        asked["host"] = json!(host);
    }
    asked
}

/// A number where the port is one, because names must not be numbers.
fn port_value(port: &str) -> Value {
    port.parse::<u16>().map_or_else(|_| json!(port), |number| json!(number))
}
