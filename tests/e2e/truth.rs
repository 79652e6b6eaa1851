//! The truth itself, on hand-made lines of an audit log: it must be right before the daemon is compared with it.

mod states;

use anyhow::Result;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use testkit::truth::audit::AuditLog;
use testkit::truth::{self, Change, Outcome};

/// An audit log that is being made. Each write has the next version of the store; times are milliseconds.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    version: u64,
}

impl Log {
    fn write(&mut self, at: u32, verb: &str, resource: &str, mut object: Value) -> &mut Self {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.line(at, verb, resource, 200, object)
    }

    fn line(&mut self, at: u32, verb: &str, resource: &str, code: u16, answer: Value) -> &mut Self {
        let name = &answer["metadata"]["name"];
        let line = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": verb,
            "user": { "username": "someone" },
            "objectRef": { "resource": resource, "namespace": "here", "name": name },
            "responseStatus": { "code": code },
            "responseObject": answer,
            "stageTimestamp": format!("2026-01-01T00:00:{:02}.{:03}000Z", at / 1000, at % 1000),
        });
        self.lines.push(line.to_string());
        self
    }

    fn service(&mut self, at: u32) -> &mut Self {
        self.write(at, "create", "services", service())
    }

    fn pod(&mut self, at: u32, ready: bool) -> &mut Self {
        self.write(at, "patch", "pods", pod(ready))
    }

    fn slice(&mut self, at: u32, name: &str, endpoints: &[Value]) -> &mut Self {
        self.write(at, "update", "endpointslices", slice(name, "IPv4", endpoints))
    }

    /// Kind, outcome and delay in milliseconds of each change.
    fn changes(&self) -> Result<Vec<(Change, &'static str, u128)>> {
        let mut file = tempfile::NamedTempFile::new()?;
        for line in &self.lines {
            writeln!(file, "{line}")?;
        }
        let mut log = AuditLog::open(file.path(), "here")?;
        log.refresh()?;
        let outcome = |outcome| match outcome {
            None => ("pending", Duration::ZERO),
            Some(Outcome::Propagated(delay)) => ("propagated", delay),
            Some(Outcome::Superseded) => ("superseded", Duration::ZERO),
            Some(Outcome::Withdrawn) => ("withdrawn", Duration::ZERO),
        };
        let records = truth::records(&log).into_iter();
        Ok(records
            .map(|record| {
                let (outcome, delay) = outcome(record.outcome);
                (record.change, outcome, delay.as_millis())
            })
            .collect())
    }
}

fn service() -> Value {
    json!({
        "metadata": { "name": "web", "uid": "s0" },
        "spec": {
            "selector": { "app": "web" }, "ipFamilies": ["IPv4"],
            "ports": [{ "port": 80, "targetPort": 8080, "protocol": "TCP" }],
        },
    })
}

fn pod(ready: bool) -> Value {
    json!({
        "metadata": { "name": "web-0", "uid": "u0", "labels": { "app": "web" } },
        "status": {
            "phase": "Running", "podIPs": [{ "ip": "10.244.0.1" }],
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        },
    })
}

fn terminating(grace: u32) -> Value {
    let mut pod = pod(true);
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    pod
}

fn slice(name: &str, family: &str, endpoints: &[Value]) -> Value {
    json!({
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s0" }],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
    })
}

fn endpoint(conditions: Value) -> Value {
    json!({ "addresses": ["10.244.0.1"], "conditions": conditions, "targetRef": { "kind": "Pod", "uid": "u0" } })
}

fn ready() -> Value {
    endpoint(json!({ "ready": true, "serving": true, "terminating": false }))
}

fn unready() -> Value {
    endpoint(json!({ "ready": false, "serving": false, "terminating": false }))
}

const SERVICE: (Change, &str, u128) = (Change::Service, "propagated", 10);

#[test]
fn a_delay_lies_between_two_answers() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(125, "a", &[ready()]);
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "propagated", 25)]);
    Ok(())
}

/// Lines are in the order of the answers. The order of the writes counts.
#[test]
fn answers_may_overtake_each_other() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(98, "a", &[ready()]);
    log.lines.swap(2, 3);
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "propagated", 0)]);
    Ok(())
}

#[test]
fn a_flap_before_the_controller_wrote_is_superseded_and_leaves_nothing() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).pod(110, false).slice(130, "a", &[unready()]);
    log.pod(200, true).slice(240, "a", &[ready()]);
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "superseded", 0), (Change::Ready, "propagated", 40)]);
    Ok(())
}

#[test]
fn an_endpoint_that_moves_between_slices_never_left() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "a", &[ready()]).slice(140, "b", &[ready()]);
    log.write(150, "delete", "pods", terminating(0)).slice(170, "a", &[]).slice(190, "b", &[]);
    let leaving = [(Change::Terminating, "propagated", 40), (Change::Removed, "propagated", 40)];
    assert_eq!(log.changes()?[2..], leaving);
    Ok(())
}

#[test]
fn unset_conditions_mean_ready_and_not_terminating() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "a", &[endpoint(json!({}))]);
    log.write(200, "delete", "pods", terminating(30)).slice(210, "a", &[endpoint(json!({}))]);
    log.slice(230, "a", &[endpoint(json!({ "ready": false, "terminating": true }))]);
    let expected = [SERVICE, (Change::Ready, "propagated", 20), (Change::Terminating, "propagated", 30)];
    assert_eq!(log.changes()?, expected);
    Ok(())
}

/// A deleted slice has no version in the log. It is placed by the time of its answer.
#[test]
fn a_deleted_slice_can_be_the_reflection() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "b", &[ready()]);
    log.write(200, "delete", "pods", terminating(0));
    let gone = json!({ "kind": "Status", "metadata": { "name": "b" } });
    log.line(215, "delete", "endpointslices", 200, gone).slice(400, "a", &[]);
    let leaving = [(Change::Terminating, "propagated", 15), (Change::Removed, "propagated", 15)];
    assert_eq!(log.changes()?[2..], leaving);
    Ok(())
}

/// A delete without grace is two writes with one answer, and the controller may write before the second.
#[test]
fn a_slice_written_in_the_middle_of_a_delete_counts() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "a", &[ready()]);
    log.slice(205, "a", &[endpoint(json!({ "ready": false, "serving": true, "terminating": true }))]);
    log.write(210, "delete", "pods", terminating(0)).slice(220, "a", &[]);
    let leaving = [(Change::Terminating, "propagated", 0), (Change::Removed, "propagated", 10)];
    assert_eq!(log.changes()?[2..], leaving);
    Ok(())
}

/// Of two families one may be written in the middle of a delete, and the other after it: this is still one change.
#[test]
fn a_delete_is_shown_by_the_last_family() -> Result<()> {
    let mut dual = service();
    dual["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    let with_addresses = |mut pod: Value| {
        pod["status"]["podIPs"] = json!([{ "ip": "10.244.0.1" }, { "ip": "fd00::1" }]);
        pod
    };
    let leaving = endpoint(json!({ "ready": false, "serving": true, "terminating": true }));

    let mut log = Log::default();
    log.write(0, "create", "services", dual).slice(5, "a", &[]);
    log.write(10, "create", "endpointslices", slice("b", "IPv6", &[]));
    log.write(100, "patch", "pods", with_addresses(pod(true))).slice(120, "a", &[ready()]);
    log.write(125, "update", "endpointslices", slice("b", "IPv6", &[ready()]));
    log.slice(205, "a", std::slice::from_ref(&leaving));
    log.write(210, "delete", "pods", with_addresses(terminating(0)));
    log.write(220, "update", "endpointslices", slice("b", "IPv6", &[leaving])).slice(230, "a", &[]);
    log.write(240, "update", "endpointslices", slice("b", "IPv6", &[]));
    let leaving = [(Change::Terminating, "propagated", 10), (Change::Removed, "propagated", 30)];
    assert_eq!(log.changes()?[2..], leaving);
    Ok(())
}

#[test]
fn termination_leaves_an_unready_change_pending_and_overtakes_a_ready_one() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "a", &[ready()]);
    log.pod(200, false).write(250, "delete", "pods", terminating(30));
    log.slice(300, "a", &[endpoint(json!({ "ready": false, "serving": false, "terminating": true }))]);
    let expected = [(Change::Unready, "propagated", 100), (Change::Terminating, "propagated", 50)];
    assert_eq!(log.changes()?[2..], expected);

    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).write(105, "delete", "pods", terminating(30));
    // It was never listed, so its end needs no reflection either.
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "superseded", 0)]);
    Ok(())
}

#[test]
fn a_pod_that_stops_before_it_was_listed_changes_nothing() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, false).write(200, "delete", "pods", terminating(0));
    assert_eq!(log.changes()?, [SERVICE]);
    Ok(())
}

#[test]
fn a_deleted_service_withdraws_what_is_pending() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).write(150, "delete", "services", service());
    log.slice(160, "a", &[ready()]);
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "withdrawn", 0)]);
    Ok(())
}

#[test]
fn an_edited_selector_waits_for_both_sides() -> Result<()> {
    let mut edited = service();
    edited["spec"]["selector"] = json!({ "app": "api" });
    let mut other = pod(true);
    other["metadata"] = json!({ "name": "api-0", "uid": "u1", "labels": { "app": "api" } });
    let mut other_endpoint = ready();
    other_endpoint["targetRef"]["uid"] = json!("u1");

    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "a", &[ready()]).write(130, "create", "pods", other);
    log.write(200, "patch", "services", edited).slice(210, "a", &[ready(), other_endpoint.clone()]);
    log.slice(230, "a", &[other_endpoint]);
    let expected = [SERVICE, (Change::Ready, "propagated", 20), (Change::Service, "propagated", 30)];
    assert_eq!(log.changes()?, expected);
    Ok(())
}

#[test]
fn edited_ports_wait_for_the_slice_that_has_them() -> Result<()> {
    let mut edited = service();
    edited["spec"]["ports"][0]["targetPort"] = json!(9090);
    let mut moved = slice("b", "IPv4", &[ready()]);
    moved["ports"][0]["port"] = json!(9090);

    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "a", &[ready()]);
    log.write(200, "patch", "services", edited).write(210, "create", "endpointslices", moved).slice(230, "a", &[]);
    assert_eq!(log.changes()?[2..], [(Change::Service, "propagated", 30)]);
    Ok(())
}

#[test]
fn the_last_family_counts() -> Result<()> {
    let mut dual = service();
    dual["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    let mut dual_pod = pod(true);
    dual_pod["status"]["podIPs"] = json!([{ "ip": "10.244.0.1" }, { "ip": "fd00::1" }]);

    let mut log = Log::default();
    log.write(0, "create", "services", dual).slice(5, "a", &[]);
    log.write(10, "create", "endpointslices", slice("b", "IPv6", &[]));
    log.write(100, "patch", "pods", dual_pod).slice(120, "a", &[ready()]);
    log.write(140, "update", "endpointslices", slice("b", "IPv6", &[ready()]));
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "propagated", 40)]);
    Ok(())
}

#[test]
fn a_publishing_service_is_judged_by_serving() -> Result<()> {
    let mut publishing = service();
    publishing["spec"]["publishNotReadyAddresses"] = json!(true);
    let published =
        |serving, terminating| endpoint(json!({ "ready": true, "serving": serving, "terminating": terminating }));

    let mut log = Log::default();
    log.write(0, "create", "services", publishing).slice(10, "a", &[]).pod(50, false).slice(
        60,
        "a",
        &[published(false, false)],
    );
    log.pod(100, true).slice(120, "a", &[published(true, false)]);
    log.pod(200, false).slice(230, "a", &[published(false, false)]);
    log.write(300, "delete", "pods", terminating(30)).slice(340, "a", &[published(false, true)]);
    let expected = [
        (Change::Ready, "propagated", 20),
        (Change::Unready, "propagated", 30),
        (Change::Terminating, "propagated", 40),
    ];
    assert_eq!(log.changes()?[1..], expected);
    Ok(())
}

#[test]
fn what_was_refused_or_is_not_the_controllers_does_not_count() -> Result<()> {
    let mut by_hand = slice("c", "IPv4", &[ready()]);
    by_hand["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("a-person");

    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true);
    log.line(105, "update", "endpointslices", 409, json!({ "kind": "Status", "metadata": {} }));
    log.write(110, "create", "endpointslices", by_hand);
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "pending", 0)]);
    Ok(())
}
