//! The command line of endpointlag.

use anyhow::Context;
use clap::{CommandFactory, Parser};
use endpointlag::{
    agent,
    cluster::readers::Readers,
    collector::{AgentSource, AgentsPort},
    commands::{Verdict, advise, completions, record, replay, rollout, watch},
    config::{Cli, Command, DemoArgs, NodeArgs, RunArgs, RunSettings},
    daemon::Daemon,
    dataplane::{self, KernelReader},
    demo,
    errors::chain,
    flags::FlagErrors,
    logging::{LogFilter, LogFormat},
    server::Server,
    signals::OsSignals,
};
use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// By how much the priority of the threads that answer requests is below that of the threads that read and measure.
const SERVER_NICENESS: i32 = 10;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(Command::Run(cli.run));
    let (format, result) = match &command {
        Command::Run(args) => (args.log_format(), run(args).map(succeed)),
        Command::Demo(args) => (args.log_format(), demo(args).map(succeed)),
        Command::Watch(args) => (args.log_format(), watch(args)),
        Command::Rollout(args) => (args.log_format(), rollout(args)),
        Command::Advise(args) => (args.log_format(), advise(args)),
        Command::Record(args) => (args.log_format(), record(args).map(succeed)),
        Command::Replay(args) => (args.log_format(), replay(args)),
        Command::Node(args) => (args.log_format(), node(args).map(succeed)),
        Command::Completions(args) => (LogFormat::Text, completions(args).map(succeed)),
    };
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    match error.downcast::<FlagErrors>() {
        Ok(FlagErrors(lines)) => {
            lines.iter().for_each(|line| format.say_fatal(line));
            ExitCode::from(2)
        }
        Err(error) => {
            format.say_fatal(&chain(&*error));
            match command {
                // They keep 1 for a verdict.
                Command::Watch(_)
                | Command::Rollout(_)
                | Command::Advise(_)
                | Command::Record(_)
                | Command::Replay(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(args: &RunArgs) -> anyhow::Result<()> {
    let RunSettings { cluster, scope, collector, daemon: settings } = args.settings()?;
    let signals = begin(args.log_format(), settings.log.clone())?;
    let subject = match &*scope.namespaces {
        [] if scope.shard.is_part() => format!("shard {} of the cluster", scope.shard),
        [] => "cluster".to_owned(),
        some => format!("namespace {}", some.join(", ")),
    };
    block_on(async {
        // Bind the port first, because `/readyz` shows what the daemon waits for.
        let server = Server::bind(&settings.server).await?;
        let agents = match collector {
            Some(settings) => Some(AgentSource::Port(AgentsPort::bind(settings).await?)),
            None => None,
        };
        let readers = Readers::start().context("cannot start a thread")?;
        let found = cluster.find().await?;
        let connecting = async {
            match found.plugin.clone() {
                Some(plugin) => {
                    let awaited = format!("waiting for credentials from {plugin}");
                    server.serve_while(awaited, readers.connect(found)).await
                }
                // Fast, so nothing needs to be served in the meantime.
                None => readers.connect(found).await,
            }
        };
        let client = tokio::select! {
            client = connecting => client?,
            () = signals.stopped() => return Ok(()),
        };
        tracing::info!(version = endpointlag::VERSION, server = client.url(), "measuring {subject}");
        let daemon = Daemon::start(settings, scope, server, agents, client, readers, subject).await?;
        daemon.run(signals.stopped(), signals.hangups()).await;
        Ok(())
    })
}

fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let signals = begin(args.log_format(), settings.daemon.log.clone())?;
    block_on(async { Ok(demo::run(settings, &signals).await?) })
}

fn watch(args: &watch::Args) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let signals = begin(args.log_format(), settings.log.clone())?;
    block_on(async { Ok(code_of(watch::run(settings, &signals).await?)) })
}

fn rollout(args: &rollout::Args) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let signals = begin(args.log_format(), settings.log.clone())?;
    block_on(async { Ok(code_of(rollout::run(settings, &signals).await?)) })
}

fn record(args: &record::Args) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let signals = begin(args.log_format(), settings.log.clone())?;
    block_on(async { Ok(record::run(settings, &signals).await?) })
}

fn replay(args: &replay::Args) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let signals = begin(args.log_format(), settings.log.clone())?;
    block_on(async {
        let replaying = tokio::task::spawn_blocking(move || replay::run(&settings));
        tokio::select! {
            verdict = replaying => Ok(code_of(verdict??)),
            () = signals.stopped() => anyhow::bail!("ended before the end of the recording"),
        }
    })
}

fn advise(args: &advise::Args) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let signals = begin(args.log_format(), settings.log.clone())?;
    block_on(async {
        Ok(match advise::run(settings, &signals).await? {
            advise::Verdict::Passed => ExitCode::SUCCESS,
            advise::Verdict::Failed => ExitCode::FAILURE,
        })
    })
}

fn code_of(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Met => ExitCode::SUCCESS,
        Verdict::Missed => ExitCode::FAILURE,
    }
}

fn completions(args: &completions::Args) -> anyhow::Result<()> {
    io::stdout().write_all(&args.script(Cli::command())).context("cannot write to standard output")
}

fn node(args: &NodeArgs) -> anyhow::Result<()> {
    let (settings, agent) = args.settings()?;
    let signals = begin(args.log_format(), settings.log)?;
    if let Some(agent) = agent {
        let reader = KernelReader::start(settings.limits)?;
        // It compares clocks, so that it must not stand back behind others.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(async {
            tokio::select! {
                ended = agent::run(reader, agent) => Ok(ended?),
                () = signals.stopped() => Ok(()),
            }
        });
    }
    block_on(async {
        let watching = tokio::task::spawn_blocking(move || dataplane::print(settings.limits, settings.output));
        tokio::select! {
            ended = watching => Ok(ended??),
            () = signals.stopped() => Ok(()),
        }
    })
}

fn succeed((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// The start of each subcommand: sets up logging, and makes sure that neither a panic nor a hanging part keeps the process
/// alive.
fn begin(format: LogFormat, log: LogFilter) -> anyhow::Result<OsSignals> {
    format.end_on_panic();
    format.start(log);
    OsSignals::start(format).context("cannot wait for signals")
}

/// Runs on a runtime that does not wait at the end for a thread that is blocked by a file or a pipe.
fn block_on<T>(main: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let result = runtime.block_on(main);
    runtime.shutdown_background();
    result
}

/// The runtime for HTTP. The sockets of the watches have a separate runtime.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("server")
        // A scrape can wait, a stamp cannot. If there is not enough CPU for both, the readers run first. This sets the priority
        // of the calling thread. If the system does not allow it, the daemon works without it.
        .on_thread_start(|| {
            let _ = rustix::process::setpriority_process(None, SERVER_NICENESS);
        })
        .enable_all()
        .build()
        .context("cannot start a thread")
}
