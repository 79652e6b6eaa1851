//! Prints what a daemon measures, with the hop to the nodes if it has agents. The cluster is not watched a second time.

use super::{Output, Settings, Verdict, WatchError};
use crate::{
    commands::{
        daemon::{
            Daemon,
            answers::{Changes, OutOfSync, Overview, Services, kind, name},
            told::{Origin, ToldChange, ToldKey, objectives, pending},
        },
        print::print,
        rows::Rows,
        session::{over, stats},
        summary::Summary,
        text::{counted, has_colours, round, until},
    },
    exposition::samples::write_line,
    ledger::{Change, Fault, Outcome},
    model::{Stamp, Uid},
    pipeline::{Ending, Now},
    propagation::{OutOfSyncEndpoint, PodRef, Report, ServiceName, Standing},
    signals::OsSignals,
    stats::{Selection, Stats},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// Pause between two questions. A question costs the daemon less than a scrape.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a change is held back until the daemon knows all nodes. Agents report within a second, and kube-proxy may take as long.
const HELD: Duration = Duration::from_secs(5);

/// Maximum number of changes of an answer, as the daemon keeps.
const CHANGES: usize = 10_000;

/// How long a daemon may not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many changes have missed their objective since the daemon started. Also those count that ended without a delay.
type Misses = BTreeMap<(Arc<ServiceName>, Change), u64>;

/// Changes of a daemon, and what prints them.
pub(super) struct Told<'a> {
    settings: &'a Settings,
    daemon: Daemon,
    origin: Origin,
    /// What had ended before, or was seen since.
    seen: HashSet<ToldKey>,
    /// What waits for its nodes, since when.
    held: HashMap<ToldKey, (Instant, ToldChange)>,
    objectives: BTreeMap<Arc<ServiceName>, Duration>,
    /// What had missed its objective before.
    missed: Misses,
    began: Stamp,
    stats: Stats,
    rows: Option<Rows>,
    /// Whether changes ended between two answers that neither has.
    has_gap: bool,
    /// Whether anybody reads what is printed.
    is_read: bool,
}

// === impl Told ===

impl<'a> Told<'a> {
    /// Asks for what there is, which is not printed.
    pub(super) async fn start(settings: &'a Settings, daemon: Daemon) -> Result<Self, WatchError> {
        // Before the changes: a miss of one that is seen then is counted.
        let missed = misses(settings, &daemon).await?;
        let changes: Changes = daemon.client.get(&path(settings)).await?;
        let origin = Origin::before(changes.time);
        let began = origin.stamp(changes.time);
        let seen = changes.ended.iter().map(ToldKey::from).collect();
        let rows = settings.output == Output::Table;
        let mut told = Self {
            settings,
            daemon,
            origin,
            seen,
            held: HashMap::new(),
            objectives: BTreeMap::new(),
            missed,
            began,
            stats: stats(began),
            rows: None,
            has_gap: false,
            is_read: true,
        };
        told.ask_services().await?;
        if rows {
            let names = told.objectives.keys().map(|name| &**name);
            let is_narrow = settings.session.scope.namespaces.len() == 1;
            let rows = Rows::new(names, is_narrow, has_colours());
            let rows = if told.daemon.overview.nodes.is_some() { rows.with_nodes() } else { rows };
            told.is_read = print(rows.header()).await.map_err(WatchError::Output)?;
            told.rows = Some(rows);
        }
        Ok(told)
    }

    /// Goes on until the end, and summarises.
    pub(super) async fn finish(mut self, place: &str, signals: &OsSignals) -> Result<Verdict, WatchError> {
        let settings = self.settings;
        let services = counted(self.objectives.len() as u64, "Service");
        let hops = match self.daemon.overview.nodes {
            Some(_) => "",
            None => "; it has no agents, so the hop to the nodes is not measured",
        };
        let (until, what) = (until(settings.lasting), &self.daemon.what);
        settings.log_format.say(&format!("watching {services} in {place} {until}, as {what} measures{hops}"));
        let started = Instant::now();
        tokio::select! {
            ended = self.go_on() => ended?,
            () = over(settings.lasting) => {}
            () = signals.stopped() => {}
        }
        let lasted = started.elapsed();
        let last = self.look().await?;
        self.print_held(true).await?;
        self.ask_services().await?;
        let now: Overview = self.daemon.client.get(Overview::PATH).await?;
        let unseen = unseen(&now, lasted, self.has_gap);
        self.count_misses().await?;
        let summary = self.summary(&last).await?;
        let verdict = match (summary.verdict(), unseen, &settings.service) {
            (Verdict::Missed, _, _) => Ok(Verdict::Missed),
            (Verdict::Met, Some(why), _) => Err(WatchError::Unseen(why)),
            (Verdict::Met, None, Some(name)) if self.objectives.is_empty() && summary.is_empty() => {
                Err(WatchError::NoService { name: name.clone(), place: place.to_owned() })
            }
            (Verdict::Met, None, _) => Ok(Verdict::Met),
        };
        let services = counted(self.objectives.len() as u64, "Service");
        let mut text = format!("\nwatched {services} in {place} for {}\n{summary}", round(lasted));
        if verdict.is_ok() {
            text += &format!("\n{}\n", summary.verdict_line());
        }
        match settings.output {
            Output::Table if self.is_read => drop(print(text).await.map_err(WatchError::Output)?),
            Output::Table => {}
            Output::Json => settings.log_format.say(text.trim_end()),
        }
        verdict
    }

    /// Looks again and again, until nobody reads.
    async fn go_on(&mut self) -> Result<(), WatchError> {
        let mut answered = Instant::now();
        while self.is_read {
            tokio::time::sleep(PAUSE).await;
            match self.look().await {
                Ok(_) => answered = Instant::now(),
                // It may be replaced.
                Err(WatchError::Daemon(_)) if answered.elapsed() < PATIENCE => continue,
                Err(error) => return Err(error),
            }
            self.print_held(false).await?;
        }
        Ok(())
    }

    /// Asks once, and counts what is new.
    async fn look(&mut self) -> Result<Changes, WatchError> {
        let changes: Changes = self.daemon.client.get(&path(self.settings)).await?;
        let is_known = |line| is_seen(&self.seen, &ToldKey::from(line));
        self.has_gap |= changes.ended.len() == CHANGES && !changes.ended.iter().any(is_known);
        for line in changes.ended.iter().rev() {
            let key = ToldKey::from(line);
            let is_new = !is_seen(&self.seen, &key);
            if !is_new && !self.held.contains_key(&key) {
                continue;
            }
            let Some(told) = ToldChange::of(line, self.origin).filter(|told| self.takes(&told.ended.key.service))
            else {
                continue;
            };
            if is_new {
                self.stats.record(&Report::Ended(told.ended.clone()), told.ended.at);
            }
            let since = self.held.get(&key).map_or_else(Instant::now, |(since, _)| *since);
            self.held.insert(key, (since, told));
        }
        // What the daemon has forgotten does not come again.
        self.seen = changes.ended.iter().map(ToldKey::from).collect();
        Ok(changes)
    }

    fn takes(&self, service: &ServiceName) -> bool {
        let namespaces = &self.settings.session.scope.namespaces;
        namespaces.is_empty() || namespaces.iter().any(|namespace| **namespace == *service.namespace)
    }

    /// Counts what has missed its objective meanwhile, as the daemon judges it, whether it has ended or not.
    async fn count_misses(&mut self) -> Result<(), WatchError> {
        for ((service, change), missed) in misses(self.settings, &self.daemon).await? {
            let before = self.missed.get(&(service.clone(), change)).copied().unwrap_or_default();
            if self.takes(&service) {
                let judged = Report::Judged { service, change, missed: true };
                for _ in before..missed {
                    self.stats.record(&judged, self.began);
                }
            }
        }
        Ok(())
    }

    /// Prints what waits for nothing any more, in the order in which it ended.
    async fn print_held(&mut self, all: bool) -> Result<(), WatchError> {
        let has_agents = self.daemon.overview.nodes.is_some();
        let is_due = |(since, told): &(Instant, ToldChange)| {
            let goes_on = has_agents && matches!(told.ended.outcome, Outcome::Propagated { .. });
            all || !goes_on || told.spread.is_some() || since.elapsed() >= HELD
        };
        let due: Vec<_> = self.held.extract_if(|_, held| is_due(held)).map(|(_, (_, told))| told).collect();
        let mut due = due;
        due.sort_by_key(|told| told.ended.at);
        let mut text = Vec::new();
        for ToldChange { ended, spread } in &due {
            let wall = |at| self.origin.wall(at);
            match &mut self.rows {
                Some(rows) => text.extend_from_slice(rows.row_with(ended, spread.as_ref(), wall(ended.at)).as_bytes()),
                None => {
                    write_line(&mut text, wall, Ending::Slice(ended)).map_err(WatchError::Output)?;
                    if let Some(spread) = spread {
                        write_line(&mut text, wall, Ending::DataPlane(spread)).map_err(WatchError::Output)?;
                    }
                }
            }
        }
        if !text.is_empty() {
            let text = String::from_utf8_lossy(&text).into_owned();
            self.is_read = print(text).await.map_err(WatchError::Output)?;
        }
        Ok(())
    }

    async fn ask_services(&mut self) -> Result<(), WatchError> {
        let path = format!("/api/v1/services?by=service&limit=100000{}", only(self.settings));
        let services: Services = self.daemon.client.get(&path).await?;
        self.objectives.extend(objectives(&services.services));
        let namespaces = &self.settings.session.scope.namespaces;
        let is_wanted =
            |name: &ServiceName| namespaces.is_empty() || namespaces.iter().any(|it| **it == *name.namespace);
        self.objectives.retain(|name, _| is_wanted(name));
        Ok(())
    }

    async fn summary(&mut self, last: &Changes) -> Result<Summary, WatchError> {
        let now = self.origin.stamp(last.time);
        let mut pending = pending(last, &self.objectives, self.origin);
        pending.retain(|pending| self.takes(&pending.key.service));
        let path = format!("/api/v1/out-of-sync?limit={CHANGES}{}", only(self.settings));
        let found: OutOfSync = self.daemon.client.get(&path).await?;
        let endpoint = |line: crate::commands::daemon::answers::Endpoint| OutOfSyncEndpoint {
            service: name(&line.namespace, &line.service),
            pod: PodRef { name: line.pod.into(), uid: Uid::from(&*line.uid) },
            fault: Fault { since: now.minus(line.age_seconds.0), traffic: line.traffic },
        };
        let mut out_of_sync: Vec<_> = found.endpoints.into_iter().map(endpoint).collect();
        out_of_sync.retain(|endpoint| self.takes(&endpoint.service));
        let measured = self.objectives.iter().map(|(service, objective)| (service.clone(), *objective)).collect();
        let standing = Standing { is_measuring: true, measured, ..Standing::default() };
        let table = self.stats.table(&[standing], &Selection::default());
        let now = Now { at: now, wall: self.origin.wall(now), value: table };
        Ok(Summary::new(&now, pending, out_of_sync))
    }
}

/// Why not all changes of the last `lasted` were seen, if so, by the daemon's state at the end.
fn unseen(now: &Overview, lasted: Duration, has_gap: bool) -> Option<&'static str> {
    if now.uptime_seconds.0 < lasted {
        Some("the daemon was started again meanwhile")
    } else if now.watches.iter().any(|watch| !watch.synced) {
        Some("a watch of the daemon is not synced")
    } else {
        has_gap.then_some("more changes ended between two answers than the daemon keeps")
    }
}

/// All of the daemon, as far as a question can say which.
async fn misses(settings: &Settings, daemon: &Daemon) -> Result<Misses, WatchError> {
    let path = format!("/api/v1/services?by=change&window=start&limit=100000{}", only(settings));
    let services: Services = daemon.client.get(&path).await?;
    let missed = services.services.iter().filter_map(|line| {
        let service = name(&line.namespace, &line.service);
        Some(((service, kind(&line.change)?), line.missed))
    });
    Ok(missed.collect())
}

fn is_seen(seen: &HashSet<ToldKey>, key: &ToldKey) -> bool {
    key.near().any(|key| seen.contains(&key))
}

fn path(settings: &Settings) -> String {
    format!("/api/v1/changes?limit={CHANGES}{}", only(settings))
}

/// What is asked for, as far as a question can say it.
fn only(settings: &Settings) -> String {
    let service = settings.service.as_ref().map(|service| format!("&service={service}")).unwrap_or_default();
    match &*settings.session.scope.namespaces {
        [one] => format!("{service}&namespace={one}"),
        _ => service,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_has_not_seen_all_is_told_from_one_that_has() {
        let unseen = |uptime: u64, is_synced: bool, has_gap: bool| {
            let watches = [true, is_synced].map(|synced| serde_json::json!({ "resource": "pods", "synced": synced }));
            let overview = serde_json::json!({ "uptime_seconds": uptime, "nodes": null, "watches": watches });
            let overview: Overview = serde_json::from_value(overview).expect("an overview");
            unseen(&overview, Duration::from_secs(60), has_gap)
        };
        assert_eq!(unseen(61, true, false), None);
        assert_eq!(unseen(59, true, false), Some("the daemon was started again meanwhile"));
        assert_eq!(unseen(61, false, false), Some("a watch of the daemon is not synced"));
        assert_eq!(unseen(61, true, true), Some("more changes ended between two answers than the daemon keeps"));
    }
}
