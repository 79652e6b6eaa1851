//! Prints what a daemon measures, with the hop to the nodes if it has agents. The cluster is not watched a second time.

use super::{Output, Settings, Verdict, WatchError};
use crate::{
    commands::{
        daemon::{
            Daemon,
            answers::{Changes, OutOfSync, Services},
            told::{Origin, ToldChange, ToldKey, objectives, pending},
        },
        print::print,
        rows::Rows,
        session::{over, stats},
        summary::Summary,
        text::{counted, has_colours, round, until},
    },
    exposition::samples::write_line,
    ledger::{Fault, Outcome},
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
        let summary = self.summary(&last).await?;
        if self.has_gap {
            settings.log_format.say("more changes ended than the daemon keeps: some are not in this");
        }
        let verdict = summary.verdict();
        let services = counted(self.objectives.len() as u64, "Service");
        let text =
            format!("\nwatched {services} in {place} for {}\n{summary}\n{}\n", round(lasted), summary.verdict_line());
        match settings.output {
            Output::Table if self.is_read => drop(print(text).await.map_err(WatchError::Output)?),
            Output::Table => {}
            Output::Json => settings.log_format.say(text.trim_end()),
        }
        Ok(verdict)
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
                self.count(&told);
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

    /// Counts it as this process would have, had it measured it.
    fn count(&mut self, told: &ToldChange) {
        let ended = &told.ended;
        self.stats.record(&Report::Ended(ended.clone()), ended.at);
        let objective = self.objectives.get(&ended.key.service);
        if let (Some(delay), Some(objective)) = (ended.outcome.delay(), objective) {
            let missed = delay > *objective || matches!(ended.outcome, Outcome::Expired { .. });
            let (service, change) = (ended.key.service.clone(), ended.change);
            self.stats.record(&Report::Judged { service, change, missed }, ended.at);
        }
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
        // What began before is not of this time.
        for late in pending.iter().filter(|it| it.since >= self.began && now.since(it.since) > it.objective) {
            let (service, change) = (late.key.service.clone(), late.change);
            self.stats.record(&Report::Judged { service, change, missed: true }, now);
        }
        let path = format!("/api/v1/out-of-sync?limit={CHANGES}{}", only(self.settings));
        let found: OutOfSync = self.daemon.client.get(&path).await?;
        let endpoint = |line: crate::commands::daemon::answers::Endpoint| OutOfSyncEndpoint {
            service: crate::commands::daemon::answers::name(&line.namespace, &line.service),
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
