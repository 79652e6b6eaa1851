//! Each check has a case that triggers it and one that does not. The cases begin with a workload that is set well.

mod in_rollout;
mod measured;
mod patches;
mod rollouts;
mod scaling;
mod stopping;

use super::{Advice, CHECKS, Facts, Finding, Measured, NodeHop, Sample, Severity, Subject, advise, checks};
use crate::{
    ledger::Change,
    model::spec::{
        Amount, Autoscaler, Backing, Beyond, Budget, Container, ContainerPort, Handler, Hook, HttpGet, Limit, Obstacle,
        Place, PodTemplate, Probe, Scaled, ServiceSpec, StartSource, StartTimes, Strategy, Transport, Workload,
        WorkloadKind,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// A workload with its Service, which a case changes.
struct Scene {
    service: ServiceSpec,
    backing: Backing,
    measured: Option<Measured>,
    facts: Facts,
}

fn labels() -> BTreeMap<String, String> {
    [("app".to_owned(), "web".to_owned())].into()
}

fn http(path: &str) -> Handler {
    Handler::Http(HttpGet { path: path.to_owned(), port: "http".to_owned(), ..HttpGet::default() })
}

fn probe(handler: Handler, period: u32, failures: u32) -> Probe {
    Probe { handler, initial_delay: 0, period, timeout: 1, failures }
}

fn place(node: &str, zone: &str) -> Place {
    Place { node: node.into(), zone: Some(zone.into()) }
}

fn exec(script: &str) -> Hook {
    Hook::Exec { command: ["sh", "-c", script].map(str::to_owned).to_vec() }
}

/// This many delays, of which the longest is this long.
fn sample(count: u64, max: Duration) -> Sample {
    Sample { count, p50: max / 2, p90: max, p99: max, p999: max, max, ..Sample::default() }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The only budget of the workload.
fn budget(limit: Limit) -> Budget {
    let name = "web".to_owned();
    Budget { name, limit, lets_unhealthy_go: true, pods: Some(3), selected: None, overlaps: false }
}

impl Scene {
    /// A Deployment about which there is nothing to say.
    fn sound() -> Self {
        let container = Container {
            name: "web".to_owned(),
            image: "registry.example.org/web:1".to_owned(),
            ports: vec![ContainerPort { name: "http".to_owned(), number: 8080, transport: Transport::Tcp }],
            readiness: Some(probe(http("/ready"), 3, 3)),
            liveness: Some(probe(http("/live"), 10, 6)),
            startup: None,
            pre_stop: Some(Hook::Sleep { seconds: 15 }),
        };
        let workload = Workload {
            kind: WorkloadKind::Deployment,
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            replicas: 3,
            strategy: Strategy::RollingUpdate { max_unavailable: Amount::Number(0), max_surge: Amount::Percent(25) },
            min_ready_seconds: 5,
            template: PodTemplate {
                labels: labels(),
                selector: labels(),
                containers: vec![container],
                grace_seconds: 60,
                has_spread_constraints: true,
                ..PodTemplate::default()
            },
            ignored: None,
        };
        let limit = Limit::MaxUnavailable(Amount::Number(1));
        let target = Scaled { kind: "Deployment".to_owned(), name: "web".to_owned() };
        let backing = Backing {
            workload,
            budgets: Some(vec![budget(limit)]),
            has_unguarded: false,
            autoscaler: Some(Some(Autoscaler { name: "web".to_owned(), target, minimum: 3, maximum: 9 })),
            startup: Some(StartTimes { pods: 3, median: 4, longest: 6, source: StartSource::Status }),
            containers_ready: Some(StartTimes { pods: 3, median: 4, longest: 6, source: StartSource::Status }),
            is_name_taken: false,
        };
        let service = ServiceSpec {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            target_ports: vec!["http".to_owned()],
            places: vec![place("a", "1"), place("b", "2"), place("c", "3")],
            ..ServiceSpec::default()
        };
        let kinds = [Change::Ready, Change::Unready, Change::Terminating];
        let samples = |count, max| kinds.into_iter().map(|change| (change, sample(count, max))).collect();
        let measured = Measured { window: millis(600_000), changes: samples(100, millis(200)), ..Measured::default() };
        let facts = Facts {
            minor: Some(34),
            zones: Some(3),
            services: 10,
            changes: samples(1_000, millis(200)),
            proxy_modes: BTreeMap::new(),
        };
        Self { service, backing, measured: Some(measured), facts }
    }

    /// The sound workload, changed.
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut scene = Self::sound();
        change(&mut scene);
        scene
    }

    fn container(&mut self) -> &mut Container {
        &mut self.backing.workload.template.containers[0]
    }

    fn sample(&mut self, change: Change) -> &mut Sample {
        self.measured.get_or_insert_default().changes.entry(change).or_default()
    }

    fn nodes(&mut self, change: Change, count: u64, longest: Duration) {
        let hop = NodeHop { count, median: longest, longest, unknown: 0 };
        self.measured.get_or_insert_default().nodes.insert(change, hop);
    }

    fn advice(&self) -> Advice {
        let subject = Subject {
            service: self.service.clone(),
            backings: vec![self.backing.clone()],
            unread: Vec::new(),
            measured: self.measured.clone(),
        };
        advise(&[subject], &self.facts)
    }

    /// The names of the checks that found something, except notes that are not asked for.
    fn found(&self) -> Vec<&'static str> {
        self.advice().findings.iter().map(|finding| finding.check.id).collect()
    }

    /// The only finding.
    #[track_caller]
    fn finding(&self) -> Finding {
        let mut findings = self.advice().findings;
        assert_eq!(findings.len(), 1, "{:?}", self.found());
        findings.remove(0)
    }
}

#[test]
fn a_sound_workload_has_no_finding() {
    assert_eq!(Scene::sound().found(), [""; 0]);
    assert!(Scene::sound().advice().skipped.is_empty());
}

#[test]
fn the_names_of_checks_are_unique_and_begin_with_no_other_checks_lever() {
    let mut ids: Vec<_> = CHECKS.iter().map(|check| check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CHECKS.len());
    assert!(CHECKS.iter().all(|check| check.why.ends_with('.') && check.rule.ends_with('.')));
}

#[test]
fn what_is_ignored_has_its_reason_and_is_not_the_worst() {
    let missing = |scene: &mut Scene| scene.container().readiness = None;
    assert_eq!(Scene::with(missing).advice().worst(), Some(Severity::Error));
    let by_workload = Scene::with(|scene| {
        missing(scene);
        scene.backing.workload.ignored = Some("readiness-probe-missing=ready at once".to_owned());
    });
    assert_eq!(by_workload.finding().ignored.as_deref(), Some("ready at once"));
    assert_eq!(by_workload.advice().worst(), None);
    let by_service = Scene::with(|scene| {
        missing(scene);
        scene.service.ignored = Some("readiness-probe=ready at once; single-replica=x".to_owned());
    });
    assert_eq!(by_service.finding().ignored.as_deref(), Some("ready at once"));
}

#[test]
fn a_malformed_annotation_is_a_finding_and_ignores_nothing() {
    let scene = Scene::with(|scene| {
        scene.container().readiness = None;
        scene.service.ignored = Some("readiness-probe-missing".to_owned());
    });
    assert_eq!(scene.found(), ["readiness-probe-missing", "ignore-advice-malformed"]);
    let advice = scene.advice();
    assert!(advice.findings[1].rule.contains("has no reason") && advice.findings[0].ignored.is_none());
}

/// A workload behind two Services has each finding once, with the figure that is right for both.
#[test]
fn what_two_services_find_is_one_finding() {
    let mut scene = Scene::with(|scene| scene.container().pre_stop = None);
    let subject = |scene: &Scene, name: &str| Subject {
        service: ServiceSpec { name: name.to_owned(), ..scene.service.clone() },
        backings: vec![scene.backing.clone()],
        unread: Vec::new(),
        measured: scene.measured.clone(),
    };
    let first = subject(&scene, "first");
    scene.sample(Change::Terminating).max = millis(9_000);
    let second = subject(&scene, "second");
    for subjects in [[first.clone(), second.clone()], [second, first]] {
        let advice = advise(&subjects, &scene.facts);
        let [finding] = &*advice.findings else { panic!("{:?}", advice.findings) };
        let services: Vec<_> = finding.services.iter().map(|service| &*service.name).collect();
        assert_eq!(services, ["first", "second"]);
        // (9 s + 1 s for the nodes) and a quarter, and a second.
        assert!(finding.advice.starts_with("lifecycle.preStop.sleep.seconds: 14"), "{}", finding.advice);
    }
}

#[test]
fn owners_that_are_not_read_are_named() {
    let scene = Scene::sound();
    let unread = vec![("Rollout web".to_owned(), "the kind Rollout is not known here".to_owned())];
    let subject =
        Subject { service: scene.service.clone(), backings: Vec::new(), unread, measured: scene.measured.clone() };
    let advice = advise(&[subject], &scene.facts);
    assert!(advice.findings.is_empty());
    let [skipped] = &*advice.skipped else { panic!("{:?}", advice.skipped) };
    assert_eq!(skipped.why, "Rollout web: the kind Rollout is not known here");
    assert!(skipped.checks.contains(&"pre-stop") && !skipped.checks.contains(&"load-balancing"));
}
