use super::*;
use crate::simulator::object::set_ready;
use crate::{
    cluster::wire::{IntOrString, ServiceSpec, Time},
    simulator::messages::{Container, ContainerPort, PodIp, PodSpec, PodStatus},
};
use rand::{SeedableRng, rngs::StdRng};

fn service() -> Service {
    let mut service = Service::default();
    service.metadata.namespace = "shop".to_owned();
    service.metadata.name = "cart".to_owned();
    service.metadata.uid = "service-1".to_owned();
    service.spec = Some(ServiceSpec {
        ports: vec![port("http", 8080)],
        selector: [("app".to_owned(), "cart".to_owned())].into(),
        cluster_ip: "10.96.0.20".to_owned(),
        kind: "ClusterIP".to_owned(),
        ip_families: vec!["IPv4".to_owned()],
        ..ServiceSpec::default()
    });
    service
}

fn port(name: &str, target: i32) -> ServicePort {
    ServicePort {
        name: name.to_owned(),
        protocol: "TCP".to_owned(),
        port: 80,
        target_port: Some(IntOrString { kind: 0, int: target, string: String::new() }),
        app_protocol: None,
    }
}

fn named_port(name: &str, target: &str) -> ServicePort {
    let mut port = port(name, 0);
    port.target_port = Some(IntOrString { kind: 1, int: 0, string: target.to_owned() });
    port
}

/// A Ready pod.
fn pod(number: usize) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.namespace = "shop".to_owned();
    pod.metadata.name = format!("cart-{number:03}");
    pod.metadata.uid = format!("uid-{number:03}");
    pod.status = Some(PodStatus {
        phase: "Running".to_owned(),
        pod_ips: vec![PodIp { ip: format!("10.244.0.{}", number % 250 + 1) }],
        ..PodStatus::default()
    });
    set_ready(&mut pod, true);
    pod
}

fn pods(range: std::ops::Range<usize>) -> Vec<Arc<Pod>> {
    range.map(|n| Arc::new(pod(n))).collect()
}

/// What the writes make of the slices.
fn applied(existing: &[Arc<EndpointSlice>], writes: Vec<Write>) -> Vec<Arc<EndpointSlice>> {
    let mut slices: BTreeMap<_, _> = existing.iter().map(|s| (s.metadata.name.clone(), s.clone())).collect();
    for write in writes {
        match write {
            Write::Put(slice) => slices.insert(slice.metadata.name.clone(), Arc::new(*slice)),
            Write::Delete(_, name) => slices.remove(&name),
        };
    }
    slices.into_values().collect()
}

struct Bench {
    service: Service,
    slices: Vec<Arc<EndpointSlice>>,
    rng: StdRng,
}

impl Bench {
    fn new(service: Service) -> Self {
        Self { service, slices: Vec::new(), rng: StdRng::seed_from_u64(1) }
    }

    /// Reconciles, applies, and returns the writes, after which there must be none left.
    fn go(&mut self, pods: &[Arc<Pod>]) -> Vec<Write> {
        let Self { service, slices, rng } = self;
        let writes = reconcile(service, pods, slices, 100, rng);
        *slices = applied(slices, writes.clone());
        assert_eq!(reconcile(service, pods, slices, 100, rng), [], "a second look changes nothing");
        writes
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<_> = self.slices.iter().map(|s| s.endpoints.len()).collect();
        sizes.sort();
        sizes
    }

    /// Ready, serving, terminating of the only endpoint.
    fn conditions(&self) -> Option<(bool, bool, bool)> {
        let endpoint = self.slices[0].endpoints.first()?;
        let conditions = endpoint.conditions.unwrap();
        let EndpointConditions { ready, serving, terminating } = conditions;
        Some((ready.unwrap(), serving.unwrap(), terminating.unwrap()))
    }
}

#[test]
fn conditions_of_an_endpoint() {
    let ready = pod(0);
    let mut unready = pod(0);
    set_ready(&mut unready, false);
    let deleted = |pod: &Pod| {
        let mut pod = pod.clone();
        pod.metadata.deletion_timestamp = Some(Time { seconds: 1 });
        pod
    };
    let mut finished = pod(0);
    finished.status.as_mut().unwrap().phase = "Succeeded".to_owned();
    let mut failed = pod(0);
    failed.status.as_mut().unwrap().phase = "Failed".to_owned();
    let mut without_ip = pod(0);
    without_ip.status.as_mut().unwrap().pod_ips.clear();

    let cases = [
        ("ready", ready.clone(), Some((true, true, false)), Some((true, true, false))),
        ("unready", unready.clone(), Some((false, false, false)), Some((true, false, false))),
        ("terminating", deleted(&ready), Some((false, true, true)), Some((true, true, true))),
        ("stopped", deleted(&unready), Some((false, false, true)), Some((true, false, true))),
        ("succeeded", finished, None, None),
        ("failed", failed, None, None),
        ("without an address", without_ip, None, None),
    ];
    for (case, pod, expected, published) in cases {
        let mut bench = Bench::new(service());
        bench.go(&[Arc::new(pod.clone())]);
        assert_eq!(bench.conditions(), expected, "{case}");

        let mut bench = Bench::new(service());
        let spec = bench.service.spec.as_mut().unwrap();
        spec.publish_not_ready_addresses = true;
        bench.go(&[Arc::new(pod)]);
        assert_eq!(bench.conditions(), published, "{case}, publishNotReadyAddresses");
    }
}

#[test]
fn labels_ports_and_references() {
    let mut bench = Bench::new(service());
    bench.service.metadata.labels.insert("team".to_owned(), "shop".to_owned());
    bench.go(&pods(0..1));
    let slice = &bench.slices[0];
    assert!(slice.metadata.name.starts_with("cart-"));
    assert_eq!(slice.metadata.name.len(), "cart-".len() + 5);
    assert!(!slice.metadata.uid.is_empty());
    let labels: Vec<_> = slice.metadata.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [(MANAGED_BY, CONTROLLER), (SERVICE_NAME, "cart"), ("team", "shop"),]);
    let reference = slice.endpoints[0].target_ref.as_ref().unwrap();
    assert_eq!((reference.kind.as_str(), reference.uid.as_str()), ("Pod", "uid-000"));
    assert_eq!(
        slice.ports,
        [EndpointPort {
            name: Some("http".to_owned()),
            protocol: Some("TCP".to_owned()),
            port: Some(8080),
            app_protocol: None,
        }]
    );

    bench.service.metadata.labels.clear();
    assert_eq!(bench.go(&pods(0..1)).len(), 1, "labels alone are a change");
}

#[test]
fn a_headless_service_says_so_and_needs_no_ports() {
    let mut bench = Bench::new(service());
    let spec = bench.service.spec.as_mut().unwrap();
    spec.cluster_ip = "None".to_owned();
    spec.ports.clear();
    bench.go(&[]);
    bench.go(&pods(0..2));
    assert_eq!(bench.sizes(), [2]);
    assert_eq!(bench.slices[0].metadata.labels[HEADLESS], "");
    assert!(bench.slices[0].ports.is_empty());

    // As the real controller has it: just as many as a slice takes go into a new one.
    bench.go(&[]);
    bench.go(&pods(0..100));
    assert_eq!(bench.sizes(), [0, 100]);
}

#[test]
fn a_service_without_endpoints_has_a_placeholder() {
    let mut bench = Bench::new(service());
    bench.go(&[]);
    assert_eq!(bench.sizes(), [0]);
    assert!(bench.slices[0].ports.is_empty());
    let name = bench.slices[0].metadata.name.clone();

    let writes = bench.go(&pods(0..1));
    assert_eq!(writes.len(), 1, "the placeholder turns into the slice");
    assert_eq!((bench.sizes(), &bench.slices[0].metadata.name), (vec![1], &name));
    bench.go(&[]);
    assert_eq!((bench.sizes(), &bench.slices[0].metadata.name), (vec![0], &name));
    assert!(bench.slices[0].ports.is_empty());
}

#[test]
fn slices_are_full_before_there_are_more() {
    let mut bench = Bench::new(service());
    bench.go(&pods(0..250));
    assert_eq!(bench.sizes(), [50, 100, 100]);

    let writes = bench.go(&pods(0..260));
    assert_eq!((writes.len(), bench.sizes()), (1, vec![60, 100, 100]));

    // 40 more than fit into the one that has room: not split, as the real controller does not split them.
    bench.go(&pods(0..340));
    assert_eq!(bench.sizes(), [60, 80, 100, 100]);

    // What goes makes room in a slice that is rewritten anyway, which is filled up.
    let mut some = pods(0..340);
    some.extend(pods(400..405));
    some.remove(0);
    let writes = bench.go(&some);
    assert_eq!(bench.sizes().iter().sum::<usize>(), 344);
    assert_eq!(writes.len(), 2, "the one that lost a pod, and one for the rest");

    bench.go(&[]);
    assert_eq!(bench.sizes(), [0]);
}

#[test]
fn only_the_changed_slice_is_written() {
    let mut bench = Bench::new(service());
    let mut all = pods(0..250);
    bench.go(&all);
    set_ready(Arc::make_mut(&mut all[120]), false);
    let writes = bench.go(&all);
    let [Write::Put(slice)] = writes.as_slice() else {
        panic!("{writes:?}");
    };
    assert!(slice.endpoints.iter().any(|e| uid_of(e) == "uid-120"));
}

#[test]
fn a_successor_of_the_same_name_is_a_new_endpoint() {
    let mut bench = Bench::new(service());
    bench.go(&pods(0..3));
    let mut successors = pods(0..3);
    Arc::make_mut(&mut successors[1]).metadata.uid = "uid-new".to_owned();
    bench.go(&successors);
    let mut uids: Vec<_> = bench.slices[0].endpoints.iter().map(uid_of).collect();
    uids.sort();
    assert_eq!(uids, ["uid-000", "uid-002", "uid-new"]);
}

#[test]
fn pods_that_disagree_on_a_named_port_share_no_slice() {
    let mut bench = Bench::new(service());
    bench.service.spec.as_mut().unwrap().ports = vec![named_port("http", "web"), named_port("admin", "admin")];
    let declaring = |pod: &mut Pod, name: &str, number: i32| {
        let container = Container {
            ports: vec![ContainerPort { name: name.to_owned(), container_port: number, protocol: "TCP".to_owned() }],
            ..Container::default()
        };
        let spec: &mut PodSpec = pod.spec.get_or_insert_default();
        spec.containers.push(container);
    };
    let mut old = pod(0);
    declaring(&mut old, "web", 8080);
    let mut new = pod(1);
    declaring(&mut new, "web", 9090);
    declaring(&mut new, "admin", 9091);
    let mut sidecar = pod(2);
    declaring(&mut sidecar, "web", 8080);
    let spec = sidecar.spec.as_mut().unwrap();
    spec.init_containers = std::mem::take(&mut spec.containers);
    spec.init_containers[0].restart_policy = Some("Always".to_owned());
    bench.go(&[old, new, sidecar].map(Arc::new));
    let ports: BTreeSet<Vec<_>> =
        bench.slices.iter().map(|s| s.ports.iter().filter_map(|p| p.port).collect()).collect();
    assert_eq!(ports, BTreeSet::from([vec![8080], vec![9091, 9090]]));
    assert_eq!(bench.sizes(), [1, 2]);
}

#[test]
fn a_changed_port_rewrites_the_slices_in_place() {
    let mut bench = Bench::new(service());
    bench.go(&pods(0..2));
    let name = bench.slices[0].metadata.name.clone();
    bench.service.spec.as_mut().unwrap().ports[0] = port("http", 9999);
    let writes = bench.go(&pods(0..2));
    assert_eq!(writes.len(), 1);
    assert_eq!(bench.slices[0].metadata.name, name);
    assert_eq!(bench.slices[0].ports[0].port, Some(9999));
}

#[test]
fn each_address_family_has_slices_of_its_own() {
    let mut bench = Bench::new(service());
    bench.service.spec.as_mut().unwrap().ip_families = vec!["IPv6".to_owned(), "IPv4".to_owned()];
    let mut dual = pod(0);
    dual.status.as_mut().unwrap().pod_ips.push(PodIp { ip: "fd00::1".to_owned() });
    let all = [dual, pod(1)].map(Arc::new);
    bench.go(&all);
    let sizes = |bench: &Bench| {
        let mut sizes: Vec<_> = bench.slices.iter().map(|s| (s.address_type.clone(), s.endpoints.len())).collect();
        sizes.sort();
        sizes
    };
    assert_eq!(sizes(&bench), [("IPv4".to_owned(), 2), ("IPv6".to_owned(), 1)]);

    bench.service.spec.as_mut().unwrap().ip_families = vec!["IPv4".to_owned()];
    bench.go(&all);
    assert_eq!(sizes(&bench), [("IPv4".to_owned(), 2)]);
}

/// The Service deleted and made anew, its old slices still there.
fn made_anew(bench: &mut Bench) -> Vec<Arc<EndpointSlice>> {
    bench.service.metadata.uid = "service-2".to_owned();
    bench.slices.clone()
}

#[test]
fn slices_of_an_old_service_are_deleted_and_not_written_again() {
    let mut bench = Bench::new(service());
    bench.go(&pods(0..2));
    let old = made_anew(&mut bench);
    let writes = bench.go(&pods(0..2));
    let [Write::Put(new), Write::Delete(_, deleted)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(*deleted, old[0].metadata.name);
    assert_ne!((&new.metadata.name, &new.metadata.uid), (&old[0].metadata.name, &old[0].metadata.uid));
    assert_eq!(new.metadata.owner_references, [OwnerReference::to_service("cart", "service-2")]);
    assert_eq!(bench.sizes(), [2]);
}

/// The real controller takes the old placeholder for its own, until the garbage collector has taken it.
#[test]
fn the_placeholder_of_an_old_service_is_left_alone() {
    let mut bench = Bench::new(service());
    bench.go(&[]);
    let old = made_anew(&mut bench);
    assert_eq!(bench.go(&[]), []);
    assert_eq!(bench.slices, old);
    bench.slices.clear();
    assert_eq!(bench.go(&[]).len(), 1);
}

#[test]
fn nothing_is_created_for_a_service_in_deletion() {
    let mut bench = Bench::new(service());
    bench.service.metadata.deletion_timestamp = Some(Time { seconds: 1 });
    assert_eq!(bench.go(&pods(0..1)), []);

    let mut bench = Bench::new(service());
    bench.go(&pods(0..1));
    bench.service.metadata.deletion_timestamp = Some(Time { seconds: 1 });
    bench.go(&pods(0..2));
    assert_eq!(bench.sizes(), [2], "what is there is written");
    // Other ports need another slice, and take over the one that has no more use.
    bench.service.spec.as_mut().unwrap().ports = vec![port("http", 9090)];
    assert_eq!(bench.go(&pods(0..2)).len(), 1);
    assert_eq!((bench.sizes(), bench.slices[0].ports[0].port), (vec![2], Some(9090)));
}

#[test]
fn slices_of_a_dropped_family_go_whoever_owns_them() {
    let mut bench = Bench::new(service());
    bench.service.spec.as_mut().unwrap().ip_families = vec!["IPv4".to_owned(), "IPv6".to_owned()];
    let mut dual = pod(0);
    dual.status.as_mut().unwrap().pod_ips.push(PodIp { ip: "fd00::1".to_owned() });
    let dual = [Arc::new(dual)];
    bench.go(&dual);
    assert_eq!(bench.sizes(), [1, 1]);
    made_anew(&mut bench);
    bench.service.spec.as_mut().unwrap().ip_families = vec!["IPv4".to_owned()];
    let deleted = bench.go(&dual).into_iter().filter(|write| matches!(write, Write::Delete(..))).count();
    assert_eq!((deleted, bench.sizes()), (2, vec![1]), "both old ones, one for its owner, one for its family");
}

#[test]
fn addresses_are_taken_for_what_they_are() {
    let sizes = |address: &str| {
        let mut bench = Bench::new(service());
        bench.service.spec.as_mut().unwrap().ip_families = vec!["IPv4".to_owned(), "IPv6".to_owned()];
        let mut pod = pod(0);
        pod.status.as_mut().unwrap().pod_ips = vec![PodIp { ip: address.to_owned() }];
        bench.go(&[Arc::new(pod)]);
        let listed = bench.slices.iter().filter(|slice| !slice.endpoints.is_empty());
        listed.map(|slice| slice.address_type.clone()).collect::<Vec<_>>()
    };
    assert_eq!(sizes("10.02.0.7"), ["IPv4"]);
    assert_eq!(sizes("::ffff:10.3.0.7"), ["IPv4"]);
    assert_eq!(sizes("fd00::7"), ["IPv6"]);
}

#[test]
fn services_that_are_somebody_else_s() {
    let mut external = service();
    external.spec.as_mut().unwrap().kind = "ExternalName".to_owned();
    let mut unselecting = service();
    unselecting.spec.as_mut().unwrap().selector.clear();
    assert!(is_managed(&service()));
    assert!(!is_managed(&external));
    assert!(!is_managed(&unselecting));
}
