//! What queries of the dashboards answer, about series that are made up. `values.yaml` has them, in promtool's format for unit tests.
//! A place such as `[[overview / Pending now / A]]` stands for the query there, and `variables` are the choices that differ from "all".

use super::grafana::{self, Values, interpolate};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use testkit::prometheus;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dashboards/values.yaml");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yaml");

/// The choice "all", over the last hour with a scrape each minute.
const ALL: [(&str, &str); 9] = [
    ("cluster", ".*"),
    ("job", ".+"),
    ("instance", ".+"),
    ("namespace", ".+"),
    ("service", ".+"),
    ("histogram", "seconds_bucket"),
    ("__range", "1h"),
    ("__interval", "1m"),
    ("__rate_interval", "4m"),
];

#[test]
fn queries_answer_what_is_so() -> Result<()> {
    let mut file: Value = serde_saphyr::from_str(&fs::read_to_string(TESTS)?).context(TESTS)?;
    file["rule_files"] = json!([RULES]);
    let mut targets = Vec::new();
    for dashboard in grafana::all()? {
        targets.extend(dashboard.targets()?);
    }
    let mut asked = 0;
    for test in file["tests"].as_array_mut().context("no tests")? {
        let chosen = test.as_object_mut().context("no test")?.remove("variables").unwrap_or_default();
        let mut values: Values = ALL.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (name, value) in chosen.as_object().into_iter().flatten() {
            values.insert(name.clone(), value.as_str().context("no text")?.to_owned());
        }
        for check in test["promql_expr_test"].as_array_mut().context("nothing is asked")? {
            let expr = check["expr"].as_str().context("no text")?.to_owned();
            let (before, rest) = expr.split_once("[[").with_context(|| format!("no place in {expr}"))?;
            let (place, after) = rest.split_once("]]").with_context(|| format!("no end of the place in {expr}"))?;
            let target = targets.iter().find(|target| target.place == place).with_context(|| format!("no {place}"))?;
            check["expr"] = format!("{before}{}{after}", interpolate(&target.expr, &values)?).into();
            asked += 1;
        }
    }
    ensure!(asked > 0, "nothing is asked");
    let made = tempfile::NamedTempFile::with_suffix(".yaml")?;
    fs::write(made.path(), serde_json::to_string(&file)?)?;
    let path = made.path().to_str().context("a path in UTF-8")?;
    prometheus::promtool(&["test", "rules", path], Path::new(path)).map(drop)
}
