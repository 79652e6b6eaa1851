//! All metrics except those of the process: name, type, labels, help text. A test compares this table with that of
//! docs/metrics.md.

use prometheus::proto::MetricType;

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, in base units.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Its help text.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
    /// Counts by bucket.
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
        "Time from the arrival of a change to the arrival of the EndpointSlice that shows it. Expired changes count in the bucket +Inf.";
    CHANGES: Counter "endpointlag_changes_total" ["namespace", "service", "change", "outcome"]
        "Changes that ended, by outcome. The series of superseded, censored and withdrawn appear with the first such change.";
    PENDING: Gauge "endpointlag_pending_changes" ["namespace", "service", "change"]
        "Changes that the EndpointSlices do not show yet.";
    OLDEST_PENDING: Gauge "endpointlag_oldest_pending_seconds" ["namespace", "service", "change"]
        "Age of the oldest pending change, zero if there is none. A lower bound if its start was not seen.";
    OUT_OF_SYNC: Gauge "endpointlag_out_of_sync_endpoints" ["namespace", "service"]
        "Endpoints that the EndpointSlices now show differently from their pods and Service, whatever the outcome of their \
         changes. Zero means that the Service is in sync.";
    OLDEST_OUT_OF_SYNC: Gauge "endpointlag_oldest_out_of_sync_seconds" ["namespace", "service"]
        "Age of the oldest endpoint that is out of sync, zero if there is none. A lower bound if its start was not seen.";
    OLDEST_OUT_OF_SYNC_TRAFFIC: Gauge "endpointlag_oldest_out_of_sync_traffic_seconds" ["namespace", "service"]
        "Age of the oldest out-of-sync endpoint that gets connections that it should not get, or does not get those that it should.";
    SLO_CHANGES: Counter "endpointlag_slo_changes_total" ["namespace", "service", "change"]
        "Changes that met or missed their objective.";
    SLO_MISSED: Counter "endpointlag_slo_missed_total" ["namespace", "service", "change"]
        "Changes that missed their objective, counted at the moment their age passed it.";
    OBJECTIVE: Gauge "endpointlag_objective_seconds" ["namespace", "service"]
        "Delay within which a change of this Service should be shown.";
    REORDERED: Counter "endpointlag_reordered_total" []
        "Changes whose EndpointSlice arrived first. Their delay counts as zero.";
    REORDER: Histogram "endpointlag_reorder_seconds" []
        "How much earlier than the change its EndpointSlice arrived, for changes whose EndpointSlice arrived first.";
    MALFORMED_ANNOTATIONS: Counter "endpointlag_malformed_annotations_total" []
        "Malformed annotations of Services. The log names them.";
    SERVICES_OVERFLOWED: Gauge "endpointlag_services_overflowed" []
        "Services beyond --max-services, which share the series of _other/_other.";
    SAMPLES_DROPPED: Counter "endpointlag_samples_dropped_total" []
        "Lines of --samples that were not written, because too many were waiting for a slow or blocked reader or disk.";
    SAMPLES_ERRORS: Counter "endpointlag_samples_errors_total" []
        "Writes of --samples that failed. Their lines are kept, and written again.";
    HDR_LOG_ERRORS: Counter "endpointlag_hdr_log_errors_total" []
        "Writes of --hdr-log that failed, and delays that were lost because they came too fast. The next write contains the data \
         of a failed one.";
    WATCH_EVENTS: Counter "endpointlag_watch_events_total" ["resource"]
        "Events read from the watch, bookmarks included.";
    WATCH_BYTES: Counter "endpointlag_watch_bytes_total" ["resource"]
        "Bytes read from the watch.";
    WATCH_MALFORMED: Counter "endpointlag_watch_malformed_total" ["resource"]
        "Malformed objects and streams.";
    WATCH_BACKPRESSURE: Counter "endpointlag_watch_backpressure_total" ["resource"]
        "How often the reader had to wait because the pipeline was behind. Changes that are read after such a wait end censored.";
    WATCH_RESTARTS: Counter "endpointlag_watch_restarts_total" ["resource", "reason"]
        "Connections that ended or could not be established, by reason.";
    WATCH_GAP: Counter "endpointlag_watch_gap_seconds_total" ["resource"]
        "Time between the end of one connection and the next, summed over the watches of the resource. Changes in this time end censored.";
    WATCH_BLIND: Counter "endpointlag_watch_blind_seconds_total" ["resource"]
        "Time in which a watch did not deliver events as they happened, summed over the watches of the resource: lists, gaps, \
         stalls, a slow connection, a full queue. Changes in this time end censored.";
    WATCH_AGE: Gauge "endpointlag_watch_age_seconds" ["resource"]
        "Time since the last byte of the watch. Bookmarks come about once a minute.";
    WATCH_CONNECT: Gauge "endpointlag_watch_connect_seconds" ["resource"]
        "Time from the request for the watch to the start of the answer, for the last connection. Its events take the same path.";
    WATCH_PROTOCOL: Gauge "endpointlag_watch_protocol" ["resource", "protocol"]
        "Watches that use this protocol: http2 with one connection for all watches of a scope, or http1 with one connection for \
         each watch.";
    WATCH_PING: Gauge "endpointlag_watch_ping_seconds" ["resource"]
        "Round trip of the last HTTP/2 PING on the connection of the watch; zero over HTTP/1.1.";
    WATCH_PING_BOUND: Gauge "endpointlag_watch_ping_bound_seconds" ["resource"]
        "The longest time that the answer to a PING may take. What is read while an answer takes longer ends censored. A busy machine gets a longer time. Zero over HTTP/1.1.";
    WATCH_SLOW_PINGS: Counter "endpointlag_watch_slow_pings_total" ["resource"]
        "HTTP/2 PINGs that took longer than endpointlag_watch_ping_bound_seconds. Changes that are read in this time end censored.";
    WATCH_SYNCED: Gauge "endpointlag_watch_synced" ["resource"]
        "1 if the watch knows all objects and receives changes.";
    READER_STALLED: Counter "endpointlag_reader_stalled_seconds_total" []
        "Time in which the thread that reads the watches did not run: stopped, throttled or suspended. Changes in this time end censored.";
    READER_STALLS: Counter "endpointlag_reader_stalls_total" []
        "How often the thread that reads the watches did not run for more than 50 ms.";
    DATAPLANE: Histogram "endpointlag_dataplane_seconds" ["change"]
        "Time from the arrival of the EndpointSlice that shows a change until a node's kernel does what it says, for each change and node. \
         Expired changes count in the bucket +Inf. The metrics of the hop to the nodes are there only with --agents-listen.";
    DATAPLANE_CHANGES: Counter "endpointlag_dataplane_changes_total" ["change", "outcome"]
        "Changes that ended on a node, by outcome; each change counts once for each node.";
    DATAPLANE_PENDING: Gauge "endpointlag_dataplane_pending_changes" ["change"]
        "Changes that a node's kernel does not show yet; each counts once for each node. Silent nodes do not count.";
    DATAPLANE_OLDEST_PENDING: Gauge "endpointlag_dataplane_oldest_pending_seconds" ["change"]
        "Age of the oldest change that a node does not show yet, since the EndpointSlice; zero if there is none.";
    VISIBLE: Histogram "endpointlag_visible_seconds" ["namespace", "service", "change", "nodes"]
        "Time from the arrival of a change until it was in effect on this share of the nodes. Expired changes are only in the bucket +Inf. By \
         Service as a native histogram, and otherwise for all Services together.";
    VISIBLE_SLO_CHANGES: Counter "endpointlag_visible_slo_changes_total" ["namespace", "service", "change"]
        "Changes that met or missed their objective on 99 % of the nodes, from the arrival of the change itself. Counted when that is certain. \
         Only with --visible-slo.";
    VISIBLE_SLO_MISSED: Counter "endpointlag_visible_slo_missed_total" ["namespace", "service", "change"]
        "Changes that missed their objective on 99 % of the nodes. Only with --visible-slo.";
    STALE_NODES: Gauge "endpointlag_stale_nodes" ["namespace", "service"]
        "Nodes whose kernel has sent connections of the Service otherwise than its EndpointSlices say for longer than the objective. \
         Only Services with such nodes have a series. Silent nodes do not count.";
    DATAPLANE_NODES: Gauge "endpointlag_dataplane_nodes" []
        "Nodes that new changes are followed to: those whose agent sees the data plane.";
    DATAPLANE_UNMATCHED: Counter "endpointlag_dataplane_unmatched_total" ["reason"]
        "What nodes did and no change asked for: no_change, a node that was behind, or rules made by hand; no_service, a clusterIP and \
         port of no measured Service.";
    DATAPLANE_OVERFLOWED: Counter "endpointlag_dataplane_overflowed_total" []
        "Endpoints that were not followed to the nodes, because too many were under way at once.";
    POD_STARTUP: Histogram "endpointlag_pod_startup_seconds" ["namespace", "service", "phase"]
        "How long each phase of a pod's first start took, up to reported from whole seconds of other machines' clocks. The phases add up \
         to total, except in_effect. By Service as a native histogram, and otherwise for all Services together. The metrics of starts \
         are there only with --pod-startup.";
    POD_STARTS: Counter "endpointlag_pod_starts_total" ["kind"]
        "Pods that became Ready, by what came before. Only first_start has phases.";
    STARTUP_IMPLAUSIBLE: Counter "endpointlag_pod_startup_implausible_total" ["phase"]
        "Phases that would have ended before they began: the clocks of the API server, the scheduler and the node disagree. They are left out.";
    PODS_STARTING: Gauge "endpointlag_pods_starting" []
        "Pods that are followed: new ones, and those that were Ready before, until they are Ready and listed.";
    STARTUP_OVERFLOWED: Counter "endpointlag_pod_startup_overflowed_total" []
        "Pods that were not followed, because too many were followed at once.";
    REPORT: Histogram "endpointlag_report_seconds" ["namespace", "change"]
        "Time from the moment at which a pod's Ready condition changed until the watch delivered it. Whole-second source, other machine's \
         clock: up to a second too long, and as wrong as the node's clock. By namespace as a native histogram, and otherwise for all together.";
    REPORT_NEGATIVE: Counter "endpointlag_report_negative_total" []
        "Changes of Ready that arrived before the second in which they happened, because the node's clock is ahead. They count as zero.";
    AGENT_CONNECTED: Gauge "endpointlag_agent_connected" []
        "Agents that are connected. These metrics are there only with --agents-listen.";
    AGENT_EXPECTED: Gauge "endpointlag_agent_expected" []
        "Agents that are connected, or were heard within the last hour.";
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
    FINDING: Gauge "endpointlag_finding" ["namespace", "service", "check", "severity"]
        "1 for each check of advice that found something about a Service, up to 10,000, the worst first. What is ignored by annotation has no \
         series. What is about the whole cluster has the label _all. The metrics of advice are there only with --advice.";
    FINDINGS: Gauge "endpointlag_findings" ["severity"]
        "Findings of advice by severity, all of them; ignored, if an annotation ignores them.";
    FINDINGS_OVERFLOWED: Gauge "endpointlag_findings_overflowed" []
        "Findings that endpointlag_finding does not show, because there are more than 10,000.";
    MISSING_RIGHTS: Gauge "endpointlag_advice_missing_rights" ["resource"]
        "Resources that advice may not list, whose checks are left out: the number of namespaces, or 1 for the whole cluster. No series if nothing is missing.";
    EVALUATIONS: Counter "endpointlag_advice_evaluations_total" []
        "How often advice was evaluated.";
    EVALUATION_FAILURES: Counter "endpointlag_advice_failures_total" []
        "How often advice could not be evaluated; the log says why. The findings of the time before are still shown.";
    EVALUATED: Gauge "endpointlag_advice_last_evaluation_timestamp_seconds" []
        "When advice was last evaluated, in seconds since 1970.";
    EVALUATION: Gauge "endpointlag_advice_evaluation_seconds" []
        "How long the last evaluation took; most of it is reading.";
    HTTP_REQUESTS: Counter "endpointlag_http_requests_total" ["path", "code"]
        "Requests answered, by path and status; paths that do not exist count as other.";
    HTTP_DROPPED: Counter "endpointlag_http_connections_dropped_total" ["reason"]
        "Connections of clients that were dropped, by reason.";
    TLS_EXPIRATION: Gauge "endpointlag_tls_certificate_expiration_timestamp_seconds" []
        "Earliest expiry time of the certificates in the served chain, in seconds since 1970. Only with --tls-cert-file.";
    TLS_RELOAD_FAILURES: Counter "endpointlag_tls_reload_failures_total" []
        "How often the certificate files changed but could not be used. The previous certificate stays in use.";
    BUILD_INFO: Gauge "endpointlag_build_info" ["version", "revision"]
        "Always 1.";
}
