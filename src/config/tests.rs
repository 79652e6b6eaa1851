use super::*;

fn demo(args: &[&str]) -> DemoSettings {
    let cli = Cli::try_parse_from([&["endpointlag", "demo"], args].concat()).expect("known flags");
    let Some(Command::Demo(args)) = cli.command else { panic!("no demo") };
    args.settings().expect("valid")
}

fn settings(args: &[&str]) -> Result<RunSettings, Vec<String>> {
    let cli = Cli::try_parse_from([&["endpointlag"], args].concat()).expect("known flags");
    cli.run.settings().map_err(|errors| errors.0)
}

#[test]
fn the_defaults_are_valid() {
    let settings = settings(&[]).expect("valid");
    assert_eq!(settings.daemon.server.listen.port(), 10911);
    assert_eq!(settings.daemon.pipeline.tracker.objective, Duration::from_secs(5));
    assert_eq!(settings.daemon.pipeline.tracker.expiry, Duration::from_secs(600));
    assert!(settings.scope.namespaces.is_empty());
}

#[test]
fn a_demo_is_for_its_own_machine_and_may_print_no_table() {
    let settings = demo(&[]);
    assert_eq!(
        (settings.daemon.server.listen.to_string(), settings.every),
        ("127.0.0.1:10911".to_owned(), Some(Duration::from_secs(5)))
    );
    let settings = demo(&["--listen=0.0.0.0:1", "--every=0"]);
    assert_eq!((settings.daemon.server.listen.to_string(), settings.every), ("0.0.0.0:1".to_owned(), None));
    assert_eq!(demo(&["--every=0s"]).every, None);
}

#[test]
fn every_bad_value_has_its_own_line() {
    let errors = settings(&[
        "--listen=nowhere",
        "--objective=soon",
        "--buckets=2,1",
        "--namespace=Shop",
        "--exclude-namespace=kube-system",
        "--log-level=inf",
        "--watch-idle-timeout=0s",
        "--probe-listen=10911",
        "--tls-key-file=tls.key",
    ])
    .expect_err("bad");
    let flags: Vec<_> = errors.iter().filter_map(|line| line.split(':').next()).collect();
    let expected = [
        "--listen",
        "--probe-listen",
        "--tls-cert-file",
        "--objective",
        "--buckets",
        "--watch-idle-timeout",
        "--log-level",
        "--namespace",
        "--exclude-namespace",
    ];
    assert_eq!(flags, expected, "{errors:#?}");
    assert!(errors.iter().all(|line| line.lines().count() == 1), "{errors:#?}");
}

#[test]
fn an_objective_that_never_comes_is_refused() {
    let errors = settings(&["--objective=10m", "--expiry=10m"]).expect_err("bad");
    assert_eq!(errors, ["--objective: 10m is not less than --expiry 10m"]);
}

#[test]
fn tokens_do_not_travel_in_the_clear() {
    let errors = settings(&["--auth=kubernetes"]).expect_err("bad");
    assert!(errors.len() == 1 && errors[0].starts_with("--auth: kubernetes needs --tls-cert-file"), "{errors:#?}");
    let settings = settings(&["--auth=kubernetes", "--tls-cert-file=a", "--tls-key-file=b"]).expect("valid");
    assert_eq!(settings.daemon.server.auth, Auth::Kubernetes);
}

#[test]
fn a_shard_is_one_of_the_whole_cluster() {
    assert!(settings(&["--shard=2/3"]).expect("valid").scope.shard.is_part());
    let errors = settings(&["--shard=3/3", "--namespace=shop"]).expect_err("bad");
    assert_eq!(errors, ["--shard: \"3/3\": there is no such shard: the last of 3 is 2/3"]);
    let errors = settings(&["--shard=2/3", "--namespace=shop"]).expect_err("bad");
    assert_eq!(errors, ["--shard: cannot be combined with --namespace"]);
}

#[test]
fn namespaces_may_repeat_and_are_watched_once() {
    let settings = settings(&["--namespace=b", "--namespace=a,b"]).expect("valid");
    assert_eq!(settings.scope.namespaces, ["a", "b"]);
}
