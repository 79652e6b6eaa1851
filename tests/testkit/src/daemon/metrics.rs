//! Prometheus' text format, parsed strictly: what this parser rejects, Prometheus may reject too.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Types by family name.
    types: BTreeMap<String, String>,
    series: BTreeMap<(String, Labels), f64>,
}

impl Metrics {
    /// Parses an exposition.
    ///
    /// # Errors
    /// A line is malformed, a series has no type, or a series appears twice.
    pub fn parse(text: &str) -> Result<Self> {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            metrics.read_line(line).with_context(|| format!("the line {line}"))?;
        }
        Ok(metrics)
    }

    fn read_line(&mut self, line: &str) -> Result<()> {
        if let Some(comment) = line.strip_prefix("# ") {
            if let Some((name, kind)) = comment.strip_prefix("TYPE ").and_then(|rest| rest.split_once(' ')) {
                ensure!(self.types.insert(name.to_owned(), kind.to_owned()).is_none(), "a second type");
            }
            return Ok(());
        }
        let name_end = line.find(['{', ' ']).context("no value")?;
        let (name, rest) = line.split_at(name_end);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest)?,
            None => (Labels::new(), rest),
        };
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|family| self.types.get(*family).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(name);
        ensure!(self.types.contains_key(family), "no type before it");
        let value = value.trim().parse().context("the value")?;
        ensure!(self.series.insert((name.to_owned(), labels), value).is_none(), "a second time");
        Ok(())
    }

    /// All series of a name that have these labels, and maybe more.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        wanted: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        self.series.iter().filter_map(move |((own, labels), value)| {
            let fits = |&(key, value): &(&str, &str)| labels.get(key).is_some_and(|own| own == value);
            (own == name && wanted.iter().all(fits)).then_some((labels, *value))
        })
    }

    /// The sum over [`Self::matching`]; 0 if there is no such series, as for Prometheus' `sum() or vector(0)`.
    pub fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        self.matching(name, wanted).map(|(_, value)| value).sum()
    }

    /// Whether the daemon reports that the machine was too busy for it, or for the API server, so that it does not trust all its stamps.
    pub fn has_doubts(&self) -> bool {
        [
            "endpointlag_reader_stalls_total",
            "endpointlag_watch_slow_pings_total",
            "endpointlag_watch_backpressure_total",
        ]
        .iter()
        .any(|name| self.sum(name, &[]) > 0.0)
    }
}

/// Reads labels up to the closing brace. Returns what follows it.
fn read_labels(mut rest: &str) -> Result<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"").context("a label without a value")?;
        let (value, after) = read_quoted(quoted)?;
        ensure!(labels.insert(name.to_owned(), value).is_none(), "a label twice");
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// Reads a label's value up to the closing quote. Returns what follows it.
fn read_quoted(quoted: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &quoted[place + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                other => bail!("the escape {other:?}"),
            },
            other => value.push(other),
        }
    }
    bail!("a label value without an end")
}
