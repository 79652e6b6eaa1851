//! The hop to the nodes of a rollout's changes, as a daemon with agents tells it.

use super::{HopDelay, Leg, Moment, Report};
use crate::{
    ledger::Change,
    model::{Stamp, Uid},
    propagation::{PodRef, ServiceName},
};
use std::{sync::Arc, time::Duration};

/// How a change of a pod spread over the nodes. Times count from the slice event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spreading {
    /// The pod.
    pub pod: Uid,
    /// Kind of change.
    pub change: Change,
    /// Until it was in effect on half of the nodes.
    pub half: Option<Duration>,
    /// On 99 of 100.
    pub most: Option<Duration>,
    /// On all. `None` if it ended otherwise on one.
    pub all: Option<Duration>,
    /// Whether it is not known when one of them followed: it ended censored or expired there.
    pub is_open: bool,
    /// The last node.
    pub last: Option<Arc<str>>,
    /// Maximum error of these times.
    pub error: Duration,
}

/// When a change of an endpoint was in effect on all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InEffect {
    /// When; `None` if it is not known.
    pub moment: Option<Moment>,
    /// How it spread.
    pub spreading: Spreading,
}

/// One end of a pod's time in the slices of a Service.
struct Side<'a> {
    pod: &'a PodRef,
    since: Moment,
    told: &'a mut Option<InEffect>,
    delays: &'a mut Vec<HopDelay>,
}

/// Names a change that a daemon may tell about.
type Open = (Arc<ServiceName>, Uid, Change);

// === impl Report ===

impl Report {
    /// The changes on the slice hop that a daemon with agents may follow to the nodes, and has not told about.
    pub fn untold(&self) -> Vec<Open> {
        let services = self.services.iter();
        let untold = services.flat_map(|service| {
            let on_slices = |hop: &&HopDelay| hop.leg == Leg::Slices && !hop.is_pending && is_followed(hop.change);
            let is_told = |hop: &&HopDelay| {
                let index = self.pods.iter().position(|pod| pod.pod.uid == hop.pod.uid);
                let endpoint = index.and_then(|index| service.endpoints.get(index));
                endpoint.is_some_and(|endpoint| match hop.change {
                    Change::Ready => endpoint.visible.is_some(),
                    _ => endpoint.withdrawn.is_some(),
                })
            };
            let open = |hop: &HopDelay| (service.service.clone(), hop.pod.uid.clone(), hop.change);
            service.delays.iter().filter(on_slices).filter(move |hop| !is_told(hop)).map(open)
        });
        untold.collect()
    }

    /// Adds what a daemon tells of a change. What is not of this rollout is left out, and so is what was told already.
    pub fn tell(&mut self, of: &ServiceName, spreading: Spreading) {
        let Some(mut side) = self.side(of, &spreading.pod, spreading.change) else { return };
        let moment = spreading.all.map(|all| Moment { at: side.since.at.plus(all), ..side.since });
        // If one of them is not known, it is at least that of the others.
        let known = [spreading.all, spreading.most, spreading.half].into_iter().flatten().next();
        if spreading.all.is_some() || spreading.is_open {
            side.add(spreading.change, known.unwrap_or_default(), spreading.all.is_none());
        }
        *side.told = Some(InEffect { moment, spreading });
    }

    /// A daemon follows this change to the nodes, and at `now` it is not in effect on all of them.
    pub fn tell_open(&mut self, (of, uid, change): &Open, now: Stamp) {
        if let Some(mut side) = self.side(of, uid, *change) {
            side.add(*change, now.since(side.since.at), true);
        }
    }

    /// Where a change of this rollout belongs, if it was not told.
    fn side(&mut self, of: &ServiceName, uid: &Uid, change: Change) -> Option<Side<'_>> {
        let index = self.pods.iter().position(|pod| pod.pod.uid == *uid)?;
        let (pod, begin) = (&self.pods[index].pod, self.begin);
        let service = self.services.iter_mut().find(|service| *service.service == *of)?;
        let endpoint = &mut service.endpoints[index];
        let (since, told) = match change {
            Change::Ready => (endpoint.listed, &mut endpoint.visible),
            Change::Terminating => (endpoint.unlisted, &mut endpoint.withdrawn),
            _ => return None,
        };
        let since = since.filter(|since| since.at >= begin && told.is_none())?;
        Some(Side { pod, since, told, delays: &mut service.delays })
    }
}

// === impl Side ===

impl Side<'_> {
    /// Adds the way of its change to the last node. There is no objective for that hop alone.
    fn add(&mut self, change: Change, delay: Duration, is_pending: bool) {
        self.delays.push(HopDelay { pod: self.pod.clone(), change, leg: Leg::Nodes, delay, is_pending, missed: false });
    }
}

/// Whether it is looked for on the nodes: what turns a pod's traffic on and off in a rollout.
fn is_followed(change: Change) -> bool {
    matches!(change, Change::Ready | Change::Terminating)
}
