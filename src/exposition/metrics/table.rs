//! Every metric there is, but for those of the process: name, kind, labels, meaning. The table of docs/metrics.md is held against this one.

use prometheus::proto::MetricType;

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, in base units.
    pub name: &'static str,
    /// What it counts like.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// How a metric behaves over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by size.
    Histogram,
}

// === impl Kind ===

impl Kind {
    /// As Prometheus names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::COUNTER,
            Kind::Gauge => Self::GAUGE,
            Kind::Histogram => Self::HISTOGRAM,
        }
    }
}

macro_rules! metrics {
    ($(#[$about:meta])* $all:ident: $($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) static $id: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        $(#[$about])*
        pub static $all: &[&Metric] = &[$(&$id),*];
    };
}

pub(super) use metrics;

metrics! {
    /// All metrics of the daemon.
    METRICS:

    PROPAGATION: Histogram "endpointlag_propagation_seconds" ["namespace", "service", "change"]
        "Time from the arrival of a change to the arrival of the EndpointSlice that shows it. Changes that were given up \
         exceed every bucket.";
    CHANGES: Counter "endpointlag_changes_total" ["namespace", "service", "change", "outcome"]
        "Changes that ended, by how: propagated or expired; superseded, censored and withdrawn once there is one.";
    PENDING: Gauge "endpointlag_pending_changes" ["namespace", "service", "change"]
        "Changes that the EndpointSlices do not show yet.";
    OLDEST_PENDING: Gauge "endpointlag_oldest_pending_seconds" ["namespace", "service", "change"]
        "Age of the oldest pending change, zero if there is none. A lower bound where its start was not seen.";
    OUT_OF_SYNC: Gauge "endpointlag_out_of_sync_endpoints" ["namespace", "service"]
        "Endpoints that the EndpointSlices show otherwise than pod and Service say, now, whatever became of their changes. \
         Zero says that the Service is in sync.";
    OLDEST_OUT_OF_SYNC: Gauge "endpointlag_oldest_out_of_sync_seconds" ["namespace", "service"]
        "Age of the oldest endpoint that is out of sync, zero if there is none. A lower bound where its start was not seen.";
    OLDEST_OUT_OF_SYNC_TRAFFIC: Gauge "endpointlag_oldest_out_of_sync_traffic_seconds" ["namespace", "service"]
        "The same of the endpoints that get connections which they should not get, or lack those which they should.";
    SLO_CHANGES: Counter "endpointlag_slo_changes_total" ["namespace", "service", "change"]
        "Changes that met or missed their objective.";
    SLO_MISSED: Counter "endpointlag_slo_missed_total" ["namespace", "service", "change"]
        "Changes that missed their objective, counted at the moment their age passed it.";
    OBJECTIVE: Gauge "endpointlag_objective_seconds" ["namespace", "service"]
        "Delay within which a change of this Service should be shown.";
    REORDERED: Counter "endpointlag_reordered_total" []
        "Changes whose EndpointSlice arrived first. Their delay counts as zero.";
    REORDER: Histogram "endpointlag_reorder_seconds" []
        "How much earlier the EndpointSlice arrived than the change it shows, where it did.";
    MALFORMED_ANNOTATIONS: Counter "endpointlag_malformed_annotations_total" []
        "Annotations of Services that could not be understood; the log names them.";
    SERVICES_OVERFLOWED: Gauge "endpointlag_services_overflowed" []
        "Services beyond --max-services, which share the series of _other/_other.";
    SAMPLES_DROPPED: Counter "endpointlag_samples_dropped_total" []
        "Lines of --samples that were not written: too many waited for a reader or a disk that was too slow, or took none.";
    SAMPLES_ERRORS: Counter "endpointlag_samples_errors_total" []
        "Writes of --samples that failed. Their lines wait, and are tried again.";
    HDR_LOG_ERRORS: Counter "endpointlag_hdr_log_errors_total" []
        "Writes of --hdr-log that failed, which the next makes up for, and delays that came faster than it counts.";
    WATCH_EVENTS: Counter "endpointlag_watch_events_total" ["resource"]
        "Events read from the watch, bookmarks included.";
    WATCH_BYTES: Counter "endpointlag_watch_bytes_total" ["resource"]
        "Bytes read from the watch.";
    WATCH_MALFORMED: Counter "endpointlag_watch_malformed_total" ["resource"]
        "Objects and streams that could not be understood.";
    WATCH_BACKPRESSURE: Counter "endpointlag_watch_backpressure_total" ["resource"]
        "Times the reader had to wait for the pipeline to keep up. Changes read then end censored.";
    WATCH_RESTARTS: Counter "endpointlag_watch_restarts_total" ["resource", "reason"]
        "Connections that ended or could not be made, by reason.";
    WATCH_GAP: Counter "endpointlag_watch_gap_seconds_total" ["resource"]
        "Time between the end of one connection and the next, summed over the watches of the resource. Changes of that time end censored.";
    WATCH_BLIND: Counter "endpointlag_watch_blind_seconds_total" ["resource"]
        "Time in which a watch could not tell all as it happened, summed over the watches of the resource: lists, gaps, stalls, a slow connection, a full queue. Changes of that time end censored.";
    WATCH_AGE: Gauge "endpointlag_watch_age_seconds" ["resource"]
        "Time since the last byte of the watch. Bookmarks come about once a minute.";
    WATCH_CONNECT: Gauge "endpointlag_watch_connect_seconds" ["resource"]
        "Time from asking for the watch to the beginning of the answer, at the last connection. Its events come the same way.";
    WATCH_PROTOCOL: Gauge "endpointlag_watch_protocol" ["resource", "protocol"]
        "Watches that use this protocol: http2 over one connection for all of a scope, or http1 over one for each.";
    WATCH_PING: Gauge "endpointlag_watch_ping_seconds" ["resource"]
        "Round trip of the last HTTP/2 PING on the connection of the watch; zero over HTTP/1.1.";
    WATCH_SLOW_PINGS: Counter "endpointlag_watch_slow_pings_total" ["resource"]
        "HTTP/2 PINGs that took much longer than usual. Changes read meanwhile end censored.";
    WATCH_SYNCED: Gauge "endpointlag_watch_synced" ["resource"]
        "1 if all objects are known and changes come in.";
    READER_STALLED: Counter "endpointlag_reader_stalled_seconds_total" []
        "Time in which the thread that reads the watches did not run: stopped, throttled or suspended. Changes of that time end censored.";
    READER_STALLS: Counter "endpointlag_reader_stalls_total" []
        "Times that the thread that reads the watches did not run for more than 50 ms.";
    AGENT_CONNECTED: Gauge "endpointlag_agent_connected" []
        "Agents that are connected. These metrics are there only with --agents-listen.";
    AGENT_SILENT: Gauge "endpointlag_agent_silent" []
        "Agents that were heard within the last hour, and not within the last 30 seconds.";
    AGENT_CLOCK_ERROR: Gauge "endpointlag_agent_clock_error_seconds" []
        "How far the clock of a connected agent may be off at the most, by the comparison with the daemon's: the largest of all.";
    AGENT_CLOCK_STEPS: Counter "endpointlag_agent_clock_steps_total" []
        "Times that the clocks of a node and of the daemon did not agree any more: one of them stood still, or jumped.";
    AGENT_OBSERVATIONS: Counter "endpointlag_agent_observations_total" ["outcome"]
        "What agents told: timed, untimed because the clocks could not be compared, or duplicate.";
    AGENT_LOST: Counter "endpointlag_agent_observations_lost_total" ["reason"]
        "What agents could not tell: ring, there was no room for it until the daemon listened; elsewhere, another daemon was told; \
         unreadable, it is of a later version, or damaged.";
    AGENT_GAPS: Counter "endpointlag_agent_gaps_total" ["reason"]
        "Times in which the kernel of a node did not tell an agent all, by reason.";
    AGENT_REFUSED: Counter "endpointlag_agent_refused_total" ["reason"]
        "Connections to the port of the agents that were refused or ended, by reason; the log says more.";
    HTTP_REQUESTS: Counter "endpointlag_http_requests_total" ["path", "code"]
        "Requests answered, by path and status; paths that do not exist count as other.";
    HTTP_DROPPED: Counter "endpointlag_http_connections_dropped_total" ["reason"]
        "Connections of clients that were dropped, by reason.";
    TLS_EXPIRATION: Gauge "endpointlag_tls_certificate_expiration_timestamp_seconds" []
        "When the certificate that is served, or one between it and its authority, expires, in seconds since 1970. Only with \
         --tls-cert-file.";
    TLS_RELOAD_FAILURES: Counter "endpointlag_tls_reload_failures_total" []
        "Times that the files of the certificate changed and could not be served from; the one before stays.";
    BUILD_INFO: Gauge "endpointlag_build_info" ["version", "revision"]
        "Always 1.";
}
