//! The tables of `docs/` describe what the code does.

use clap::CommandFactory;
use endpointlag::{
    advice::{CHECKS, Lever},
    config::Cli,
    exposition::metrics::{METRICS, Metric, NODE_METRICS},
};
use std::fmt::Write;

const METRICS_PAGE: &str = include_str!("../docs/metrics.md");
const ADVICE_PAGE: &str = include_str!("../docs/advice.md");
const FLAGS_PAGE: &str = include_str!("../docs/flags.md");

/// Fails if this text is not in a page, and shows the text.
fn assert_in(page: &str, name: &str, expected: &str) {
    assert!(page.contains(expected), "{name} should contain:\n\n{expected}");
}

#[test]
fn every_metric_is_in_the_table_and_no_other() {
    let all = [METRICS, NODE_METRICS];
    for metrics in all {
        assert_in(METRICS_PAGE, "docs/metrics.md", &table(metrics));
    }
}

fn table(metrics: &[&Metric]) -> String {
    let mut table = "| name | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for metric in metrics {
        let labels = metric.labels.join(", ");
        writeln!(table, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind.as_str(), metric.help).expect("text");
    }
    table + "\n"
}

#[test]
fn every_check_is_in_the_table_of_its_lever() {
    for lever in Lever::ALL {
        let mut table = "| check | severity | when | why |\n| --- | --- | --- | --- |\n".to_owned();
        for check in CHECKS.iter().filter(|check| check.lever == lever) {
            let source = if check.source.starts_with("https://") { check.source } else { "#ignore-advice" };
            let measured = if check.is_measured { "Measured. " } else { "" };
            let (id, severity, rule, why) = (check.id, check.severity, check.rule, check.why);
            writeln!(table, "| [`{id}`]({source}) | {severity} | {measured}{rule} | {why} |").expect("text");
        }
        assert_in(ADVICE_PAGE, "docs/advice.md", &format!("### {lever}\n\n{table}\n"));
    }
}

#[test]
fn every_flag_is_in_the_table_with_its_default() {
    for subcommand in ["run", "node", "watch", "rollout", "advise", "record", "replay"] {
        assert_in(FLAGS_PAGE, "docs/flags.md", &flags_of(subcommand));
    }
}

fn flags_of(subcommand: &str) -> String {
    let mut table = "| flag | default | meaning |\n| --- | --- | --- |\n".to_owned();
    let mut command = Cli::command();
    command.build();
    let subcommand = command.find_subcommand(subcommand).expect("exists");
    for flag in subcommand.get_arguments().filter(|flag| flag.get_env().is_some()) {
        let name = flag.get_long().expect("each has one");
        let default: Vec<_> = flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = if default.is_empty() { "none".to_owned() } else { format!("`{}`", default.join(",")) };
        let help = flag.get_help().expect("each has one");
        writeln!(table, "| `--{name}` | {default} | {help} |").expect("text");
    }
    table + "\n"
}

#[test]
fn every_flag_has_a_variable_of_its_name() {
    let mut command = Cli::command();
    command.build();
    for subcommand in command.get_subcommands() {
        let is_own =
            |flag: &&clap::Arg| !flag.is_positional() && !["help", "version"].contains(&flag.get_id().as_str());
        for flag in subcommand.get_arguments().filter(is_own) {
            let name = flag.get_long().expect("each has one").replace('-', "_").to_uppercase();
            let variable = flag.get_env().map(|variable| variable.to_string_lossy().into_owned());
            assert_eq!(variable, Some(format!("ENDPOINTLAG_{name}")));
        }
    }
}
