//! A daemon with TLS and authorization, asked by `--daemon`.

use super::manifests::sound;
use super::rights::account;
use super::scene::Scene;
use anyhow::{Result, ensure};
use serde_json::json;
use testkit::controlplane::access::{ACCOUNT, account_token, create_account, grant_reviews_to};
use testkit::daemon::Daemon;
use testkit::pair::{Files, Pair};

#[tokio::test]
async fn a_guarded_daemon_is_asked_with_its_authority_and_a_token() -> Result<()> {
    let name = "advise-guarded";
    let scene = Scene::start(name).await?;
    let mut objects = sound("web");
    objects[1]["spec"]["strategy"] = json!({ "type": "Recreate" });
    scene.apply(&objects)?;
    let client = scene.objects.client();
    let config = account(&scene, json!([])).await?;
    grant_reviews_to(client, name).await?;
    let rbac = "rbac.authorization.k8s.io";
    let version = format!("{rbac}/v1");
    scene.apply(&[
        json!({
            "apiVersion": version,
            "kind": "ClusterRole",
            "metadata": { "name": "advise-reader" },
            "rules": [{ "nonResourceURLs": ["/endpointlag/api/v1/*"], "verbs": ["get"] }],
        }),
        json!({
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "advise-reader" },
            "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": "advise-reader" },
            "subjects": [{ "kind": "ServiceAccount", "name": "advise-reader", "namespace": ACCOUNT }],
        }),
    ])?;
    create_account(client, "advise-reader").await?;
    let token = scene.workspace.write("reader-token", account_token(client, "advise-reader").await?)?;
    let reader = &format!("--daemon-token-file={}", token.display());
    create_account(client, "advise-stranger").await?;
    let denied = scene.workspace.write("denied-token", account_token(client, "advise-stranger").await?)?;
    let denied = &format!("--daemon-token-file={}", denied.display());
    let false_one = scene.workspace.write("false-token", "no-token-of-anybody")?;
    let stranger = &format!("--daemon-token-file={}", false_one.display());

    let (files, pair) = (Files::inside(scene.workspace.path()), Pair::make()?);
    pair.write(&files)?;
    let mut flags = files.flags();
    flags.extend(["--auth", "kubernetes", "--namespace", name].map(str::to_owned));
    let daemon = Daemon::start(&config, scene.workspace.path(), &flags).await?;
    let port = daemon.address().rsplit(':').next().unwrap_or_default();
    let url = format!("--daemon=https://localhost:{port}");
    let authority = format!("--daemon-ca-file={}", files.certificate.display());

    let ran = scene.advise(&["--fail-on=never", &url, &authority, reader]).await?;
    ensure!(ran.code == Some(0) && ran.printed.contains("rollout-recreate"), "{ran:?}");
    ensure!(ran.printed.contains("too few samples: 0 changes of kind terminating"), "{}", ran.printed);
    let hint = "it runs with --auth kubernetes, so --daemon-token-file is needed";
    for (flags, words) in [
        (&[&*url, &authority][..], &["401 Unauthorized", hint][..]),
        (&[&url, &authority, stranger], &["401 Unauthorized", hint, "the bearer token is not valid"]),
        // It may get the paths of the API server, /api/*, as every account may.
        (&[&url, &authority, denied], &["403 Forbidden", "may not get /endpointlag/api/v1/"]),
        (&[&url, reader], &["certificate"]),
    ] {
        let ran = scene.advise(flags).await?;
        let said = words.iter().all(|words| ran.messages.contains(words));
        ensure!(ran.code == Some(2) && said && ran.printed.is_empty(), "{flags:?} {words:?}: {ran:?}");
    }
    Ok(())
}
