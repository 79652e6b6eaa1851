//! The join of changes with what 5,000 nodes observe, alone: its memory and processor time at 10,000 Services with 150,000 pods. The agents'
//! connections are measured by the bench `agents`, and the rest of the daemon by `scale`.
//!
//! `cargo bench --bench join -- 1000` runs it with 1,000 nodes.

use anyhow::{Context, Result};
use endpointlag::{
    ledger::{Carried, Cause, Change},
    model::{
        Annotation, Backend, Endpoint, EndpointPort, EndpointSlice, EndpointsChange, EndpointsPart, Event, Families,
        Family, Frontend, Interval, Protocol, Resource, Route, Seen, Service, ServicePort, SetChange, SliceOwner,
        SliceVersion, Stamp, TargetPort, Uid, VirtualIps,
    },
    programming::{Programming, ProgrammingSettings, Report},
    propagation::{PodRef, ServiceName, Subject},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

const NODES: usize = 5_000;
const SERVICES: usize = 10_000;

/// Pods of each Service.
const PODS: usize = 15;

/// Changes that no node has shown yet, at the same time: a burst of a rollout.
const PENDING: usize = 1_000;

struct Cluster {
    programming: Programming,
    /// The time, in nanoseconds.
    now: u64,
    versions: u64,
    /// Changes that have ended on all nodes.
    ended: usize,
}

fn main() -> Result<()> {
    let only: Option<usize> = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let nodes: Vec<String> = (0..only.unwrap_or(NODES)).map(|node| format!("node-{node}")).collect();
    let before = memory()?;
    let used = || -> Result<f64> { Ok(memory()?.saturating_sub(before) as f64 / 1e6) };
    let settings = ProgrammingSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(600) };
    let programming = Programming::new(settings);
    let mut cluster = Cluster { programming, now: 1_000_000_000, versions: 1, ended: 0 };
    println!("| {} nodes, {SERVICES} Services, {} pods | memory | processor time |", nodes.len(), SERVICES * PODS);
    println!("| --- | --- | --- |");
    let spent = processor();
    cluster.list();
    println!("| Services and slices are listed | {:.0} MB | {:.2} s |", used()?, processor() - spent);
    nodes.iter().for_each(|node| {
        let families = Family::ALL.into_iter().collect();
        cluster.programming.set_follows(node, families, cluster.at());
    });
    println!("| all nodes follow | {:.0} MB | |", used()?);

    let spent = processor();
    for number in 0..PENDING {
        cluster.unready(number);
    }
    let each = (processor() - spent) / PENDING as f64 * 1e6;
    println!("| {PENDING} changes that no node shows | {:.0} MB | {each:.0} us a change |", used()?);
    let spent = processor();
    let standing = cluster.programming.standing(cluster.at());
    let pending: u64 = standing.pending.iter().sum();
    println!("| how many these are, for a scrape: {pending} | {:.0} MB | {:.3} s |", used()?, processor() - spent);
    let spent = processor();
    cluster.pass(1);
    println!("| a second passes | {:.0} MB | {:.3} s |", used()?, processor() - spent);

    let spent = processor();
    for number in 0..PENDING {
        nodes.iter().for_each(|node| cluster.shows(node, number));
    }
    let each = (processor() - spent) / (PENDING * nodes.len()) as f64 * 1e6;
    cluster.drain();
    println!("| every node shows all of them | {:.0} MB | {each:.2} us an observation |", used()?);
    println!("{} changes have ended on all nodes", cluster.ended);
    Ok(())
}

impl Cluster {
    fn at(&self) -> Stamp {
        Stamp::from_nanos(self.now)
    }

    fn list(&mut self) {
        let seen = Seen::late(self.at());
        for resource in [Resource::Services, Resource::EndpointSlices] {
            self.programming.apply(0, seen, &Event::Init(resource));
            for number in 0..SERVICES {
                let event = match resource {
                    Resource::Services => Event::Service(service(number)),
                    _ => Event::EndpointSlice(slice(number)),
                };
                self.programming.apply(0, seen, &event);
            }
            self.programming.apply(0, seen, &Event::InitDone(resource));
        }
    }

    /// The first pod of a Service becomes unready: its slice shows it, and the slice hop has carried the change.
    fn unready(&mut self, number: usize) {
        self.now += 1_000_000;
        self.versions += 1;
        let (seen, version) = (Seen::live(self.at()), self.versions);
        let endpoints = vec![EndpointsPart::New(endpoint(number, 0, false)), EndpointsPart::Kept(1..PODS)];
        let (uid, name) = (slice_uid(number), slice_name(number));
        let change = EndpointsChange { uid: uid.clone(), name: name.clone(), resource_version: version, endpoints };
        self.programming.apply(0, seen, &Event::EndpointsChanged(change));
        let service = ServiceName { namespace: namespace(number).into(), name: service_name(number).into() };
        let pod = PodRef { name: pod_name(number, 0).into(), uid: Uid::from(&*pod_name(number, 0)) };
        let carried = Carried {
            key: Subject { service: Arc::new(service), pod: Some(pod) },
            change: Change::Unready,
            cause: Cause::Pod,
            began: Stamp::from_nanos(self.now - 500_000),
            shown: self.at(),
            by: Arc::new(SliceVersion { uid, name: name.into(), resource_version: version }),
        };
        self.programming.carried(carried, version, self.at());
    }

    fn shows(&mut self, node: &str, number: usize) {
        self.now += 1_000;
        let frontend = Frontend { address: cluster_ip(number), protocol: Protocol::Tcp, port: 80 };
        let removed = vec![Backend { address: pod_ip(number, 0), port: 8080 }];
        let when = Interval { earliest: self.at(), latest: self.at() };
        let change = SetChange { frontend, added: Vec::new(), removed };
        self.programming.observed(node, &change, Some(when), self.at());
        if self.now.is_multiple_of(1_000_000) {
            self.drain();
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds * 1_000_000_000;
        self.programming.advance(self.at());
        self.drain();
    }

    fn drain(&mut self) {
        let reports = self.programming.reports();
        self.ended += reports.filter(|report| matches!(report, Report::Spread(_))).count();
    }
}

fn namespace(number: usize) -> String {
    format!("team-{}", number / 20)
}

fn service_name(number: usize) -> String {
    format!("service-{number}")
}

fn slice_name(number: usize) -> String {
    format!("service-{number}-x7k2p")
}

fn slice_uid(number: usize) -> Uid {
    Uid::from(&*format!("00000000-0000-4000-8001-{number:012}"))
}

fn pod_name(number: usize, pod: usize) -> String {
    format!("00000000-0000-4000-8000-{:012}", number * PODS + pod)
}

fn cluster_ip(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 96, 0, 0)) + number as u32).into()
}

fn pod_ip(number: usize, pod: usize) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + (number * PODS + pod) as u32).into()
}

fn service(number: usize) -> Service {
    let port = ServicePort {
        name: "http".into(),
        protocol: "TCP".into(),
        target: TargetPort::Number(8080),
        app_protocol: None,
    };
    let virtual_ips = VirtualIps { addresses: vec![cluster_ip(number)], ports: vec![80], is_local: false };
    Service {
        uid: Uid::from(&*format!("00000000-0000-4000-8002-{number:012}")),
        namespace: namespace(number),
        name: service_name(number),
        resource_version: 1,
        terminating: false,
        selector: [("app".to_owned(), service_name(number))].into(),
        external_name: false,
        families: [Family::V4].into_iter().collect::<Families>(),
        ports: vec![port],
        virtual_ips: Some(Box::new(virtual_ips)),
        publish_not_ready_addresses: false,
        objective: Annotation::Absent,
        ignore: Annotation::Absent,
    }
}

fn slice(number: usize) -> EndpointSlice {
    let service = service(number);
    let port = EndpointPort { name: "http".into(), protocol: "TCP".into(), number: Some(8080), app_protocol: None };
    EndpointSlice {
        uid: slice_uid(number),
        namespace: service.namespace,
        name: slice_name(number),
        resource_version: 1,
        owner: Some(SliceOwner { uid: service.uid, service: service.name, family: Family::V4 }),
        foreign_to: None,
        ports: vec![port],
        endpoints: (0..PODS).map(|pod| endpoint(number, pod, true)).collect(),
    }
}

fn endpoint(number: usize, pod: usize, ready: bool) -> Endpoint {
    let node = Some(format!("node-{}", (number * PODS + pod) % NODES).into_boxed_str());
    let route = Route { address: pod_ip(number, pod), node, has_hints: false };
    let name = pod_name(number, pod);
    Endpoint { pod: Uid::from(&*name), name, ready, serving: ready, terminating: false, route: Some(Box::new(route)) }
}

/// Resident memory of this process, in bytes.
fn memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// Processor time of this process, in seconds.
fn processor() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}
