//! Rules for each dashboard: those of Grafana's dashboard-linter, which cannot be installed here, and some of our own.

use super::grafana::{self, Dashboard, list, names, text};
use super::promql::selectors;
use anyhow::{Result, ensure};
use endpointlag::exposition::metrics::{Kind, METRICS, Metric};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Kinds of panels that every current Grafana supports.
const KINDS: [&str; 5] = ["bargauge", "heatmap", "stat", "table", "timeseries"];

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// Metrics that Prometheus adds about its scrapes, and those of the process.
const OTHERS: [&str; 6] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "up",
];

/// What the dashboards take from the recording rules.
const RECORDED: &str = include_str!("../../deploy/prometheus/rules.yaml");

/// Both sides of a share may be summed over all daemons.
const SHARE: [&str; 2] = ["endpointlag_slo_missed_total", "endpointlag_slo_changes_total"];

/// The metric with which Prometheus reports alerts.
const ALERTS: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

fn each(rule: impl Fn(&Dashboard) -> Result<()>) -> Result<()> {
    grafana::all()?.iter().try_for_each(rule)
}

#[test]
fn the_data_source_is_a_variable_and_everything_uses_it() -> Result<()> {
    each(|dashboard| {
        let variable = dashboard.variable("datasource")?;
        ensure!(variable["type"] == "datasource" && variable["query"] == "prometheus", "{variable}");
        ensure!(variable["label"] == "Data source", "{variable}");
        let own = json!({ "type": "prometheus", "uid": "${datasource}" });
        for panel in dashboard.panels() {
            ensure!(panel["datasource"] == own, "{}: {}", panel["title"], panel["datasource"]);
        }
        for target in dashboard.targets()? {
            ensure!(target.json["datasource"] == own, "{}", target.place);
        }
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
            ensure!(variable["datasource"] == own, "{}", variable["name"]);
        }
        Ok(())
    })
}

#[test]
fn job_and_instance_can_be_chosen_several_at_once() -> Result<()> {
    each(|dashboard| {
        for (name, label, all) in [("job", "Job", ".+"), ("instance", "Instance", ".+"), ("cluster", "Cluster", ".*")] {
            let variable = dashboard.variable(name)?;
            ensure!(variable["type"] == "query" && variable["label"] == label, "{}: {variable}", dashboard.name);
            ensure!(variable["multi"] == true && variable["includeAll"] == true, "{}: {variable}", dashboard.name);
            ensure!(variable["allValue"] == all, "{}: {variable}", dashboard.name);
        }
        Ok(())
    })
}

#[test]
fn variables_follow_the_time_and_are_used() -> Result<()> {
    each(|dashboard| {
        let mut used: BTreeSet<_> = names(&dashboard.json["panels"].to_string()).into_iter().collect();
        used.extend(dashboard.variables().iter().flat_map(|variable| names(text(&variable["definition"]))));
        let mut known = BTreeSet::new();
        for variable in dashboard.variables() {
            let name = text(&variable["name"]);
            ensure!(!text(&variable["label"]).is_empty(), "{} / ${name} has no label", dashboard.name);
            ensure!(used.contains(name), "{} / ${name} is not used", dashboard.name);
            if variable["type"] == "query" {
                ensure!(variable["refresh"] == 2, "{} / ${name} does not follow the time", dashboard.name);
                ensure!(variable["query"]["query"] == variable["definition"], "{} / ${name}", dashboard.name);
                for selector in selectors(text(&variable["definition"])) {
                    ensure!(selector.matchers.contains("job="), "{} / ${name}: {selector:?}", dashboard.name);
                }
                let unknown = names(text(&variable["definition"])).into_iter().find(|name| !known.contains(name));
                ensure!(unknown.is_none(), "{} / ${name} needs {unknown:?} before it", dashboard.name);
            }
            known.insert(name.to_owned());
        }
        let unknown = used.iter().find(|name| !name.starts_with("__") && !known.contains(*name));
        ensure!(unknown.is_none(), "{} uses {unknown:?}", dashboard.name);
        Ok(())
    })
}

#[test]
fn each_panel_says_what_it_is_in_which_unit_and_what_to_do() -> Result<()> {
    each(|dashboard| {
        let mut titles = BTreeSet::new();
        for panel in dashboard.panels() {
            let (title, about) = (text(&panel["title"]), text(&panel["description"]));
            let place = format!("{} / {title}", dashboard.name);
            ensure!(!title.is_empty() && titles.insert(title), "{place}: no title of its own");
            ensure!(about.contains("\n\nWhen "), "{place} does not say what to do: {about}");
            ensure!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{place} has no unit");
            ensure!(KINDS.contains(&text(&panel["type"])), "{place} is a {}", panel["type"]);
        }
        Ok(())
    })
}

#[test]
fn queries_ask_for_the_daemon_and_rate_its_counters() -> Result<()> {
    each(|dashboard| {
        for target in dashboard.targets()? {
            let place = format!("{}: {}", target.place, target.expr);
            let selectors = selectors(&target.expr);
            ensure!(!selectors.is_empty(), "{place}: no selector");
            for selector in selectors {
                if ALERTS.contains(&selector.metric.as_str()) {
                    // An alert of a Service is computed over all its daemons, so it has no label of a daemon.
                    for matcher in ["alertname=~\"EndpointLag", "cluster=~\"$cluster\""] {
                        ensure!(selector.matchers.contains(matcher), "{place}: no {matcher} in {selector:?}");
                    }
                    continue;
                }
                if selector.metric.contains(':') {
                    // A rate of all daemons, which is recorded by Service.
                    let rule = format!("record: \"{}\"", selector.metric);
                    ensure!(RECORDED.contains(&rule), "{place}: {} is not recorded", selector.metric);
                    for matcher in ["cluster=~\"$cluster\"", "namespace=~\"$namespace\"", "service=~\"$service\""] {
                        ensure!(selector.matchers.contains(matcher), "{place}: no {matcher} in {selector:?}");
                    }
                    ensure!(
                        selector.function == "sum_over_time" && !selector.range.is_empty(),
                        "{place}: {selector:?}"
                    );
                    continue;
                }
                for matcher in ["job=~\"$job\"", "instance=~\"$instance\"", "cluster=~\"$cluster\""] {
                    ensure!(selector.matchers.contains(matcher), "{place}: no {matcher} in {selector:?}");
                }
                let is_counter = selector.metric.ends_with("_total") || selector.metric.ends_with("${histogram}");
                match selector.function.as_str() {
                    "rate" => ensure!(selector.range == "$__rate_interval", "{place}: {selector:?}"),
                    "increase" => ensure!(!selector.range.is_empty(), "{place}: {selector:?}"),
                    _ => ensure!(!is_counter && selector.range.is_empty(), "{place}: {selector:?}"),
                }
                ensure!(is_known(&selector.metric), "{place}: {} is no metric", selector.metric);
            }
        }
        Ok(())
    })
}

/// Whether there is such a metric. For the two kinds of a histogram the name ends with a variable.
fn is_known(metric: &str) -> bool {
    let name = metric.replace("${histogram}", "seconds");
    OTHERS.contains(&name.as_str()) || METRICS.iter().any(|metric| metric.name == name)
}

/// The value of a Service is the maximum over all daemons, because each replica has all of it. Sums come after that. Histograms are summed,
/// and so are both sides of a share.
#[test]
fn replicas_do_not_count_twice() -> Result<()> {
    each(|dashboard| {
        let once = ["max", "max by (change)", "max by (cluster, namespace, service"];
        for target in dashboard.targets()? {
            let selectors = selectors(&target.expr);
            let summed = |name: &str| {
                let sums = selectors.iter().filter(|it| it.metric == name && it.aggregation.starts_with("sum"));
                sums.map(|it| (it.aggregation.clone(), it.function.clone(), it.range.clone())).collect::<Vec<_>>()
            };
            let is_share = target.expr.contains(" / (sum") && summed(SHARE[0]) == summed(SHARE[1]);
            for selector in &selectors {
                let is_part = SHARE.contains(&selector.metric.as_str()) && selector.aggregation.starts_with("sum");
                if is_share && is_part {
                    continue;
                }
                let of_services =
                    |metric: &&&Metric| metric.name == selector.metric && metric.labels.contains(&"service");
                if METRICS.iter().find(of_services).is_some_and(|metric| metric.kind != Kind::Histogram) {
                    let is_once = once.iter().any(|prefix| selector.aggregation.starts_with(prefix));
                    ensure!(is_once, "{} counts each replica: {} in {}", target.place, selector.metric, target.expr);
                }
            }
        }
        Ok(())
    })
}

/// With 10,000 Services a panel shows the worst ones, not all.
#[test]
fn what_names_services_names_few_of_them() -> Result<()> {
    each(|dashboard| {
        for target in dashboard.targets()? {
            let is_shown =
                target.json["format"] == "table" || text(&target.json["legendFormat"]).contains("{{service}}");
            let names_them = is_shown && target.expr.contains(", service)");
            ensure!(!names_them || target.expr.contains("topk"), "{} names all Services", target.place);
        }
        Ok(())
    })
}

#[test]
fn panels_lie_side_by_side() -> Result<()> {
    each(|dashboard| {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard.json["panels"]) {
            let place = format!("{} / {}", dashboard.name, panel["title"]);
            ensure!(ids.insert(panel["id"].as_u64()), "{place}: the id is another's");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or_default());
            ensure!(w > 0 && h > 0 && x + w <= COLUMNS, "{place} stands out of the grid");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                ensure!(taken.insert(cell), "{place} overlaps at {cell:?}");
            }
            let letters: BTreeSet<_> = list(&panel["targets"]).iter().map(|target| text(&target["refId"])).collect();
            ensure!(letters.len() == list(&panel["targets"]).len(), "{place}: a letter twice");
        }
        Ok(())
    })
}

#[test]
fn dashboards_are_current_and_not_to_be_edited_in_place() -> Result<()> {
    each(|Dashboard { name, json }| {
        ensure!(json["schemaVersion"].as_u64() >= Some(39), "{name}: {}", json["schemaVersion"]);
        ensure!(json["editable"] == false, "{name} is editable");
        ensure!(json["id"] == Value::Null, "{name} has the id of one Grafana");
        ensure!(!text(&json["title"]).is_empty() && !text(&json["refresh"]).is_empty(), "{name}");
        Ok(())
    })
}
