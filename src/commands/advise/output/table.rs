//! The advice for people.

use crate::{
    advice::{Advice, Finding, Severity, Skipped},
    commands::text::counted,
    exposition::advice::summary,
    logging::on_one_line,
};
use anstyle::{AnsiColor, Style};
use std::{collections::BTreeSet, fmt::Write as _};

/// Width of the text, so that it can be read.
const WIDTH: usize = 110;

/// Width of the longest label, and of the space before and after it.
const INDENT: usize = 13;

/// All findings by target, then what is ignored and what was not judged, and the numbers.
pub(super) fn text(advice: &Advice, has_colours: bool) -> String {
    let mut table = Table { text: String::new(), explained: BTreeSet::new(), has_colours };
    let mut last = None;
    for finding in advice.findings.iter().filter(|finding| finding.ignored.is_none()) {
        let target = &finding.target;
        let place = (target.kind, &target.namespace, &target.name);
        if last != Some(place) {
            table.heading(finding);
            last = Some(place);
        }
        table.finding(finding);
    }
    let ignored: Vec<_> = advice.findings.iter().filter(|finding| finding.ignored.is_some()).collect();
    if !ignored.is_empty() {
        table.section("Ignored by annotation");
        for finding in ignored {
            let reason = finding.ignored.as_deref().unwrap_or_default();
            table.item(&format!("{} of {}: {reason}", finding.check.id, finding.target));
        }
    }
    if !advice.skipped.is_empty() {
        table.section("Not judged");
        for Skipped { service, checks, why } in &advice.skipped {
            let of = service.as_ref().map(|service| format!("{service}: ")).unwrap_or_default();
            let checks = if checks.is_empty() { String::new() } else { format!(" ({})", checks.join(", ")) };
            table.item(&format!("{of}{why}{checks}"));
        }
    }
    let counts = summary(&advice.findings);
    let count = |name: &'static str| counts.get(name).copied().unwrap_or_default() as u64;
    let named = ["error", "warning", "note"].map(|name| counted(count(name), name)).join(", ");
    let ignored = if count("ignored") > 0 { format!(", {} ignored", count("ignored")) } else { String::new() };
    let _ = writeln!(table.text, "{named}{ignored}");
    table.text
}

/// Text that grows.
struct Table {
    text: String,
    /// Checks whose reason was already given.
    explained: BTreeSet<&'static str>,
    has_colours: bool,
}

// === impl Table ===

impl Table {
    fn heading(&mut self, finding: &Finding) {
        let target = crate::advice::Target { container: None, ..finding.target.clone() };
        let others: Vec<_> = finding.services.iter().map(|service| &*service.name).collect();
        let behind = match &*others {
            [] => String::new(),
            [one] if finding.target.kind == "Service" && *one == finding.target.name => String::new(),
            some => format!(", behind {}", some.join(", ")),
        };
        let heading = on_one_line(&target.to_string());
        let _ = writeln!(self.text, "{}{behind}\n", self.styled(Style::new().bold(), &heading));
    }

    fn finding(&mut self, finding: &Finding) {
        let colour = match finding.severity {
            Severity::Error => AnsiColor::Red.on_default().bold(),
            Severity::Warning => AnsiColor::Yellow.on_default().bold(),
            Severity::Note => AnsiColor::Cyan.on_default().bold(),
        };
        let severity = self.styled(colour, &format!("{:7}", finding.severity));
        let container = finding.target.container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default();
        let _ = writeln!(self.text, "  {severity}  {}{container}", finding.check.id);
        self.line("set", &finding.set);
        if let Some(measured) = &finding.measured {
            self.line("measured", measured);
        }
        // A rule without figures, and its reason, are the same for all.
        let is_new = self.explained.insert(finding.check.id);
        if is_new || finding.rule != finding.check.rule {
            self.line("rule", &finding.rule);
        }
        self.line("advice", &finding.advice);
        if is_new {
            self.line("why", finding.check.why);
        }
        self.line("cost", &finding.cost);
        self.text.push('\n');
    }

    fn section(&mut self, name: &str) {
        let _ = writeln!(self.text, "{}\n", self.styled(Style::new().bold(), name));
    }

    fn item(&mut self, text: &str) {
        self.wrapped("  - ", 4, text);
        self.text.push('\n');
    }

    fn line(&mut self, label: &str, text: &str) {
        self.wrapped(&format!("    {label:9}"), INDENT, text);
    }

    /// Breaks a text into lines between words. Names of objects come from the cluster, and must not break the terminal.
    fn wrapped(&mut self, first: &str, indent: usize, text: &str) {
        let mut line = first.to_owned();
        let mut width = indent;
        for word in on_one_line(text).split(' ') {
            let length = word.chars().count();
            if width + length + 1 > WIDTH && width > indent {
                let _ = writeln!(self.text, "{}", line.trim_end());
                line = " ".repeat(indent);
                width = indent;
            }
            line.push_str(word);
            line.push(' ');
            width += length + 1;
        }
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.has_colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
