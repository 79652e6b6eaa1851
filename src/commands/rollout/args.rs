//! Flags of `rollout`.

use crate::{
    cluster::{ScopeSettings, TargetArgs, WatchArgs, WatchSettings, kubeconfig::Choice},
    commands::daemon,
    flags::FlagErrors,
    logging::{self, LogFilter, LogFormat},
    model::spec::WorkloadKind,
    pipeline::ObjectiveArgs,
    propagation::TrackerSettings,
};
use clap::ValueEnum;
use std::time::Duration;

/// What to follow, and what to print.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Workload to follow, such as deploy/checkout, statefulset/db, or ds proxy.
    #[arg(value_name = "TYPE/NAME", num_args = 1..=2, required = true)]
    workload: Vec<String>,

    /// Which cluster, and which namespace of it.
    #[command(flatten)]
    target: TargetArgs,

    /// End after this time, such as 10m, whether a rollout has begun, or is over, or not. Default: until Ctrl-C.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_TIMEOUT")]
    timeout: Option<String>,

    /// How long to go on after the rollout is complete, until the old pods are gone and everything is listed.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_LINGER", default_value = "1m")]
    linger: String,

    /// Who tells about the nodes.
    #[command(flatten)]
    daemon: daemon::Args,

    /// When a change is late.
    #[command(flatten)]
    objective: ObjectiveArgs,

    /// Format of the result on standard output.
    #[arg(long, short = 'o', value_name = "FORMAT", env = "ENDPOINTLAG_OUTPUT", default_value = "table")]
    output: Output,

    /// How the cluster is watched.
    #[command(flatten)]
    watch: WatchArgs,

    /// The log.
    #[command(flatten)]
    logging: logging::Args,
}

/// How the result is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// The checked settings of `rollout`.
#[derive(Debug)]
pub struct Settings {
    /// Which cluster, and as whom.
    pub cluster: Choice,
    /// The namespace; `None` for that of the context.
    pub namespace: Option<String>,
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// After how long it ends anyway.
    pub timeout: Option<Duration>,
    /// How long it goes on after the rollout is complete.
    pub linger: Duration,
    /// Who tells about the nodes.
    pub daemon: daemon::Choice,
    /// When a change is late.
    pub tracker: TrackerSettings,
    /// How the cluster is watched.
    pub watch: WatchSettings,
    /// How the result is printed.
    pub output: Output,
    /// Which lines are logged.
    pub log: LogFilter,
    /// How messages look on standard error.
    pub log_format: LogFormat,
}

// === impl Args ===

impl Args {
    /// How log lines look.
    pub fn log_format(&self) -> LogFormat {
        self.logging.format()
    }

    /// Checks all flags.
    ///
    /// # Errors
    /// With a line for each that is wrong.
    pub fn settings(&self) -> Result<Settings, FlagErrors> {
        let mut errors = FlagErrors::default();
        let workload = workload(&self.workload).map_err(|error| errors.add("TYPE/NAME", error)).ok();
        let ScopeSettings { mut namespaces, .. } = self.target.scope(&mut errors);
        if namespaces.len() > 1 {
            errors.add("--namespace", "a workload is in one namespace".to_owned());
        }
        let timeout = self.timeout.as_deref().map(|text| errors.duration("--timeout", text));
        let linger = match humantime::parse_duration(&self.linger) {
            Ok(Duration::ZERO) => Some(Duration::ZERO),
            _ => errors.duration("--linger", &self.linger),
        };
        let tracker = self.objective.settings(&mut errors);
        let watch = self.watch.settings(&mut errors);
        let daemon = self.daemon.choice(&mut errors);
        let log = self.logging.filter(&mut errors);
        let parts = workload.zip(linger).zip(tracker).zip(watch).zip(log).zip(daemon);
        let settings = parts.map(|((((((kind, name), linger), tracker), watch), log), daemon)| Settings {
            cluster: self.target.choice(),
            namespace: namespaces.pop(),
            kind,
            name,
            timeout: timeout.flatten(),
            linger,
            daemon,
            tracker,
            watch,
            output: self.output,
            log,
            log_format: self.log_format(),
        });
        errors.or(settings)
    }
}

/// The kind and the name, from `TYPE/NAME` or `TYPE NAME`, as kubectl takes them.
fn workload(words: &[String]) -> Result<(WorkloadKind, String), String> {
    let (kind, name) = match words {
        [one] => one.split_once('/').ok_or_else(|| format!("{one:?} has no name; write it like deploy/{one}"))?,
        [kind, name] => (&**kind, &**name),
        _ => return Err("write it like deploy/checkout".to_owned()),
    };
    let plain = kind.to_lowercase();
    // With its API group, or with version and group, as kubectl takes it: deployment.v1.apps.
    let plain = plain.strip_suffix(".apps").unwrap_or(&plain);
    let kind = match plain.strip_suffix(".v1").unwrap_or(plain) {
        "deploy" | "deployment" | "deployments" => WorkloadKind::Deployment,
        "sts" | "statefulset" | "statefulsets" => WorkloadKind::StatefulSet,
        "ds" | "daemonset" | "daemonsets" => WorkloadKind::DaemonSet,
        _ => return Err(format!("{kind:?} is none of deployment, statefulset and daemonset")),
    };
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if name.is_empty() || !name.bytes().all(is_part) {
        return Err(format!("{name:?} is not a valid name"));
    }
    Ok((kind, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_named_as_for_kubectl() {
        let named = |text: &str| workload(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let found = |kind: WorkloadKind| Ok((kind, "web".to_owned()));
        for text in ["deploy/web", "deployment/web", "deployments web", "Deployment.apps/web", "deployment.v1.apps/web"]
        {
            assert_eq!(named(text), found(WorkloadKind::Deployment), "{text}");
        }
        for text in ["sts/web", "statefulset web", "statefulsets.apps/web"] {
            assert_eq!(named(text), found(WorkloadKind::StatefulSet), "{text}");
        }
        for text in ["ds/web", "daemonset web"] {
            assert_eq!(named(text), found(WorkloadKind::DaemonSet), "{text}");
        }
        for (text, words) in [
            ("web", "write it like deploy/web"),
            ("pod/web", "\"pod\" is none of"),
            ("replicaset web", "\"replicaset\" is none of"),
            ("deploy/", "\"\" is not a valid name"),
            ("deploy/Web", "not a valid name"),
            ("deploy/a/b", "\"a/b\" is not a valid name"),
        ] {
            let error = named(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
