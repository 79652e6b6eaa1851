//! `endpointlag demo`: the daemon with a simulated cluster and simulated nodes, and a table of its measurements.

mod nodes;
mod table;

use self::table::Screen;
use crate::{
    cluster::{
        ScopeSettings,
        client::{ApiClient, ConnectError},
        readers::Readers,
    },
    collector::AgentSource,
    config::DemoSettings,
    daemon::{Daemon, DaemonError},
    server::Server,
    signals::OsSignals,
    simulator::{LifeSettings, Simulator, SimulatorSettings},
};
use std::{
    future::pending,
    io::{self, IsTerminal, Write as _},
    net::SocketAddr,
};

/// Why the demo did not start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated cluster found no port.
    #[error("cannot start the simulated cluster: {0}")]
    Simulator(#[source] io::Error),
    /// The daemon cannot connect to it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon did not start.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The table cannot be written, for instance because its reader has closed the pipe.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// Starts a simulated cluster and a daemon that measures it, up to its nodes. Prints a table at the interval of `--every`, until a signal ends it.
///
/// # Errors
/// If one of them cannot start, or if the table cannot be written.
pub async fn run(settings: DemoSettings, signals: &OsSignals) -> Result<(), DemoError> {
    let DemoSettings { seed, every, daemon: settings } = settings;
    let life = Some(LifeSettings::default());
    let simulated = SimulatorSettings { seed, life, ..Default::default() };
    let cluster = Simulator::start(simulated).await.map_err(DemoError::Simulator)?;
    // Before the daemon lists the slices: so the nodes show each change that it sees.
    let nodes = cluster.nodes(seed);
    let server = Server::bind(&settings.server).await.map_err(DaemonError::from)?;
    let readers = Readers::start().map_err(DaemonError::Thread)?;
    let config = kube::Config::new(cluster.url());
    let client = readers.run(async { ApiClient::new(config) }).await?;
    let daemon = Daemon::start(
        settings,
        ScopeSettings::whole_cluster(),
        server,
        Some(AgentSource::Local),
        client,
        readers,
        "simulated cluster".to_owned(),
    )
    .await?;

    let agents = daemon.agents();
    let reporting = async move {
        match agents {
            Some(agents) => nodes::report(nodes, agents).await,
            None => pending().await,
        }
    };
    let greeting = welcome(daemon.server.address, daemon.server.is_tls);
    let handle = daemon.handle.clone();
    let mut phase = cluster.phase();
    // The future owns the pipeline's handle. When it is dropped, no handle is left, and the pipeline ends.
    let table = async move {
        print(greeting).await?;
        let Some(every) = every else { return Ok(()) };
        let mut screen = Screen::new(io::stdout().is_terminal());
        let mut ticks = tokio::time::interval(every);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let Some(overview) = handle.overview().await else { return Ok(()) };
            let table = table::render(&overview, *phase.borrow_and_update());
            print(screen.show(&table, terminal_height())).await?;
        }
    };
    let mut failure = None;
    let stop = async {
        tokio::select! {
            () = signals.stopped() => {}
            never = reporting => match never {},
            Err(error) = table => failure = Some(error),
        }
    };
    daemon.run(stop, signals.hangups()).await;
    cluster.shutdown().await;
    failure.map_or(Ok(()), Err)
}

/// Prints on a thread that may block while the reader is slow.
async fn print(text: String) -> Result<(), DemoError> {
    let print = move || {
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes()).and_then(|()| output.flush())
    };
    let printed = tokio::task::spawn_blocking(print).await.unwrap_or_else(|error| Err(error.into()));
    printed.map_err(DemoError::Output)
}

fn welcome(address: SocketAddr, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let host =
        if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() };
    format!(
        "endpointlag {} measures a simulated cluster: its pods, Services,\n\
         EndpointSlices and nodes are not real, and neither are the delays of its\n\
         EndpointSlice controller and of its nodes. The measurement is the same as for\n\
         a real cluster.\n\n  \
         {scheme}://{host}/         the web page\n  \
         {scheme}://{host}/metrics  what Prometheus would scrape\n\n\
         In this cluster Deployments roll, pods flap, and now and then a node or the\n\
         controller is slow, the controller for the first time after half a minute.\n\
         Ctrl-C ends it.\n",
        crate::VERSION,
    )
}

/// Height of the terminal in lines, if there is one.
fn terminal_height() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0).then_some(size.ws_row.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_fits_a_terminal_and_says_where_to_look() {
        let text = welcome("0.0.0.0:10911".parse().expect("an address"), true);
        assert!(text.contains("https://localhost:10911/metrics"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
