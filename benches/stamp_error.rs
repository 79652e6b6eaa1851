//! Whether scrapes disturb the stamps: how late slices of a simulated cluster are stamped, with and without somebody who
//! scrapes 10,000 Services over and over.
//!
//! The error is from just before the simulated cluster takes a write to the daemon's stamp of it, so that the way through the
//! simulated API server is in both figures. The daemon is a process of its own; the cores are shared.

use endpointlag::{
    cluster::{
        object::{CONTROLLER, MANAGED_BY_LABEL, SERVICE_NAME_LABEL},
        wire::{
            self, EndpointConditions, EndpointSlice, ObjectReference, Pod, PodCondition, PodIp, PodStatus, Service,
        },
    },
    simulator::{Settings, Simulator, Store},
};
use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, SystemTime},
};

const SERVICES: usize = 10_000;

/// Changes of one phase, each of another Service.
const CHANGES: usize = 2_000;

/// Between two changes: 200 a second.
const PAUSE: Duration = Duration::from_millis(5);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cluster = runtime.block_on(Simulator::start(Settings { history: 100_000, ..Settings::default() }))?;
    cluster.controller().pause();
    let store = cluster.store();
    for number in 0..SERVICES {
        store.apply(service(number));
        store.apply(pod(number, true));
        store.apply(slice(number, true));
    }
    let folder = tempfile::tempdir()?;
    let samples = folder.path().join("samples");
    let config = folder.path().join("kubeconfig");
    fs::write(&config, kubeconfig(&cluster.url().to_string()))?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_endpointlag"));
    command.env("KUBECONFIG", &config).args(["run", "--log-level=error", "--listen", &address]);
    let _daemon = Daemon(command.arg("--samples").arg(&samples).spawn()?);
    wait("the daemon to be ready", || get(&address, "/readyz").is_ok_and(|page| page.starts_with(b"HTTP/1.1 200")))?;

    // Every Service gets its series. One change at a time: a pod that comes back before its slice has followed is superseded.
    for (round, ready) in [(1, false), (2, true)] {
        for number in 0..SERVICES {
            store.apply(pod(number, ready));
            store.apply(slice(number, ready));
        }
        wait("all series", || lines(&samples) >= round * SERVICES)?;
    }

    let quiet = phase(store, 0, &samples)?;
    let (stop, scrapes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let scraped = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                scrapes.fetch_add(usize::from(get(&address, "/metrics").is_ok()), Relaxed);
            }
        });
        let scraped = phase(store, CHANGES, &samples);
        stop.store(true, Relaxed);
        scraped
    })?;
    println!("| {SERVICES} Services, 200 changes a second | p50 | p99 | max |");
    println!("| --- | --- | --- | --- |");
    println!("| no scrapes | {} |", figures(quiet));
    println!("| {} scrapes, one after the other | {} |", scrapes.load(Relaxed), figures(scraped));
    Ok(())
}

/// Turns pods unready at a steady rate, and returns by how much the slices that show it were stamped late.
fn phase(store: &Store, first: usize, samples: &std::path::Path) -> Result<Vec<Duration>> {
    let before = lines(samples);
    let mut written = HashMap::new();
    for number in first..first + CHANGES {
        store.apply(pod(number, false));
        thread::sleep(PAUSE / 2);
        written.insert(name(number), SystemTime::now());
        store.apply(slice(number, false));
        thread::sleep(PAUSE / 2);
    }
    wait("the samples", || lines(samples) >= before + CHANGES)?;
    let text = fs::read_to_string(samples)?;
    let mut errors = Vec::new();
    for line in text.lines().skip(before) {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let stamped: jiff::Timestamp = line["time"].as_str().ok_or("no time")?.parse()?;
        let at = line["service"].as_str().and_then(|service| written.get(service)).ok_or("another Service")?;
        // Samples have microseconds, so one can seem to come before its cause.
        let stamped = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(stamped.as_microsecond())?);
        errors.push(stamped.duration_since(*at).unwrap_or_default());
    }
    Ok(errors)
}

fn figures(mut errors: Vec<Duration>) -> String {
    errors.sort_unstable();
    let at = |q: f64| errors[((errors.len() as f64 * q) as usize).min(errors.len() - 1)].as_secs_f64() * 1e3;
    format!("{:.2} ms | {:.2} ms | {:.2} ms", at(0.5), at(0.99), at(1.0))
}

fn wait(what: &str, done: impl Fn() -> bool) -> Result<()> {
    for _ in 0..1200 {
        if done() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(format!("waited two minutes for {what}").into())
}

fn lines(file: &std::path::Path) -> usize {
    fs::read(file).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn kubeconfig(server: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: it, clusters: [{{name: it, cluster: {{server: '{server}'}}}}], \
         users: [{{name: it, user: {{}}}}], contexts: [{{name: it, context: {{cluster: it, user: it}}}}]}}"
    )
}

fn name(number: usize) -> String {
    format!("service-{number}")
}

fn uid(kind: u8, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

fn service(number: usize) -> Service {
    let mut service = Service::default();
    service.metadata.name = name(number);
    service.metadata.namespace = "bench".into();
    service.metadata.uid = uid(1, number);
    let spec = service.spec.get_or_insert_default();
    spec.selector.insert("app".into(), name(number));
    spec.ip_families.push("IPv4".into());
    service
}

fn pod(number: usize, ready: bool) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = format!("pod-{number}");
    pod.metadata.namespace = "bench".into();
    pod.metadata.uid = uid(2, number);
    pod.metadata.labels.insert("app".into(), name(number));
    let status = if ready { "True" } else { "False" };
    pod.status = Some(PodStatus {
        phase: "Running".into(),
        conditions: vec![PodCondition { kind: "Ready".into(), status: status.into() }],
        pod_ips: vec![PodIp { ip: "10.0.0.1".into() }],
        ..PodStatus::default()
    });
    pod
}

fn slice(number: usize, ready: bool) -> EndpointSlice {
    let mut slice = EndpointSlice { address_type: "IPv4".into(), ..EndpointSlice::default() };
    slice.metadata.name = format!("slice-{number}");
    slice.metadata.namespace = "bench".into();
    slice.metadata.uid = uid(3, number);
    slice.metadata.labels.insert(SERVICE_NAME_LABEL.into(), name(number));
    slice.metadata.labels.insert(MANAGED_BY_LABEL.into(), CONTROLLER.into());
    let conditions = EndpointConditions { ready: Some(ready), serving: Some(ready), terminating: Some(false) };
    let pod = ObjectReference { kind: "Pod".into(), name: format!("pod-{number}"), uid: uid(2, number) };
    slice.endpoints.push(wire::Endpoint { conditions: Some(conditions), target_ref: Some(pod) });
    slice
}
