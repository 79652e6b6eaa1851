//! Links between the dashboards have a target, with variables that exist there.

use super::grafana::{self, Dashboard, list, text};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;

#[test]
fn each_dashboard_links_to_the_others_and_keeps_time_and_variables() -> Result<()> {
    let dashboards = grafana::all()?;
    for dashboard in &dashboards {
        let links = list(&dashboard.json["links"]);
        let found: BTreeSet<_> = links.iter().filter_map(|link| text(&link["url"]).strip_prefix("/d/")).collect();
        let others: BTreeSet<_> = dashboards
            .iter()
            .filter(|other| other.name != dashboard.name)
            .map(|other| text(&other.json["uid"]))
            .collect();
        ensure!(found == others, "{} links to {found:?}", dashboard.name);
        for link in links {
            ensure!(link["keepTime"] == true && link["includeVars"] == true, "{}: {link}", dashboard.name);
        }
    }
    Ok(())
}

#[test]
fn links_from_panels_lead_to_a_dashboard_that_takes_their_variables() -> Result<()> {
    let dashboards = grafana::all()?;
    let mut seen = 0;
    for dashboard in &dashboards {
        for url in dashboard.panels().into_iter().flat_map(urls) {
            let (uid, query) = url.strip_prefix("/d/").and_then(|rest| rest.split_once('?')).context(url.clone())?;
            let goal = dashboards.iter().find(|other| other.json["uid"] == uid).context(url.clone())?;
            for parameter in query.split('&') {
                let variable = match parameter.strip_prefix("${").and_then(|rest| rest.strip_suffix(":queryparam}")) {
                    Some(variable) => variable,
                    None => match parameter.strip_prefix("var-") {
                        Some(rest) => rest.split('=').next().unwrap_or_default(),
                        None => {
                            ensure!(parameter == "${__url_time_range}", "{url}: {parameter}");
                            continue;
                        }
                    },
                };
                goal.variable(variable)?;
            }
            must_keep(&url, goal)?;
            seen += 1;
        }
    }
    ensure!(seen > 0, "no panel links anywhere");
    Ok(())
}

#[test]
fn alerts_are_marked_on_the_time() -> Result<()> {
    for Dashboard { name, json } in grafana::all()? {
        let marks = list(&json["annotations"]["list"]);
        ensure!(
            marks.iter().any(|mark| text(&mark["expr"]).starts_with("ALERTS{alertname=~\"EndpointLag.+\"")),
            "{name}"
        );
    }
    Ok(())
}

/// Each dashboard shows the alerts that fire, each with a link to its runbook.
#[test]
fn alerts_that_fire_are_listed_with_their_runbooks() -> Result<()> {
    for dashboard in grafana::all()? {
        let name = dashboard.name;
        let panel = dashboard.panels().into_iter().find(|panel| panel["title"] == "Firing alerts");
        let query = text(&panel.with_context(|| format!("{name} lists no alerts"))?["targets"][0]["expr"]);
        ensure!(query.contains("alertstate=\"firing\""), "{name}: {query}");
        ensure!(query.contains("\"runbook\", \"deploy/runbooks/$1.md\", \"alertname\""), "{name}: {query}");
    }
    Ok(())
}

/// The link passes the data source, the choice of histograms and the time range.
fn must_keep(url: &str, goal: &Dashboard) -> Result<()> {
    for part in ["${datasource:queryparam}", "${histogram:queryparam}", "${__url_time_range}"] {
        ensure!(url.contains(part), "{url} to {} forgets {part}", goal.name);
    }
    Ok(())
}

/// Addresses of the links in a panel's field options.
fn urls(panel: &serde_json::Value) -> Vec<String> {
    let overridden = list(&panel["fieldConfig"]["overrides"]).iter().flat_map(|it| list(&it["properties"]));
    let overridden =
        overridden.filter(|property| property["id"] == "links").flat_map(|property| list(&property["value"]));
    let all = list(&panel["fieldConfig"]["defaults"]["links"]).iter().chain(overridden);
    all.map(|link| text(&link["url"]).to_owned()).collect()
}
