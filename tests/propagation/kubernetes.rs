//! How k8s.io/endpointslice makes an endpoint of a pod and a Service, written again from its source for the simulated controller and
//! for the reference.

use endpointlag::model::{Endpoint, EndpointPort, Pod, Service, ServicePort, TargetPort};

/// `getEndpointPorts`: the ports of a slice of the Service that lists the pod. A port that the pod does not have is
/// left out. The order of ports in a slice has no meaning, so they are sorted.
pub fn endpoint_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut ports = Vec::new();
    for port in &service.ports {
        let Some(number) = find_port(pod, port) else { continue };
        ports.push(EndpointPort {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            number: Some(number),
            app_protocol: port.app_protocol.clone(),
        });
    }
    ports.sort();
    ports
}

/// `FindPort`: the name is looked up in one container after the other, and the protocol must match.
fn find_port(pod: &Pod, wanted: &ServicePort) -> Option<i32> {
    match &wanted.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => {
            for port in &pod.ports {
                if port.name == *name && port.protocol == wanted.protocol {
                    return Some(port.number);
                }
            }
            None
        }
    }
}

/// `podToEndpoint`: how a slice of the Service lists the pod.
pub fn pod_to_endpoint(pod: &Pod, publish_not_ready_addresses: bool) -> Endpoint {
    Endpoint {
        pod: pod.uid.clone(),
        name: pod.name.clone(),
        ready: publish_not_ready_addresses || (pod.ready && !pod.terminating),
        serving: pod.ready,
        terminating: pod.terminating,
        route: None,
    }
}
