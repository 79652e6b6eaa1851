//! What is printed at the end: each kind of change in numbers, what is pending and out of sync, and whether objectives were met.

use super::text::{counted, round, short};
use crate::{
    ledger::{Change, Outcome},
    logging::on_one_line,
    model::Stamp,
    pipeline::{Now, PipelineHandle},
    propagation::{OutOfSyncEndpoint, PendingChange, ServiceName, Subject},
    stats::{Selection, Table, Window, WindowView},
};
use std::{cmp::Reverse, collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// Maximum number of changes and endpoints that are named.
const NAMED: usize = 10;

/// Width of the longest kind of change.
const CHANGE: usize = 11;

/// Width of a delay such as `999.9 ms`.
const DELAY: usize = 8;

/// Whether changes met their objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None missed it.
    Met,
    /// At least one missed it.
    Missed,
}

/// The end of a measurement.
#[derive(Debug)]
pub(super) struct Summary {
    /// Number of Services that are measured now.
    pub(super) services: usize,
    now: Stamp,
    kinds: Vec<Kind>,
    /// Changes that missed their objective, by Service, with the Service's objective if it still exists.
    missed: BTreeMap<Arc<ServiceName>, (u64, Option<Duration>)>,
    /// The oldest first.
    pending: Vec<PendingChange>,
    /// The oldest first.
    out_of_sync: Vec<OutOfSyncEndpoint>,
}

/// One kind of change, of all Services.
#[derive(Debug)]
struct Kind {
    change: Change,
    /// By [`Outcome::index`].
    outcomes: [u64; Outcome::NAMES.len()],
    delays: Option<WindowView>,
    pending: u64,
    missed: u64,
}

// === impl Summary ===

impl Summary {
    /// What was measured of the selected Services; `None` if the measurement has ended.
    pub(super) async fn of(handle: &PipelineHandle, selection: &Selection) -> Option<Self> {
        let table = handle.table(selection.clone()).await?;
        let mut pending = handle.changes().await?.value.pending;
        pending.retain(|pending| selection.takes(&pending.key.service));
        let mut out_of_sync = handle.out_of_sync().await?.value;
        out_of_sync.retain(|endpoint| selection.takes(&endpoint.service));
        Some(Self::new(&table, pending, out_of_sync))
    }

    /// From its parts.
    pub(super) fn new(
        table: &Now<Table>,
        mut pending: Vec<PendingChange>,
        mut out_of_sync: Vec<OutOfSyncEndpoint>,
    ) -> Self {
        let Now { at, value: table, .. } = table;
        pending.sort_unstable_by_key(|pending| pending.since);
        out_of_sync.sort_unstable_by_key(|endpoint| endpoint.fault.since);
        let kinds = Change::ALL.into_iter().filter_map(|change| Kind::of(change, table, *at)).collect();
        let mut missed: BTreeMap<_, (u64, _)> = BTreeMap::new();
        for row in table.rows.iter().filter(|row| row.missed.total() > 0) {
            let measured = table.measured.iter().find(|measured| measured.service == row.service);
            let objective = measured.map(|measured| measured.objective);
            missed.entry(row.service.clone()).or_insert((0, objective)).0 += row.missed.total();
        }
        Self { services: table.measured.len(), now: *at, kinds, missed, pending, out_of_sync }
    }

    /// Whether nothing has changed.
    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether a change has missed its objective. One that is pending misses it when it is older.
    pub(super) fn verdict(&self) -> Verdict {
        if self.missed.is_empty() { Verdict::Met } else { Verdict::Missed }
    }

    /// The verdict in words, with the Services that missed their objective most often.
    pub(super) fn verdict_line(&self) -> String {
        if self.missed.is_empty() {
            return "objective met: no change was late".to_owned();
        }
        let total = self.missed.values().map(|(missed, _)| missed).sum();
        let mut worst: Vec<_> = self.missed.iter().collect();
        worst.sort_by_key(|(_, (missed, _))| Reverse(*missed));
        let named = worst.iter().take(NAMED).map(|(service, (missed, objective))| {
            let objective = objective.map(|it| format!(" (objective {})", round(it))).unwrap_or_default();
            format!("{missed} of {service}{objective}")
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let more = match worst.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {} more", counted(more as u64, "Service")),
        };
        on_one_line(&format!("objective missed by {}: {named}{more}", counted(total, "change")))
    }

    fn ended(&self, outcome: usize) -> u64 {
        self.kinds.iter().map(|kind| kind.outcomes[outcome]).sum()
    }

    fn write_kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most outcomes are rare. Their columns would only make the table wide.
        let outcomes: Vec<_> =
            (0..Outcome::NAMES.len()).filter(|outcome| *outcome == 0 || self.ended(*outcome) > 0).collect();
        write!(f, "\n{:CHANGE$}", "CHANGE")?;
        for outcome in &outcomes {
            write!(f, "  {}", Outcome::NAMES[*outcome].to_uppercase())?;
        }
        writeln!(f, "  {:>DELAY$}  {:>DELAY$}  {:>DELAY$}  PENDING  MISSED", "P50", "P99", "MAX")?;
        for kind in &self.kinds {
            write!(f, "{:CHANGE$}", kind.change.as_str())?;
            for outcome in &outcomes {
                let width = Outcome::NAMES[*outcome].len();
                write!(f, "  {:>width$}", kind.outcomes[*outcome])?;
            }
            let delays = kind.delays.as_ref();
            let quantile = |q| delays.and_then(|delays| delays.quantile(q));
            for delay in [quantile(0.5), quantile(0.99), delays.and_then(|delays| delays.max)] {
                write!(f, "  {:>DELAY$}", short(delay))?;
            }
            writeln!(f, "  {:>7}  {:>6}", kind.pending, kind.missed)?;
        }
        Ok(())
    }

    fn write_pending(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}:", counted(self.pending.len() as u64, "pending change"))?;
        for pending in self.pending.iter().take(NAMED) {
            let Subject { service, pod } = &pending.key;
            let pod = pod.as_ref().map(|pod| format!(" {}", pod.name)).unwrap_or_default();
            let at_least = if pending.exact { "" } else { "at least " };
            let age = short(Some(self.now.since(pending.since)));
            let (change, objective) = (pending.change, round(pending.objective));
            let line = format!("{service}{pod}: {change} for {at_least}{age}, objective {objective}");
            writeln!(f, "  {}", on_one_line(&line))?;
        }
        write_rest(f, self.pending.len())
    }

    fn write_out_of_sync(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} out of sync:", counted(self.out_of_sync.len() as u64, "endpoint"))?;
        for OutOfSyncEndpoint { service, pod, fault } in self.out_of_sync.iter().take(NAMED) {
            let traffic = if fault.traffic { "traffic is affected" } else { "traffic is not affected" };
            let age = short(Some(self.now.since(fault.since)));
            let line = format!("{service} {}: for {age}, {traffic}", pod.name);
            writeln!(f, "  {}", on_one_line(&line))?;
        }
        write_rest(f, self.out_of_sync.len())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.kinds.is_empty() {
            self.write_kinds(f)?;
        }
        if !self.pending.is_empty() {
            self.write_pending(f)?;
        }
        if !self.out_of_sync.is_empty() {
            self.write_out_of_sync(f)?;
        }
        let censored = self.ended(Outcome::Censored.index());
        if censored > 0 {
            let censored = counted(censored, "change");
            writeln!(f, "\n{censored} not seen as it happened, so without a delay (censored)")?;
        }
        Ok(())
    }
}

/// How many of these were not named.
fn write_rest(f: &mut fmt::Formatter<'_>, number: usize) -> fmt::Result {
    if number > NAMED { writeln!(f, "  and {} more", number - NAMED) } else { Ok(()) }
}

// === impl Kind ===

impl Kind {
    /// The sum of all rows of this kind; `None` if there was no such change.
    fn of(change: Change, table: &Table, now: Stamp) -> Option<Self> {
        let rows: Vec<_> = table.rows.iter().filter(|row| row.change == change).collect();
        let outcomes = std::array::from_fn(|outcome| rows.iter().map(|row| row.outcomes[outcome]).sum());
        let views: Vec<_> = rows.iter().filter_map(|row| Some(row.delays.as_ref()?.view(Window::Start, now))).collect();
        let pending = rows.iter().map(|row| row.pending).sum();
        let missed = rows.iter().map(|row| row.missed.total()).sum();
        let kind = Self { change, outcomes, delays: WindowView::merged(&views), pending, missed };
        let ended: u64 = kind.outcomes.iter().sum();
        (ended + pending + missed > 0).then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Backlog, Cause, Fault, Hop, Pending},
        model::Uid,
        propagation::{Ended, PodRef, Report, Standing},
        stats::{Bounds, SeriesLimits, Stats},
    };
    use std::time::SystemTime;

    const OBJECTIVE: Duration = Duration::from_secs(2);

    fn service() -> Arc<ServiceName> {
        Arc::new(ServiceName { namespace: "shop".into(), name: "cart".into() })
    }

    fn pod() -> PodRef {
        PodRef { name: "cart-0".into(), uid: Uid::from("u") }
    }

    fn at(seconds: u64) -> Stamp {
        Stamp::new(Duration::from_secs(seconds))
    }

    /// Three delays of `ready`, the last of which missed the objective.
    fn stats() -> Stats {
        let limits = SeriesLimits { services: usize::MAX, idle: Duration::MAX };
        let mut stats = Stats::new(Bounds::default(), limits, at(0)).keeping_all();
        for (millis, missed) in [(20, false), (30, false), (2_500, true)] {
            let outcome = Outcome::Propagated { delay: Duration::from_millis(millis), reordered: None };
            let (hop, key) = (Hop::Slice, Subject { service: service(), pod: Some(pod()) });
            let (change, cause) = (Change::Ready, Cause::Pod);
            let ended = Ended { hop, key, change, cause, began: at(1), outcome, at: at(4), shown: None, by: None };
            stats.record(&Report::Ended(ended), at(4));
            stats.record(&Report::Judged { service: service(), change, missed }, at(4));
        }
        stats
    }

    fn table(stats: &Stats, standing: Standing) -> Now<Table> {
        let standing = Standing { is_measuring: true, measured: vec![(service(), OBJECTIVE)], ..standing };
        let value = stats.table(&[standing], &Selection::default());
        Now { at: at(20), wall: SystemTime::UNIX_EPOCH, value }
    }

    #[test]
    fn a_summary_has_each_kind_of_change_and_what_is_left() {
        let pending = vec![(service(), Change::Removed, Backlog { count: 1, oldest: at(15) })];
        let table = table(&stats(), Standing { pending, ..Standing::default() });
        let pending = Pending {
            key: Subject { service: service(), pod: Some(pod()) },
            change: Change::Removed,
            cause: Cause::Pod,
            since: at(15),
            exact: true,
            objective: OBJECTIVE,
            doubt: None,
            judged: true,
        };
        let fault = Fault { since: at(15), traffic: true };
        let endpoint = OutOfSyncEndpoint { service: service(), pod: pod(), fault };
        let summary = Summary::new(&table, vec![pending], vec![endpoint]);
        let expected = "
CHANGE       PROPAGATED       P50       P99       MAX  PENDING  MISSED
ready                 3   30.0 ms    2.50 s    2.50 s        0       1
removed               0         -         -         -        1       0

1 pending change:
  shop/cart cart-0: removed for 5.00 s, objective 2s

1 endpoint out of sync:
  shop/cart cart-0: for 5.00 s, traffic is affected
";
        assert_eq!(summary.to_string(), expected);
        assert_eq!(summary.verdict_line(), "objective missed by 1 change: 1 of shop/cart (objective 2s)");
        assert_eq!((summary.verdict(), summary.is_empty(), summary.services), (Verdict::Missed, false, 1));
    }

    #[test]
    fn without_a_change_no_objective_is_missed() {
        let limits = SeriesLimits { services: usize::MAX, idle: Duration::MAX };
        let table = table(&Stats::new(Bounds::default(), limits, at(0)), Standing::default());
        let summary = Summary::new(&table, Vec::new(), Vec::new());
        assert_eq!(
            (summary.to_string(), &*summary.verdict_line()),
            (String::new(), "objective met: no change was late")
        );
        assert_eq!((summary.verdict(), summary.is_empty()), (Verdict::Met, true));
    }

    /// A Service that is gone is still in the verdict: a rollout may delete what it broke.
    #[test]
    fn a_service_that_is_gone_is_not_forgotten() {
        let mut stats = stats();
        stats.sweep(|_| false, at(100_000));
        let value = stats.table(&[], &Selection::default());
        let table = Now { at: at(100_000), wall: SystemTime::UNIX_EPOCH, value };
        let summary = Summary::new(&table, Vec::new(), Vec::new());
        assert_eq!(summary.verdict(), Verdict::Missed);
        assert_eq!(summary.verdict_line(), "objective missed by 1 change: 1 of shop/cart");
    }
}
