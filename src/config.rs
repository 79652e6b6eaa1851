//! What a user can choose: flags, each with a variable of the environment, checked and turned into [`Settings`].

use crate::{
    cluster::{
        client::WatchProtocol,
        kubeconfig::Choice,
        shard::{Shard, ShardError},
    },
    exposition::{hdr_log, lines::Target, metrics::Histograms},
    logging::{LogFilter, LogFilterError, LogFormat},
    propagation::TrackerSettings,
    server::{Auth, ServerSettings, TlsFiles},
    stats::{Bounds, SeriesLimits},
};
use clap::{Args, Parser, Subcommand};
use std::{fmt, net::AddrParseError, path::PathBuf, str::FromStr, time::Duration};

/// Measures how long Kubernetes takes to carry a pod's readiness into a Service's endpoints, and how long a pod that is going
/// away stays there.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
The cluster is found as kubectl finds it: --kubeconfig, KUBECONFIG, ~/.kube/config, then the ServiceAccount of the pod.
It needs the right to list and watch pods, services and endpointslices.

  endpointlag demo                          look at it without a cluster
  endpointlag                               measure the cluster of the current context
  endpointlag --namespace shop --samples -  measure one namespace and name each pod
  curl -s localhost:10911/metrics           what Prometheus sees")]
pub struct Cli {
    /// What to do; measures if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to measure.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure a cluster (the default).
    Run(RunArgs),
    /// Measure a simulated cluster, to look at this program without a real one.
    // It is to be looked at by whoever started it.
    #[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:10911")))]
    Demo(DemoArgs),
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Flags of every way to measure.
    #[command(flatten)]
    pub common: CommonArgs,

    /// File that says which cluster to measure and as whom. Without it that is KUBECONFIG, then ~/.kube/config, then the
    /// ServiceAccount of the pod.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig to take instead of its current one.
    #[arg(long, value_name = "NAME", env = "ENDPOINTLAG_CONTEXT")]
    context: Option<String>,

    /// Namespace to measure; repeat for several. None is the whole cluster. With some, a Role in each is enough.
    #[arg(
        long = "namespace",
        short = 'n',
        value_name = "NAMESPACE",
        env = "ENDPOINTLAG_NAMESPACE",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,

    /// Namespace to leave out of the whole cluster; repeat for several.
    #[arg(
        long = "exclude-namespace",
        value_name = "NAMESPACE",
        env = "ENDPOINTLAG_EXCLUDE_NAMESPACE",
        value_delimiter = ','
    )]
    excluded: Vec<String>,

    /// Measure only the namespaces that fall to this one of several daemons, such as 0/3 for the first of three. Each reads
    /// the whole watches all the same.
    #[arg(long, value_name = "INDEX/NUMBER", env = "ENDPOINTLAG_SHARD", default_value = "0/1")]
    shard: String,

    /// Who may read: everybody, or whom the API server allows to, by TokenReview and SubjectAccessReview. The latter needs
    /// TLS, and the rights of deploy/kubernetes/rbac-auth.yaml.
    #[arg(long, value_name = "KIND", env = "ENDPOINTLAG_AUTH", default_value = "none")]
    auth: Auth,
}

/// Flags of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Flags of every way to measure.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Seed of the simulated cluster: the same seed gives the same cluster.
    #[arg(long, value_name = "NUMBER", env = "ENDPOINTLAG_SEED", default_value_t = 1)]
    pub seed: u64,

    /// How often the table is printed, in place on a terminal; 0 for never.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_EVERY", default_value = "5s")]
    every: String,
}

/// Flags of every way to measure.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// Address and port of /metrics, /healthz and /readyz. Port 0 takes a free one and logs it.
    #[arg(long, value_name = "ADDRESS", env = "ENDPOINTLAG_LISTEN", default_value = "0.0.0.0:10911")]
    listen: String,

    /// Serve TLS with the certificate chain in this PEM file. It is read again when it changes.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_TLS_CERT_FILE")]
    tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_TLS_KEY_FILE")]
    tls_key_file: Option<PathBuf>,

    /// Address and port of /healthz and /readyz alone, without TLS and for everybody. Without it they are at --listen, for
    /// everybody too.
    #[arg(long, value_name = "ADDRESS", env = "ENDPOINTLAG_PROBE_LISTEN")]
    probe_listen: Option<String>,

    /// Name by which it may be asked where it listens on a loopback address without --auth, beside localhost and addresses;
    /// repeat for several. A web page could else have a browser read it under a name of the page's own.
    #[arg(long = "allow-host", value_name = "NAME", env = "ENDPOINTLAG_ALLOW_HOST", value_delimiter = ',')]
    allowed_hosts: Vec<String>,

    /// Delay within which a change should be shown, such as 5s or 500ms. A Service overrides it by the annotation
    /// endpointlag.io/objective.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_OBJECTIVE", default_value = "5s")]
    objective: String,

    /// Age at which a change that is not shown is given up.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_EXPIRY", default_value = "10m")]
    expiry: String,

    /// Upper bounds of the histogram's buckets in seconds, ascending.
    #[arg(long, value_name = "SECONDS,...", env = "ENDPOINTLAG_BUCKETS", default_value = Bounds::DEFAULT)]
    buckets: String,

    /// Which histograms of delays are shown: per Service with classic buckets, native ones, both, or both for the cluster as a
    /// whole. Native buckets go to scrapers that ask for protobuf.
    #[arg(long, value_name = "KIND", env = "ENDPOINTLAG_HISTOGRAM", default_value = "both")]
    histogram: Histograms,

    /// Services with series of their own. The others share those of _other/_other.
    #[arg(long, value_name = "NUMBER", env = "ENDPOINTLAG_MAX_SERVICES", default_value_t = 10_000)]
    max_services: usize,

    /// A Service without a change for this long loses its series until the next one.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_SERIES_IDLE", default_value = "24h")]
    series_idle: String,

    /// Write a line of JSON for each change that ended to this file, or to standard output if it is "-".
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_SAMPLES")]
    samples: Option<String>,

    /// Write an HDR histogram of the cluster's delays for each kind of change and interval to this file, an interval log that
    /// HdrHistogram's tools open. What is in it stays.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_HDR_LOG")]
    hdr_log: Option<PathBuf>,

    /// Length of an interval of --hdr-log.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_HDR_LOG_INTERVAL", default_value = "10s")]
    hdr_log_interval: String,

    /// Drop a watch that brings nothing for this long. The API server sends a bookmark about once a minute.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_WATCH_IDLE_TIMEOUT", default_value = "3m")]
    watch_idle_timeout: String,

    /// What the watches speak with the API server: HTTP/2 over one connection where it is offered, or HTTP/1.1 with a connection for each.
    #[arg(long, value_name = "PROTOCOL", env = "ENDPOINTLAG_WATCH_PROTOCOL", default_value = "auto")]
    watch_protocol: WatchProtocol,

    /// error, warn, info, debug or trace, or a filter such as info,endpointlag::cluster=debug.
    #[arg(long, value_name = "LEVEL", env = "ENDPOINTLAG_LOG_LEVEL", default_value = "info")]
    log_level: String,

    /// How log lines look, on standard error.
    #[arg(long, value_name = "FORMAT", env = "ENDPOINTLAG_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Everything a user chose, checked.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen, and for whom.
    pub endpoint: ServerSettings,
    /// Namespaces to measure; none for the whole cluster.
    pub namespaces: Vec<String>,
    /// Namespaces to leave out of the whole cluster.
    pub excluded: Vec<String>,
    /// The part of the cluster to measure.
    pub shard: Shard,
    /// Objective and expiry.
    pub propagation: TrackerSettings,
    /// Buckets.
    pub bounds: Bounds,
    /// Which histograms are shown.
    pub histograms: Histograms,
    /// How many Services are counted by themselves, and for how long.
    pub limits: SeriesLimits,
    /// Where each change goes.
    pub samples: Option<Target>,
    /// Where HDR histograms go.
    pub hdr_log: Option<hdr_log::Target>,
    /// How long a watch may bring nothing.
    pub watch_idle_timeout: Duration,
    /// What the watches speak.
    pub watch_protocol: WatchProtocol,
    /// Which lines are logged.
    pub log: LogFilter,
}

/// What is wrong with the flags, a line each.
#[derive(Debug, Default)]
pub struct ConfigErrors(pub Vec<String>);

// === impl RunArgs ===

impl RunArgs {
    /// Which cluster to measure.
    pub fn cluster(&self) -> Choice {
        Choice { file: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// Checks all flags.
    ///
    /// # Errors
    /// With a line for each that is wrong.
    pub fn settings(&self) -> Result<Settings, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let settings = self.common.settings(&mut errors);
        for (flag, names) in [("--namespace", &self.namespaces), ("--exclude-namespace", &self.excluded)] {
            for name in names.iter().filter(|name| !is_namespace(name)) {
                errors.add(flag, format!("{name:?} is no name of a namespace"));
            }
        }
        if !self.namespaces.is_empty() && !self.excluded.is_empty() {
            errors.add("--exclude-namespace", "leaves out of the whole cluster, but --namespace chose some".to_owned());
        }
        let shard: Shard =
            errors.parse("--shard", &self.shard, |error: ShardError| error.to_string()).unwrap_or_default();
        if shard.is_part() && !self.namespaces.is_empty() {
            errors.add("--shard", "divides the whole cluster, but --namespace chose some".to_owned());
        }
        let mut namespaces = self.namespaces.clone();
        namespaces.sort_unstable();
        namespaces.dedup();
        let auth = self.auth;
        if auth == Auth::Kubernetes && self.common.tls_cert_file.is_none() && self.common.tls_key_file.is_none() {
            let needs = "kubernetes needs --tls-cert-file and --tls-key-file, or tokens could be read on their way";
            errors.add("--auth", needs.to_owned());
        }
        errors.or(settings.map(|settings| {
            let endpoint = ServerSettings { auth, ..settings.endpoint };
            Settings { endpoint, namespaces, excluded: self.excluded.clone(), shard, ..settings }
        }))
    }
}

// === impl DemoArgs ===

impl DemoArgs {
    /// Checks all flags. The second value is how often the table is printed, if it is.
    ///
    /// # Errors
    /// With a line for each that is wrong.
    pub fn settings(&self) -> Result<(Settings, Option<Duration>), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let settings = self.common.settings(&mut errors);
        let every = match humantime::parse_duration(&self.every) {
            Ok(Duration::ZERO) => Some(None),
            _ => errors.duration("--every", &self.every).map(Some),
        };
        errors.or(settings.zip(every))
    }
}

// === impl CommonArgs ===

impl CommonArgs {
    fn settings(&self, errors: &mut ConfigErrors) -> Option<Settings> {
        let endpoint = self.endpoint(errors);
        let objective = errors.duration("--objective", &self.objective);
        let expiry = errors.duration("--expiry", &self.expiry);
        if let (Some(objective), Some(expiry)) = (objective, expiry)
            && objective >= expiry
        {
            errors.add("--objective", format!("{} does not lie below --expiry {}", self.objective, self.expiry));
        }
        let bounds = errors.parse("--buckets", &self.buckets, |error: crate::stats::BoundsError| error.to_string());
        let watch_idle_timeout = errors.duration("--watch-idle-timeout", &self.watch_idle_timeout);
        let hdr_log_interval = errors.duration("--hdr-log-interval", &self.hdr_log_interval);
        let series_idle = errors.duration("--series-idle", &self.series_idle);
        let log = errors.parse("--log-level", &self.log_level, |error: LogFilterError| error.to_string());
        Some(Settings {
            endpoint: endpoint?,
            namespaces: Vec::new(),
            excluded: Vec::new(),
            shard: Shard::WHOLE,
            propagation: TrackerSettings { objective: objective?, expiry: expiry? },
            bounds: bounds?,
            histograms: self.histogram,
            limits: SeriesLimits { services: self.max_services, idle: series_idle? },
            samples: self.samples.as_deref().map(Target::parse),
            hdr_log: self
                .hdr_log
                .clone()
                .zip(hdr_log_interval)
                .map(|(path, interval)| hdr_log::Target { path, interval }),
            watch_idle_timeout: watch_idle_timeout?,
            watch_protocol: self.watch_protocol,
            log: log?,
        })
    }

    fn endpoint(&self, errors: &mut ConfigErrors) -> Option<ServerSettings> {
        let say = |error: AddrParseError| format!("{error}; write it like 0.0.0.0:10911");
        let listen = errors.parse("--listen", &self.listen, say);
        let probe_listen = self.probe_listen.as_deref().map(|text| errors.parse("--probe-listen", text, say));
        let tls = match (self.tls_cert_file.clone(), self.tls_key_file.clone()) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                errors.add("--tls-key-file", "is missing, but --tls-cert-file is given".to_owned());
                None
            }
            (None, Some(_)) => {
                errors.add("--tls-cert-file", "is missing, but --tls-key-file is given".to_owned());
                None
            }
        };
        let probe_listen = match probe_listen {
            None => None,
            Some(parsed) => Some(parsed?),
        };
        let allowed_hosts = self.allowed_hosts.clone();
        Some(ServerSettings { listen: listen?, probe_listen, tls, auth: Auth::None, allowed_hosts })
    }
}

// === impl ConfigErrors ===

impl ConfigErrors {
    fn add(&mut self, flag: &str, error: String) {
        self.0.push(format!("{flag}: {error}"));
    }

    fn parse<T: FromStr>(&mut self, flag: &str, text: &str, say: impl Fn(T::Err) -> String) -> Option<T> {
        text.parse().map_err(|error| self.add(flag, format!("{text:?}: {}", say(error)))).ok()
    }

    fn duration(&mut self, flag: &str, text: &str) -> Option<Duration> {
        match humantime::parse_duration(text) {
            Ok(duration) if duration >= Duration::from_millis(1) => return Some(duration),
            Ok(_) => self.add(flag, format!("{text:?} is less than a millisecond")),
            Err(error) => self.add(flag, format!("{text:?}: {error}; write it like 5s, 500ms or 10m")),
        }
        None
    }

    fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

/// A DNS label, as RFC 1123 has it.
fn is_namespace(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| alphanumeric(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| alphanumeric(*byte))
        && bytes.last().is_some_and(|byte| alphanumeric(*byte))
}

#[cfg(test)]
mod tests;
