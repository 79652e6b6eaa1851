//! The control plane of the tests itself: its parts can be stopped and started again, and the truth stays right.

use super::changes::selecting;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::{ControlPlane, Controllers, Options};
use testkit::truth::audit::AuditLog;
use testkit::truth::{self, Change, Outcome, Record};

/// Ample time until a write that was answered is in the audit log.
const SOON: Duration = Duration::from_secs(30);

/// A pod becomes Ready while no slices are written, and one after the API server crashed. The delay of the first is as long as
/// the controllers were stopped.
#[tokio::test]
async fn parts_stop_and_come_back() -> Result<()> {
    const AWAY: Duration = Duration::from_secs(1);
    let mut plane = ControlPlane::start(Options { dual_stack: true, ..Options::default() }).await?;
    let objects = Objects::create(plane.admin().await?, "restarts").await?;
    let mut audit = AuditLog::open(&plane.audit_log(), "restarts")?;
    let mut spec = selecting("web");
    spec["ipFamilyPolicy"] = "RequireDualStack".into();
    objects.create_service("web", spec).await?;
    let first = objects.create_pod("web-0", "web").await?;
    objects.wait_for_slices("web", |slices| slices.len() == 2).await?;

    plane.stop_controllers().await?;
    objects.report_dual_stack(&first, true).await?;
    tokio::time::sleep(AWAY).await;
    audit.refresh()?;
    let pending = ready_of(&audit, &first.uid)?;
    assert_eq!(pending.outcome, None, "{pending}");
    plane.start_controllers(Controllers { max_endpoints_per_slice: 1, ..Controllers::default() }).await?;
    objects.wait_for_slices("web", |slices| endpoints(slices) == 2).await?;
    ended(&mut audit, &first.uid).await?;

    plane.kill_api_server()?;
    plane.kill_etcd();
    plane.start_etcd().await?;
    plane.start_api_server().await?;
    let second = objects.create_pod("web-1", "web").await?;
    objects.report_dual_stack(&second, true).await?;
    let slices = objects.wait_for_slices("web", |slices| endpoints(slices) == 4).await?;
    assert_eq!(slices.len(), 4, "one endpoint a slice, two families");

    let first = ended(&mut audit, &first.uid).await?;
    assert!(matches!(first.outcome, Some(Outcome::Propagated(delay)) if delay >= AWAY), "{first}");
    let second = ended(&mut audit, &second.uid).await?;
    assert!(matches!(second.outcome, Some(Outcome::Propagated(_))), "{second}");
    Ok(())
}

fn endpoints(slices: &[k8s_openapi::api::discovery::v1::EndpointSlice]) -> usize {
    slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).sum()
}

/// The `ready` of a pod, once it has ended in the audit log: a slice can be read before its write is answered and logged.
async fn ended(audit: &mut AuditLog, uid: &str) -> Result<Record> {
    let started = Instant::now();
    loop {
        audit.refresh()?;
        let record = ready_of(audit, uid);
        if record.as_ref().is_ok_and(|record| record.outcome.is_some()) || started.elapsed() > SOON {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn ready_of(audit: &AuditLog, uid: &str) -> Result<Record> {
    let of = |record: &Record| record.change == Change::Ready && record.pod.as_ref().is_some_and(|pod| pod.uid == uid);
    truth::records(audit).into_iter().find(of).with_context(|| format!("no `ready` of pod {uid}"))
}
