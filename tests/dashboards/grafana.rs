//! Dashboards as Grafana reads them: panels, targets, variables, and the values of variables.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Names of the dashboards' files.
const NAMES: [&str; 3] = ["overview", "service", "daemon"];

/// A dashboard.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// The name of its file without the extension.
    pub name: &'static str,
    /// The whole JSON.
    pub json: Value,
}

/// A query of a panel.
#[derive(Clone, Debug)]
pub struct Target {
    /// Dashboard, panel and letter.
    pub place: String,
    /// The query, with its variables.
    pub expr: String,
    /// Whether it is an instant query and not a range query.
    pub instant: bool,
    /// The whole JSON.
    pub json: Value,
}

/// The values of the variables.
pub type Values = BTreeMap<String, String>;

/// All dashboards.
///
/// # Errors
/// A file is missing or is not JSON.
pub fn all() -> Result<Vec<Dashboard>> {
    NAMES.iter().map(|name| Dashboard::read(name)).collect()
}

impl Dashboard {
    fn read(name: &'static str) -> Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dashboards/{name}.json"));
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(Self { name, json: serde_json::from_str(&text).with_context(|| format!("{name}.json"))? })
    }

    /// Its panels, without the headlines between them.
    pub fn panels(&self) -> Vec<&Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row").collect()
    }

    /// The queries of all panels.
    ///
    /// # Errors
    /// A panel has no query.
    pub fn targets(&self) -> Result<Vec<Target>> {
        let mut found = Vec::new();
        for panel in self.panels() {
            let title = format!("{} / {}", self.name, text(&panel["title"]));
            ensure!(!list(&panel["targets"]).is_empty(), "{title} has no query");
            for target in list(&panel["targets"]) {
                found.push(Target {
                    place: format!("{title} / {}", text(&target["refId"])),
                    expr: target["expr"].as_str().with_context(|| format!("{title}: no query"))?.to_owned(),
                    instant: target["instant"] == true,
                    json: target.clone(),
                });
            }
        }
        Ok(found)
    }

    /// Its variables, in the order in which they depend on each other.
    pub fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    /// A variable by name.
    ///
    /// # Errors
    /// There is no such variable.
    pub fn variable(&self, name: &str) -> Result<&Value> {
        let found = self.variables().iter().find(|variable| variable["name"] == name);
        found.with_context(|| format!("{} has no variable {name}", self.name))
    }
}

/// The items of a list; empty if it is no list.
pub fn list(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty if it is not a text.
pub fn text(json: &Value) -> &str {
    json.as_str().unwrap_or_default()
}

/// Names of the variables in a text, as `$name`, `${name}` or `${name:format}`. Grafana's own names begin with two underscores.
pub fn names(text: &str) -> Vec<String> {
    split(text).into_iter().filter_map(|part| if let Part::Variable(name) = part { Some(name) } else { None }).collect()
}

/// Replaces variables with their values.
///
/// # Errors
/// A variable has no value.
pub fn interpolate(text: &str, values: &Values) -> Result<String> {
    let put = |part| match part {
        Part::Text(text) => Ok(text),
        Part::Variable(name) => values.get(&name).cloned().with_context(|| format!("no value for ${name} in {text}")),
    };
    split(text).into_iter().map(put).collect()
}

enum Part {
    Text(String),
    Variable(String),
}

fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        parts.push(Part::Text(before.to_owned()));
        let (braced, name) = match from.strip_prefix("${") {
            Some(inner) => (true, inner),
            None => (false, &from[1..]),
        };
        let is_group = name.starts_with(|c: char| c.is_ascii_digit());
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        let length = if is_group { 0 } else { end };
        rest = if braced { name.split_once('}').map_or("", |(_, rest)| rest) } else { &name[length..] };
        // A single $ belongs to a regular expression, and one before a number to a label_replace.
        match length {
            0 => parts.push(Part::Text("$".to_owned())),
            _ => parts.push(Part::Variable(name[..length].to_owned())),
        }
    }
    parts.push(Part::Text(rest.to_owned()));
    parts
}

#[test]
fn variables_are_found_and_replaced() -> Result<()> {
    let values: Values = [("a", "1"), ("b_c", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    ensure!(interpolate("x$a-${b_c}-${a:raw}$", &values)? == "x1-2-1$");
    ensure!(names("rate(x{a=~\"$a\"}[$__rate_interval]) ${b_c:queryparam}") == ["a", "__rate_interval", "b_c"]);
    ensure!(interpolate("label_replace(x, \"y\", \"$1.md\")", &values)?.contains("\"$1.md\""));
    ensure!(interpolate("$missing", &values).is_err());
    Ok(())
}
