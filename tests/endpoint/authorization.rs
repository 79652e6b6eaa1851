//! `--auth kubernetes` against a real API server.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::controlplane::access::{self, ACCOUNT};
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::daemon::Daemon;
use testkit::pair::{Files, Pair};
use testkit::workspace::{Workspace, free_port};
use tokio::sync::OnceCell;

/// Ample time for the sync of the watches.
const SOON: Duration = Duration::from_secs(60);

pub(super) async fn shared_plane() -> Result<&'static ControlPlane> {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    PLANE.get_or_try_init(|| ControlPlane::start(Options::default())).await
}

/// A daemon that asks the API server who may read, and a client for it.
struct Guarded {
    daemon: Daemon,
    client: Client,
    _workspace: Workspace,
}

impl Guarded {
    /// With an account of the control plane, and `server` as the address of the API server.
    async fn start(plane: &ControlPlane, account: &str, server: &str, flags: &[&str]) -> Result<Self> {
        let workspace = Workspace::create(account)?;
        let (files, pair) = (Files::inside(workspace.path()), Pair::make()?);
        pair.write(&files)?;
        let admin = plane.admin().await?;
        let config = access::account_kubeconfig(&admin, account, server, &plane.authority(), &workspace).await?;
        let mut all = files.flags();
        all.extend(["--auth", "kubernetes"].iter().chain(flags).map(|flag| (*flag).to_owned()));
        let daemon = Daemon::start(&config, workspace.path(), &all).await?;
        let client = Client::tls(daemon.address(), pair.certificate());
        Ok(Self { daemon, client, _workspace: workspace })
    }
}

/// A token of a new account.
async fn newcomer(plane: &ControlPlane, name: &str, may_read: bool) -> Result<String> {
    let admin = plane.admin().await?;
    access::create_account(&admin, name).await?;
    if may_read {
        access::grant_metrics_to(&admin, name).await?;
    }
    access::account_token(&admin, name).await
}

#[tokio::test]
async fn only_who_has_the_right_may_read() -> Result<()> {
    let plane = shared_plane().await?;
    access::grant_reviews_to(&plane.admin().await?, ACCOUNT).await?;
    let stranger = newcomer(plane, "no-reader", false).await?;
    let reader = newcomer(plane, "reader", true).await?;
    let Guarded { daemon, client, _workspace } = Guarded::start(plane, ACCOUNT, &plane.server(), &[]).await?;

    let answer = client.get("/metrics").await?;
    assert_eq!((answer.status, &*answer.body), (401, "needs a bearer token\n"));
    let answer = client.get_as("no-token-of-anybody", "/metrics").await?;
    assert_eq!((answer.status, &*answer.body), (401, "the bearer token is not valid\n"));
    let answer = client.get_as(&stranger, "/metrics").await?;
    let expected = "system:serviceaccount:endpointlag:no-reader may not get /metrics\n";
    assert_eq!((answer.status, &*answer.body), (403, expected));
    assert_eq!(client.get_as(&reader, "/").await?.status, 403, "the role is for /metrics");
    // Every account may get the API server's own paths below /api.
    let answer = client.get_as(&stranger, "/api/v1/overview").await?;
    let expected = "system:serviceaccount:endpointlag:no-reader may not get /endpointlag/api/v1/overview\n";
    assert_eq!((answer.status, &*answer.body), (403, expected));
    assert_eq!(client.get_as(&reader, "/metrics").await?.status, 200);

    let started = Instant::now();
    while client.get("/readyz").await?.status != 200 {
        ensure!(started.elapsed() < SOON, "not ready:\n{}", daemon.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.get("/healthz").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn probes_have_a_port_of_their_own() -> Result<()> {
    let plane = shared_plane().await?;
    access::grant_reviews_to(&plane.admin().await?, ACCOUNT).await?;
    let flags = ["--probe-listen", "127.0.0.1:0"];
    let Guarded { daemon, client, _workspace } = Guarded::start(plane, ACCOUNT, &plane.server(), &flags).await?;
    let address = daemon.address_for("listening for probes").await?;
    let probe = Client::plain(&address);
    for (path, on_its_own, beside) in [("/healthz", 200, 401), ("/metrics", 404, 401), ("/", 404, 401)] {
        let statuses = (probe.get(path).await?.status, client.get(path).await?.status);
        assert_eq!(statuses, (on_its_own, beside), "{path}");
    }
    Ok(())
}

/// If the daemon has no right to ask, or cannot ask, it lets no client in, and says so.
#[tokio::test]
async fn without_an_answer_nobody_gets_in() -> Result<()> {
    let plane = shared_plane().await?;
    let reader = newcomer(plane, "late-reader", true).await?;
    access::create_account(&plane.admin().await?, "may-not-ask").await?;
    let nowhere = format!("https://127.0.0.1:{}", free_port()?);
    for server in [plane.server(), nowhere] {
        let Guarded { daemon, client, _workspace } = Guarded::start(plane, "may-not-ask", &server, &[]).await?;
        let answer = client.get_as(&reader, "/metrics").await?;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.body.contains("the API server cannot be asked"), "{}", answer.body);
        assert_eq!(client.get("/metrics").await?.status, 401);
        assert_eq!(client.get("/healthz").await?.status, 200);
        client.get_as(&reader, "/metrics").await?;
        daemon.wait_for_log("cannot be asked who may read", 1).await?;
        let lines = daemon.log()?;
        let said = lines.iter().filter(|line| line.field("message").contains("cannot be asked who may read")).count();
        assert_eq!(said, 1, "once, not for each request:\n{}", daemon.log_tail());
    }
    Ok(())
}
