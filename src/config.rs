//! The flags of each subcommand, checked and turned into settings. Each flag is defined in the module that it configures, and has
//! an environment variable.

use crate::{
    adviser::{self, AdviserSettings},
    agent::{self, AgentSettings},
    cluster::{self, ScopeSettings, WatchArgs, WatchSettings, kubeconfig::Choice},
    collector::{self, CollectorSettings},
    commands::{advise, completions, record, replay, rollout, watch},
    dataplane::{self, NodeSettings},
    exposition::{self, ExpositionSettings},
    flags::FlagErrors,
    logging::{self, LogFilter, LogFormat},
    pipeline::{self, PipelineSettings},
    server::{self, Auth, AuthArgs, ServerSettings},
};
use clap::{Args, Parser, Subcommand};
use std::time::Duration;

/// Measures how long Kubernetes takes to carry a pod's readiness into a Service's endpoints, and how long the endpoints still
/// list a pod that is going away.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
It finds the cluster as kubectl does: --kubeconfig, KUBECONFIG, ~/.kube/config, then the ServiceAccount of the pod.
It needs permission to list and watch pods, services and endpointslices.

  endpointlag demo                          try it without a cluster
  endpointlag watch                         print each change of the current context's cluster
  endpointlag rollout deploy/NAME           follow a rollout, and say what happened to each endpoint
  endpointlag advise                        measure for 10 minutes, and say what to set
  endpointlag                               measure that cluster as a daemon
  endpointlag --namespace shop --samples -  measure one namespace and name each pod
  curl -s localhost:10911/metrics           what Prometheus sees")]
pub struct Cli {
    /// What to do. The default is to measure.
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
    /// Measure a simulated cluster, to try this program without a real one.
    // The demo is for the user who started it, so it listens on loopback only.
    #[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:10911")))]
    // It shows all that can be seen.
    #[command(mut_arg("pod_startup", |startup| startup.default_value("true")))]
    Demo(DemoArgs),
    /// Print each change of a cluster as it ends, and a summary. It needs no daemon.
    // The log shows only what a person should act on.
    #[command(mut_arg("log_level", |level| level.default_value("warn")), after_help = watch::EXAMPLES)]
    Watch(watch::Args),
    /// Follow one rollout, and say what happened to each endpoint, how many served, and what would have helped. It needs no daemon.
    #[command(mut_arg("log_level", |level| level.default_value("warn")), after_help = rollout::EXAMPLES)]
    #[command(mut_arg("namespaces", |namespace| {
        namespace.help("Namespace of the workload. Default: that of the context")
    }))]
    Rollout(rollout::Args),
    /// Say which settings of workloads and Services to change, judged by what is set and what was measured.
    #[command(mut_arg("log_level", |level| level.default_value("warn")), after_help = advise::EXAMPLES)]
    Advise(advise::Args),
    /// Keep what the watches of a cluster bring in a file, for a bug report or a closer look. It needs no daemon.
    #[command(mut_arg("log_level", |level| level.default_value("warn")), after_help = record::EXAMPLES)]
    Record(record::Args),
    /// Measure a recording again, without its cluster.
    #[command(mut_arg("log_level", |level| level.default_value("warn")), after_help = replay::EXAMPLES)]
    Replay(replay::Args),
    /// Watch which endpoints this node's kernel uses for each Service, and print each change, or report it to a daemon. Requires CAP_NET_ADMIN.
    Node(NodeArgs),
    /// Print a script with which a shell completes subcommands and flags.
    #[command(after_help = "\
To use it, put such a line into the shell's own file, or write the script where the shell looks for it:

  source <(endpointlag completions bash)                                   in ~/.bashrc
  source <(endpointlag completions zsh)                                    in ~/.zshrc
  endpointlag completions fish > ~/.config/fish/completions/endpointlag.fish")]
    Completions(completions::Args),
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Flags that `run` and `demo` share.
    #[command(flatten)]
    common: CommonArgs,
    /// Which cluster, and which part of it.
    #[command(flatten)]
    cluster: cluster::Args,
    /// Who may read.
    #[command(flatten)]
    auth: AuthArgs,
    /// The port of the node agents.
    #[command(flatten)]
    collector: collector::Args,
    /// Whether it gives advice.
    #[command(flatten)]
    adviser: adviser::Args,
}

/// Flags of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Flags that `run` and `demo` share.
    #[command(flatten)]
    common: CommonArgs,

    /// Seed of the simulated cluster: the same seed gives the same cluster.
    #[arg(long, value_name = "NUMBER", env = "ENDPOINTLAG_SEED", default_value_t = 1)]
    seed: u64,

    /// How often to print the table, in place on a terminal. 0 means never.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_EVERY", default_value = "5s")]
    every: String,
}

/// Flags of `node`.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// How to watch the kernel.
    #[command(flatten)]
    dataplane: dataplane::Args,
    /// The daemon to report to.
    #[command(flatten)]
    agent: agent::Args,
}

/// Flags that `run` and `demo` share.
#[derive(Args, Clone, Debug)]
struct CommonArgs {
    #[command(flatten)]
    server: server::Args,
    #[command(flatten)]
    pipeline: pipeline::Args,
    #[command(flatten)]
    exposition: exposition::Args,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    logging: logging::Args,
}

/// The checked settings of `run`.
#[derive(Debug)]
pub struct RunSettings {
    /// Which cluster to measure, and as whom.
    pub cluster: Choice,
    /// Which part of it.
    pub scope: ScopeSettings,
    /// Which agents are listened to, if any.
    pub collector: Option<CollectorSettings>,
    /// How.
    pub daemon: Settings,
}

/// The checked settings of `demo`.
#[derive(Debug)]
pub struct DemoSettings {
    /// Seed of the simulated cluster.
    pub seed: u64,
    /// How often to print the table; `None` means never.
    pub every: Option<Duration>,
    /// How to measure.
    pub daemon: Settings,
}

/// The checked settings that both have.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen, and for whom.
    pub server: ServerSettings,
    /// What is measured and counted.
    pub pipeline: PipelineSettings,
    /// What is shown and written.
    pub exposition: ExpositionSettings,
    /// How the cluster is watched.
    pub watch: WatchSettings,
    /// How often advice is evaluated, if it is.
    pub advice: Option<AdviserSettings>,
    /// Which lines are logged.
    pub log: LogFilter,
}

// === impl RunArgs ===

impl RunArgs {
    /// How log lines look.
    pub fn log_format(&self) -> LogFormat {
        self.common.logging.format()
    }

    /// Checks all flags.
    ///
    /// # Errors
    /// With a line for each that is wrong.
    pub fn settings(&self) -> Result<RunSettings, FlagErrors> {
        let mut errors = FlagErrors::default();
        let daemon = self.common.settings(self.auth.auth, &mut errors);
        let scope = self.cluster.scope(&mut errors);
        let cluster = self.cluster.choice();
        let has_certificate = daemon.as_ref().is_none_or(|daemon| daemon.server.tls.is_some());
        let collector = self.collector.settings(has_certificate, &mut errors);
        let advice = self.adviser.settings(&mut errors);
        errors.or(daemon.zip(scope).map(|(daemon, scope)| RunSettings {
            cluster,
            scope,
            collector,
            daemon: Settings { advice, ..daemon },
        }))
    }
}

// === impl DemoArgs ===

impl DemoArgs {
    /// How log lines look.
    pub fn log_format(&self) -> LogFormat {
        self.common.logging.format()
    }

    /// Checks all flags.
    ///
    /// # Errors
    /// With a line for each that is wrong.
    pub fn settings(&self) -> Result<DemoSettings, FlagErrors> {
        let mut errors = FlagErrors::default();
        let daemon = self.common.settings(Auth::None, &mut errors);
        let every = match humantime::parse_duration(&self.every) {
            Ok(Duration::ZERO) => Some(None),
            _ => errors.duration("--every", &self.every).map(Some),
        };
        errors.or(daemon.zip(every).map(|(daemon, every)| DemoSettings { seed: self.seed, every, daemon }))
    }
}

// === impl NodeArgs ===

impl NodeArgs {
    /// How log lines look.
    pub fn log_format(&self) -> LogFormat {
        self.dataplane.log_format()
    }

    /// Checks all flags. Without a daemon to tell, observations are printed.
    ///
    /// # Errors
    /// With a line for each that is wrong.
    pub fn settings(&self) -> Result<(NodeSettings, Option<AgentSettings>), FlagErrors> {
        let mut errors = FlagErrors::default();
        let node = match self.dataplane.settings() {
            Ok(node) => Some(node),
            Err(FlagErrors(lines)) => {
                errors.0.extend(lines);
                None
            }
        };
        let agent = self.agent.settings(&mut errors);
        errors.or(node.map(|node| (node, agent)))
    }
}

// === impl CommonArgs ===

impl CommonArgs {
    fn settings(&self, auth: Auth, errors: &mut FlagErrors) -> Option<Settings> {
        let server = self.server.settings(auth, errors);
        let pipeline = self.pipeline.settings(errors);
        let exposition = self.exposition.settings(errors);
        let watch = self.watch.settings(errors);
        let log = self.logging.filter(errors);
        let (server, pipeline, exposition) = (server?, pipeline?, exposition?);
        Some(Settings { server, pipeline, exposition, watch: watch?, advice: None, log: log? })
    }
}

#[cfg(test)]
mod tests;
