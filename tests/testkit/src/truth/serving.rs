//! How many endpoints of a Service really served over time: pods that the slices list as ready, and that are ready and not being deleted.

use super::Change;
use super::audit::AuditLog;
use super::cluster::{Cluster, Standing, shared_families, standing, uid};
use super::union::Union;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What served from one time on, until the last write.
#[derive(Clone, Debug)]
pub struct Served {
    /// The least number at any time.
    pub least: usize,
    /// How long fewer than wanted served.
    pub below: Duration,
    /// The sum over those that were missing.
    pub missing: Duration,
    begin: Timestamp,
    /// When each pod served: from and, if it stopped, to.
    spans: Vec<(Timestamp, Option<Timestamp>)>,
}

/// Follows the writes from `begin` on.
pub fn serving(log: &AuditLog, service: &str, wanted: usize, begin: Timestamp) -> Served {
    let mut cluster = Cluster::default();
    let (mut least, mut below, mut missing) = (usize::MAX, Duration::ZERO, Duration::ZERO);
    let (mut serves, mut spans) = (HashMap::new(), Vec::new());
    let mut since = begin;
    for write in log.in_order() {
        if write.answered > begin {
            least = least.min(serves.len());
            let lasted = Duration::try_from(write.answered.duration_since(since)).unwrap_or_default();
            let absent = wanted.saturating_sub(serves.len());
            if absent > 0 {
                below += lasted;
                missing += lasted * u32::try_from(absent).unwrap_or(u32::MAX);
            }
            since = since.max(write.answered);
        }
        cluster.apply(&write.written);
        let now = serving_now(&cluster, service);
        serves.retain(|uid, from| {
            let stays = now.contains(uid);
            if !stays {
                spans.push((*from, Some(write.answered)));
            }
            stays
        });
        for uid in now {
            serves.entry(uid).or_insert(write.answered);
        }
    }
    least = least.min(serves.len());
    spans.extend(serves.into_values().map(|from| (from, None)));
    Served { least, below, missing, begin, spans }
}

fn serving_now(cluster: &Cluster, service: &str) -> BTreeSet<String> {
    let Some(service) = cluster.services.get(service) else { return BTreeSet::new() };
    let union = Union::of(cluster, service);
    let serves = |pod: &&k8s_openapi::api::core::v1::Pod| {
        standing(service, Some(pod)) == Standing::Servable
            && union.shows(Change::Ready, &uid(pod), &shared_families(service, pod))
    };
    cluster.pods.values().filter(serves).map(uid).collect()
}

// === impl Served ===

impl Served {
    /// What the least number may be for someone who sees each change by up to `tolerance` earlier or later. Pods and slices are seen by
    /// different watches.
    pub fn least_seen(&self, tolerance: Duration) -> RangeInclusive<usize> {
        let tolerance = SignedDuration::try_from(tolerance).unwrap_or(SignedDuration::MAX);
        self.least_if(tolerance)..=self.least_if(-tolerance)
    }

    /// The least number if each pod begins to serve later by this, and ends earlier.
    fn least_if(&self, later: SignedDuration) -> usize {
        let spans = self.spans.iter().map(|(from, to)| (*from + later, to.map(|to| to - later)));
        let spans: Vec<_> = spans.filter(|(from, to)| to.is_none_or(|to| to > *from)).collect();
        let at =
            |time: Timestamp| spans.iter().filter(|(from, to)| *from <= time && to.is_none_or(|to| to > time)).count();
        // The number falls only where a pod ends.
        let ends = spans.iter().filter_map(|(_, to)| *to).filter(|to| *to > self.begin);
        ends.chain([self.begin]).map(at).min().unwrap_or(0)
    }
}
