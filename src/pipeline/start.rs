//! Starts a pipeline that takes what the watches of a cluster deliver.

use super::{DataPlane, Ending, Pipeline, PipelineHandle, Source, Starts, Tap};
use crate::{
    cluster::{
        clock::Clock,
        health::WatchHealth,
        watches::{WatchEnd, Watches},
    },
    propagation::{Tracker, TrackerSettings},
    stats::Stats,
};
use std::{io, sync::Arc, thread::JoinHandle};

/// Who gets what the watches deliver, besides the trackers.
#[derive(Default)]
pub struct Followers {
    /// The hop to the nodes, if there are agents.
    pub data_plane: Option<DataPlane>,
    /// The starts of pods, if they are followed.
    pub startup: Option<Starts>,
    /// What records a session.
    pub tap: Option<Tap>,
}

/// A pipeline that runs.
pub struct Started {
    /// Queries it. It ends when the last handle is dropped.
    pub handle: PipelineHandle,
    /// The state of each of its watches.
    pub watches: Vec<Arc<WatchHealth>>,
    /// Its thread.
    pub thread: JoinHandle<()>,
}

// === impl Started ===

impl Started {
    /// Starts the pipeline of these watches, with a tracker for each of their scopes. `output` gets each change that ends, and must
    /// not block.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn of(
        watches: Watches,
        clock: Clock,
        tracker: TrackerSettings,
        stats: Stats,
        followers: Followers,
        output: impl FnMut(Ending<'_>) + Send + 'static,
    ) -> io::Result<Self> {
        let Watches { heartbeat, queue, ends, scopes } = watches;
        let Followers { data_plane, startup, tap } = followers;
        let healths = ends.iter().map(|end| end.health.clone()).collect();
        let follows_nodes = data_plane.is_some();
        let source = |end: WatchEnd| {
            let decoder = if follows_nodes { end.decoder.with_routes() } else { end.decoder };
            Source::new(end.scope, decoder, end.health, end.signals)
        };
        let sources = ends.into_iter().map(source).collect();
        let trackers = (0..scopes).map(|_| Tracker::new(tracker)).collect();
        let pipeline =
            Pipeline::new(clock, heartbeat, sources, trackers, stats, data_plane, output).with_startup(startup);
        let pipeline = match tap {
            Some(tap) => pipeline.tapped(tap),
            None => pipeline,
        };
        let (handle, thread) = pipeline.start(queue)?;
        Ok(Self { handle, watches: healths, thread })
    }
}
