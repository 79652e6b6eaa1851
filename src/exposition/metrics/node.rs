//! What an agent shows about itself and its node, at its own port.

use super::{
    Histograms,
    encode::{Format, Page},
    family::{Context, Exemplars, Family},
    process,
    table::{BUILD_INFO, Kind, Metric, metrics},
};
use crate::{
    dataplane::{Loss, OutboxCounts},
    model::Stamp,
};
use std::time::SystemTime;

metrics! {
    /// All metrics of an agent, except those of the process.
    NODE_METRICS:

    SUPPORTED: Gauge "endpointlag_node_dataplane_supported" []
        "1 if the node has rules that the agent can watch; 0 if it has none, or another data plane. Absent until that is known.";
    OBSERVATIONS: Counter "endpointlag_node_observations_total" []
        "Changes and gaps that the agent saw.";
    LOST: Counter "endpointlag_node_observations_lost_total" ["reason"]
        "Those that the daemon will not be told: ring_full, there was no room until the daemon listened; too_long.";
    WAITING: Gauge "endpointlag_node_observations_waiting" []
        "Those that the daemon has not acknowledged yet.";
    WAITING_BYTES: Gauge "endpointlag_node_observations_waiting_bytes" []
        "Memory that these take. There is room for 16 MiB.";
    GAPS: Counter "endpointlag_node_gaps_total" ["reason"]
        "Times in which the kernel did not tell all, by reason.";
    CONNECTED: Gauge "endpointlag_node_connected" []
        "1 if the daemon listens.";
    STREAMS: Counter "endpointlag_node_streams_total" []
        "Streams to the daemon that it has listened to.";
    STREAM_FAILURES: Counter "endpointlag_node_stream_failures_total" []
        "Streams that ended, and attempts that failed; the log says why.";
}

/// What an agent knows about itself and its node.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Whether the node's data plane can be watched; `None` until this is known.
    pub supported: Option<bool>,
    /// What was seen, what waits, and what was lost.
    pub outbox: OutboxCounts,
    /// Gaps, in the order of [`Loss::ALL`].
    pub gaps: [u64; Loss::ALL.len()],
    /// The state of the stream to the daemon.
    pub uplink: NodeUplink,
}

/// The state of an agent's stream.
#[derive(Clone, Copy, Debug)]
pub struct NodeUplink {
    /// Whether there is a stream to the daemon.
    pub connected: bool,
    /// Streams until now.
    pub streams: u64,
    /// Streams that ended, and attempts that failed.
    pub failures: u64,
}

// === impl Node ===

impl Node {
    /// Encodes it, including the metrics of the process.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn encode(&self, format: Format) -> prometheus::Result<Vec<u8>> {
        let (at, wall) = (Stamp::default(), SystemTime::now());
        let mut page = Page::new(Context { format, histograms: Histograms::Both, at, wall });
        self.write(&mut page)?;
        for family in process::collect() {
            page.append(&family, &Exemplars::new())?;
        }
        Ok(page.finish())
    }

    fn write(&self, page: &mut Page) -> prometheus::Result<()> {
        let Self { supported, outbox, gaps, uplink } = *self;
        let lost = [("ring_full", outbox.lost.ring_full), ("too_long", outbox.lost.too_long)];
        let gaps = Loss::ALL.map(Loss::as_str).into_iter().zip(gaps).collect::<Vec<_>>();
        let mut each = |metric, values: &[(&str, u64)]| {
            page.family(metric, |family: &mut Family| {
                values.iter().for_each(|(label, count)| family.value(&[label], *count as f64));
            })
        };
        each(&LOST, &lost)?;
        each(&GAPS, &gaps)?;
        let mut one = |metric, value: f64| page.family(metric, |family: &mut Family| family.value(&[], value));
        if let Some(supported) = supported {
            one(&SUPPORTED, f64::from(u8::from(supported)))?;
        }
        one(&OBSERVATIONS, outbox.events as f64)?;
        one(&WAITING, outbox.waiting as f64)?;
        one(&WAITING_BYTES, outbox.waiting_bytes as f64)?;
        one(&CONNECTED, f64::from(u8::from(uplink.connected)))?;
        one(&STREAMS, uplink.streams as f64)?;
        one(&STREAM_FAILURES, uplink.failures as f64)?;
        page.family(&BUILD_INFO, |family| family.value(&[crate::VERSION, crate::REVISION], 1.0))
    }
}
