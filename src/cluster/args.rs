//! Flags for the part of the cluster to watch, and for the way to watch it.

use super::{
    client::WatchProtocol,
    kubeconfig::Choice,
    shard::{Shard, ShardError},
};
use crate::flags::FlagErrors;
use std::{path::PathBuf, time::Duration};

/// Which cluster, and which namespaces of it.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct TargetArgs {
    /// Kubeconfig file with the cluster to measure and the credentials. Default: KUBECONFIG, then ~/.kube/config, then the
    /// ServiceAccount of the pod.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig to use instead of its current context.
    #[arg(long, value_name = "NAME", env = "ENDPOINTLAG_CONTEXT")]
    context: Option<String>,

    /// Namespace to measure; repeat for several. Default: the whole cluster. With this flag, a Role in each namespace is enough.
    #[arg(
        long = "namespace",
        short = 'n',
        value_name = "NAMESPACE",
        env = "ENDPOINTLAG_NAMESPACE",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,
}

/// Which cluster, and which part of it.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Which cluster, and which namespaces of it.
    #[command(flatten)]
    target: TargetArgs,

    /// Namespace to exclude when the whole cluster is measured; repeat for several.
    #[arg(
        long = "exclude-namespace",
        value_name = "NAMESPACE",
        env = "ENDPOINTLAG_EXCLUDE_NAMESPACE",
        value_delimiter = ','
    )]
    excluded: Vec<String>,

    /// Measure only this daemon's share of the namespaces, such as 0/3 for the first of three daemons. Each daemon still reads
    /// the whole watches.
    #[arg(long, value_name = "INDEX/NUMBER", env = "ENDPOINTLAG_SHARD", default_value = "0/1")]
    shard: String,
}

/// How to watch it.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct WatchArgs {
    /// Drop a watch that receives nothing for this long. The API server sends a bookmark about once a minute.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_WATCH_IDLE_TIMEOUT", default_value = "3m")]
    watch_idle_timeout: String,

    /// Protocol of the watches: HTTP/2 over one connection if the API server offers it, or HTTP/1.1 with a connection for each.
    #[arg(long, value_name = "PROTOCOL", env = "ENDPOINTLAG_WATCH_PROTOCOL", default_value = "auto")]
    watch_protocol: WatchProtocol,
}

/// The checked settings for the part of a cluster to measure.
#[derive(Clone, Debug)]
pub struct ScopeSettings {
    /// Namespaces to measure; empty for the whole cluster.
    pub namespaces: Vec<String>,
    /// Namespaces to exclude when the whole cluster is measured.
    pub excluded: Vec<String>,
    /// This daemon's share of the namespaces.
    pub shard: Shard,
}

/// The checked settings for the way to watch a cluster.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// How long a watch may receive nothing.
    pub idle_timeout: Duration,
    /// Protocol of the watches.
    pub protocol: WatchProtocol,
}

// === impl TargetArgs ===

impl TargetArgs {
    /// Which cluster to measure.
    pub(crate) fn choice(&self) -> Choice {
        Choice { file: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// Checks which namespaces to measure.
    pub(crate) fn scope(&self, errors: &mut FlagErrors) -> ScopeSettings {
        check_names("--namespace", &self.namespaces, errors);
        let mut namespaces = self.namespaces.clone();
        namespaces.sort_unstable();
        namespaces.dedup();
        ScopeSettings { namespaces, ..ScopeSettings::whole_cluster() }
    }
}

// === impl Args ===

impl Args {
    /// Which cluster to measure.
    pub(crate) fn choice(&self) -> Choice {
        self.target.choice()
    }

    /// Checks which part of it.
    pub(crate) fn scope(&self, errors: &mut FlagErrors) -> Option<ScopeSettings> {
        let scope = self.target.scope(errors);
        check_names("--exclude-namespace", &self.excluded, errors);
        if !scope.namespaces.is_empty() && !self.excluded.is_empty() {
            errors.add("--exclude-namespace", "cannot be combined with --namespace".to_owned());
        }
        let shard: Shard = errors.parse("--shard", &self.shard, |error: ShardError| error.to_string())?;
        if shard.is_part() && !scope.namespaces.is_empty() {
            errors.add("--shard", "cannot be combined with --namespace".to_owned());
        }
        Some(ScopeSettings { excluded: self.excluded.clone(), shard, ..scope })
    }
}

// === impl WatchArgs ===

impl WatchArgs {
    /// Checks these flags.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<WatchSettings> {
        let idle_timeout = errors.duration("--watch-idle-timeout", &self.watch_idle_timeout)?;
        Some(WatchSettings { idle_timeout, protocol: self.watch_protocol })
    }
}

// === impl ScopeSettings ===

impl ScopeSettings {
    /// All of a cluster.
    pub fn whole_cluster() -> Self {
        Self { namespaces: Vec::new(), excluded: Vec::new(), shard: Shard::WHOLE }
    }

    /// One namespace.
    pub(crate) fn namespace(name: String) -> Self {
        Self { namespaces: vec![name], ..Self::whole_cluster() }
    }

    /// What has watches and a tracker of its own: each chosen namespace, or the whole cluster as `None`.
    pub(super) fn scopes(&self) -> Vec<Option<String>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        self.namespaces.iter().cloned().map(Some).collect()
    }

    /// Whether a namespace that the API server did not leave out belongs to this part.
    pub(super) fn takes(&self, namespace: &str) -> bool {
        self.shard.holds(namespace)
    }

    /// What has the API server leave namespaces out, if any are to be.
    pub(super) fn field_selector(&self) -> Option<String> {
        let left_out = |namespace: &String| format!("metadata.namespace!={namespace}");
        let selectors: Vec<_> = self.excluded.iter().map(left_out).collect();
        (!selectors.is_empty()).then(|| selectors.join(","))
    }
}

fn check_names(flag: &str, namespaces: &[String], errors: &mut FlagErrors) {
    for name in namespaces.iter().filter(|name| !is_label(name)) {
        errors.add(flag, format!("{name:?} is not a valid namespace name"));
    }
}

/// Whether the name is a DNS label as in RFC 1123, as the names of namespaces and Services are.
pub(crate) fn is_label(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| alphanumeric(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| alphanumeric(*byte))
        && bytes.last().is_some_and(|byte| alphanumeric(*byte))
}
