//! A web page must not be able to read, through a browser, what is served on the loopback interface.

use super::demo::Demo;
use anyhow::Result;
use testkit::client::Client;
use testkit::workspace::Workspace;

#[tokio::test]
async fn another_name_is_answered_only_where_it_is_allowed() -> Result<()> {
    let workspace = Workspace::create("hosts")?;
    let demo = Demo::start(&workspace, &[]).await?;
    let client = Client::plain(&demo.address);
    let answer = client.get_by("rebound.example:80", "/metrics").await?;
    let sentence =
        "this is not rebound.example:80: ask for localhost or an address, or allow the name by --allow-host\n";
    assert_eq!((answer.status, &*answer.body), (421, sentence));
    for path in ["/", "/api/v1/overview", "/nowhere"] {
        assert_eq!(client.get_by("rebound.example", path).await?.status, 421, "{path}");
    }
    for host in ["localhost", "127.0.0.1:10911", "[::1]"] {
        assert_eq!(client.get_by(host, "/metrics").await?.status, 200, "{host}");
    }
    assert_eq!(client.get_by("rebound.example", "/healthz").await?.status, 200, "a probe tells nothing");

    let workspace = Workspace::create("allowed-hosts")?;
    let demo = Demo::start(&workspace, &["--allow-host=a.example,lag.example".to_owned()]).await?;
    let client = Client::plain(&demo.address);
    assert_eq!(client.get_by("lag.example", "/metrics").await?.status, 200);
    assert_eq!(client.get_by("rebound.example", "/metrics").await?.status, 421);
    Ok(())
}
