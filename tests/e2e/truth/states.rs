//! Which Service owns a slice, and which pods are expected.

use super::*;

/// The Service with the same name after the deletion of the first.
fn made_anew() -> Value {
    let mut service = service();
    service["metadata"]["uid"] = json!("s1");
    service
}

#[test]
fn slices_of_an_old_service_show_nothing_of_the_new_one() -> Result<()> {
    let mut log = Log::default();
    log.service(0).slice(10, "a", &[]).pod(100, true).slice(120, "a", &[ready()]);
    log.write(200, "delete", "services", service()).write(210, "create", "services", made_anew());
    let before = [SERVICE, (Change::Ready, "propagated", 20)];
    assert_eq!(log.changes()?, [before[0], before[1], (Change::Service, "pending", 0)]);
    let mut own = slice("b", "IPv4", &[ready()]);
    own["metadata"]["ownerReferences"][0]["uid"] = json!("s1");
    log.write(250, "create", "endpointslices", own);
    assert_eq!(log.changes()?, [before[0], before[1], (Change::Service, "propagated", 40)]);
    Ok(())
}

#[test]
fn a_service_in_deletion_expects_nothing() -> Result<()> {
    let mut log = Log::default();
    let mut held = service();
    held["metadata"]["finalizers"] = json!(["tests/held"]);
    log.service(0).slice(10, "a", &[]).pod(100, true);
    held["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    log.write(150, "delete", "services", held.clone()).pod(200, false).pod(210, true);
    let expected = [SERVICE, (Change::Ready, "withdrawn", 0)];
    assert_eq!(log.changes()?, expected);
    // The write that removes the finalizer also removes the Service.
    held["metadata"]["finalizers"] = json!(null);
    log.write(300, "patch", "services", held).write(310, "create", "services", made_anew());
    assert_eq!(log.changes()?, [expected[0], expected[1], (Change::Service, "pending", 0)]);
    Ok(())
}

#[test]
fn a_dropped_family_has_to_go() -> Result<()> {
    let mut log = Log::default();
    let (mut dual, mut pod) = (service(), pod(true));
    dual["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    pod["status"]["podIPs"] = json!([{ "ip": "10.244.0.1" }, { "ip": "fd00::1" }]);
    log.write(0, "create", "services", dual).slice(5, "a", &[]);
    log.write(10, "update", "endpointslices", slice("b", "IPv6", &[])).write(100, "patch", "pods", pod);
    log.slice(110, "a", &[ready()]).write(120, "update", "endpointslices", slice("b", "IPv6", &[ready()]));
    log.write(200, "patch", "services", service());
    let before = [SERVICE, (Change::Ready, "propagated", 20)];
    assert_eq!(log.changes()?, [before[0], before[1], (Change::Service, "pending", 0)]);
    log.line(230, "delete", "endpointslices", 200, json!({ "metadata": { "name": "b" } }));
    assert_eq!(log.changes()?, [before[0], before[1], (Change::Service, "propagated", 30)]);
    Ok(())
}

#[test]
fn of_two_ready_conditions_the_first_counts() -> Result<()> {
    let mut log = Log::default();
    let mut pod = pod(false);
    let condition = |status| json!({ "type": "Ready", "status": status });
    pod["status"]["conditions"] = json!([condition("False"), condition("True")]);
    log.service(0).slice(10, "a", &[]).write(100, "patch", "pods", pod.clone());
    assert_eq!(log.changes()?, [SERVICE]);
    pod["status"]["conditions"] = json!([condition("True"), condition("False")]);
    log.write(200, "patch", "pods", pod).slice(215, "a", &[ready()]);
    assert_eq!(log.changes()?, [SERVICE, (Change::Ready, "propagated", 15)]);
    Ok(())
}
