//! Certificates: replaced while the daemon runs, broken, and wrong from the start.

use super::demo::{Demo, SOON};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::daemon;
use testkit::pair::{Files, Pair};
use testkit::process::{Output, Process};
use testkit::workspace::Workspace;

/// Waits until new connections get this certificate.
async fn wait_for(demo: &Demo, pair: &Pair) -> Result<()> {
    let (client, started) = (Client::tls(&demo.address, pair.certificate()), Instant::now());
    loop {
        match client.get("/metrics").await {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.body);
                return Ok(());
            }
            Err(error) => ensure!(started.elapsed() < SOON, "the certificate is not served: {error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_in_place_and_a_broken_one_is_not_taken() -> Result<()> {
    let workspace = Workspace::create("tls")?;
    let files = Files::inside(workspace.path());
    let (first, second, third) = (Pair::make()?, Pair::make()?, Pair::make()?);
    first.write(&files)?;
    let demo = Demo::start(&workspace, &files.flags()).await?;
    wait_for(&demo, &first).await?;
    assert!(Client::tls(&demo.address, second.certificate()).get("/").await.is_err(), "a certificate it does not have");
    assert!(Client::plain(&demo.address).get("/").await.is_err(), "plain HTTP");

    second.write(&files)?;
    wait_for(&demo, &second).await?;
    assert!(Client::tls(&demo.address, first.certificate()).get("/").await.is_err(), "the one before");

    fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nbroken\n")?;
    demo.wait_for_log("cannot be renewed", 1).await?;
    wait_for(&demo, &second).await?;
    third.write(&files)?;
    wait_for(&demo, &third).await?;

    let client = Client::tls(&demo.address, third.certificate());
    let scrapes = futures::future::try_join_all((0..200).map(|_| client.get("/metrics"))).await?;
    assert!(scrapes.iter().all(|answer| answer.status == 200 && answer.body.contains("endpointlag_changes_total")));
    Ok(())
}

/// The only line of a log, which names a flag.
fn line_about(log: &Path, flag: &str) -> Result<String> {
    let text = fs::read_to_string(log)?;
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("endpointlag: ")).collect();
    ensure!(lines.len() == 1 && lines[0].contains(flag), "not one line about {flag}:\n{text}");
    Ok(lines[0].to_owned())
}

#[tokio::test]
async fn what_is_wrong_from_the_start_is_said_in_a_line() -> Result<()> {
    let workspace = Workspace::create("bad-tls")?;
    let files = Files::inside(workspace.path());
    Pair::make()?.write(&files)?;
    let [certificate, key] = <[String; 2]>::try_from(files.flags()).expect("two flags");
    let nowhere = workspace.file("nowhere").display().to_string();
    let other = Files { certificate: workspace.file("other.crt"), key: workspace.file("other.key") };
    Pair::make()?.write(&other)?;
    let cases = [
        (vec![certificate.clone()], "--tls-key-file"),
        (vec![key.clone()], "--tls-cert-file"),
        (vec![certificate.clone(), format!("--tls-key-file={nowhere}")], "--tls-key-file"),
        (vec![format!("--tls-cert-file={nowhere}"), key], "--tls-cert-file"),
        (vec![certificate, other.flags().remove(1)], "the key is not the certificate's"),
    ];
    for (number, (flags, subject)) in cases.into_iter().enumerate() {
        let log = workspace.file(&format!("{number}.log"));
        let mut command = daemon::program();
        command.args(["demo", "--listen", "127.0.0.1:0"]).args(flags);
        let status = Process::start("endpointlag demo", command, Output::Log, &log)?.wait(SOON).await?;
        assert!(!status.success(), "{subject}: it ended with {status}");
        line_about(&log, subject)?;
    }
    Ok(())
}
