//! A panic ends the process, in any thread or task.

use anyhow::{Result, ensure};
use endpointlag::logging::LogFormat;
use std::env;
use std::process::Command;
use std::thread;
use std::time::Duration;
use testkit::process::{Output, Process};
use testkit::workspace::Workspace;

/// Tells a process of these tests that it must panic, and where.
const WHERE: &str = "TEST_PANICS_IN";

/// Runs this test again in another process, which does what `main` does, and panics.
#[tokio::test(flavor = "multi_thread")]
async fn it_leaves_no_process_that_does_half() -> Result<()> {
    if let Ok(place) = env::var(WHERE) {
        LogFormat::Json.end_on_panic();
        panic_in(&place);
        // As a process would that continues after the panic.
        thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let workspace = Workspace::create("panics")?;
    for place in ["thread", "task"] {
        let log = workspace.file(place);
        let mut command = Command::new(env::current_exe()?);
        command.args(["--exact", "endpoint::panics::it_leaves_no_process_that_does_half", "--nocapture"]);
        command.env(WHERE, place);
        let mut process = Process::start(place, command, Output::Pipe, &log)?;
        let status = process.wait(Duration::from_secs(20)).await?;
        ensure!(!status.success(), "it ended with {status}");
        let lines = testkit::daemon::read_log(&log)?;
        let [line] = &*lines else { anyhow::bail!("not one line: {lines:?}") };
        let message = line.field("message");
        ensure!(line.level == "ERROR" && message.contains("forced, in two\\nlines"), "{message}");
        ensure!(message.contains("panics.rs"), "it does not say where: {message}");
    }
    Ok(())
}

fn panic_in(place: &str) {
    // Both catch the panic: only the hook can end the process.
    match place {
        "thread" => _ = thread::spawn(|| panic!("forced, in two\\nlines")).join(),
        _ => _ = tokio::spawn(async { panic!("forced, in two\\nlines") }),
    }
}
