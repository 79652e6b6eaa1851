//! Changes of a Service itself: created, or edited so that its slices must show something else.

use super::{Ending, Tracker};
use crate::{
    cluster::{
        event::Seen,
        object::{EndpointPort, NamedPort, Service, TargetPort},
    },
    propagation::{
        change::Change,
        membership::{PodId, ServiceId},
        pair::Desired,
        pending::PendingId,
    },
};
use std::collections::HashSet;

/// What the slices owe a Service since its last edit.
#[derive(Debug)]
pub(super) struct Edit {
    pending: PendingId,
    /// Pods that were expected at the edit and still are: each must be listed, with the Service's ports.
    awaited: HashSet<PodId>,
    /// Pods that the edit excluded: none may be listed. Held, so that their indices stay theirs.
    excluded: HashSet<PodId>,
    /// A pod that stood in the way at the last look. While it does, the others need no look.
    blocker: Option<PodId>,
}

// === impl Edit ===

impl Edit {
    pub(super) fn pending(&self) -> PendingId {
        self.pending
    }

    pub(super) fn into_excluded(self) -> HashSet<PodId> {
        self.excluded
    }
}

// === impl Tracker ===

impl Tracker {
    /// The Service was created or edited, and its slices must follow. `ahead` is when they last changed, if that was after
    /// the Service's state until now began: what they show already, they then may have come to show for this edit.
    pub(super) fn start_edit(
        &mut self,
        service: ServiceId,
        excluded: HashSet<PodId>,
        seen: Seen,
        mut ahead: Option<Seen>,
    ) {
        if !self.measuring {
            return;
        }
        if let Some(edit) = &self.services.get(service).edit {
            // They never followed that edit, so what they show is what they showed before it.
            ahead = None;
            self.end(edit.pending, seen.at, Ending::Superseded);
        }
        let expected = self.services.get(service).pairs().filter(|(_, pair)| pair.desired != Desired::Out);
        let awaited: HashSet<PodId> = expected.map(|(pod, _)| pod).collect();
        let shown = !awaited.iter().any(|pod| self.owes(service, *pod))
            && !excluded.iter().any(|pod| self.lingers(service, *pod))
            && (!awaited.is_empty() || self.has_every_slice(service));
        if !shown {
            let pending = self.start(service, None, Change::Service, seen);
            for pod in &excluded {
                self.pods.hold(*pod);
            }
            self.services.get_mut(service).edit = Some(Edit { pending, awaited, excluded, blocker: None });
        } else if let Some(mark) = ahead {
            self.report_reordered(service, None, Change::Service, seen, mark);
        }
    }

    /// Looks whether the slices show the last edit. `by_slice` says that a slice event is the cause to look: if something
    /// else takes the last obstacle away, there is no delay to speak of.
    pub(super) fn check_edit(&mut self, service: ServiceId, seen: Seen, by_slice: bool) {
        let Some(edit) = &self.services.get(service).edit else { return };
        let obstacle = |pod: &PodId| {
            (edit.awaited.contains(pod) && self.owes(service, *pod))
                || (edit.excluded.contains(pod) && self.lingers(service, *pod))
        };
        if edit.blocker.as_ref().is_some_and(obstacle) {
            return;
        }
        let (pending, blocker) =
            (edit.pending, edit.awaited.iter().chain(&edit.excluded).find(|pod| obstacle(pod)).copied());
        let lacks_slice = edit.awaited.is_empty() && !self.has_every_slice(service);
        if let Some(edit) = &mut self.services.get_mut(service).edit {
            edit.blocker = blocker;
        }
        if blocker.is_none() && !lacks_slice {
            self.end(pending, seen.at, if by_slice { Ending::Reflected(seen) } else { Ending::Withdrawn });
        }
    }

    /// The pod is not expected any more: the last edit need not wait for it.
    pub(super) fn no_longer_awaited(&mut self, service: ServiceId, pod: PodId) {
        if let Some(edit) = &mut self.services.get_mut(service).edit {
            edit.awaited.remove(&pod);
        }
    }

    /// Whether the slices do not list an expected pod everywhere with the Service's ports.
    fn owes(&self, service: ServiceId, pod: PodId) -> bool {
        let state = self.services.get(service);
        let (Some(spec), Some(pair), Some(known)) = (state.spec(), state.pair(pod), self.pods.known(pod)) else {
            return false;
        };
        let ports = endpoint_ports(spec, &known.ports);
        let mut others = state.slices.iter().map(|id| self.slices.get(*id)).filter(|slice| *slice.ports != *ports);
        !pair.is_listed_everywhere() || others.any(|slice| slice.lists(pod))
    }

    /// Whether the slices still list a pod that the Service does not expect.
    fn lingers(&self, service: ServiceId, pod: PodId) -> bool {
        self.services.get(service).pair(pod).is_some_and(|pair| pair.desired == Desired::Out && pair.is_listed())
    }

    /// Whether there is a slice of each family of the Service, be it an empty one.
    fn has_every_slice(&self, service: ServiceId) -> bool {
        let state = self.services.get(service);
        let has = |family| state.slices.iter().any(|id| self.slices.get(*id).family == family);
        state.spec().is_some_and(|spec| spec.families.iter().all(has))
    }

    /// Whether an edit changed the ports that slices show for any expected pod. The Service's own port numbers are not
    /// among them, and two names may mean the same number.
    pub(super) fn ports_differ(&self, service: ServiceId, old: &Service, new: &Service) -> bool {
        let expected = self.services.get(service).pairs().filter(|(_, pair)| pair.desired != Desired::Out);
        let mut known = expected.filter_map(|(pod, _)| self.pods.known(pod));
        old.ports != new.ports
            && known.any(|known| endpoint_ports(old, &known.ports) != endpoint_ports(new, &known.ports))
    }
}

/// The ports that a slice shows for a pod, sorted, as `getEndpointPorts` of k8s.io/endpointslice finds them: a port whose
/// name the pod does not have is left out.
fn endpoint_ports(service: &Service, named: &[NamedPort]) -> Vec<EndpointPort> {
    let mut ports: Vec<_> = service
        .ports
        .iter()
        .filter_map(|port| {
            let number = match &port.target {
                TargetPort::Number(number) => *number,
                TargetPort::Name(name) => {
                    let same = |candidate: &&NamedPort| candidate.name == *name && candidate.protocol == port.protocol;
                    named.iter().find(same)?.number
                }
            };
            Some(EndpointPort {
                name: port.name.clone(),
                protocol: port.protocol.clone(),
                number: Some(number),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_unstable();
    ports
}
