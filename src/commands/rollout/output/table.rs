//! The result for people.

use super::Told;
use crate::{
    advice::Help,
    commands::{
        rollout::follow::End,
        text::{counted, round, short},
    },
    logging::on_one_line,
    rollout::{HopDelay, Leg, Moment, Report, ServiceReport},
};
use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};
use std::fmt::Write as _;

/// Width of a time such as `<= 123.45 s`.
const TIME: usize = 10;

/// Width of a label.
const LABEL: usize = 18;

/// Width of the text, so that it can be read.
const WIDTH: usize = 110;

/// The columns after the name, and whether only agents know it.
const HEAD: [(&str, bool); 7] = [
    ("READY", false),
    ("LISTED", false),
    ("VISIBLE", true),
    ("LEAVING", false),
    ("UNLISTED", false),
    ("WITHDRAWN", true),
    ("GONE", false),
];

/// How the rollout ended, then each Service: its pods, how many served, and the levers.
pub(super) fn text(told: &Told<'_>, has_colours: bool) -> String {
    let mut table = Table { text: String::new(), has_colours };
    let Told { name, report, end, helps, clock, source } = told;
    let began = Timestamp::try_from(clock.wall(report.begin));
    let began = began.map(|at| at.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string());
    let (how, colour) = match end {
        End::Complete { after } => (format!("complete after {}", short(Some(*after))), AnsiColor::Green),
        End::Failed(why) => (format!("failed: {why}"), AnsiColor::Red),
        End::TimedOut { given, why } => (format!("not complete within {}: {why}", round(*given)), AnsiColor::Red),
        End::Interrupted => ("ended before it was complete".to_owned(), AnsiColor::Yellow),
    };
    let how = table.styled(colour.on_default().bold(), &how);
    let _ = writeln!(table.text, "{}: {how}", on_one_line(&name.to_string()));
    let _ = writeln!(table.text, "times count from its begin at {}", began.as_deref().unwrap_or("-"));
    table.line("source", source);
    if !report.unseen.is_zero() {
        let unseen = short(Some(report.unseen));
        let _ = writeln!(table.text, "for {unseen} of it a watch may have missed something: times may be late (<=)");
    }
    for (index, service) in report.services.iter().enumerate() {
        table.service(report, service);
        for (_, helps) in helps.iter().filter(|(of, _)| *of == index) {
            table.levers(helps);
        }
    }
    table.verdict(report);
    table.text
}

/// Text that grows.
struct Table {
    text: String,
    has_colours: bool,
}

// === impl Table ===

impl Table {
    fn service(&mut self, report: &Report, service: &ServiceReport) {
        let heading = on_one_line(&format!("Service {}", service.service));
        let _ = writeln!(self.text, "\n{}\n", self.styled(Style::new().bold(), &heading));
        let pods = report.pods.iter().zip(&service.endpoints);
        let names = report.pods.iter().map(|pod| on_one_line(&pod.pod.name));
        let width = names.clone().map(|name| name.chars().count()).max().unwrap_or(0).max("POD".len());
        // Without agents nobody knows.
        let has_nodes = service.endpoints.iter().any(|it| it.visible.is_some() || it.withdrawn.is_some());
        let of_nodes = |is_node: bool| has_nodes || !is_node;
        let head = HEAD.into_iter().filter(|(_, is_node)| of_nodes(*is_node));
        let head: String = head.map(|(head, _)| format!("  {head:>TIME$}")).collect();
        let head = format!("{:width$}{head}", "POD");
        let _ = writeln!(self.text, "{}", self.styled(Style::new().bold(), &head));
        for (name, (pod, endpoint)) in names.zip(pods) {
            let [visible, withdrawn] =
                [&endpoint.visible, &endpoint.withdrawn].map(|it| it.as_ref().and_then(|it| it.moment));
            let times =
                [pod.ready, endpoint.listed, visible, pod.leaving, endpoint.unlisted, withdrawn, pod.gone].into_iter();
            let cells = times.zip(HEAD).filter(|(_, (_, is_node))| of_nodes(*is_node));
            let cells: String = cells.map(|(moment, _)| format!("  {:>TIME$}", time(moment, report))).collect();
            let _ = writeln!(self.text, "{name:width$}{cells}");
        }
        self.text.push('\n');
        self.serving(service);
        self.slowest(service);
    }

    fn serving(&mut self, service: &ServiceReport) {
        let serving = &service.serving;
        let (least, wanted) = (serving.least, serving.wanted);
        let mut text = format!("at least {least} of {wanted} wanted");
        if serving.below.is_zero() {
            text += "; never fewer than wanted";
        } else {
            let [below, missing] = [serving.below, serving.missing].map(|it| short(Some(it)));
            text += &format!("; fewer than wanted for {below}, {missing} of endpoint time were missing");
            let ready = short(Some(serving.waiting));
            text += &format!(", {ready} of which a ready pod was not listed yet");
        }
        self.line("served", &text);
        if !serving.lingering.is_zero() {
            let lingering = short(Some(serving.lingering));
            self.line(
                "went astray",
                &format!("for {lingering} of endpoint time, pods that were going away were still listed"),
            );
        }
        if service.censored > 0 {
            let censored = counted(service.censored, "change");
            self.line("not measured", &format!("{censored}: not seen as it happened (censored)"));
        }
    }

    fn slowest(&mut self, service: &ServiceReport) {
        for leg in [Leg::Slices, Leg::Nodes] {
            let of_leg = service.delays.iter().filter(|hop| hop.leg == leg);
            let Some(hop) = of_leg.max_by_key(|hop| hop.delay) else { continue };
            let mut text = in_words(hop);
            if leg == Leg::Nodes {
                text += &last_node(service, hop);
            }
            self.line("slowest", &text);
        }
    }

    fn levers(&mut self, helps: &[Help]) {
        let (helpful, others): (Vec<_>, Vec<_>) =
            helps.iter().partition(|help| help.helps || !help.findings.is_empty());
        for help in &helpful {
            let (verdict, colour) = match help.helps {
                true => ("would have helped", AnsiColor::Yellow.on_default().bold()),
                false => ("made no difference here, and has findings", Style::new()),
            };
            let heading = format!("{:LABEL$}", help.lever.as_str());
            let _ = writeln!(
                self.text,
                "\n  {}{}",
                self.styled(Style::new().bold(), &heading),
                self.styled(colour, verdict)
            );
            self.sub_line("happened", &help.happened);
            self.sub_line("set", &help.set);
            if let Some(better) = &help.better {
                self.sub_line("better", better);
            }
            for finding in &help.findings {
                self.sub_line(finding.severity.as_str(), &format!("{}: {}", finding.check.id, finding.advice));
            }
        }
        if !others.is_empty() {
            let named: Vec<_> = others.iter().map(|help| format!("{} ({})", help.lever, help.happened)).collect();
            self.text.push('\n');
            self.line("made no difference", &named.join("; "));
        }
    }

    fn verdict(&mut self, report: &Report) {
        let missed = report.missed() as u64;
        let text = match missed {
            0 => "objective met: no change was late".to_owned(),
            _ => format!("objective missed by {}", counted(missed, "change")),
        };
        let _ = writeln!(self.text, "\n{text}");
    }

    fn line(&mut self, label: &str, text: &str) {
        self.wrapped(&format!("{label:LABEL$}  "), text);
    }

    fn sub_line(&mut self, label: &str, text: &str) {
        self.wrapped(&format!("    {label:width$}  ", width = LABEL - 4), text);
    }

    /// Breaks a text into lines between words. Names come from the cluster, and must not break the terminal.
    fn wrapped(&mut self, first: &str, text: &str) {
        let indent = first.chars().count();
        let (mut line, mut width) = (first.to_owned(), indent);
        for word in on_one_line(text).split(' ') {
            let length = word.chars().count();
            if width + length > WIDTH && width > indent {
                let _ = writeln!(self.text, "{}", line.trim_end());
                (line, width) = (" ".repeat(indent), indent);
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

/// A time since the begin; `before` if it was before, and `<=` if it happened then or earlier.
fn time(moment: Option<Moment>, report: &Report) -> String {
    match moment {
        None => "-".to_owned(),
        Some(Moment { at, .. }) if at < report.begin => "before".to_owned(),
        Some(Moment { at, exact }) => {
            let since = short(Some(at.since(report.begin)));
            if exact { since } else { format!("<= {since}") }
        }
    }
}

fn in_words(hop: &HopDelay) -> String {
    let at_least = if hop.is_pending { "at least " } else { "" };
    let (pod, change, delay) = (&hop.pod.name, hop.change, short(Some(hop.delay)));
    let to = match hop.leg {
        Leg::Slices => "until the slices showed it",
        Leg::Nodes => "from the slices to the last node",
    };
    format!("{change} of {pod}: {at_least}{delay} {to}")
}

/// The node that was last, and how exact that is.
fn last_node(service: &ServiceReport, hop: &HopDelay) -> String {
    let told = service.endpoints.iter().flat_map(|endpoint| [&endpoint.visible, &endpoint.withdrawn]).flatten();
    let of_hop = told.map(|it| &it.spreading).find(|it| it.pod == hop.pod.uid && it.change == hop.change);
    let Some((spreading, node)) = of_hop.and_then(|it| Some((it, it.last.as_deref()?))) else { return String::new() };
    format!(", {node}, within {}", short(Some(spreading.error)))
}
