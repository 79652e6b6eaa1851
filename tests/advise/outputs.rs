//! The formats, the annotation that ignores advice, and the exit codes.

use super::manifests::{container, sound};
use super::scene::Scene;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// A workload without readiness probe (an error) and without budget (a warning, ignored with a reason).
fn objects() -> Vec<Value> {
    let mut objects = sound("web").to_vec();
    container(&mut objects[1])["readinessProbe"] = Value::Null;
    let ignored = json!({ "endpointlag.io/ignore-advice": "pod-disruption-budget=may stop at night" });
    objects[1]["metadata"]["annotations"] = ignored;
    objects.remove(2);
    objects
}

#[tokio::test]
async fn exit_codes_follow_the_worst_finding() -> Result<()> {
    let scene = Scene::start("advise-codes").await?;
    scene.apply(&objects())?;
    for (fail_on, code) in [("error", 1), ("warning", 1), ("note", 1), ("never", 0)] {
        let ran = scene.advise(&["--for=0s", "--fail-on", fail_on]).await?;
        ensure!(ran.code == Some(code), "{fail_on}: {ran:?}");
    }
    let ran = scene.advise(&["--for=0s"]).await?;
    ensure!(ran.printed.contains("Ignored by annotation"), "{}", ran.printed);
    ensure!(ran.printed.contains("may stop at night"), "{}", ran.printed);
    ensure!(ran.printed.ends_with("1 error, 0 warnings, 0 notes, 1 ignored\n"), "{}", ran.printed);
    ensure!(!ran.printed.contains('\u{1b}'), "colours in a pipe: {:?}", ran.printed);
    // What is ignored fails nothing.
    scene.apply_patches(&["--for=0s"]).await?;
    let ran = scene.advise(&["--for=0s", "--fail-on=note"]).await?;
    ensure!(ran.code == Some(0), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn each_format_has_every_finding() -> Result<()> {
    let scene = Scene::start("advise-formats").await?;
    scene.apply(&objects())?;
    let printed =
        async |format: &str| -> Result<String> { Ok(scene.advise(&["--for=0s", "-o", format]).await?.printed) };

    let sarif: Value = serde_json::from_str(&printed("sarif").await?)?;
    let run = &sarif["runs"][0];
    ensure!(sarif["version"] == "2.1.0" && run["tool"]["driver"]["name"] == "endpointlag", "{sarif}");
    let results = run["results"].as_array().context("has results")?;
    let of =
        |rule: &str| results.iter().find(|it| it["ruleId"] == rule).with_context(|| format!("{rule}: {results:?}"));
    let missing = of("readiness-probe-missing")?;
    let index = missing["ruleIndex"].as_u64().unwrap_or_default();
    ensure!(run["tool"]["driver"]["rules"][usize::try_from(index)?]["id"] == "readiness-probe-missing", "{run}");
    ensure!(missing["level"] == "error" && missing["suppressions"].is_null(), "{missing}");
    let name = &missing["locations"][0]["logicalLocations"][0]["fullyQualifiedName"];
    ensure!(name == "advise-formats/Deployment/web/main", "{missing}");
    let ignored = of("pod-disruption-budget-missing")?;
    ensure!(ignored["suppressions"][0]["justification"] == "may stop at night", "{ignored}");

    let junit = printed("junit").await?;
    for words in ["<testsuites", "failures=\"1\"", "name=\"readiness-probe-missing\"", "ignored: may stop at night"] {
        ensure!(junit.contains(words), "{words}: {junit}");
    }
    let patches = scene.advise(&["--for=0s", "--patch"]).await?.printed;
    let read: Value = serde_saphyr::from_str(&patches)?;
    ensure!(read["kind"] == "Deployment" && read["metadata"]["name"] == "web", "{patches}");
    ensure!(patches.starts_with("# readiness-probe-missing\n# kubectl patch -f FILE --patch-file FILE\n"), "{patches}");
    Ok(())
}

#[tokio::test]
async fn wrong_flags_say_how_they_should_be() -> Result<()> {
    let scene = Scene::start("advise-flags").await?;
    let wrong = [
        (&["--for=soon"][..], "write it like 5s, 500ms or 10m"),
        (&["--daemon=localhost:10911"], "write it like http://localhost:10911"),
        (&["--for=0s", "shop/web"], "write it like --namespace shop web"),
        (&["--daemon=http://127.0.0.1:1"], "the daemon at http://127.0.0.1:1/ does not answer /api/v1/overview"),
        (&["--for=1m", "--daemon=http://127.0.0.1:1"], "has measured already: leave one of both out"),
    ];
    for (flags, words) in wrong {
        let ran = scene.advise(flags).await?;
        ensure!(ran.code == Some(2) && ran.messages.contains(words), "{flags:?}: {ran:?}");
    }
    Ok(())
}
