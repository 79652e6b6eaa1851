//! `endpointlag record` and `replay` on a real control plane: a replay is the session that was recorded, and nothing more is in the file.

use super::changes::selecting;
use super::watch::namespace;
use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use testkit::controlplane::objects::Objects;
use testkit::daemon::samples;
use testkit::watching::{Ended, Watching};
use testkit::workspace::Workspace;

/// Texts of the pod that has secrets. None of them is an object's name.
const SECRETS: [&str; 5] = ["hunter2", "PASSWORD", "vault-path-of-the-token", "gold-customers", "registry.k8s.io"];

/// How often to look into a file, and the pause between: ample time for what takes a second.
const ATTEMPTS: usize = 1_200;
const PAUSE: Duration = Duration::from_millis(50);

async fn replay(workspace: &Workspace, flags: &[&str]) -> Result<Ended> {
    Watching::start_as("replay", &workspace.file("none"), workspace.path(), flags)?.end().await
}

fn text_of(recording: &Path) -> Result<String> {
    let mut text = String::new();
    GzDecoder::new(File::open(recording)?).read_to_string(&mut text).context("reading the recording")?;
    Ok(text)
}

/// A pod with what must not be in a recording.
async fn create_pod_with_secrets(objects: &Objects) -> Result<()> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "web-secret",
            "labels": { "app": "web", "tier": "gold-customers" },
            "annotations": { "vault": "vault-path-of-the-token" },
        },
        "spec": { "containers": [{
            "name": "main",
            "image": "registry.k8s.io/pause:3.10",
            "env": [{ "name": "PASSWORD", "value": "hunter2" }],
        }] },
    }))?;
    let pods: Api<Pod> = Api::namespaced(objects.client().clone(), objects.namespace());
    pods.create(&PostParams::default(), &pod).await?;
    Ok(())
}

/// Pods come, flap and go, and the Service is edited. Returns when the slices show all of it. The pods that are there already stay.
async fn changes(objects: &Objects) -> Result<()> {
    let slices = objects.slices("web").await?;
    let others = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).count();
    let mut pods = Vec::new();
    for name in ["web-0", "web-1", "web-2"] {
        let pod = objects.create_pod(name, "web").await?;
        objects.report(&pod, true).await?;
        pods.push(pod);
    }
    create_pod_with_secrets(objects).await?;
    objects.wait_for_endpoints("web", others + 3).await?;
    // Some of these overtake what the controller has not written yet.
    for ready in [false, true, false, true] {
        objects.report(&pods[0], ready).await?;
    }
    objects.relabel(&pods[1], "other").await?;
    objects.terminate(&pods[2]).await?;
    objects.finish(&pods[2]).await?;
    objects.wait_for_endpoints("web", others + 1).await?;
    let edited = json!({ "selector": { "app": "other" }, "ports": [{ "port": 80, "targetPort": 9090 }] });
    objects.edit_service("web", edited).await?;
    objects
        .wait_for_slices("web", |slices| {
            let names = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
            let is_other = |name: &Option<String>| name.as_deref() == Some("web-1");
            names.filter_map(|it| it.target_ref.as_ref()).map(|pod| is_other(&pod.name)).eq([true])
        })
        .await?;
    objects.create_service("second", selecting("web")).await?;
    objects.wait_for_endpoints("second", others + 1).await?;
    objects.delete_service("second").await
}

/// Records [`changes`], and ends with Ctrl-C.
async fn record(name: &str, workspace: &Workspace, config: &Path, objects: &Objects, flags: &[&str]) -> Result<Ended> {
    let namespace = format!("--namespace={name}");
    let file = workspace.file("recording");
    let path = file.to_str().context("a path in UTF-8")?;
    let flags = [&[path, &namespace, "--output=json", "--objective=1m"], flags].concat();
    let recording = Watching::start_as("record", config, workspace.path(), &flags)?;
    recording.wait_for_message("recording ").await?;
    // A busy machine may censor all of the changes, and one needs a delay.
    recording.wait_for_delay(objects, "web-first").await?;
    changes(objects).await?;
    recording.wait_for_line(&["\"service\":\"second\""]).await?;
    wait_for_text(&file, "\"service_deleted\"", 1).await?;
    recording.signal(Signal::INT)?;
    let ended = recording.end().await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(ended)
}

#[tokio::test]
async fn a_replay_is_the_session_that_was_recorded() -> Result<()> {
    const NAME: &str = "record-replay";
    let (objects, config, workspace) = namespace(NAME).await?;
    let live = record(NAME, &workspace, &config, &objects, &[]).await?;
    let lines = samples::parse(&live.printed)?;
    ensure!(lines.len() >= 8, "{}", live.printed);
    let file = workspace.file("recording");
    let path = file.to_str().context("a path in UTF-8")?;
    ensure!(live.messages.contains(&format!("endpointlag replay {path}")), "{}", live.messages);
    ensure!(fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600, "others may read it");

    // To the bit, each time.
    for _ in 0..2 {
        let again = replay(&workspace, &["--output=json", path]).await?;
        ensure!(again.code == Some(0) && again.printed == live.printed, "{}\n{}", live.printed, again.printed);
        ensure!(again.messages.contains("a recording of record-replay, from 20"), "{}", again.messages);
    }
    // Another objective changes the verdict, and no outcome.
    let strict = replay(&workspace, &["--output=json", "--objective=1us", path]).await?;
    ensure!(strict.code == Some(2) && strict.messages.contains("less than a millisecond"), "{strict:?}");
    let strict = replay(&workspace, &["--output=json", "--objective=1ms", path]).await?;
    ensure!(strict.code == Some(1) && strict.printed == live.printed, "{strict:?}");
    ensure!(strict.messages.contains("of record-replay/web (objective 1ms)"), "{}", strict.messages);
    let table = replay(&workspace, &[path, "web"]).await?;
    let words = ["TIME          SERVICE", "web-0", "propagated", "replayed 1 Service for ", "objective met"];
    ensure!(table.code == Some(0) && words.iter().all(|words| table.printed.contains(words)), "{}", table.printed);
    ensure!(!table.printed.contains("second"), "{}", table.printed);

    let text = text_of(&file)?;
    ensure!(text.contains("\"web-secret\"") && text.contains("record-replay"), "{text}");
    let is_left: Vec<_> = SECRETS.iter().filter(|secret| text.contains(**secret)).collect();
    ensure!(is_left.is_empty() && !text.contains("\"10."), "{is_left:?} in {text}");

    let refused = Watching::start_as("record", &config, workspace.path(), &[path, "-n", NAME])?.end().await?;
    ensure!(refused.code == Some(2) && refused.messages.contains("exists. To replace it: --force"), "{refused:?}");
    ensure!(text_of(&file)? == text, "it was written over");
    damaged_copies(&workspace, &file, &live).await
}

/// What people send is not always whole.
async fn damaged_copies(workspace: &Workspace, file: &Path, live: &Ended) -> Result<()> {
    let bytes = fs::read(file)?;
    let copy = workspace.file("copy");
    let path = copy.to_str().context("a path in UTF-8")?;
    // The end of gzip, and a bit of the last part.
    fs::write(&copy, &bytes[..bytes.len() - 12])?;
    let cut = replay(workspace, &["--output=json", path]).await?;
    ensure!(cut.code == Some(0) && cut.messages.contains("the recording was cut short"), "{cut:?}");
    ensure!(live.printed.starts_with(&cut.printed), "{}", cut.printed);

    let mut encoder = GzEncoder::new(File::create(&copy)?, Compression::default());
    encoder.write_all(text_of(file)?.replacen("\"ready\":true", "\"ready\":false", 1).as_bytes())?;
    encoder.finish()?;
    let refused = replay(workspace, &["--output=json", path]).await?;
    ensure!(refused.code == Some(2) && refused.messages.contains("it is damaged: "), "{refused:?}");
    ensure!(live.printed.starts_with(&refused.printed), "{}", refused.printed);

    fs::write(&copy, "TIME  SERVICE  POD\n")?;
    let refused = replay(workspace, &[path]).await?;
    ensure!(refused.code == Some(2) && refused.messages.contains("not a recording of endpointlag"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn an_anonymized_recording_has_the_same_outcomes_under_other_names() -> Result<()> {
    const NAME: &str = "record-anonymized";
    let (objects, config, workspace) = namespace(NAME).await?;
    let live = record(NAME, &workspace, &config, &objects, &["--anonymize"]).await?;
    let file = workspace.file("recording");
    let text = text_of(&file)?;
    let mut names = vec![NAME, "web", "second", "app", "other"];
    names.extend(SECRETS);
    let lines = samples::parse(&live.printed)?;
    names.extend(lines.iter().filter_map(|line| line.uid.as_deref()));
    let left: Vec<_> = names.iter().filter(|name| text.contains(**name)).collect();
    ensure!(left.is_empty(), "{left:?} in {text}");

    let path = file.to_str().context("a path in UTF-8")?;
    let again = replay(&workspace, &["--output=json", path]).await?;
    let (live, again) = (without_names(&live.printed)?, without_names(&again.printed)?);
    ensure!(live == again, "{live:#?}\n{again:#?}");
    Ok(())
}

/// Lines of JSON with a number in place of each name, the same for the same name. What ends in one step is sorted by names, so the lines
/// are sorted by what is left.
fn without_names(printed: &str) -> Result<Vec<String>> {
    let mut lines: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut names = Vec::new();
    for line in &mut lines {
        let taken = ["/namespace", "/service", "/pod", "/uid", "/slice/name", "/slice/uid"];
        names.push(taken.map(|path| line.pointer_mut(path).map(Value::take)));
    }
    let mut order: Vec<_> = (0..lines.len()).collect();
    order.sort_by_key(|index| lines[*index].to_string());
    let mut numbers = BTreeMap::new();
    let numbered = order.into_iter().map(|index| {
        let numbers: Vec<_> = names[index]
            .iter()
            .map(|name| {
                let next = numbers.len();
                *numbers.entry(format!("{name:?}")).or_insert(next)
            })
            .collect();
        format!("{numbers:?} {}", lines[index])
    });
    Ok(numbered.collect())
}

#[tokio::test]
async fn what_cannot_be_recorded_leaves_no_file() -> Result<()> {
    let (_objects, config, workspace) = namespace("record-denied").await?;
    let file = workspace.file("recording");
    let path = file.to_str().context("a path in UTF-8")?;
    // Its Role is in one namespace only.
    let denied = Watching::start_as("record", &config, workspace.path(), &[path])?.end().await?;
    ensure!(denied.code == Some(2) && denied.messages.contains("With --namespace, a Role"), "{denied:?}");
    ensure!(!file.exists(), "an empty recording is left");
    Ok(())
}

/// A process that is killed cannot end its file.
#[tokio::test]
async fn what_was_recorded_before_a_kill_is_replayed() -> Result<()> {
    const NAME: &str = "record-killed";
    let (objects, config, workspace) = namespace(NAME).await?;
    let file = workspace.file("recording");
    let path = file.to_str().context("a path in UTF-8")?;
    let flags = [path, "--namespace", NAME, "--output=json"];
    let recording = Watching::start_as("record", &config, workspace.path(), &flags)?;
    recording.wait_for_message("recording ").await?;
    let pod = recording.wait_for_delay(&objects, "web").await?;
    // Twice as a pod, and in a slice.
    wait_for_text(&file, &format!("\"{pod}\""), 3).await?;
    recording.signal(Signal::KILL)?;
    let live = recording.end().await?;
    let again = replay(&workspace, &["--output=json", path]).await?;
    ensure!(again.code == Some(0) && again.printed == live.printed, "{}\n{}", live.printed, again.printed);
    ensure!(again.messages.contains("the recording was cut short"), "{}", again.messages);
    Ok(())
}

/// Waits until a file that is being written has some words this number of times.
async fn wait_for_text(recording: &Path, words: &str, times: usize) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let (mut text, mut decoder) = (Vec::new(), GzDecoder::new(File::open(recording)?));
        // It ends with an error where the file is not complete.
        let _ = decoder.read_to_end(&mut text);
        if String::from_utf8_lossy(&text).matches(words).count() >= times {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("{words:?} is not {times} times in the recording")
}

#[tokio::test]
async fn a_recording_ends_with_its_time_or_its_size() -> Result<()> {
    const NAME: &str = "record-ends";
    let (objects, config, workspace) = namespace(NAME).await?;
    let (timed, sized) = (workspace.file("timed"), workspace.file("sized"));
    let paths = [&timed, &sized].map(|path| path.to_string_lossy().into_owned());
    let flags = [&*paths[0], "--namespace", NAME, "--for=1s"];
    let ended = Watching::start_as("record", &config, workspace.path(), &flags)?.end().await?;
    ensure!(ended.code == Some(0) && ended.messages.contains("recorded 0 changes"), "{ended:?}");

    let flags = [&*paths[1], "--namespace", NAME, "--max-size=64KiB", "--output=json"];
    let recording = Watching::start_as("record", &config, workspace.path(), &flags)?;
    recording.wait_for_message("recording ").await?;
    let mut pods = Vec::new();
    for number in 0..20 {
        pods.push(objects.create_pod(&format!("web-{number}"), "web").await?);
    }
    for round in 0..200 {
        if recording.messages()?.contains("--max-size") {
            break;
        }
        for pod in &pods {
            objects.report(pod, round % 2 == 0).await?;
        }
    }
    let ended = recording.end().await?;
    ensure!(ended.code == Some(0) && ended.messages.contains("it ended at --max-size"), "{ended:?}");
    ensure!(fs::metadata(&sized)?.len() <= 64 << 10, "{} bytes", fs::metadata(&sized)?.len());
    let again = replay(&workspace, &["--output=json", &paths[1]]).await?;
    ensure!(!again.messages.contains("cut short") && ended.printed.starts_with(&again.printed), "{again:?}");
    Ok(())
}
