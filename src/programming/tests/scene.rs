//! A scripted Service with its slices.

use crate::{
    ledger::{Carried, Cause, Change},
    model::{
        Annotation, Backend, Endpoint, EndpointPort, EndpointSlice, Event, Families, Family, Frontend, Interval,
        Protocol, Resource, Route, Seen, Service, ServicePort, SetChange, SliceOwner, SliceVersion, Stamp, TargetPort,
        Uid, VirtualIps,
    },
    programming::{NodeOutcome, Programming, ProgrammingSettings, Report, Share, Spread},
    propagation::{PodRef, ServiceName, Subject},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

pub(super) struct Scene {
    pub(super) programming: Programming,
    pub(super) service: Service,
    reports: Vec<Report>,
    version: u64,
}

/// An endpoint of a slice, not ready.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    pod: &'static str,
    host: u8,
    ready: bool,
    serving: bool,
    terminating: bool,
    node: Option<&'static str>,
    has_hints: bool,
}

pub(super) fn at(millis: u64) -> Stamp {
    Stamp::new(Duration::from_millis(millis))
}

pub(super) fn frontend() -> Frontend {
    Frontend { address: Ipv4Addr::new(10, 96, 0, 10).into(), protocol: Protocol::Tcp, port: 80 }
}

/// The backend of a pod with this address, of the frontend's family and with the port for it.
pub(super) fn backend(frontend: &Frontend, host: u8) -> Backend {
    Backend { address: address(frontend.family(), host), port: frontend.port + 8000 }
}

pub(super) fn endpoint(pod: &'static str, host: u8) -> Listed {
    Listed { pod, host, ready: false, serving: false, terminating: false, node: None, has_hints: false }
}

fn address(family: Family, host: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 244, 0, host).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()).into(),
    }
}

impl Listed {
    pub(super) fn ready(self) -> Self {
        Self { ready: true, serving: true, ..self }
    }

    pub(super) fn terminating(self) -> Self {
        Self { ready: false, serving: true, terminating: true, ..self }
    }

    pub(super) fn on(self, node: &'static str) -> Self {
        Self { node: Some(node), ..self }
    }

    pub(super) fn with_hints(self) -> Self {
        Self { has_hints: true, ..self }
    }

    fn endpoint(self, family: Family) -> Endpoint {
        let Self { pod, host, ready, serving, terminating, node, has_hints } = self;
        let route = Route { address: address(family, host), node: node.map(Into::into), has_hints };
        Endpoint { pod: pod.into(), name: pod.into(), ready, serving, terminating, route: Some(Box::new(route)) }
    }
}

impl Scene {
    /// A Service without endpoints, and nodes whose agents see their data planes.
    pub(super) fn with_nodes(nodes: &[&str]) -> Self {
        let settings = ProgrammingSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(600) };
        let mut programming = Programming::new(settings);
        for resource in [Resource::Services, Resource::EndpointSlices] {
            programming.apply(0, Seen::late(at(0)), &Event::Init(resource));
            programming.apply(0, Seen::late(at(0)), &Event::InitDone(resource));
        }
        let virtual_ips = VirtualIps { addresses: vec![frontend().address], ports: vec![80], is_local: false };
        let service = Service {
            uid: "service".into(),
            namespace: "shop".into(),
            name: "web".into(),
            resource_version: 1,
            terminating: false,
            selector: [("app".to_owned(), "web".to_owned())].into(),
            external_name: false,
            families: [Family::V4].into_iter().collect::<Families>(),
            ports: vec![port(80)],
            virtual_ips: Some(Box::new(virtual_ips)),
            publish_not_ready_addresses: false,
            objective: Annotation::Absent,
            ignore: Annotation::Absent,
        };
        let mut scene = Self { programming, service, reports: Vec::new(), version: 1 };
        nodes.iter().for_each(|node| scene.follow(node, 0));
        scene.update_service(0);
        scene
    }

    /// The agent of a node sees its data plane from now on.
    pub(super) fn follow(&mut self, node: &str, millis: u64) {
        self.programming.set_follows(node, Family::ALL.into_iter().collect(), at(millis));
    }

    pub(super) fn with_ports(mut self, ports: &[u16]) -> Self {
        self.service.ports = ports.iter().copied().map(port).collect();
        if let Some(virtual_ips) = &mut self.service.virtual_ips {
            virtual_ips.ports = ports.to_vec();
        }
        self.update_service(0);
        self
    }

    pub(super) fn with_both_families(mut self) -> Self {
        self.service.families.insert(Family::V6);
        if let Some(virtual_ips) = &mut self.service.virtual_ips {
            virtual_ips.addresses.push(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 10).into());
        }
        self.update_service(0);
        self
    }

    pub(super) fn with_local_traffic(mut self) -> Self {
        if let Some(virtual_ips) = &mut self.service.virtual_ips {
            virtual_ips.is_local = true;
        }
        self.update_service(0);
        self
    }

    pub(super) fn update_service(&mut self, millis: u64) {
        self.programming.apply(0, Seen::live(at(millis)), &Event::Service(self.service.clone()));
    }

    pub(super) fn delete_service(&mut self, millis: u64) {
        let event = Event::ServiceDeleted(self.service.clone());
        self.programming.apply(0, Seen::live(at(millis)), &event);
        self.drain();
    }

    /// The Service's frontends.
    pub(super) fn frontends(&self) -> Vec<Frontend> {
        let virtual_ips = self.service.virtual_ips.clone().expect("it has some");
        let with = |address: IpAddr| {
            let frontend = move |port| Frontend { address, protocol: Protocol::Tcp, port };
            virtual_ips.ports.clone().into_iter().map(frontend)
        };
        virtual_ips.addresses.iter().copied().flat_map(with).collect()
    }

    /// The slice's first contents, which all nodes have shown.
    pub(super) fn synced(&mut self, endpoints: &[Listed]) {
        let event = self.event(Family::V4, endpoints);
        self.programming.apply(0, Seen::late(at(1)), &event);
        let nodes: Vec<String> = self.nodes();
        for node in nodes {
            let used = endpoints.iter().filter(|it| it.ready).map(|it| it.host).collect::<Vec<_>>();
            used.into_iter().for_each(|host| self.observes(&node, 2, frontend(), true, host));
        }
    }

    fn nodes(&self) -> Vec<String> {
        let standing = ["a", "b", "c", "d"];
        standing.iter().take(self.programming.standing(at(0)).following as usize).map(|it| (*it).to_owned()).collect()
    }

    /// The IPv4 slice has these endpoints now.
    pub(super) fn slice(&mut self, millis: u64, endpoints: &[Listed]) {
        self.seen(Seen::live(at(millis)), Family::V4, endpoints);
    }

    pub(super) fn slice_v6(&mut self, millis: u64, endpoints: &[Listed]) {
        self.seen(Seen::live(at(millis)), Family::V6, endpoints);
    }

    /// The same in a list or a replay.
    pub(super) fn slice_late(&mut self, millis: u64, endpoints: &[Listed]) {
        self.seen(Seen::late(at(millis)), Family::V4, endpoints);
    }

    fn seen(&mut self, seen: Seen, family: Family, endpoints: &[Listed]) {
        let event = self.event(family, endpoints);
        self.programming.apply(0, seen, &event);
        self.drain();
    }

    fn event(&mut self, family: Family, endpoints: &[Listed]) -> Event {
        self.version += 1;
        let ports = self.service.ports.iter().map(|port| EndpointPort {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            number: match port.target {
                TargetPort::Number(number) => Some(number),
                TargetPort::Name(_) => None,
            },
            app_protocol: None,
        });
        let owner = SliceOwner { uid: self.service.uid.clone(), service: "web".into(), family };
        Event::EndpointSlice(EndpointSlice {
            uid: slice_uid(family),
            namespace: "shop".into(),
            name: "web-1".into(),
            resource_version: self.version,
            owner: Some(owner),
            foreign_to: None,
            ports: ports.collect(),
            endpoints: endpoints.iter().map(|it| it.endpoint(family)).collect(),
        })
    }

    /// Somebody else has made a slice for the Service, or has deleted it.
    pub(super) fn foreign_slice(&mut self, millis: u64, is_there: bool) {
        let Event::EndpointSlice(slice) = self.event(Family::V4, &[]) else { return };
        let foreign_to = Some("web".into());
        let slice = EndpointSlice { uid: "foreign".into(), owner: None, foreign_to, ..slice };
        let event = if is_there { Event::EndpointSlice(slice) } else { Event::EndpointSliceDeleted(slice) };
        self.programming.apply(0, Seen::live(at(millis)), &event);
        self.drain();
    }

    /// The slice hop has carried a change of a pod.
    pub(super) fn carried(&mut self, change: Change, pod: &str, began: u64, shown: u64) {
        let pod = PodRef { name: pod.into(), uid: pod.into() };
        self.carried_of(change, Some(pod), began, shown);
    }

    pub(super) fn carried_of(&mut self, change: Change, pod: Option<PodRef>, began: u64, shown: u64) {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: "web".into() });
        let by = SliceVersion { uid: slice_uid(Family::V4), name: "web-1".into(), resource_version: self.version };
        let carried = Carried {
            key: Subject { service, pod },
            change,
            cause: Cause::Pod,
            began: at(began),
            shown: at(shown),
            by: Arc::new(by),
        };
        self.programming.carried(carried, 0, at(began.max(shown)));
        self.drain();
    }

    /// The kernel of a node starts or stops to use a pod.
    pub(super) fn shows(&mut self, node: &str, millis: u64, adds: bool, host: u8) {
        self.observes(node, millis, frontend(), adds, host);
    }

    pub(super) fn observes(&mut self, node: &str, millis: u64, frontend: Frontend, adds: bool, host: u8) {
        self.observes_backend(node, millis, frontend, adds, backend(&frontend, host));
    }

    pub(super) fn observes_backend(
        &mut self,
        node: &str,
        millis: u64,
        frontend: Frontend,
        adds: bool,
        backend: Backend,
    ) {
        let when = Interval { earliest: at(millis), latest: at(millis) };
        self.observes_at(node, Some(when), millis, frontend, adds, backend);
    }

    /// With an unknown time.
    pub(super) fn observes_somewhen(&mut self, node: &str, millis: u64, adds: bool, host: u8) {
        self.observes_at(node, None, millis, frontend(), adds, backend(&frontend(), host));
    }

    fn observes_at(
        &mut self,
        node: &str,
        when: Option<Interval>,
        millis: u64,
        frontend: Frontend,
        adds: bool,
        backend: Backend,
    ) {
        let (added, removed) = if adds { (vec![backend], Vec::new()) } else { (Vec::new(), vec![backend]) };
        self.programming.observed(node, &SetChange { frontend, added, removed }, when, at(millis));
        self.drain();
    }

    /// The agent of a node tells that the kernel uses these pods.
    pub(super) fn state(&mut self, node: &str, millis: u64, hosts: &[u8]) {
        let backends: Vec<_> = hosts.iter().map(|host| backend(&frontend(), *host)).collect();
        let state: Vec<_> = if hosts.is_empty() { Vec::new() } else { vec![(frontend(), backends.iter().collect())] };
        self.programming.state(node, &state, false, at(millis));
        self.programming.state(node, &[], true, at(millis));
        self.drain();
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.programming.advance(at(millis));
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        self.reports.extend(self.programming.reports());
    }

    /// The delays of all nodes, in the order of their reports.
    pub(super) fn delays(&self) -> Vec<Duration> {
        let delay = |report: &Report| match report {
            Report::Nodes { outcome: NodeOutcome::InEffect, delay, .. } => *delay,
            _ => None,
        };
        self.reports.iter().filter_map(delay).collect()
    }

    /// On how many nodes changes ended in each way.
    pub(super) fn outcomes(&self) -> Vec<(NodeOutcome, u64)> {
        let of = |wanted| {
            let count = |report: &Report| match report {
                Report::Nodes { outcome, nodes, .. } if *outcome == wanted => *nodes,
                _ => 0,
            };
            (wanted, self.reports.iter().map(count).sum())
        };
        NodeOutcome::ALL.into_iter().map(of).filter(|(_, count)| *count > 0).collect()
    }

    pub(super) fn visible(&self) -> Vec<(Share, Duration)> {
        let visible = |report: &Report| match report {
            Report::Visible { share, delay, is_expired: false, .. } => Some((*share, *delay)),
            _ => None,
        };
        self.reports.iter().filter_map(visible).collect()
    }

    /// The shares that had not had a change in effect before it expired, and its age.
    pub(super) fn expired_shares(&self) -> Vec<(Share, Duration)> {
        let expired = |report: &Report| match report {
            Report::Visible { share, delay, is_expired: true, .. } => Some((*share, *delay)),
            _ => None,
        };
        self.reports.iter().filter_map(expired).collect()
    }

    /// Which changes missed their objective, in the order in which that was certain.
    pub(super) fn missed(&self) -> Vec<(Change, bool)> {
        let judged = |report: &Report| match report {
            Report::Judged { change, missed, .. } => Some((*change, *missed)),
            _ => None,
        };
        self.reports.iter().filter_map(judged).collect()
    }

    /// A change of a pod has expired before any slice showed it.
    pub(super) fn expired(&mut self, change: Change) {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: "web".into() });
        self.programming.expired(&Subject { service, pod: None }, change);
        self.drain();
    }

    /// How each change spread that has ended on each node.
    pub(super) fn spreads(&self) -> impl Iterator<Item = &Spread> {
        self.reports.iter().filter_map(|report| match report {
            Report::Spread(spread) => Some(spread),
            _ => None,
        })
    }

    /// The only change that has ended on each node.
    pub(super) fn spread(&self) -> &Spread {
        let mut all = self.spreads();
        let first = all.next().expect("one has ended");
        assert_eq!(all.next(), None, "one");
        first
    }
}

fn slice_uid(family: Family) -> Uid {
    Uid::from(if family == Family::V4 { "slice-v4" } else { "slice-v6" })
}

fn port(number: u16) -> ServicePort {
    let target = TargetPort::Number((number + 8000).into());
    ServicePort { name: format!("port-{number}"), protocol: "TCP".into(), target, app_protocol: None }
}
