//! How long pods took to start, as a daemon with --pod-startup has seen it.

use crate::{
    model::spec::{StartSource, StartTimes, Workload, WorkloadKind},
    propagation::ServiceName,
    startup::{Finished, Phase},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The first starts of pods, by Service.
#[derive(Clone, Debug, Default)]
pub struct Starts(BTreeMap<Arc<ServiceName>, Vec<Start>>);

/// The first start of a pod, from that of its last container.
#[derive(Clone, Debug)]
struct Start {
    pod: Arc<str>,
    /// Until all its containers were ready.
    containers_ready: Duration,
    /// Until it was Ready.
    ready: Duration,
}

/// The starts of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartsOfWorkload {
    pub(super) containers_ready: StartTimes,
    pub(super) ready: StartTimes,
}

// === impl Starts ===

impl Starts {
    /// The last starts that a daemon has seen.
    pub fn of(finished: &Finished) -> Self {
        let mut starts = Self::default();
        for timeline in finished.newest() {
            let phase = |phase| timeline.phases.get(phase);
            starts.add(
                &timeline.service,
                timeline.pod.name.clone(),
                phase(Phase::ContainersReady),
                phase(Phase::ReadinessGates),
            );
        }
        starts
    }

    /// Adds a start: the time from the start of its last container until all were ready, if that is known, and from then until the pod
    /// was Ready, if it has readiness gates.
    pub fn add(&mut self, service: &Arc<ServiceName>, pod: Arc<str>, ready: Option<Duration>, gates: Option<Duration>) {
        if let Some(containers_ready) = ready {
            let ready = containers_ready + gates.unwrap_or_default();
            self.0.entry(service.clone()).or_default().push(Start { pod, containers_ready, ready });
        }
    }

    /// Those of a workload behind a Service. The names of its pods tell that they are its own.
    pub(super) fn of_workload(&self, service: &ServiceName, workload: &Workload) -> Option<StartsOfWorkload> {
        let own: Vec<_> = self.0.get(service)?.iter().filter(|start| is_of(&start.pod, workload)).collect();
        let times = |took: fn(&Start) -> Duration| {
            let times = StartTimes::of(own.iter().map(|start| super::words::ceil(took(start))).collect())?;
            Some(StartTimes { source: StartSource::Phases, ..times })
        };
        let (containers_ready, ready) = (times(|start| start.containers_ready)?, times(|start| start.ready)?);
        Some(StartsOfWorkload { containers_ready, ready })
    }
}

/// Whether a pod has such a name as the controllers give: `NAME-HASH-RANDOM`, `NAME-NUMBER` or `NAME-RANDOM`. Of a very long name they keep
/// only the beginning; then it is not told.
fn is_of(pod: &str, workload: &Workload) -> bool {
    let Some(rest) = pod.strip_prefix(&workload.name).and_then(|rest| rest.strip_prefix('-')) else { return false };
    match workload.kind {
        WorkloadKind::Deployment => rest.split('-').count() == 2,
        WorkloadKind::StatefulSet => !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()),
        WorkloadKind::DaemonSet => !rest.is_empty() && !rest.contains('-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::{PodTemplate, Strategy};

    fn workload(kind: WorkloadKind, name: &str) -> Workload {
        Workload {
            kind,
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            replicas: 3,
            strategy: Strategy::OnDelete,
            min_ready_seconds: 0,
            template: PodTemplate::default(),
            ignored: None,
        }
    }

    #[test]
    fn pods_belong_to_the_workload_that_their_names_tell() {
        let of = |kind, pod| is_of(pod, &workload(kind, "web"));
        use WorkloadKind::{DaemonSet, Deployment, StatefulSet};
        let own = [(Deployment, "web-5d4f-x7k2p"), (StatefulSet, "web-10"), (DaemonSet, "web-x7k2p")];
        assert!(own.into_iter().all(|(kind, pod)| of(kind, pod)));
        let others = [
            (Deployment, "web-canary-5d4f-x7k2p"),
            (Deployment, "website-5d4f-x7k2p"),
            (Deployment, "web-0"),
            (StatefulSet, "web-x7k2p"),
            (StatefulSet, "web-"),
            (DaemonSet, "web-5d4f-x7k2p"),
            (DaemonSet, "api-x7k2p"),
        ];
        assert!(others.into_iter().all(|(kind, pod)| !of(kind, pod)));
    }

    #[test]
    fn starts_are_those_of_the_service_and_the_workload_with_and_without_their_gates() {
        let name = |name: &str| Arc::new(ServiceName { namespace: "shop".into(), name: name.into() });
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let mut starts = Starts::default();
        starts.add(&name("web"), "web-0".into(), seconds(9), None);
        starts.add(&name("web"), "web-1".into(), seconds(2), seconds(88));
        starts.add(&name("web"), "web-2".into(), None, None);
        starts.add(&name("web"), "other-0".into(), seconds(99), None);
        starts.add(&name("api"), "web-3".into(), seconds(99), None);
        let web = workload(WorkloadKind::StatefulSet, "web");
        let times = |median, longest| StartTimes { pods: 2, median, longest, source: StartSource::Phases };
        let expected = StartsOfWorkload { containers_ready: times(2, 9), ready: times(9, 90) };
        assert_eq!(starts.of_workload(&name("web"), &web), Some(expected));
        assert_eq!(starts.of_workload(&name("none"), &web), None);
    }
}
