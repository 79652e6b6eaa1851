//! The history of a namespace, replayed write by write.

use super::audit::{Write, Written};
use super::cluster::{Cluster, Standing, expects, is_expecting, service_name, shape, shared_families, standing, uid};
use super::union::Union;
use super::{Change, Outcome, PodName, Record};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use std::collections::BTreeSet;
use std::time::Duration;

/// The changes that follow from the writes, in the order in which they started.
pub fn replay(writes: &[&Write]) -> Vec<Record> {
    let mut history = History::default();
    for write in writes {
        match &write.written {
            Written::Pod { pod, gone } => history.pod_written(write, pod, *gone),
            Written::Service { service, .. } => history.service_written(write, service),
            Written::Slice(_) | Written::SliceGone(_) => history.slice_written(write),
        }
    }
    history.records
}

#[derive(Debug, Default)]
struct History {
    cluster: Cluster,
    records: Vec<Record>,
    /// The records without an outcome.
    pending: Vec<Pending>,
}

/// A record that waits for its reflection.
#[derive(Debug)]
struct Pending {
    record: usize,
    proof: Proof,
}

/// What the slices must show for the reflection.
#[derive(Debug)]
enum Proof {
    /// A pod's change.
    Pod {
        uid: String,
        /// Families in which the pod had an address when the change started.
        families: BTreeSet<String>,
    },
    /// A Service's change.
    Service { members: BTreeSet<String>, excluded: BTreeSet<String> },
}

impl History {
    fn pod_written(&mut self, write: &Write, pod: &Pod, gone: bool) {
        let before = self.cluster.pods.get(&uid(pod)).cloned();
        if gone && before.as_ref().is_some_and(|before| before.metadata.deletion_timestamp.is_none()) {
            // A delete without grace first writes the deletionTimestamp and then removes the pod: two watch events
            // with one answer. A slice may have been written between them.
            let services = self.cluster.services.values();
            let shown = services.filter(|it| Union::of(&self.cluster, it).lists_as_terminating(&uid(pod)));
            let shown: Vec<_> = shown.map(service_name).collect();
            let written = Written::Pod { pod: Box::new(pod.clone()), gone: false };
            self.pod_changed(write.answered, before.as_ref(), &written, pod);
            self.records.extend(shown.into_iter().map(|service| Record {
                service,
                pod: Some(pod_name(pod)),
                change: Change::Terminating,
                started: write.answered,
                outcome: Some(Outcome::Propagated(Duration::ZERO)),
            }));
            self.pod_changed(write.answered, Some(pod), &write.written, pod);
        } else {
            self.pod_changed(write.answered, before.as_ref(), &write.written, pod);
        }
    }

    fn pod_changed(&mut self, at: Timestamp, before: Option<&Pod>, written: &Written, pod: &Pod) {
        self.cluster.apply(written);
        let after = self.cluster.pods.get(&uid(pod)).cloned();
        let changes: Vec<_> = self
            .cluster
            .services
            .values()
            .filter_map(|service| {
                let change = transition(standing(service, before), standing(service, after.as_ref()))?;
                Some((service_name(service), change, shared_families(service, pod)))
            })
            .collect();
        for (service, change, families) in changes {
            let name = pod_name(pod);
            self.end_where(Outcome::Superseded, |record| {
                record.service == service && record.pod.as_ref() == Some(&name) && overtakes(change, record.change)
            });
            let record = Record { service, pod: Some(name), change, started: at, outcome: None };
            self.start(record, Proof::Pod { uid: uid(pod), families });
        }
    }

    fn service_written(&mut self, write: &Write, service: &Service) {
        let name = service_name(service);
        let before = self.cluster.services.get(&name).cloned();
        self.cluster.apply(&write.written);
        let Some(after) = self.cluster.services.get(&name).cloned() else {
            self.end_where(Outcome::Withdrawn, |record| record.service == name);
            return;
        };
        if !is_expecting(&after) {
            self.end_where(Outcome::Withdrawn, |record| record.service == name);
            return;
        }
        if before.as_ref().is_some_and(|before| is_expecting(before) && shape(before) == shape(&after)) {
            return;
        }
        // Changes of pods that the edited Service does not select are no longer expected. A pod that is gone is not among these pods:
        // the Service before selected it by its last labels.
        let left: BTreeSet<_> = self.cluster.pods.values().filter(|pod| !expects(&after, pod)).map(uid).collect();
        self.end_where(Outcome::Withdrawn, |record| {
            record.service == name && record.pod.as_ref().is_some_and(|pod| left.contains(&pod.uid))
        });
        self.end_where(Outcome::Superseded, |record| record.service == name && record.change == Change::Service);
        let members: BTreeSet<_> = self.cluster.members(&after).map(uid).collect();
        let listed = Union::of(&self.cluster, &after).listed();
        let excluded = listed.intersection(&left).cloned().collect();
        let record =
            Record { service: name, pod: None, change: Change::Service, started: write.answered, outcome: None };
        self.start(record, Proof::Service { members, excluded });
    }

    fn slice_written(&mut self, write: &Write) {
        self.cluster.apply(&write.written);
        let pending = std::mem::take(&mut self.pending);
        for pending in pending {
            let record = &self.records[pending.record];
            if self.is_reflected(record, &pending.proof) {
                let delay = write.answered.duration_since(record.started);
                // The order of answers may differ a little from that of the writes. A change is never reflected before it started.
                let delay = Duration::try_from(delay).unwrap_or_default();
                self.records[pending.record].outcome = Some(Outcome::Propagated(delay));
            } else {
                self.pending.push(pending);
            }
        }
    }

    /// Records a change, unless the slices show it already: then it is no change.
    fn start(&mut self, record: Record, proof: Proof) {
        if !self.is_reflected(&record, &proof) {
            self.pending.push(Pending { record: self.records.len(), proof });
            self.records.push(record);
        }
    }

    fn is_reflected(&self, record: &Record, proof: &Proof) -> bool {
        let Some(service) = self.cluster.services.get(&record.service) else { return false };
        let union = Union::of(&self.cluster, service);
        match proof {
            Proof::Pod { uid, families } => union.shows(record.change, uid, families),
            Proof::Service { members, excluded } => union.shows_service(&self.cluster, members, excluded),
        }
    }

    fn end_where(&mut self, outcome: Outcome, ends: impl Fn(&Record) -> bool) {
        let records = &mut self.records;
        self.pending.retain(|pending| {
            let record = &mut records[pending.record];
            let ended = ends(record);
            if ended {
                record.outcome = Some(outcome);
            }
            !ended
        });
    }
}

fn pod_name(pod: &Pod) -> PodName {
    PodName { name: pod.metadata.name.clone().unwrap_or_default(), uid: uid(pod) }
}

/// The change of a pod between two of its standings in a Service.
fn transition(before: Standing, after: Standing) -> Option<Change> {
    match (before, after) {
        (Standing::Out, Standing::Out) => None,
        (_, Standing::Out) => Some(Change::Removed),
        (Standing::Out | Standing::Unservable, Standing::Servable) => Some(Change::Ready),
        (Standing::Servable, Standing::Unservable) => Some(Change::Unready),
        (Standing::Unservable | Standing::Servable, Standing::Terminating) => Some(Change::Terminating),
        _ => None,
    }
}

/// Whether `later` is the opposite of `earlier`: slices that show one cannot show the other. A pod that leaves for
/// good is also unready and terminating, so those changes stay pending until the slices show that.
fn overtakes(later: Change, earlier: Change) -> bool {
    match later {
        Change::Ready => matches!(earlier, Change::Unready | Change::Removed),
        Change::Unready | Change::Terminating | Change::Removed => earlier == Change::Ready,
        Change::Service => false,
    }
}
