//! Measures for a while, without a daemon.

use super::{AdviseError, Settings};
use crate::{
    advice::{Measured, of_cluster, rollouts},
    adviser::Measurement,
    cluster::clock::Clock,
    commands::{
        session::{Connection, Session},
        text::{counted, round},
    },
    ledger::Change,
    model::Stamp,
    pipeline::Ending,
    propagation::ServiceName,
    signals::OsSignals,
    stats::Selection,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often it says how far it is.
const PROGRESS: Duration = Duration::from_secs(60);

/// How long the end waits for a watch that the API server has just ended.
const RECONNECT: Duration = Duration::from_secs(1);

/// The removals of a Service: the name of each pod, and when it began to terminate.
type Removals = BTreeMap<Arc<ServiceName>, Vec<(Arc<str>, Stamp)>>;

/// Measures for this long, or until a signal comes. `what` is measured, in words.
pub(super) async fn measured(
    connection: Connection,
    settings: &Settings,
    lasting: Duration,
    what: &str,
    signals: &OsSignals,
) -> Result<Measurement, AdviseError> {
    let removals = Arc::<Mutex<Removals>>::default();
    let into = removals.clone();
    let push = move |ending: Ending<'_>| {
        if let Ending::Slice(ended) = ending
            && ended.change == Change::Terminating
            && let Some(pod) = &ended.key.pod
        {
            into.lock().entry(ended.key.service.clone()).or_default().push((pod.name.as_ref().into(), ended.began));
        }
    };
    let session = Session::start(connection, &settings.session, Clock::start(), push)?;
    tokio::select! {
        synced = session.synced() => synced?,
        () = signals.stopped() => return Err(AdviseError::Early),
    }
    let synced = Instant::now();
    settings.log_format.say(&format!("measuring {what} for {}", round(lasting)));
    let progress = async {
        loop {
            tokio::time::sleep(PROGRESS).await;
            let removed: usize = removals.lock().values().map(Vec::len).sum();
            let (passed, removed) = (round(synced.elapsed()), counted(removed as u64, "removal"));
            settings.log_format.say(&format!("measured for {passed} of {}: {removed} so far", round(lasting)));
        }
    };
    tokio::select! {
        () = tokio::time::sleep(lasting) => {}
        () = signals.stopped() => {}
        () = progress => {}
    }
    let window = synced.elapsed();
    // What was not seen to the end is no measurement.
    tokio::time::timeout(RECONNECT, session.synced()).await.unwrap_or_else(|_| session.check())?;
    let table = session.handle.table(Selection::default()).await.ok_or(AdviseError::Ended)?;
    let cluster = session.handle.cluster().await.ok_or(AdviseError::Ended)?;
    session.end().await;
    let mut services = Measured::of_table(&table.value, table.at, window);
    for (service, removals) in &*removals.lock() {
        if let Some(measured) = services.get_mut(service) {
            let since = |at: Stamp| at.since(Stamp::default());
            measured.rollouts = Some(rollouts(removals.iter().map(|(pod, at)| (&**pod, since(*at)))));
        }
    }
    let cluster = of_cluster(&cluster.value, cluster.at);
    Ok(Measurement { window: Some(window), services, cluster, ..Measurement::default() })
}
