use super::*;
use std::fs;

/// A home, and files in it.
struct Home {
    folder: tempfile::TempDir,
    surroundings: Surroundings,
}

const FILE: &str = "
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: c, cluster: {server: 'http://192.0.2.1:8080'}}
- {name: d, cluster: {server: 'http://192.0.2.2:8080'}}
users:
- {name: u, user: {token: secret}}
- {name: plugged, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: PLUGIN, interactiveMode: Never, installHint: 'brew install it'}}}
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: two, context: {cluster: d}}
- {name: no-cluster, context: {cluster: nowhere, user: u}}
- {name: no-user, context: {cluster: c, user: nobody}}
- {name: plugged, context: {cluster: c, user: plugged}}
";

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Some(folder.path().to_owned());
        let surroundings = Surroundings { kubeconfig: None, home, path: None, in_pod: false };
        Self { folder, surroundings }
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, content).expect("written");
        path
    }

    /// The address of the cluster that is found, or the error's words.
    async fn find(&self, file: Option<&Path>, context: Option<&str>) -> Result<String, String> {
        let choice = Choice { file: file.map(Path::to_owned), context: context.map(str::to_owned) };
        let found = choice.find_in(&self.surroundings).await.map_err(|error| chain(&error))?;
        Ok(found.config.cluster_url.to_string())
    }
}

#[tokio::test]
async fn the_flag_comes_before_the_variable_and_the_home() {
    let mut home = Home::new();
    let flag = home.write("flag", FILE);
    home.write(".kube/config", &FILE.replace("192.0.2.1", "192.0.2.3"));
    assert_eq!(home.find(None, None).await.expect("found"), "http://192.0.2.3:8080/");
    let named = home.write("named", &FILE.replace("192.0.2.1", "192.0.2.4"));
    home.surroundings.kubeconfig = Some(named.into());
    assert_eq!(home.find(None, None).await.expect("found"), "http://192.0.2.4:8080/");
    assert_eq!(home.find(Some(&flag), None).await.expect("found"), "http://192.0.2.1:8080/");
    assert_eq!(home.find(Some(&flag), Some("two")).await.expect("found"), "http://192.0.2.2:8080/");
}

#[tokio::test]
async fn of_several_files_some_may_be_missing_and_the_first_wins() {
    let mut home = Home::new();
    let (first, second) = (home.write("a", FILE), home.write("b", &FILE.replace("192.0.2.1", "192.0.2.9")));
    let nowhere = home.folder.path().join("nowhere");
    home.surroundings.kubeconfig = Some(env::join_paths([&nowhere, &first, &second]).expect("paths"));
    assert_eq!(home.find(None, None).await.expect("found"), "http://192.0.2.1:8080/");
    home.surroundings.kubeconfig = Some(env::join_paths([&nowhere, &nowhere]).expect("paths"));
    let error = home.find(None, None).await.expect_err("none of them is there");
    assert!(error.contains(&nowhere.display().to_string()) && error.contains("No such file"), "{error}");
}

#[tokio::test]
async fn errors_name_the_file_and_the_cause() {
    let home = Home::new();
    let file = home.write("config", FILE);
    let shown = file.display().to_string();
    for (context, words) in [
        ("three", "has no context \"three\"; it has: one, two,"),
        ("no-cluster", "has no cluster \"nowhere\", which its context \"no-cluster\" names"),
        ("no-user", "has no user \"nobody\", which its context \"no-user\" names"),
        ("plugged", "get credentials from \"PLUGIN\", which is not to be found: brew install it"),
    ] {
        let error = home.find(Some(&file), Some(context)).await.expect_err(context);
        assert!(error.contains(&shown) && error.contains(words), "{error}");
        assert!(!error.contains("cluster: (") && error.lines().count() == 1, "{error}");
    }
    for (content, words) in [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("contexts: []", "has no current-context; choose one with --context: none"),
        (&FILE.replace("http://192.0.2.1:8080", "http://[::"), "cannot be used: failed to parse cluster url"),
        (
            &FILE.replace("server: 'http://192.0.2.1:8080'", "server: 'https://a', certificate-authority: ca.crt"),
            "ca.crt",
        ),
    ] {
        let file = home.write("broken", content);
        let error = home.find(Some(&file), None).await.expect_err(content);
        assert!(error.contains(&file.display().to_string()) && error.contains(words), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_plugin_is_looked_for_where_it_would_be_started_from() {
    let mut home = Home::new();
    let program = home.write("bin/PLUGIN", "");
    home.surroundings.path =
        Some(env::join_paths(["/nowhere".as_ref(), program.parent().expect("a folder")]).expect("paths"));
    let choice = |file| Choice { file: Some(file), context: Some("plugged".to_owned()) };
    let found = choice(home.write("config", FILE)).find_in(&home.surroundings).await.expect("found");
    assert_eq!(found.plugin.as_deref(), Some("PLUGIN"));
    home.surroundings.path = None;
    let beside = home.write("config", &FILE.replace("PLUGIN", "./bin/PLUGIN"));
    let found = choice(beside).find_in(&home.surroundings).await.expect("beside the file");
    assert!(found.plugin.is_some_and(|plugin| plugin.ends_with("bin/PLUGIN")));
}

#[tokio::test]
async fn without_any_file_it_says_what_was_looked_at() {
    let mut home = Home::new();
    let error = home.find(None, None).await.expect_err("none");
    assert!(error.contains("neither --kubeconfig nor KUBECONFIG is given"), "{error}");
    assert!(error.contains(&home.folder.path().join(".kube/config").display().to_string()), "{error}");
    home.surroundings.in_pod = true;
    let error = home.find(None, Some("one")).await.expect_err("none");
    assert!(error.starts_with("--context \"one\" needs a kubeconfig"), "{error}");
    // The variable says where to look, so what is said is about that and not about the pod.
    home.surroundings.kubeconfig = Some("/nowhere/config".into());
    let error = home.find(None, None).await.expect_err("not there");
    assert_eq!(error, "the kubeconfig /nowhere/config cannot be read: No such file or directory (os error 2)");
}
