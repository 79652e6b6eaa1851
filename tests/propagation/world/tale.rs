//! A history as text, to find the cause of a failure.

use super::streams::Step;
use endpointlag::model::{EndpointSlice, Event, Families, Pod, Service};
use std::fmt;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Advance(now) => write!(f, "{:?} time passes", now.since_origin()),
            Self::Event(seen, event) => {
                write!(f, "{:?} {:?} ", seen.at.since_origin(), seen.arrival)?;
                match event {
                    Event::Init(resource) => write!(f, "a list of {resource} begins"),
                    Event::InitDone(resource) => write!(f, "the list of {resource} is complete"),
                    Event::WatchLost(resource) => write!(f, "the watch of {resource} is lost"),
                    Event::WatchRestored(resource) => write!(f, "the watch of {resource} is restored"),
                    Event::Pod(it) => pod(f, it),
                    Event::PodDeleted(it) => write!(f, "pod {} deleted", it.uid),
                    Event::Service(it) => service(f, it),
                    Event::ServiceDeleted(it) => write!(f, "Service {}/{} {} deleted", it.namespace, it.name, it.uid),
                    Event::EndpointSlice(it) => slice(f, it),
                    Event::EndpointsChanged(it) => write!(f, "slice {} changed: {:?}", it.uid, it.endpoints),
                    Event::EndpointSliceDeleted(it) => write!(f, "slice {} deleted", it.uid),
                }
            }
        }
    }
}

/// The steps, one on each line.
pub fn tell(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("  {step}\n")).collect()
}

fn pod(f: &mut fmt::Formatter<'_>, pod: &Pod) -> fmt::Result {
    let Pod { uid, namespace, name, resource_version, ready, terminating, terminal, .. } = pod;
    write!(f, "pod {namespace}/{name} {uid} v{resource_version}")?;
    write!(f, " {:?} {}", pod.labels, families(pod.families))?;
    for (is, word) in [(*ready, "ready"), (*terminating, "terminating"), (*terminal, "ended")] {
        if is {
            write!(f, " {word}")?;
        }
    }
    Ok(())
}

fn service(f: &mut fmt::Formatter<'_>, service: &Service) -> fmt::Result {
    let Service { uid, namespace, name, resource_version, selector, objective, ignore, .. } = service;
    write!(f, "Service {namespace}/{name} {uid} v{resource_version}")?;
    write!(f, " {selector:?} {} {:?} {objective:?} {ignore:?}", families(service.families), service.ports)?;
    for (is, word) in [
        (service.external_name, "ExternalName"),
        (service.terminating, "terminating"),
        (service.publish_not_ready_addresses, "publishes"),
    ] {
        if is {
            write!(f, " {word}")?;
        }
    }
    Ok(())
}

fn slice(f: &mut fmt::Formatter<'_>, slice: &EndpointSlice) -> fmt::Result {
    let EndpointSlice { uid, namespace, owner, ports, .. } = slice;
    write!(f, "slice {uid} of {namespace}/{owner:?} {ports:?}:")?;
    for endpoint in &slice.endpoints {
        write!(f, " {}", endpoint.pod)?;
        for (is, word) in
            [(endpoint.ready, "ready"), (endpoint.serving, "serving"), (endpoint.terminating, "terminating")]
        {
            if is {
                write!(f, "+{word}")?;
            }
        }
    }
    Ok(())
}

fn families(families: Families) -> String {
    families.iter().map(|family| format!("{family:?}")).collect::<Vec<_>>().join("+")
}
