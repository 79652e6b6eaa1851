//! Steps as lines, and back.

use super::{
    line,
    names::{Kind, Names},
};
use crate::{
    model::{
        Annotation, Arrival, Endpoint, EndpointPort, EndpointSlice, EndpointsChange, EndpointsPart, Event, Families,
        Family, NamedPort, Pod, Resource, Seen, Service, ServicePort, SliceOwner, Stamp, TargetPort, Uid,
    },
    pipeline::Step,
};
use std::{borrow::Cow, collections::BTreeMap};

/// The line of a step.
pub(super) fn line_of<'a>(step: &Step<&'a Event>, names: &mut Names) -> line::Line<'a> {
    match step {
        Step::Through { scope, at } => line::Line::Through(line::Through { at: at.as_nanos(), scope: *scope }),
        Step::Event { scope, seen, event } => line::Line::Event(line::Event {
            at: seen.at.as_nanos(),
            scope: *scope,
            late: seen.is_late(),
            is: write_event(event, names),
        }),
    }
}

/// The step of this event.
pub(super) fn step_of(event: line::Event<'_>) -> Step {
    let line::Event { at, scope, late, is } = event;
    let arrival = if late { Arrival::Late } else { Arrival::Live };
    Step::Event { scope, seen: Seen { at: Stamp::from_nanos(at), arrival }, event: read_event(is) }
}

fn write_event<'a>(event: &'a Event, names: &mut Names) -> line::What<'a> {
    use line::What;
    match event {
        Event::WatchLost(resource) => What::WatchLost((*resource).into()),
        Event::WatchRestored(resource) => What::WatchRestored((*resource).into()),
        Event::Init(resource) => What::Init((*resource).into()),
        Event::InitDone(resource) => What::InitDone((*resource).into()),
        Event::Pod(pod) => What::Pod(write_pod(pod, names)),
        Event::PodDeleted(pod) => What::PodDeleted(write_pod(pod, names)),
        Event::Service(service) => What::Service(write_service(service, names)),
        Event::ServiceDeleted(service) => What::ServiceDeleted(write_service(service, names)),
        Event::EndpointSlice(slice) => What::EndpointSlice(write_slice(slice, names)),
        Event::EndpointsChanged(change) => What::EndpointsChanged(write_change(change, names)),
        Event::EndpointSliceDeleted(slice) => What::EndpointSliceDeleted(write_slice(slice, names)),
    }
}

fn read_event(event: line::What<'_>) -> Event {
    use line::What;
    match event {
        What::WatchLost(resource) => Event::WatchLost(resource.into()),
        What::WatchRestored(resource) => Event::WatchRestored(resource.into()),
        What::Init(resource) => Event::Init(resource.into()),
        What::InitDone(resource) => Event::InitDone(resource.into()),
        What::Pod(pod) => Event::Pod(read_pod(pod)),
        What::PodDeleted(pod) => Event::PodDeleted(read_pod(pod)),
        What::Service(service) => Event::Service(read_service(service)),
        What::ServiceDeleted(service) => Event::ServiceDeleted(read_service(service)),
        What::EndpointSlice(slice) => Event::EndpointSlice(read_slice(slice)),
        What::EndpointsChanged(change) => Event::EndpointsChanged(read_change(change)),
        What::EndpointSliceDeleted(slice) => Event::EndpointSliceDeleted(read_slice(slice)),
    }
}

fn write_pod<'a>(pod: &'a Pod, names: &mut Names) -> line::Pod<'a> {
    let write_port = |port: &'a NamedPort| line::NamedPort {
        name: names.name(Kind::Port, &port.name),
        protocol: names.name(Kind::Protocol, &port.protocol),
        number: port.number,
    };
    line::Pod {
        ports: pod.ports.iter().map(write_port).collect(),
        namespace: names.name(Kind::Namespace, &pod.namespace),
        name: names.name(Kind::Pod, &pod.name),
        uid: names.uid(&pod.uid).into(),
        version: pod.resource_version,
        labels: write_labels(&pod.labels, names),
        ready: pod.ready,
        terminating: pod.terminating,
        terminal: pod.terminal,
        families: write_families(pod.families),
    }
}

fn read_pod(pod: line::Pod<'_>) -> Pod {
    let read_port = |port: line::NamedPort<'_>| NamedPort {
        name: port.name.into_owned(),
        protocol: port.protocol.into_owned(),
        number: port.number,
    };
    Pod {
        uid: Uid::from(&*pod.uid),
        namespace: pod.namespace.into_owned(),
        name: pod.name.into_owned(),
        resource_version: pod.version,
        labels: pod.labels,
        ready: pod.ready,
        terminating: pod.terminating,
        terminal: pod.terminal,
        families: read_families(&pod.families),
        ports: pod.ports.into_iter().map(read_port).collect(),
    }
}

fn write_service<'a>(service: &'a Service, names: &mut Names) -> line::Service<'a> {
    let write_port = |port: &'a ServicePort| line::ServicePort {
        name: names.name(Kind::Port, &port.name),
        protocol: names.name(Kind::Protocol, &port.protocol),
        target: match &port.target {
            TargetPort::Number(number) => line::Target::Number(*number),
            TargetPort::Name(name) => line::Target::Name(names.name(Kind::Port, name)),
        },
        app_protocol: write_app_protocol(port.app_protocol.as_deref(), names),
    };
    line::Service {
        ports: service.ports.iter().map(write_port).collect(),
        namespace: names.name(Kind::Namespace, &service.namespace),
        name: names.name(Kind::Service, &service.name),
        uid: names.uid(&service.uid).into(),
        version: service.resource_version,
        terminating: service.terminating,
        selector: write_labels(&service.selector, names),
        external_name: service.external_name,
        families: write_families(service.families),
        publish_not_ready_addresses: service.publish_not_ready_addresses,
        objective: write_annotation(&service.objective),
        ignore: write_annotation(&service.ignore),
    }
}

fn read_service(service: line::Service<'_>) -> Service {
    let read_port = |port: line::ServicePort<'_>| ServicePort {
        name: port.name.into_owned(),
        protocol: port.protocol.into_owned(),
        target: match port.target {
            line::Target::Number(number) => TargetPort::Number(number),
            line::Target::Name(name) => TargetPort::Name(name.into_owned()),
        },
        app_protocol: port.app_protocol.map(Cow::into_owned),
    };
    Service {
        uid: Uid::from(&*service.uid),
        namespace: service.namespace.into_owned(),
        name: service.name.into_owned(),
        resource_version: service.version,
        terminating: service.terminating,
        selector: service.selector,
        external_name: service.external_name,
        families: read_families(&service.families),
        ports: service.ports.into_iter().map(read_port).collect(),
        // Only the hop to the nodes reads them.
        virtual_ips: None,
        publish_not_ready_addresses: service.publish_not_ready_addresses,
        objective: read_annotation(service.objective),
        ignore: read_annotation(service.ignore),
    }
}

fn write_slice<'a>(slice: &'a EndpointSlice, names: &Names) -> line::Slice<'a> {
    let write_port = |port: &'a EndpointPort| line::EndpointPort {
        name: names.name(Kind::Port, &port.name),
        protocol: names.name(Kind::Protocol, &port.protocol),
        number: port.number,
        app_protocol: write_app_protocol(port.app_protocol.as_deref(), names),
    };
    let mut ports: Vec<_> = slice.ports.iter().map(write_port).collect();
    // The model has them sorted, and other names have another order.
    ports.sort_unstable();
    line::Slice {
        namespace: names.name(Kind::Namespace, &slice.namespace),
        name: names.name(Kind::Slice, &slice.name),
        uid: names.uid(&slice.uid).into(),
        version: slice.resource_version,
        owner: slice.owner.as_ref().map(|owner| line::Owner {
            uid: names.uid(&owner.uid).into(),
            service: names.name(Kind::Service, &owner.service),
            family: owner.family.into(),
        }),
        ports,
        endpoints: slice.endpoints.iter().map(|endpoint| write_endpoint(endpoint, names)).collect(),
    }
}

fn read_slice(slice: line::Slice<'_>) -> EndpointSlice {
    let read_port = |port: line::EndpointPort<'_>| EndpointPort {
        name: port.name.into_owned(),
        protocol: port.protocol.into_owned(),
        number: port.number,
        app_protocol: port.app_protocol.map(Cow::into_owned),
    };
    EndpointSlice {
        uid: Uid::from(&*slice.uid),
        namespace: slice.namespace.into_owned(),
        name: slice.name.into_owned(),
        resource_version: slice.version,
        owner: slice.owner.map(|owner| SliceOwner {
            uid: Uid::from(&*owner.uid),
            service: owner.service.into_owned(),
            family: owner.family.into(),
        }),
        // Only kernels use it, and what they do is not recorded.
        foreign_to: None,
        ports: slice.ports.into_iter().map(read_port).collect(),
        endpoints: slice.endpoints.into_iter().map(read_endpoint).collect(),
    }
}

fn write_change<'a>(change: &'a EndpointsChange, names: &Names) -> line::Changed<'a> {
    let write_part = |part: &'a EndpointsPart| match part {
        EndpointsPart::Kept(positions) => line::Part::Kept(positions.clone()),
        EndpointsPart::New(endpoint) => line::Part::New(write_endpoint(endpoint, names)),
    };
    line::Changed {
        uid: names.uid(&change.uid).into(),
        name: names.name(Kind::Slice, &change.name),
        version: change.resource_version,
        endpoints: change.endpoints.iter().map(write_part).collect(),
    }
}

fn read_change(change: line::Changed<'_>) -> EndpointsChange {
    let read_part = |part| match part {
        line::Part::Kept(positions) => EndpointsPart::Kept(positions),
        line::Part::New(endpoint) => EndpointsPart::New(read_endpoint(endpoint)),
    };
    EndpointsChange {
        uid: Uid::from(&*change.uid),
        name: change.name.into_owned(),
        resource_version: change.version,
        endpoints: change.endpoints.into_iter().map(read_part).collect(),
    }
}

fn write_endpoint<'a>(endpoint: &'a Endpoint, names: &Names) -> line::Endpoint<'a> {
    line::Endpoint {
        pod: names.uid(&endpoint.pod).into(),
        name: names.name(Kind::Pod, &endpoint.name),
        ready: endpoint.ready,
        serving: endpoint.serving,
        terminating: endpoint.terminating,
    }
}

fn read_endpoint(endpoint: line::Endpoint<'_>) -> Endpoint {
    Endpoint {
        pod: Uid::from(&*endpoint.pod),
        name: endpoint.name.into_owned(),
        ready: endpoint.ready,
        serving: endpoint.serving,
        terminating: endpoint.terminating,
        // Only the hop to the nodes reads it.
        route: None,
    }
}

fn write_labels(labels: &BTreeMap<String, String>, names: &mut Names) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| names.label(key, value)).collect()
}

/// It is a name that people choose, as that of a port is.
fn write_app_protocol<'a>(name: Option<&'a str>, names: &Names) -> Option<Cow<'a, str>> {
    name.map(|name| names.name(Kind::Protocol, name))
}

fn write_families(families: Families) -> Vec<line::Family> {
    families.iter().map(line::Family::from).collect()
}

fn read_families(families: &[line::Family]) -> Families {
    families.iter().copied().map(Family::from).collect()
}

fn write_annotation<T: Copy>(annotation: &Annotation<T>) -> line::Annotation<T> {
    match annotation {
        Annotation::Absent => line::Annotation::Absent,
        Annotation::Set(value) => line::Annotation::Set(*value),
        Annotation::Malformed(_) => line::Annotation::Malformed,
    }
}

fn read_annotation<T>(annotation: line::Annotation<T>) -> Annotation<T> {
    match annotation {
        line::Annotation::Absent => Annotation::Absent,
        line::Annotation::Set(value) => Annotation::Set(value),
        line::Annotation::Malformed => Annotation::Malformed(String::new()),
    }
}

// === impl Resource ===

impl From<Resource> for line::Resource {
    fn from(resource: Resource) -> Self {
        match resource {
            Resource::Pods => Self::Pods,
            Resource::Services => Self::Services,
            Resource::EndpointSlices => Self::EndpointSlices,
        }
    }
}

impl From<line::Resource> for Resource {
    fn from(resource: line::Resource) -> Self {
        match resource {
            line::Resource::Pods => Self::Pods,
            line::Resource::Services => Self::Services,
            line::Resource::EndpointSlices => Self::EndpointSlices,
        }
    }
}

// === impl Family ===

impl From<Family> for line::Family {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }
}

impl From<line::Family> for Family {
    fn from(family: line::Family) -> Self {
        match family {
            line::Family::V4 => Self::V4,
            line::Family::V6 => Self::V6,
        }
    }
}
