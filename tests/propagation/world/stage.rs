//! What happens in a cluster, act by act, and the events of it that the core receives.

use super::{
    cluster::{Cluster, PodStep, ServiceStep, Slot},
    controller::{Controller, Manner},
    streams::{Break, Delayed, Reading, Step, Streams},
};
use endpointlag::{
    model::{Endpoint, Event, Resource, Uid},
    propagation::TrackerSettings,
};
use std::time::Duration;

/// One thing that happens. A script is a list of these. Any part of a script is a script too, so that failures can shrink.
#[derive(Clone, Debug)]
pub enum Act {
    Pod(Slot, PodStep),
    Service(Slot, ServiceStep),
    /// The Node of half the pods is deleted, or created again.
    Node {
        gone: bool,
    },
    /// The controller looks at the cluster.
    Look,
    /// The controller writes for one Service what it has seen.
    Reconcile(Slot, Manner),
    /// The same for every Service.
    ReconcileSeen(u8),
    /// The controller looks, and updates the slices of every Service.
    ReconcileAll(u8),
    /// The garbage collector deletes some slices of Services that are gone.
    CollectGarbage(usize),
    /// A slice is written by hand: with the controller's label, or with another.
    Forge {
        service: Slot,
        pod: Slot,
        owned: bool,
    },
    /// A slice's endpoints are overwritten with other conditions, as by a controller whose cache is old.
    Distort {
        slice: usize,
        conditions: u8,
    },
    DeleteSlice(usize),
    /// The slice is written without a change.
    TouchSlice(usize),
    /// The slice becomes part of another Service, or of none.
    Assign(usize, Option<Slot>),
    Read(Resource, Reading),
    ReadAll([Resource; 3]),
    Cut(Resource, Break),
    CutAll(Break),
    Resume(Resource),
    List(Resource, Option<usize>),
    Pass(Duration),
    /// The core receives the time of this long ago.
    Tick(Duration),
}

/// A whole history.
#[derive(Clone, Debug)]
pub struct Script {
    pub settings: TrackerSettings,
    pub before: Vec<Act>,
    /// The order of the first lists, and what happens after each has begun.
    pub first: [(Resource, Vec<Act>); 3],
    pub acts: Vec<Act>,
    /// Whether everything is read, by watches that are whole, before the world ends.
    pub settles: bool,
}

/// What the core receives of a script.
#[derive(Clone, Debug)]
pub struct Play {
    pub steps: Vec<Step>,
    /// Where it settled: the number of steps until then, and the contents of three lists at that moment.
    pub settled: Option<(usize, Vec<Event>)>,
}

impl Script {
    /// Plays the script, and after it the end of the world.
    pub fn play(&self) -> Play {
        let mut stage = Stage {
            cluster: Cluster::default(),
            controller: Controller::default(),
            streams: Streams::new(),
            expiry: self.settings.expiry,
        };
        stage.play(&self.before);
        for (resource, acts) in &self.first {
            stage.act(&Act::List(*resource, None));
            stage.play(acts);
        }
        stage.play(&self.acts);
        let settled = self.settles.then(|| stage.settle());
        stage.wind_up();
        Play { steps: stage.streams.steps, settled }
    }
}

/// Where a script is played.
struct Stage {
    cluster: Cluster,
    controller: Controller,
    streams: Streams,
    expiry: Duration,
}

impl Stage {
    fn play(&mut self, acts: &[Act]) {
        for act in acts {
            self.act(act);
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Pod(slot, step) => self.cluster.pod(*slot, step),
            Act::Service(slot, step) => self.cluster.service(*slot, step),
            Act::Node { gone } => self.cluster.node_gone = *gone,
            Act::Look => self.controller.look(&self.cluster),
            Act::Reconcile(slot, manner) => self.controller.reconcile(&mut self.cluster, *slot, *manner),
            Act::ReconcileSeen(layout) => self.reconcile_all(*layout),
            Act::ReconcileAll(layout) => {
                self.controller.look(&self.cluster);
                self.reconcile_all(*layout);
            }
            Act::CollectGarbage(most) => self.cluster.collect_garbage(*most),
            Act::Forge { service, pod, owned } => self.cluster.forge_slice(*service, *pod, *owned),
            Act::Distort { slice, conditions } => self.distort(*slice, *conditions),
            Act::DeleteSlice(at) => {
                if let Some(uid) = self.slice(*at) {
                    self.cluster.delete_slice(&uid);
                }
            }
            Act::TouchSlice(at) => {
                if let Some(uid) = self.slice(*at) {
                    self.cluster.write_slice(self.cluster.slices[&uid].clone());
                }
            }
            Act::Assign(at, service) => {
                if let Some(uid) = self.slice(*at) {
                    self.cluster.assign_slice(&uid, *service);
                }
            }
            Act::Read(resource, reading) => self.streams.read(*resource, *reading),
            Act::ReadAll(order) => self.streams.read_all(*order),
            Act::Cut(resource, how) => self.streams.cut(*resource, *how),
            Act::CutAll(how) => Resource::ALL.into_iter().for_each(|resource| self.streams.cut(resource, *how)),
            Act::Resume(resource) => self.streams.resume(*resource),
            Act::List(resource, broken_off) => self.streams.list(*resource, &self.cluster, *broken_off),
            Act::Pass(time) => self.streams.pass(*time),
            Act::Tick(behind) => self.streams.tick(*behind),
        }
        self.streams.take_log(&mut self.cluster);
    }

    fn reconcile_all(&mut self, layout: u8) {
        for slot in (0..2).flat_map(|namespace| (0..3).map(move |name| (namespace, name))) {
            self.controller.reconcile(&mut self.cluster, slot, Manner { layout, writes: 0 });
        }
    }

    fn slice(&self, at: usize) -> Option<Uid> {
        let count = self.cluster.slices.len().max(1);
        self.cluster.slices.keys().nth(at % count).cloned()
    }

    fn distort(&mut self, at: usize, conditions: u8) {
        let Some(uid) = self.slice(at) else { return };
        let mut slice = self.cluster.slices[&uid].clone();
        for endpoint in &mut slice.endpoints {
            *endpoint = Endpoint {
                ready: conditions & 1 != 0,
                serving: conditions & 2 != 0,
                terminating: conditions & 4 != 0,
                route: None,
                ..endpoint.clone()
            };
        }
        self.cluster.write_slice(slice);
    }

    /// Makes every watch whole, and reads everything.
    fn hear_out(&mut self) {
        for resource in Resource::ALL {
            self.act(&Act::Resume(resource));
        }
        // The reader is no longer behind, and is not delayed.
        for resource in Resource::ALL {
            let reading = Reading { count: usize::MAX, behind: Duration::ZERO, delayed: Delayed::No };
            self.act(&Act::Read(resource, reading));
        }
    }

    /// Reads everything. Returns the number of steps until then, and what lists would show now.
    fn settle(&mut self) -> (usize, Vec<Event>) {
        self.hear_out();
        let mut lists = Vec::new();
        for resource in Resource::ALL {
            lists.push(Event::Init(resource));
            lists.extend(self.cluster.list(resource));
            lists.push(Event::InitDone(resource));
        }
        (self.streams.steps.len(), lists)
    }

    /// Deletes everything, delivers it by every watch, and waits.
    fn wind_up(&mut self) {
        let all_pods: Vec<_> = self.cluster.pods.keys().copied().collect();
        let all_services: Vec<_> = self.cluster.services.keys().copied().collect();
        let all_slices: Vec<_> = self.cluster.slices.keys().cloned().collect();
        for slot in all_pods {
            self.act(&Act::Pod(slot, PodStep::Delete));
        }
        for slot in all_services {
            self.act(&Act::Service(slot, ServiceStep::Delete));
        }
        for uid in &all_slices {
            self.cluster.delete_slice(uid);
        }
        self.streams.take_log(&mut self.cluster);
        self.hear_out();
        self.act(&Act::Pass(self.expiry + Duration::from_nanos(1)));
        self.act(&Act::Tick(Duration::ZERO));
    }
}
