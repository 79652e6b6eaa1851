//! Probes, preStop hooks and grace periods.

use super::*;

#[test]
fn a_serving_container_without_readiness_probe() {
    let finding = Scene::with(|scene| scene.container().readiness = None).finding();
    assert_eq!((finding.check.id, finding.severity), ("readiness-probe-missing", Severity::Error));
    assert_eq!(finding.target.to_string(), "Deployment shop/web, container web");
    let published = Scene::with(|scene| {
        scene.container().readiness = None;
        scene.service.publishes_not_ready = true;
    });
    assert_eq!(published.found(), [""; 0]);
    // It asks a port that the Service sends to.
    let probed = |target: &str, ports: &[(&str, u16, Transport)]| {
        let ports =
            ports.iter().map(|&(name, number, transport)| ContainerPort { name: name.to_owned(), number, transport });
        let scene = Scene::with(|scene| {
            scene.container().readiness = None;
            scene.container().ports = ports.collect();
            scene.service.target_ports = vec![target.to_owned()];
        });
        let spec = scene.finding().patch?.spec.tree();
        spec["template"]["spec"]["containers"][0]["readinessProbe"]["tcpSocket"]["port"].as_u64()
    };
    let metrics_first = [("metrics", 9090, Transport::Tcp), ("http", 8080, Transport::Tcp)];
    assert_eq!(probed("http", &metrics_first), Some(8080));
    assert_eq!(probed("8080", &metrics_first), Some(8080));
    assert_eq!(probed("8081", &metrics_first), None);
    assert_eq!(probed("8081", &metrics_first[..1]), None);
    assert_eq!(probed("53", &[("dns", 53, Transport::Udp), ("health", 8080, Transport::Tcp)]), None);
    assert_eq!(probed("53", &[("dns", 53, Transport::Udp), ("dns-tcp", 53, Transport::Tcp)]), Some(53));
    // It serves no port of the Service.
    let other = Scene::with(|scene| {
        let container = Container { name: "log".to_owned(), ..Container::default() };
        scene.backing.workload.template.containers.push(container);
    });
    assert_eq!(other.found(), [""; 0]);
}

#[test]
fn a_readiness_probe_that_takes_longer_than_the_cluster() {
    let slow = |scene: &mut Scene| scene.container().readiness = Some(probe(http("/ready"), 10, 3));
    let finding = Scene::with(slow).finding();
    assert_eq!(finding.check.id, "readiness-probe-slow-detection");
    assert!(
        finding.rule.starts_with("10 s x 3 = 30 s until the probe fails, and 1.2 s from then on"),
        "{}",
        finding.rule
    );
    assert!(finding.advice.starts_with("periodSeconds: 3"));
    // Then the probe is not the larger part.
    let slow_cluster = Scene::with(|scene| {
        slow(scene);
        scene.sample(Change::Unready).max = millis(4_000);
    });
    assert_eq!(slow_cluster.found(), [""; 0]);
    let few = Scene::with(|scene| {
        slow(scene);
        scene.sample(Change::Unready).count = 28;
    });
    assert_eq!(few.found(), [""; 0]);
}

#[test]
fn nothing_is_shortened_where_the_path_goes_on() {
    let scene = Scene::with(|scene| {
        scene.container().readiness = Some(probe(http("/ready"), 10, 3));
        scene.service.beyond = vec![Beyond::Ingress("shop".to_owned())];
    });
    assert_eq!(scene.found(), [""; 0]);
}

#[test]
fn probes_that_ask_the_same() {
    let same = |failures| Scene::with(|scene| scene.container().liveness = Some(probe(http("/ready"), 3, failures)));
    let finding = same(3).finding();
    assert_eq!(finding.check.id, "readiness-probe-same-as-liveness");
    assert!(finding.advice.starts_with("livenessProbe.failureThreshold: 9,"), "{}", finding.advice);
    assert_eq!(same(4).found(), [""; 0]);
    // Another scheme or another header is another question.
    let differs = |change: fn(&mut HttpGet)| {
        let mut request = HttpGet { path: "/ready".to_owned(), port: "http".to_owned(), ..HttpGet::default() };
        change(&mut request);
        Scene::with(|scene| scene.container().liveness = Some(probe(Handler::Http(request), 3, 3))).found()
    };
    assert_eq!(differs(|_| ()), ["readiness-probe-same-as-liveness"]);
    assert_eq!(differs(|request| request.is_https = true), [""; 0]);
    assert_eq!(differs(|request| request.host = Some("10.0.0.9".to_owned())), [""; 0]);
    assert_eq!(differs(|request| request.headers.push(("Host".to_owned(), "shop".to_owned()))), [""; 0]);
}

#[test]
fn a_readiness_probe_that_is_made_to_fail() {
    let with_file = |hook: &str| {
        Scene::with(|scene| {
            let command = ["cat", "/tmp/ready"].map(str::to_owned).to_vec();
            scene.container().readiness = Some(probe(Handler::Exec { command }, 3, 3));
            scene.container().pre_stop = Some(exec(hook));
        })
    };
    let finding = with_file("rm /tmp/ready; sleep 20").finding();
    assert_eq!(finding.check.id, "readiness-probe-fails-on-sigterm");
    assert!(finding.rule.ends_with("both use /tmp/ready"), "{}", finding.rule);
    assert_eq!(with_file("rm /tmp/other; sleep 20").found(), [""; 0]);
    let named =
        Scene::with(|scene| scene.container().pre_stop = Some(Hook::Http { path: "/healthcheck/fail".to_owned() }));
    assert_eq!(named.found(), ["readiness-probe-fails-on-sigterm"]);
}

#[test]
fn liveness_probes() {
    let missing = Scene::with(|scene| scene.container().liveness = None).finding();
    assert_eq!((missing.check.id, missing.severity), ("liveness-probe-missing", Severity::Note));
    let eager = |startup: StartTimes, has_startup_probe: bool| {
        Scene::with(|scene| {
            scene.container().liveness = Some(probe(http("/live"), 10, 3));
            scene.container().startup = has_startup_probe.then(|| probe(http("/live"), 1, 60));
            scene.backing.containers_ready = Some(startup);
        })
    };
    // The readiness probe, every 3 s, adds up to 3 s.
    let slow = StartTimes { pods: 3, median: 9, longest: 17, source: StartSource::Status };
    let finding = eager(slow, false).finding();
    assert_eq!((finding.check.id, finding.severity), ("liveness-probe-eager", Severity::Error));
    assert!(finding.rule.starts_with("20 s until the first restart, and 1.5 x 14 s = 21 s"), "{}", finding.rule);
    assert_eq!(eager(slow, true).found(), [""; 0]);
    assert!(finding.rule.contains("14 s is the longest start-up without the 3 s"), "{}", finding.rule);
    assert_eq!(eager(StartTimes { longest: 16, ..slow }, false).found(), [""; 0]);
    assert_eq!(eager(StartTimes { pods: 2, ..slow }, false).found(), [""; 0]);
}

/// A load balancer that sets a readiness gate late.
#[test]
fn what_readiness_gates_wait_is_no_start_up_of_a_container() {
    let scene = Scene::with(|scene| {
        scene.container().liveness = Some(probe(http("/live"), 10, 3));
        let times = |longest| StartTimes { pods: 3, median: longest, longest, source: StartSource::Status };
        (scene.backing.startup, scene.backing.containers_ready) = (Some(times(50)), Some(times(5)));
    });
    assert_eq!(scene.found(), [""; 0]);
}

#[test]
fn where_it_may_not_be_the_container_there_is_a_note_without_a_patch() {
    let with = |longest, change: fn(&mut Scene)| {
        Scene::with(|scene| {
            scene.container().liveness = Some(probe(http("/live"), 10, 3));
            scene.backing.containers_ready =
                Some(StartTimes { pods: 3, median: 9, longest, source: StartSource::Status });
            change(scene);
        })
        .finding()
    };
    let other = |change: fn(&mut Container)| {
        let mut other = Container { name: "log".to_owned(), ..Container::default() };
        change(&mut other);
        other
    };
    let error = with(34, |_| ());
    assert_eq!((error.check.id, error.severity), ("liveness-probe-eager", Severity::Error));
    let without_probe: fn(&mut Scene) = |scene| {
        let log = Container { name: "log".to_owned(), ..Container::default() };
        scene.backing.workload.template.containers.push(log);
    };
    assert_eq!(with(34, without_probe).severity, Severity::Error);
    for (place, container) in [
        ("containers", other(|it| it.readiness = Some(probe(http("/"), 1, 1)))),
        ("containers", other(|it| it.startup = Some(probe(http("/"), 1, 1)))),
        ("sidecars", other(|it| it.readiness = Some(probe(http("/"), 1, 1)))),
    ] {
        let mut scene = Scene::with(|scene| {
            scene.container().liveness = Some(probe(http("/live"), 10, 3));
            scene.backing.containers_ready =
                Some(StartTimes { pods: 3, median: 9, longest: 34, source: StartSource::Status });
        });
        let template = &mut scene.backing.workload.template;
        if place == "sidecars" { &mut template.sidecars } else { &mut template.containers }.push(container);
        let note = scene.finding();
        assert_eq!((note.severity, &note.patch), (Severity::Note, &None), "{place}");
        assert!(note.advice.starts_with("Nothing, if it was container log that took so long"), "{}", note.advice);
    }
    // A sidecar that has started before the containers is no part of their time.
    let started_before = with(34, |scene| {
        let startup = Some(probe(http("/"), 1, 1));
        let sidecar = Container { name: "log".to_owned(), startup, ..Container::default() };
        scene.backing.workload.template.sidecars.push(sidecar);
    });
    assert_eq!(started_before.severity, Severity::Error);
    let injected = with(34, |scene| scene.service.beyond = vec![Beyond::Mesh("istio-proxy".to_owned())]);
    assert_eq!((injected.severity, injected.patch), (Severity::Note, None));
    // 31 s after its start at the latest the probe would have restarted it.
    let longer = with(35, |_| ());
    assert_eq!((longer.severity, longer.patch), (Severity::Note, None));
    assert!(longer.advice.contains("after 31 s of failures they would have been restarted"), "{}", longer.advice);
}

/// An application that is up in two seconds, whose readiness probe asks late.
#[test]
fn what_the_readiness_probe_itself_waits_is_no_start_up() {
    let with = |initial_delay, period, longest| {
        Scene::with(|scene| {
            scene.container().readiness = Some(Probe { initial_delay, ..probe(http("/ready"), period, 1) });
            scene.container().liveness = Some(probe(http("/live"), 5, 3));
            scene.backing.containers_ready =
                Some(StartTimes { pods: 3, median: 9, longest, source: StartSource::Status });
        })
        .found()
    };
    assert_eq!(with(25, 10, 27), [""; 0]);
    assert_eq!(with(25, 10, 35), [""; 0]);
    // Up to 1.5 x 6 s fit into the 10 s.
    assert_eq!(with(25, 10, 41), [""; 0]);
    assert_eq!(with(25, 10, 42), ["liveness-probe-eager"]);
    assert_eq!(with(0, 10, 21), ["liveness-probe-eager"]);
}

#[test]
fn a_container_without_pre_stop_gets_the_measured_sleep() {
    let missing = |scene: &mut Scene| scene.container().pre_stop = None;
    let finding = Scene::with(missing).finding();
    assert_eq!(finding.check.id, "pre-stop-missing");
    // (0.2 s + 1 s) and a quarter, and a second.
    assert_eq!(finding.advice, "lifecycle.preStop.sleep.seconds: 3.");
    assert!(finding.measured.expect("is measured").contains("maximum of 100"));
    // Without enough removals there is no figure, and it says so.
    let few = Scene::with(|scene| {
        missing(scene);
        scene.sample(Change::Terminating).count = 28;
    });
    assert!(few.finding().patch.is_none() && few.finding().measured.is_none());
    let [skipped] = &*few.advice().skipped else { panic!() };
    assert!(skipped.why.starts_with("too few samples: 28 changes of kind terminating in 10 min, and 29 are needed"));
    // Until the pod is gone its endpoint is listed anyway.
    let published = Scene::with(|scene| {
        missing(scene);
        scene.service.publishes_not_ready = true;
    });
    assert_eq!(published.found(), [""; 0]);
}

#[test]
fn a_sleep_shorter_than_the_measured_removal() {
    let slept = |seconds, slices: u64, nodes: Option<u64>| {
        Scene::with(|scene| {
            scene.container().pre_stop = Some(Hook::Sleep { seconds });
            let sample = scene.sample(Change::Terminating);
            (sample.p50, sample.max) = (millis(slices / 2), millis(slices));
            if let Some(nodes) = nodes {
                scene.nodes(Change::Terminating, 100, millis(nodes));
            }
        })
    };
    let finding = slept(10, 9_000, Some(1_000)).finding();
    assert_eq!((finding.check.id, finding.severity), ("pre-stop-too-short", Severity::Error));
    assert_eq!(finding.advice, "lifecycle.preStop.sleep.seconds: 14.");
    assert!(finding.measured.expect("is measured").contains("last node 1.0 s after the slice"));
    assert_eq!(slept(14, 9_000, Some(1_000)).found(), [""; 0]);
    // Without agents a second is allowed for the nodes.
    assert_eq!(slept(7, 4_000, None).found(), ["pre-stop-too-short"]);
    assert_eq!(slept(8, 4_000, None).found(), [""; 0]);
}

/// kube-controller-manager was down for longer than the expiry. No sleep can wait for its return.
#[test]
fn what_expired_or_is_pending_gives_no_figure() {
    let with = |pre_stop: Option<Hook>, change: fn(&mut Sample)| {
        Scene::with(|scene| {
            scene.container().pre_stop = pre_stop.clone();
            change(scene.sample(Change::Terminating));
        })
    };
    let expired: fn(&mut Sample) = |it| (it.max, it.expired) = (millis(600_000), 2);
    let pending: fn(&mut Sample) = |it| (it.oldest_pending, it.pending) = (millis(500_000), 2);
    for (change, words) in [
        (expired, "slices more than 600.0 s (2 changes expired, beside 98 that have ended)"),
        (pending, "slices more than 500.0 s (a change is still pending, beside 100 that have ended)"),
    ] {
        for hook in [None, Some(Hook::Sleep { seconds: 15 })] {
            let finding = with(hook, change).finding();
            assert_eq!((finding.severity, &finding.patch), (Severity::Warning, &None), "{finding:?}");
            assert!(finding.measured.as_ref().is_some_and(|it| it.contains(words)), "{finding:?}");
            assert!(finding.rule.starts_with("more than 60") || finding.rule.starts_with("more than 50"));
            assert!(finding.advice.contains("no figure is proposed"), "{}", finding.advice);
        }
    }
    // It sleeps long enough for them all.
    assert_eq!(with(Some(Hook::Exec { command: vec!["true".to_owned()] }), expired).found(), [""; 0]);
    // What is left out above p99.9 does not count.
    let of_many: fn(&mut Sample) = |it| {
        (it.count, it.p999, it.max, it.expired) = (5_000, millis(200), millis(600_000), 5);
    };
    assert_eq!(with(Some(Hook::Sleep { seconds: 15 }), of_many).found(), [""; 0]);
    // A proxy gets no figure from it either.
    let mut with_proxy = with(Some(Hook::Sleep { seconds: 15 }), expired);
    let proxy = Container { name: "istio-proxy".to_owned(), ..Container::default() };
    with_proxy.backing.workload.template.containers.push(proxy);
    let advice = with_proxy.advice();
    let sidecar = advice.findings.iter().find(|it| it.check == checks::SIDECAR_ORDER).expect("found");
    assert!(sidecar.advice.contains("let it sleep 15 s too"), "{}", sidecar.advice);
}

#[test]
fn p99_9_counts_from_2995_samples_on() {
    let with = |count| {
        Scene::with(|scene| {
            scene.container().pre_stop = Some(Hook::Sleep { seconds: 5 });
            let sample = scene.sample(Change::Terminating);
            (sample.count, sample.max, sample.p999) = (count, millis(30_000), millis(1_000));
        })
    };
    assert_eq!(with(2_994).found(), ["pre-stop-too-short"]);
    assert_eq!(with(2_995).found(), [""; 0]);
}

#[test]
fn a_longer_sleep_brings_its_grace_period_and_says_where_it_is_a_lower_bound() {
    let finding = Scene::with(|scene| {
        scene.sample(Change::Terminating).max = millis(20_000);
        scene.backing.workload.template.grace_seconds = 30;
        scene.service.beyond = vec![Beyond::Ingress("shop".to_owned()), Beyond::Headless];
        scene.measured.as_mut().expect("is measured").rollouts = Some(1);
    })
    .finding();
    assert!(finding.advice.starts_with("lifecycle.preStop.sleep.seconds: 28, and terminationGracePeriodSeconds: 38."));
    assert!(finding.advice.contains("lower bound, because the path goes on: Ingress shop, DNS"), "{}", finding.advice);
    assert!(finding.measured.expect("is measured").contains("from 1 rollout (its removals depend on each other"));
}

#[test]
fn a_program_that_only_sleeps() {
    let finding = Scene::with(|scene| scene.container().pre_stop = Some(exec("sleep 15"))).finding();
    assert_eq!((finding.check.id, finding.severity), ("pre-stop-exec-sleep", Severity::Note));
    let distroless = Scene::with(|scene| {
        scene.container().pre_stop = Some(exec("sleep 15"));
        scene.container().image = "gcr.io/distroless/java".to_owned();
    });
    assert_eq!(distroless.finding().severity, Severity::Warning);
    // It needs its shell.
    assert_eq!(
        Scene::with(|scene| scene.container().pre_stop = Some(exec("nginx -s quit; sleep 15"))).found(),
        [""; 0]
    );
    // The cluster is too old for the sleep action.
    let old = Scene::with(|scene| {
        scene.container().pre_stop = Some(exec("sleep 15"));
        scene.facts.minor = Some(29);
    });
    assert!(old.finding().patch.is_none());
}

#[test]
fn a_grace_period_that_the_sleep_uses_up() {
    let grace = |seconds| Scene::with(|scene| scene.backing.workload.template.grace_seconds = seconds);
    assert_eq!(
        (grace(15).finding().check.id, grace(15).finding().severity),
        ("grace-period-too-short", Severity::Error)
    );
    assert_eq!(grace(24).finding().severity, Severity::Warning);
    assert_eq!(grace(24).finding().advice.split(',').next(), Some("terminationGracePeriodSeconds: 25"));
    assert_eq!(grace(25).found(), [""; 0]);
}

#[test]
fn a_proxy_that_stops_before_what_it_serves() {
    let proxy = || Container { name: "istio-proxy".to_owned(), ..Container::default() };
    let ordinary = Scene::with(|scene| scene.backing.workload.template.containers.push(proxy()));
    assert_eq!(ordinary.finding().check.id, "sidecar-stops-first");
    assert_eq!(ordinary.finding().target.container.as_deref(), Some("istio-proxy"));
    let native = Scene::with(|scene| scene.backing.workload.template.sidecars.push(proxy()));
    assert_eq!(native.found(), [""; 0]);
}
