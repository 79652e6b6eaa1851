//! The rows of the table: one for each change, as it ends.

use super::text::short;
use crate::{
    ledger::Outcome,
    logging::on_one_line,
    programming::{NodeOutcome, Spread},
    propagation::{Ended, ServiceName},
};
use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};
use std::time::SystemTime;

/// Width of a time such as `12:00:00.000`.
const TIME: usize = 12;

/// Width of the longest kind of change.
const CHANGE: usize = 11;

/// Width of the longest outcome.
const OUTCOME: usize = 10;

/// Width of a delay such as `999.9 ms`.
const DELAY: usize = 8;

/// Width of `50% NODES`.
const NODES: usize = 9;

/// What a ReplicaSet adds to the name of a Deployment: `-7d4b9c6f5d-x2x7k`.
const SUFFIX: usize = 17;

/// The table. Rows are printed one by one, so a column grows when a longer name comes.
#[derive(Debug)]
pub(super) struct Rows {
    service_width: usize,
    pod_width: usize,
    /// Whether all Services are in one namespace, which need not be repeated.
    is_narrow: bool,
    has_colours: bool,
    /// Whether the hop to the nodes is shown.
    has_nodes: bool,
    /// For times of the day.
    zone: TimeZone,
}

// === impl Rows ===

impl Rows {
    /// A table of these Services, and of others that come later.
    pub(super) fn new<'a>(services: impl Iterator<Item = &'a ServiceName>, is_narrow: bool, has_colours: bool) -> Self {
        let mut rows = Self {
            service_width: "SERVICE".len(),
            pod_width: 0,
            is_narrow,
            has_colours,
            has_nodes: false,
            zone: TimeZone::system(),
        };
        for service in services {
            rows.service_width = rows.service_width.max(rows.name_of(service).chars().count());
            rows.pod_width = rows.pod_width.max(service.name.chars().count() + SUFFIX);
        }
        rows
    }

    /// The same table, with how each change spread over the nodes.
    pub(super) fn with_nodes(self) -> Self {
        Self { has_nodes: true, ..self }
    }

    /// The first line.
    pub(super) fn header(&self) -> String {
        let cells = ["TIME", "SERVICE", "POD", "CHANGE", "OUTCOME", "DELAY"];
        let nodes = if self.has_nodes {
            nodes(["50% NODES", "99% NODES", "ALL NODES", "ERROR", "LAST NODE"])
        } else {
            String::new()
        };
        self.line(Style::new().bold(), cells, Style::new().bold(), &nodes)
    }

    /// The line of a change that ended at this time.
    pub(super) fn row(&mut self, ended: &Ended, at: SystemTime) -> String {
        self.row_with(ended, None, at)
    }

    /// The same, with how it spread over the nodes. Times of the nodes count from the slice event.
    pub(super) fn row_with(&mut self, ended: &Ended, spread: Option<&Spread>, at: SystemTime) -> String {
        let time = Timestamp::try_from(at)
            .map(|at| at.to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string());
        let service = self.name_of(&ended.key.service);
        let pod = ended.key.pod.as_ref().map_or_else(|| "-".to_owned(), |pod| on_one_line(&pod.name));
        self.service_width = self.service_width.max(service.chars().count());
        self.pod_width = self.pod_width.max(pod.chars().count());
        let delay = short(ended.outcome.delay());
        let colour = match ended.outcome {
            Outcome::Propagated { .. } => AnsiColor::Green.on_default(),
            Outcome::Expired { .. } => AnsiColor::Red.on_default().bold(),
            Outcome::Censored => AnsiColor::Yellow.on_default(),
            Outcome::Superseded | Outcome::Withdrawn => Style::new().dimmed(),
        };
        // A clock that is wrong by millennia has no time of the day.
        let time = time.unwrap_or_else(|_| "-".to_owned());
        let cells = [&*time, &service, &pod, ended.change.as_str(), ended.outcome.as_str(), &delay];
        let nodes = if self.has_nodes { spread_in_cells(spread) } else { String::new() };
        self.line(Style::new(), cells, colour, &nodes)
    }

    fn name_of(&self, service: &ServiceName) -> String {
        let name = if self.is_narrow { service.name.to_string() } else { service.to_string() };
        on_one_line(&name)
    }

    /// A line in a style, with another style for the outcome.
    fn line(&self, style: Style, cells: [&str; 6], outcome_style: Style, nodes: &str) -> String {
        let [time, service, pod, change, outcome, delay] = cells;
        let (service_width, pod_width) = (self.service_width, self.pod_width);
        let start = format!("{time:TIME$}  {service:service_width$}  {pod:pod_width$}  {change:CHANGE$}  ");
        let end = format!("  {delay:>DELAY$}{nodes}");
        let outcome = format!("{outcome:OUTCOME$}");
        let styled = |style: Style, text: &str| match self.has_colours {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        };
        styled(style, &start) + &styled(outcome_style, &outcome) + &styled(style, &end) + "\n"
    }
}

/// The cells of the hop to the nodes. How long half of the nodes, 99 % and all took; how exact that is; and who was last.
fn spread_in_cells(spread: Option<&Spread>) -> String {
    let Some(spread) = spread else { return nodes(["-"; 5]) };
    let [half, most, all] = spread.shares.map(short);
    let error = short(Some(spread.error));
    let last = spread.last.as_deref().map_or_else(|| "-".to_owned(), on_one_line);
    // A node where it did not come into effect leaves no time for all.
    let ended = |outcome: NodeOutcome| spread.outcomes[outcome as usize];
    let unknown: u32 = [NodeOutcome::Censored, NodeOutcome::Expired].map(ended).iter().sum();
    let last = if unknown > 0 { format!("{last}, {unknown} not known") } else { last };
    nodes([&half, &most, &all, &error, &last])
}

fn nodes([half, most, all, error, last]: [&str; 5]) -> String {
    format!("  {half:>NODES$}  {most:>NODES$}  {all:>NODES$}  {error:>DELAY$}  {last}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Cause, Change, Hop},
        model::{SliceVersion, Stamp, Uid},
        propagation::{PodRef, Subject},
    };
    use std::{sync::Arc, time::Duration};

    fn service(name: &str) -> ServiceName {
        ServiceName { namespace: "shop".into(), name: name.into() }
    }

    fn ended(name: &str, pod: Option<&str>, change: Change, outcome: Outcome) -> Ended {
        let pod = pod.map(|name| PodRef { name: name.into(), uid: Uid::from("u") });
        let (key, at) = (Subject { service: Arc::new(service(name)), pod }, Stamp::default());
        Ended { hop: Hop::Slice, key, change, cause: Cause::Pod, began: at, outcome, at, shown: None, by: None }
    }

    fn rows(names: &[&str], is_narrow: bool, has_colours: bool) -> Rows {
        let names: Vec<_> = names.iter().map(|name| service(name)).collect();
        Rows { zone: TimeZone::UTC, ..Rows::new(names.iter(), is_narrow, has_colours) }
    }

    const READY: Outcome = Outcome::Propagated { delay: Duration::from_micros(23_456), reordered: None };

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(3_723_004)
    }

    #[test]
    fn rows_line_up_below_their_header() {
        let mut rows = rows(&["web", "checkout"], true, false);
        let table = rows.header()
            + &rows.row(&ended("web", Some("web-7d4b9c6f5d-x2x7k"), Change::Ready, READY), at())
            + &rows.row(&ended("checkout", None, Change::Service, Outcome::Withdrawn), at());
        let expected = "\
TIME          SERVICE   POD                        CHANGE       OUTCOME        DELAY
01:02:03.004  web       web-7d4b9c6f5d-x2x7k       ready        propagated   23.5 ms
01:02:03.004  checkout  -                          service      withdrawn          -
";
        assert_eq!(table, expected);
    }

    #[test]
    fn with_agents_a_row_tells_how_the_change_spread() {
        let mut rows = rows(&["web"], true, false).with_nodes();
        let change = ended("web", Some("web-7d4b9c6f5d-x2x7k"), Change::Ready, READY);
        let [half, most, all] = [5, 50, 1_200].map(|millis| Some(Duration::from_millis(millis)));
        let version = SliceVersion { uid: Uid::from("s"), name: "web-abc".into(), resource_version: 1 };
        let mut outcomes = [0; NodeOutcome::ALL.len()];
        outcomes[NodeOutcome::InEffect as usize] = 12;
        let spread = Spread {
            number: 0,
            subject: change.key.clone(),
            change: Change::Ready,
            cause: Cause::Pod,
            began: Stamp::default(),
            shown: Stamp::default(),
            by: Arc::new(version),
            outcomes,
            shares: [half, most, all],
            last: Some("node-17".into()),
            error: Duration::from_micros(300),
            at: Stamp::default(),
        };
        let mut unsure = spread.clone();
        unsure.outcomes[NodeOutcome::Censored as usize] = 2;
        unsure.shares[2] = None;
        let table = rows.header()
            + &rows.row_with(&change, Some(&spread), at())
            + &rows.row_with(&change, Some(&unsure), at())
            + &rows.row(&change, at());
        let expected = "\
TIME          SERVICE  POD                   CHANGE       OUTCOME        DELAY  50% NODES  99% NODES  ALL NODES     ERROR  LAST NODE
01:02:03.004  web      web-7d4b9c6f5d-x2x7k  ready        propagated   23.5 ms     5.0 ms    50.0 ms     1.20 s    0.3 ms  node-17
01:02:03.004  web      web-7d4b9c6f5d-x2x7k  ready        propagated   23.5 ms     5.0 ms    50.0 ms          -    0.3 ms  node-17, 2 not known
01:02:03.004  web      web-7d4b9c6f5d-x2x7k  ready        propagated   23.5 ms          -          -          -         -  -
";
        assert_eq!(table, expected);
    }

    #[test]
    fn several_namespaces_are_named_and_a_longer_name_widens_its_column() {
        let mut rows = rows(&["web"], false, false);
        let expired = Outcome::Expired { age: Duration::from_secs(600) };
        let long = rows.row(&ended("a-new-service", Some(&"p".repeat(30)), Change::Removed, expired), at());
        assert!(long.contains("  shop/a-new-service  ") && long.ends_with("  expired     600.00 s\n"), "{long}");
        let next = rows.row(&ended("web", Some("web-0"), Change::Ready, READY), at());
        assert_eq!(next.len(), long.len(), "{long}{next}");
    }

    #[test]
    fn colours_change_no_column_and_nothing_from_outside_reaches_the_terminal() {
        let (mut plain, mut coloured) = (rows(&["web"], true, false), rows(&["web"], true, true));
        let change = ended("web", Some("evil\u{1b}[2J\n"), Change::Ready, READY);
        let (plain, coloured) = (plain.row(&change, at()), coloured.row(&change, at()));
        assert!(!plain.contains('\u{1b}') && plain.matches('\n').count() == 1, "{plain:?}");
        assert!(coloured.contains("\u{1b}[32mpropagated\u{1b}[0m"), "{coloured:?}");
        assert_eq!(coloured.replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), plain);
    }
}
