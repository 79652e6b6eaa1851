//! The table of the demo: 80 columns wide. It is redrawn in place on a terminal, and appended to a file or a pipe.

use crate::{
    commands::text::short,
    simulator::Phase,
    stats::{Overview, Summary},
};
use std::fmt::Write as _;

/// Usual number of columns of a terminal.
const COLUMNS: usize = 80;

/// Width of the columns after the name.
const FIGURES: usize = 58;

/// The output to which tables are written, one after the other.
#[derive(Debug)]
pub(super) struct Screen {
    is_terminal: bool,
    /// Number of lines of the last table.
    shown: usize,
}

// === impl Screen ===

impl Screen {
    /// An output without a table.
    pub(super) fn new(is_terminal: bool) -> Self {
        Self { is_terminal, shown: 0 }
    }

    /// The text that replaces the previous table by this one. If the terminal has too few lines, it cannot move back to the
    /// first line of the table. Then the table is appended, as for a file or a pipe.
    pub(super) fn show(&mut self, table: &str, height: Option<usize>) -> String {
        let fits = height.is_none_or(|height| self.shown < height);
        let back = match std::mem::replace(&mut self.shown, table.lines().count()) {
            lines if lines > 0 && self.is_terminal && fits => format!("\u{1b}[{lines}A\u{1b}[J"),
            _ => String::new(),
        };
        back + table
    }
}

/// All Services and the cluster, one line for each.
pub(super) fn render(overview: &Overview, phase: Phase) -> String {
    let longest = overview.services.keys().map(|name| name.to_string().len()).max().unwrap_or(0);
    let width = longest.clamp("SERVICE".len(), COLUMNS - FIGURES);
    let mut table = String::new();
    let controller = match phase {
        Phase::Healthy => String::new(),
        Phase::Slow { lasting } => format!(", its EndpointSlice controller slow for {} s", lasting.as_secs()),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(table, "\nsimulated cluster{controller}");
    let _ = writeln!(
        table,
        "{:width$}  {:>7}  {:>8}  {:>8}  {:>8}  {:>7}  {:>8}",
        "SERVICE", "CHANGES", "P50", "P99", "MAX", "PENDING", "OLDEST"
    );
    for (name, summary) in &overview.services {
        row(&mut table, width, &shortened(&name.to_string(), width), summary);
    }
    row(&mut table, width, "all", &overview.cluster);
    table
}

fn row(table: &mut String, width: usize, name: &str, summary: &Summary) {
    let Summary { changes, p50, p99, max, pending, oldest } = *summary;
    let _ = writeln!(
        table,
        "{name:width$}  {changes:>7}  {:>8}  {:>8}  {:>8}  {pending:>7}  {:>8}",
        short(p50),
        short(p99),
        short(max),
        short(oldest),
    );
}

/// A name shortened to this width. Names in Kubernetes are ASCII.
fn shortened(name: &str, width: usize) -> String {
    if name.len() <= width {
        return name.to_owned();
    }
    name.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::ServiceName;
    use std::{sync::Arc, time::Duration};

    #[test]
    fn the_table_says_simulated_and_lines_up() {
        let mut overview = Overview::default();
        let name = ServiceName { namespace: "shop".into(), name: "checkout-with-a-long-name".into() };
        let summary = Summary {
            changes: 12,
            p50: Some(Duration::from_micros(23_456)),
            p99: Some(Duration::from_millis(1234)),
            pending: 3,
            oldest: Some(Duration::from_secs(75)),
            ..Summary::default()
        };
        overview.services.insert(Arc::new(name), summary);
        let table = render(&overview, Phase::Slow { lasting: Duration::from_secs(10) });
        let lines: Vec<_> = table.lines().skip(1).collect();
        assert_eq!(lines[0], "simulated cluster, its EndpointSlice controller slow for 10 s");
        assert!(lines[2].starts_with("shop/checkout-with-a-…  "), "{table}");
        assert!(
            lines[2].contains("23.5 ms") && lines[2].contains("1.23 s") && lines[2].ends_with("75.00 s"),
            "{table}"
        );
        assert!(lines[1..].iter().all(|line| line.chars().count() == COLUMNS), "{table}");
    }

    #[test]
    fn a_terminal_is_redrawn_and_a_pipe_appended_to() {
        let mut terminal = Screen::new(true);
        assert_eq!(terminal.show("a\nb\nc\n", Some(24)), "a\nb\nc\n");
        assert_eq!(terminal.show("d\n", Some(24)), "\u{1b}[3A\u{1b}[Jd\n");
        assert_eq!(terminal.show("e\nf\n", None), "\u{1b}[1A\u{1b}[Je\nf\n");
        assert_eq!(terminal.show("g\n", Some(2)), "g\n", "its first line has left the screen");
        let mut pipe = Screen::new(false);
        assert_eq!(pipe.show("a\n", None) + &pipe.show("b\n", None), "a\nb\n");
    }
}
