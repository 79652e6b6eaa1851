//! `/healthz` and `/readyz`: the probes of the kubelet.

use crate::{cluster::health::WatchHealth, logging::on_one_line};
use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use std::{fmt::Write as _, sync::Arc};

pub(super) const PATHS: [&str; 2] = ["/healthz", "/readyz"];

type Answer = (StatusCode, String);

/// Routes of a daemon that measures with these watches.
pub(super) fn router(watches: &[Arc<WatchHealth>]) -> Router {
    let watches: Arc<[_]> = watches.into();
    Router::new().route("/healthz", get("ok\n")).route("/readyz", get(ready)).with_state(watches)
}

/// Routes of a daemon that is alive, but waits for something.
pub(super) fn awaiting(what: &str) -> Router {
    Router::new().route("/healthz", get("ok\n")).route("/readyz", get(not_synced(&format!("{}\n", on_one_line(what)))))
}

/// Ready once every watch has listed. Otherwise says which has not, and why.
async fn ready(State(watches): State<Arc<[Arc<WatchHealth>]>>) -> Answer {
    let mut unsynced = String::new();
    for watch in watches.iter().filter(|watch| !watch.is_synced()) {
        let why = watch.failure().unwrap_or_else(|| "listing".to_owned());
        let _ = writeln!(unsynced, "{watch}: {}", on_one_line(&why));
    }
    if unsynced.is_empty() { (StatusCode::OK, "ok\n".to_owned()) } else { not_synced(&unsynced) }
}

/// The reasons why it is not ready, in lines.
pub(super) fn not_synced(lines: &str) -> Answer {
    (StatusCode::SERVICE_UNAVAILABLE, format!("not synced:\n{lines}"))
}
