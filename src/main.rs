//! The command line of endpointlag.

use anyhow::Context;
use clap::Parser;
use endpointlag::{
    cluster::client::{ApiClient, chain},
    config::{Cli, Command, CommonArgs, ConfigErrors, DemoArgs, LogFormat, RunArgs},
    daemon::{Daemon, Readers},
    demo,
};
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

/// How far the threads that answer requests stand back behind those that read watches and measure.
const SERVER_NICENESS: i32 = 10;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => run(&cli.run),
        Some(Command::Run(args)) => run(&args),
        Some(Command::Demo(args)) => demo(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast::<ConfigErrors>() {
            Ok(errors) => {
                eprint!("{errors}");
                ExitCode::from(2)
            }
            Err(error) => {
                eprintln!("endpointlag: {}", chain(&*error));
                ExitCode::FAILURE
            }
        },
    }
}

fn run(args: &RunArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    start_logging(&args.common);
    let subject = match &*settings.namespaces {
        [] if settings.shard.is_part() => format!("shard {} of the cluster", settings.shard),
        [] => "cluster".to_owned(),
        some => format!("namespace {}", some.join(", ")),
    };
    runtime()?.block_on(async {
        let readers = Readers::start()?;
        let client = readers.run(ApiClient::infer()).await?;
        tracing::info!(version = endpointlag::VERSION, server = client.url(), "measuring {subject}");
        let daemon = Daemon::start(settings, client, readers, subject).await?;
        Ok(daemon.run(stop_signal()?).await?)
    })
}

fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let (settings, every) = args.settings()?;
    start_logging(&args.common);
    runtime()?.block_on(async { Ok(demo::run(settings, args.seed, every, stop_signal()?).await?) })
}

/// Completes at the first SIGTERM or Ctrl-C.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves HTTP; the sockets of the watches have a runtime of their own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("server")
        // A scrape can wait, a stamp cannot: where there is not enough processor for both, the readers go first. This is the
        // calling thread's priority; if the system refuses to lower it, nothing is lost but that.
        .on_thread_start(|| {
            let _ = rustix::process::setpriority_process(None, SERVER_NICENESS);
        })
        .enable_all()
        .build()
        .context("cannot start a thread")
}

fn start_logging(args: &CommonArgs) {
    let colours = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(args.log_filter()).with_writer(io::stderr).with_ansi(colours);
    match args.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
