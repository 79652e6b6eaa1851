//! The queries of the pipeline, and their sender.

use super::{Pipeline, StartsView};
use crate::{
    model::Stamp,
    programming,
    propagation::{OutOfSyncEndpoint, PendingChange, Standing, Tracker},
    stats::{ClusterView, Overview, Recent, Selection, Snapshot, Table},
};
use std::time::SystemTime;
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender},
    oneshot,
};

/// Queries the pipeline.
#[derive(Clone, Debug)]
pub struct PipelineHandle(UnboundedSender<Query>);

/// A query, and the channel for its answer.
#[derive(Debug)]
pub(super) enum Query {
    Snapshot(oneshot::Sender<Snapshot>),
    Overview(oneshot::Sender<Overview>),
    Cluster(oneshot::Sender<Now<ClusterView>>),
    Table(Selection, oneshot::Sender<Now<Table>>),
    Changes(oneshot::Sender<Now<Changes>>),
    OutOfSync(oneshot::Sender<Now<Vec<OutOfSyncEndpoint>>>),
    Nodes(oneshot::Sender<Now<programming::Standing>>),
    Startup(Selection, oneshot::Sender<Now<Option<StartsView>>>),
}

/// An answer, and its time.
#[derive(Clone, Debug)]
pub struct Now<T> {
    /// The time.
    pub at: Stamp,
    /// The same time on the wall clock.
    pub wall: SystemTime,
    /// The answer.
    pub value: T,
}

/// Single changes.
#[derive(Clone, Debug)]
pub struct Changes {
    /// All pending changes, in no order.
    pub pending: Vec<PendingChange>,
    /// The last changes that ended.
    pub recent: Recent,
}

/// The pipeline's end of its [`PipelineHandle`]s.
#[derive(Debug)]
pub struct Queries(UnboundedReceiver<Query>);

// === impl PipelineHandle ===

impl PipelineHandle {
    /// Both ends.
    pub fn new() -> (Self, Queries) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(sender), Queries(receiver))
    }

    /// All current numbers; `None` when the process is ending.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.ask(Query::Snapshot).await
    }

    /// A summary of all Services; `None` when the process is ending.
    pub async fn overview(&self) -> Option<Overview> {
        self.ask(Query::Overview).await
    }

    /// The cluster as a whole; `None` when the process is ending.
    pub async fn cluster(&self) -> Option<Now<ClusterView>> {
        self.ask(Query::Cluster).await
    }

    /// The selected Services; `None` when the process is ending.
    pub async fn table(&self, selection: Selection) -> Option<Now<Table>> {
        self.ask(|reply| Query::Table(selection, reply)).await
    }

    /// Single changes; `None` when the process is ending.
    pub async fn changes(&self) -> Option<Now<Changes>> {
        self.ask(Query::Changes).await
    }

    /// Each endpoint that is out of sync, in no order; `None` when the process is ending.
    pub async fn out_of_sync(&self) -> Option<Now<Vec<OutOfSyncEndpoint>>> {
        self.ask(Query::OutOfSync).await
    }

    /// The hop to the nodes; `None` if there can be no agents, or when the process is ending.
    pub async fn nodes(&self) -> Option<Now<programming::Standing>> {
        self.ask(Query::Nodes).await
    }

    /// The starts of pods of the selected Services, `None` inside if they are not followed; `None` when the process is ending.
    pub async fn startup(&self, selection: Selection) -> Option<Now<Option<StartsView>>> {
        self.ask(|reply| Query::Startup(selection, reply)).await
    }

    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(query(reply)).ok()?;
        answer.await.ok()
    }
}

// === impl Queries ===

impl Queries {
    /// The next query; `None` when the last handle is gone.
    pub(super) async fn next(&mut self) -> Option<Query> {
        self.0.recv().await
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// Answers a query from the current state.
    pub(super) fn answer(&mut self, query: Query) {
        let now = self.clock.now();
        // A caller may be gone by now. Then nothing is lost.
        match query {
            Query::Snapshot(reply) => {
                let mut snapshot = self.stats.snapshot(&self.standing(), now, self.clock.wall(now));
                snapshot.malformed_annotations = self.annotations.malformed();
                snapshot.reader_stalls = self.heartbeat.stalls();
                snapshot.reader_stalled = self.heartbeat.stalled();
                let starts = self.startup.as_ref().map(|starts| starts.startup.standing());
                snapshot.startup = starts.map(|standing| self.stats.startup_snapshot(standing));
                snapshot.nodes = self.standing_of_nodes(now).map(|standing| self.stats.nodes(standing));
                let _ = reply.send(snapshot);
            }
            Query::Overview(reply) => {
                let _ = reply.send(self.stats.overview(&self.standing(), now));
            }
            Query::Cluster(reply) => {
                let _ = reply.send(self.at(now, self.stats.cluster(&self.standing(), now)));
            }
            Query::Table(selection, reply) => {
                let _ = reply.send(self.at(now, self.stats.table(&self.standing(), &selection)));
            }
            Query::Changes(reply) => {
                let pending = self.trackers.iter().flat_map(Tracker::pending_changes).collect();
                let _ = reply.send(self.at(now, Changes { pending, recent: self.recent.clone() }));
            }
            Query::OutOfSync(reply) => {
                let endpoints = self.trackers.iter().flat_map(Tracker::out_of_sync_endpoints).collect();
                let _ = reply.send(self.at(now, endpoints));
            }
            Query::Nodes(reply) => {
                if let Some(standing) = self.standing_of_nodes(now) {
                    let _ = reply.send(self.at(now, standing));
                }
            }
            Query::Startup(selection, reply) => {
                let view = self.startup.as_ref().map(|starts| StartsView {
                    standing: starts.startup.standing(),
                    services: self.stats.startup_table(&selection),
                    finished: starts.startup.finished().clone(),
                });
                let _ = reply.send(self.at(now, view));
            }
        }
    }

    /// The current state of each scope.
    pub(super) fn standing(&self) -> Vec<Standing> {
        self.trackers.iter().map(Tracker::standing).collect()
    }

    fn standing_of_nodes(&self, now: Stamp) -> Option<programming::Standing> {
        self.data_plane.as_ref().map(|hop| hop.programming.standing(now))
    }

    fn at<T>(&self, at: Stamp, value: T) -> Now<T> {
        Now { at, wall: self.clock.wall(at), value }
    }
}
