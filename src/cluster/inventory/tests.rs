//! The inventory of an API server that is a function.

use super::*;
use crate::cluster::shard::Shard;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::convert::Infallible;

/// Objects of a page, whatever is asked for.
const PAGE: usize = 2;

/// What the server has, by path, and how it behaves.
#[derive(Default)]
struct Server {
    objects: HashMap<&'static str, Vec<Value>>,
    /// Paths that may not be read.
    denied: Vec<&'static str>,
    /// The next request for another page of this path fails: its version is gone.
    gone: Mutex<Option<&'static str>>,
    /// All that was asked for.
    asked: Mutex<Vec<String>>,
}

// === impl Server ===

impl Server {
    /// The Service `web` with three pods of a Deployment, one of them not ready, and a bare pod of `api`.
    fn new() -> Self {
        let labels = |app: &str| json!({ "app": app });
        let meta = |namespace: &str, name: &str, app: &str| json!({ "namespace": namespace, "name": name, "labels": labels(app) });
        let service = |namespace: &str, name: &str| {
            let spec = json!({ "selector": labels(name), "ports": [{ "port": 80 }] });
            json!({ "metadata": meta(namespace, name, name), "spec": spec })
        };
        let pod = |app: &str, number: usize, is_ready: bool, owner: Option<&str>| {
            let mut meta = meta("shop", &format!("{app}-5d4f-{number}"), app);
            if let Some(owner) = owner {
                let (version, controller) = ("apps/v1", true);
                meta["ownerReferences"] = json!([
                    { "apiVersion": version, "kind": "ReplicaSet", "name": owner, "uid": "u", "controller": controller },
                ]);
            }
            let ready = if is_ready { "True" } else { "False" };
            let second = format!("2026-01-01T00:00:0{}Z", 3 + number);
            let status = json!({
                "conditions": [
                    { "type": "Ready", "status": ready, "lastTransitionTime": second },
                    { "type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z" },
                ],
                "containerStatuses": [
                    { "name": "main", "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:01Z" } } },
                ],
            });
            let node = format!("node-{number}");
            json!({ "metadata": meta, "spec": { "nodeName": node, "containers": [{ "name": "main" }] }, "status": status })
        };
        let mut set = meta("shop", "web-5d4f", "web");
        set["ownerReferences"] = json!([
            { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true },
        ]);
        let deployment = |namespace: &str, app: &str| {
            let template =
                json!({ "metadata": { "labels": labels(app) }, "spec": { "containers": [{ "name": "main" }] } });
            let spec = json!({ "replicas": 3, "selector": { "matchLabels": labels(app) }, "template": template });
            json!({ "metadata": meta(namespace, app, app), "spec": spec })
        };
        let budget = |name: &str, app: &str| {
            let spec = json!({ "maxUnavailable": 1, "selector": { "matchLabels": labels(app) } });
            json!({ "metadata": { "namespace": "shop", "name": name }, "spec": spec })
        };
        let node = |number: usize| {
            let zone = format!("zone-{}", number % 2);
            json!({ "metadata": { "name": format!("node-{number}"), "labels": { ZONE: zone } } })
        };
        let owner = Some("web-5d4f");
        Self {
            objects: HashMap::from([
                ("/api/v1/services", vec![service("shop", "web"), service("shop", "api"), service("bank", "web")]),
                (
                    "/api/v1/pods",
                    vec![
                        pod("web", 0, true, owner),
                        pod("web", 1, true, owner),
                        pod("web", 2, false, owner),
                        pod("api", 3, true, None),
                        pod("other", 4, true, None),
                    ],
                ),
                ("/apis/apps/v1/replicasets", vec![json!({ "metadata": set })]),
                ("/apis/apps/v1/deployments", vec![deployment("shop", "web"), deployment("shop", "other")]),
                ("/apis/policy/v1/poddisruptionbudgets", vec![budget("other", "other"), budget("web", "web")]),
                ("/api/v1/nodes", (0..4).map(node).collect()),
            ]),
            ..Self::default()
        }
    }

    fn answer(&self, request: &Request<Body>) -> (StatusCode, Value) {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        self.asked.lock().push(format!("{path}?{query}"));
        let status = |code: StatusCode, reason: &str| {
            (code, json!({ "kind": "Status", "status": "Failure", "reason": reason, "code": code.as_u16() }))
        };
        if self.denied.contains(&path) {
            return status(StatusCode::FORBIDDEN, "Forbidden");
        }
        let from = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "continue");
        let from: Option<usize> = from.map(|(_, token)| token.parse().expect("a token of this server"));
        if from.is_some() && self.gone.lock().take_if(|gone| *gone == path).is_some() {
            return status(StatusCode::GONE, "Expired");
        }
        if path == "/apis" {
            return (StatusCode::OK, json!({ "kind": "APIGroupList", "groups": [] }));
        }
        let objects = self.objects.get(path).map(Vec::as_slice).unwrap_or_default();
        let (from, to) = (from.unwrap_or(0), objects.len().min(from.unwrap_or(0) + PAGE));
        let next = if to < objects.len() { to.to_string() } else { String::new() };
        let items = &objects[from..to];
        (
            StatusCode::OK,
            json!({ "kind": "List", "apiVersion": "v1", "metadata": { "continue": next }, "items": items }),
        )
    }

    async fn read(self, scope: &ScopeSettings) -> (Result<Inventory, InventoryError>, Vec<String>) {
        let server = Arc::new(self);
        let answering = server.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (code, body) = answering.answer(&request);
            let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.expect("a response")) }
        });
        let read = Inventory::read(kube::Client::new(service, "default"), scope, Pace::FAST).await;
        let asked = std::mem::take(&mut *server.asked.lock());
        (read, asked)
    }
}

async fn inventory(server: Server, scope: &ScopeSettings) -> Inventory {
    server.read(scope).await.0.expect("it can be read")
}

fn find<'a>(inventory: &'a Inventory, namespace: &str, name: &str) -> &'a Set {
    let is_it = |set: &&Set| set.service.namespace == namespace && set.service.name == name;
    inventory.services.iter().find(is_it).expect("it is there")
}

/// What the inventory says about the Services of [`Server::new`].
fn check(inventory: &Inventory) {
    let web = find(inventory, "shop", "web");
    let places: Vec<_> = web.service.places.iter().map(|it| (&*it.node, it.zone.as_deref())).collect();
    assert_eq!(places, [("node-0", Some("zone-0")), ("node-1", Some("zone-1"))]);
    let [backing] = &*web.backings else { panic!("{:?}", web.backings) };
    assert_eq!((&*backing.workload.name, backing.workload.replicas), ("web", 3));
    // The pod that is not ready has no start.
    let startup = backing.startup.expect("its pods have started");
    assert_eq!((startup.pods, startup.median, startup.longest), (2, 2, 3));
    // But its containers are ready: a gate keeps it.
    let containers = backing.containers_ready.expect("its containers have started");
    assert_eq!((containers.pods, containers.median, containers.longest), (3, 1, 1));
    let names = |backing: &Backing| backing.budgets.iter().flatten().map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(backing), ["web"]);
    assert_eq!((backing.autoscaler.clone(), web.unread.len()), (Some(None), 0));
    let api = find(inventory, "shop", "api");
    assert_eq!((api.backings.len(), &*api.unread[0].0), (0, "bare pods"));
    assert_eq!(inventory.zones, Some(2));
}

#[tokio::test]
async fn services_are_joined_with_what_is_behind_them() {
    let (read, asked) = Server::new().read(&ScopeSettings::whole_cluster()).await;
    let inventory = read.expect("it can be read");
    check(&inventory);
    assert_eq!((inventory.services.len(), inventory.missing.len()), (3, 0));
    let pods: Vec<_> = asked.iter().filter(|it| it.starts_with("/api/v1/pods")).collect();
    assert_eq!(pods.len(), 3, "five pods in pages of two: {pods:?}");
    assert!(pods.iter().all(|it| it.contains("limit=500")), "{pods:?}");
}

/// A list whose next page has expired begins again, and nothing of it counts twice.
#[tokio::test]
async fn a_list_that_begins_again_counts_once() {
    for path in ["/api/v1/pods", "/api/v1/services", "/apis/apps/v1/deployments"] {
        let mut server = Server::new();
        if path.ends_with("deployments") {
            let all = server.objects.get_mut(path).expect("there are some");
            all.push(all[1].clone());
        }
        *server.gone.lock() = Some(path);
        let (read, asked) = server.read(&ScopeSettings::whole_cluster()).await;
        check(&read.expect("it can be read"));
        assert!(asked.iter().filter(|it| it.starts_with(path) && !it.contains("continue")).count() == 2, "{asked:?}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_missing_and_pods_must_be_read() {
    let denied = vec!["/apis/apps/v1/replicasets", "/apis/policy/v1/poddisruptionbudgets", "/api/v1/nodes"];
    let inventory = inventory(Server { denied, ..Server::new() }, &ScopeSettings::whole_cluster()).await;
    let mut missing: Vec<_> = inventory.missing.iter().map(|it| it.resource).collect();
    missing.sort_unstable();
    assert_eq!(missing, ["nodes", "poddisruptionbudgets.policy", "replicasets.apps"]);
    let web = find(&inventory, "shop", "web");
    assert_eq!((web.backings[0].budgets.clone(), web.service.places[0].zone.clone()), (None, None));
    // The pods have no hash, so the names do not tell the Deployment.
    assert_eq!(web.unread[0].0, "ReplicaSet web-5d4f");
    let (read, _) =
        Server { denied: vec!["/api/v1/pods"], ..Server::new() }.read(&ScopeSettings::whole_cluster()).await;
    assert!(matches!(read, Err(InventoryError::Denied(Missing { resource: "pods", namespace: None }))));
}

/// Namespaces that are left out are not asked for. Those of another shard are not kept.
#[tokio::test]
async fn only_the_measured_namespaces_count() {
    let scope = ScopeSettings { excluded: vec!["kube-system".to_owned()], ..ScopeSettings::whole_cluster() };
    let (read, asked) = Server::new().read(&scope).await;
    check(&read.expect("it can be read"));
    let selector = "fieldSelector=metadata.namespace%21%3Dkube-system";
    for path in
        ["/api/v1/pods", "/api/v1/services", "/apis/apps/v1/replicasets", "/apis/policy/v1/poddisruptionbudgets"]
    {
        assert!(asked.iter().filter(|it| it.starts_with(path)).all(|it| it.contains(selector)), "{path}: {asked:?}");
    }
    assert!(asked.iter().any(|it| it.starts_with("/api/v1/nodes") && !it.contains("fieldSelector")), "{asked:?}");

    let mut both = 0;
    for shard in ["0/2", "1/2"] {
        let shard: Shard = shard.parse().expect("a shard");
        let scope = ScopeSettings { shard, ..ScopeSettings::whole_cluster() };
        let inventory = inventory(Server::new(), &scope).await;
        assert!(inventory.services.iter().all(|set| shard.holds(&set.service.namespace)));
        both += inventory.services.len();
    }
    assert_eq!(both, 3, "each Service is in one of them");
}

// === impl Server ===

impl Server {
    fn push(&mut self, path: &'static str, object: Value) {
        self.objects.entry(path).or_default().push(object);
    }

    /// Changes the first object of this path.
    fn first(&mut self, path: &str) -> &mut Value {
        &mut self.objects.get_mut(path).expect("there are some")[0]
    }
}

const PODS: &str = "/api/v1/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const STATEFUL_SETS: &str = "/apis/apps/v1/statefulsets";
const BUDGETS: &str = "/apis/policy/v1/poddisruptionbudgets";

/// What the budget of `web` is, after this change of the server.
async fn budget(change: impl FnOnce(&mut Server)) -> crate::model::spec::Budget {
    let mut server = Server::new();
    change(&mut server);
    let inventory = inventory(server, &ScopeSettings::whole_cluster()).await;
    let budgets = find(&inventory, "shop", "web").backings[0].budgets.clone().expect("can be read");
    budgets.into_iter().find(|it| it.name == "web").expect("it is there")
}

/// A workload that is named `name`, and has pods of `web`.
fn of_web(name: &str, replicas: u32) -> Value {
    let labels = json!({ "app": "web", "name": name });
    json!({
        "metadata": { "namespace": "shop", "name": name },
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "main" }] } },
        },
    })
}

/// A pod with this label, which no Service selects, and its owner.
fn pod_of(kind: &str, name: &str, labels: Value) -> Value {
    let owner = json!({ "apiVersion": "example.org/v1", "kind": kind, "name": name, "uid": "u", "controller": true });
    json!({
        "metadata": { "namespace": "shop", "name": format!("{name}-0"), "labels": labels, "ownerReferences": [owner] },
        "spec": { "containers": [] },
        "status": {},
    })
}

#[tokio::test]
async fn a_budget_counts_the_pods_of_all_workloads_that_it_selects() {
    assert_eq!(budget(|_| ()).await.pods, Some(3));
    // Two more workloads, of which one is scaled, and one that it does not select.
    let more = budget(|server| {
        server.push(DEPLOYMENTS, of_web("canary", 1));
        server.push(STATEFUL_SETS, of_web("store", 1));
        let scaler = json!({
            "metadata": { "namespace": "shop", "name": "store" },
            "spec": { "minReplicas": 5, "maxReplicas": 9, "scaleTargetRef": { "kind": "StatefulSet", "name": "store" } },
        });
        server.push("/apis/autoscaling/v2/horizontalpodautoscalers", scaler);
    });
    assert_eq!(more.await.pods, Some(9));
    // Behind no Service, but a budget counts them.
    let behind_none = |server: &mut Server| {
        server.push(
            BUDGETS,
            json!({
                "metadata": { "namespace": "shop", "name": "all" },
                "spec": { "maxUnavailable": 1, "selector": {} },
            }),
        );
        server.push(PODS, pod_of("Rollout", "checkout", json!({ "app": "checkout" })));
    };
    let mut server = Server::new();
    behind_none(&mut server);
    let read = inventory(server, &ScopeSettings::whole_cluster()).await;
    let budgets = find(&read, "shop", "web").backings[0].budgets.clone().expect("can be read");
    let pods: Vec<_> = budgets.iter().map(|it| (&*it.name, it.pods)).collect();
    assert_eq!(pods, [("web", Some(3)), ("all", None)]);
    // A label that only the pods of a workload have.
    let by_pod = budget(|server| {
        server.push(PODS, pod_of("StatefulSet", "store", json!({ "app": "web" })));
        let mut store = of_web("store", 2);
        store["spec"]["template"]["metadata"]["labels"] = json!({ "name": "store" });
        server.push(STATEFUL_SETS, store);
    });
    assert_eq!(by_pod.await.pods, Some(5));
    // The owner may not be read.
    let denied = budget(|server| {
        server.push(PODS, pod_of("StatefulSet", "store", json!({ "app": "web" })));
        server.denied.push(STATEFUL_SETS);
    });
    assert_eq!(denied.await.pods, None);
}

/// An operator marks the primary with a label, and has a budget for it.
#[tokio::test]
async fn a_budget_is_found_by_labels_that_only_pods_have() {
    let with_role = |name: &str, role: &str| {
        let selector = json!({ "matchLabels": { "role": role } });
        let spec = json!({ "maxUnavailable": 1, "selector": selector });
        json!({ "metadata": { "namespace": "shop", "name": name }, "spec": spec })
    };
    let read = async |roles: [Option<&str>; 3], budgets: Vec<Value>| {
        let mut server = Server::new();
        server.objects.insert(BUDGETS, budgets);
        let pods = server.objects.get_mut(PODS).expect("there are some");
        for (pod, role) in pods.iter_mut().zip(roles) {
            pod["metadata"]["labels"]["role"] = json!(role);
            // Not even the Service selects it.
            if role.is_none() {
                pod["metadata"]["labels"] = json!({ "pod": "web" });
            }
        }
        let inventory = inventory(server, &ScopeSettings::whole_cluster()).await;
        let backing = find(&inventory, "shop", "web").backings[0].clone();
        let budgets = backing.budgets.expect("can be read").into_iter();
        let budgets: Vec<_> = budgets.map(|it| (it.name, it.pods, it.selected, it.overlaps)).collect();
        (budgets, backing.has_unguarded)
    };
    let (first, second) = (Some("primary"), Some("replica"));
    let budget = |name: &str, selected, overlaps| (name.to_owned(), Some(3), selected, overlaps);
    let primary = || with_role("primary", "primary");
    let some = (vec![budget("primary", Some(1), false)], true);
    assert_eq!(read([first, second, second], vec![primary()]).await, some);
    assert_eq!(read([first, None, None], vec![primary()]).await, some);
    let all = (vec![budget("primary", None, false)], false);
    assert_eq!(read([first, first, first], vec![primary()]).await, all);
    let each = (vec![budget("primary", Some(1), false), budget("replica", Some(2), false)], false);
    assert_eq!(read([first, second, second], vec![primary(), with_role("replica", "replica")]).await, each);
    let twice = (vec![budget("primary", Some(1), true), budget("again", Some(1), true)], true);
    assert_eq!(read([first, second, second], vec![primary(), with_role("again", "primary")]).await, twice);
    assert_eq!(read([second, second, second], vec![primary()]).await, (Vec::new(), true));
}

#[tokio::test]
async fn a_budget_without_a_limit_is_read() {
    let unset = budget(|server| {
        let web = &mut server.objects.get_mut(BUDGETS).expect("there are some")[1];
        web["spec"].as_object_mut().expect("an object").remove("maxUnavailable");
    });
    assert_eq!(unset.await.limit, crate::model::spec::Limit::Unset);
}

#[tokio::test]
async fn a_name_is_taken_by_another_workload_or_a_budget() {
    let is_taken = async |change: fn(&mut Server)| {
        let mut server = Server::new();
        change(&mut server);
        let inventory = inventory(server, &ScopeSettings::whole_cluster()).await;
        let backings = &find(&inventory, "shop", "web").backings;
        backings.iter().find(|it| it.workload.kind == WorkloadKind::Deployment).expect("it is there").is_name_taken
    };
    let none = |server: &mut Server| drop(server.objects.remove(BUDGETS));
    assert!(!is_taken(none).await);
    // Also by one that selects no pods.
    assert!(
        is_taken(|server| {
            let of_none = json!({ "metadata": { "namespace": "shop", "name": "web" }, "spec": { "minAvailable": 1 } });
            server.objects.insert(BUDGETS, vec![of_none]);
        })
        .await
    );
    let namesake = |server: &mut Server| {
        server.objects.remove(BUDGETS);
        let mut other = of_web("web", 1);
        other["spec"]["template"]["metadata"]["labels"] = json!({ "app": "store" });
        server.push(STATEFUL_SETS, other);
    };
    assert!(is_taken(namesake).await);
}

/// An operator marks the primary with a label, and the StatefulSet controller each pod with its name.
#[tokio::test]
async fn a_workload_is_behind_a_service_that_selects_its_pods_by_labels_of_run_time() {
    let service = json!({
        "metadata": { "namespace": "shop", "name": "primary" },
        "spec": { "selector": { "app": "web", "role": "primary" }, "ports": [{ "port": 80 }] },
    });
    let mut server = Server::new();
    server.push("/api/v1/services", service.clone());
    server.first(PODS)["metadata"]["labels"]["role"] = json!("primary");
    let read = inventory(server, &ScopeSettings::whole_cluster()).await;
    check(&read);
    let primary = find(&read, "shop", "primary");
    let names: Vec<_> = primary.backings.iter().map(|it| it.workload.name.as_str()).collect();
    assert_eq!((names, &*primary.unread, primary.service.places.len()), (vec!["web"], &[][..], 1));
    // A kind that is known, but an object that is not there any more.
    let mut server = Server::new();
    server.push("/api/v1/services", service);
    server.push(PODS, pod_of("StatefulSet", "store", json!({ "app": "web", "role": "primary" })));
    let read = inventory(server, &ScopeSettings::whole_cluster()).await;
    let unread = [("StatefulSet store".to_owned(), "it is gone".to_owned())];
    assert_eq!(find(&read, "shop", "primary").unread, unread);
}
