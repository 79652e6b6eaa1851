//! `endpointlag demo`: the daemon beside a simulated cluster, and a table of what it measures.

use crate::{
    cluster::client::{ApiClient, ConnectError},
    config::Settings,
    daemon::{Daemon, DaemonError, Readers},
    server::Server,
    simulator::{self, LifeSettings, Phase, Simulator},
    stats::{Glance, Overview},
};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

/// Why the demo did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated cluster found no port.
    #[error("cannot start the simulated cluster: {0}")]
    Simulator(#[source] io::Error),
    /// The daemon cannot connect to it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon did not start or go on.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Nobody reads the table.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// Starts a simulated cluster and a daemon that measures it, and prints a table every so often until `shutdown` completes.
///
/// # Errors
/// If either cannot start, or nobody reads the table any more.
pub async fn run(
    settings: Settings,
    seed: u64,
    every: Duration,
    shutdown: impl Future<Output = ()>,
) -> Result<(), DemoError> {
    let life = Some(LifeSettings::default());
    let simulated = simulator::Settings { seed, life, ..Default::default() };
    let cluster = Simulator::start(simulated).await.map_err(DemoError::Simulator)?;
    let readers = Readers::start()?;
    let config = kube::Config::new(cluster.url());
    let client = readers.run(async { ApiClient::new(config) }).await?;
    let daemon = Daemon::start(settings, client, readers, "simulated cluster".to_owned()).await?;

    print(&welcome(&daemon.server))?;
    let questions = daemon.questions.clone();
    let mut phase = cluster.phase();
    let table = async {
        let mut ticks = tokio::time::interval(every);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let Some(overview) = questions.overview().await else { return Ok(()) };
            print(&render(&overview, *phase.borrow_and_update()))?;
        }
    };
    let mut failure = None;
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            Err(error) = table => failure = Some(error),
        }
    };
    daemon.run(stop).await?;
    cluster.shutdown().await;
    failure.map_or(Ok(()), Err)
}

fn print(text: &str) -> Result<(), DemoError> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(DemoError::Output)
}

fn welcome(server: &Server) -> String {
    let address = server.address;
    let scheme = if server.is_tls { "https" } else { "http" };
    let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() };
    let port = address.port();
    format!(
        "endpointlag {} measures a simulated cluster: its pods, Services and EndpointSlices are made up, and so are the\n\
         delays of its EndpointSlice controller. The measuring is the same as on a real one.\n\n  \
         {scheme}://{host}:{port}/         what there is to see\n  \
         {scheme}://{host}:{port}/metrics  what Prometheus would scrape\n\n\
         It rolls Deployments, lets pods flap, and has a slow controller now and then, the first time after half a minute.\n\
         Ctrl-C ends it.\n",
        crate::VERSION,
    )
}

fn render(overview: &Overview, phase: Phase) -> String {
    let width = overview.services.keys().map(|name| name.to_string().len()).max().unwrap_or(0).max("SERVICE".len());
    let mut table = String::new();
    let controller = match phase {
        Phase::Healthy => String::new(),
        Phase::Slow { lasting } => format!(", its EndpointSlice controller slow for {} s", lasting.as_secs()),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(table, "\nsimulated cluster{controller}");
    let _ = writeln!(
        table,
        "{:width$}  {:>7}  {:>9}  {:>9}  {:>9}  {:>7}  {:>8}",
        "SERVICE", "CHANGES", "P50", "P99", "MAX", "PENDING", "OLDEST"
    );
    for (name, glance) in &overview.services {
        row(&mut table, width, &name.to_string(), glance);
    }
    row(&mut table, width, "all", &overview.cluster);
    table
}

fn row(table: &mut String, width: usize, name: &str, glance: &Glance) {
    let Glance { changes, p50, p99, max, pending, oldest } = *glance;
    let _ = writeln!(
        table,
        "{name:width$}  {changes:>7}  {:>9}  {:>9}  {:>9}  {pending:>7}  {:>8}",
        short(p50),
        short(p99),
        short(max),
        short(oldest),
    );
}

/// A duration to three digits or so, in the unit that suits it.
fn short(duration: Option<Duration>) -> String {
    match duration {
        None => "-".to_owned(),
        Some(duration) if duration < Duration::from_secs(1) => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        Some(duration) => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::ServiceName;
    use std::sync::Arc;

    #[test]
    fn the_table_says_simulated_and_lines_up() {
        let mut overview = Overview::default();
        let name = ServiceName { namespace: "shop".into(), name: "checkout-with-a-long-name".into() };
        let glance = Glance {
            changes: 12,
            p50: Some(Duration::from_micros(23_456)),
            p99: Some(Duration::from_millis(1234)),
            pending: 3,
            oldest: Some(Duration::from_secs(75)),
            ..Glance::default()
        };
        overview.services.insert(Arc::new(name), glance);
        let table = render(&overview, Phase::Slow { lasting: Duration::from_secs(10) });
        let lines: Vec<_> = table.lines().skip(1).collect();
        assert_eq!(lines[0], "simulated cluster, its EndpointSlice controller slow for 10 s");
        assert!(lines[2].starts_with("shop/checkout-with-a-long-name"), "{table}");
        assert!(
            lines[2].contains("23.5 ms") && lines[2].contains("1.23 s") && lines[2].ends_with("75.00 s"),
            "{table}"
        );
        assert!(lines[1..].iter().all(|line| line.len() == lines[1].len()), "{table}");
    }
}
