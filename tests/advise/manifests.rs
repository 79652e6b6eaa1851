//! Manifests of a workload that is set well, to be changed by a test.

use serde_json::{Value, json};

/// Labels of the pods of `name`.
fn labels(name: &str) -> Value {
    json!({ "app": name })
}

/// A Service of the pods of `name`.
pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "selector": labels(name), "ports": [{ "port": 80, "targetPort": "http" }] },
    })
}

/// A Deployment that is set well.
pub fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": 3,
            "minReadySeconds": 5,
            "selector": { "matchLabels": labels(name) },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": {
                "metadata": { "labels": labels(name) },
                "spec": {
                    "terminationGracePeriodSeconds": 60,
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": { "matchLabels": labels(name) },
                    }],
                    "containers": [{
                        "name": "main",
                        "image": "registry.example.org/main:1",
                        "ports": [{ "name": "http", "containerPort": 8080 }],
                        "readinessProbe": { "httpGet": { "path": "/ready", "port": "http" }, "periodSeconds": 3 },
                        "livenessProbe": { "httpGet": { "path": "/live", "port": "http" }, "failureThreshold": 6 },
                        "lifecycle": { "preStop": { "sleep": { "seconds": 15 } } },
                    }],
                },
            },
        },
    })
}

/// The container of a Deployment.
pub fn container(deployment: &mut Value) -> &mut Value {
    &mut deployment["spec"]["template"]["spec"]["containers"][0]
}

/// A PodDisruptionBudget of the pods of `of`.
pub fn budget(name: &str, of: &str) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": { "name": name },
        "spec": {
            "maxUnavailable": 1,
            "selector": { "matchLabels": labels(of) },
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    })
}

/// A HorizontalPodAutoscaler of the Deployment `name`.
pub fn autoscaler(name: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": name },
        "spec": {
            "minReplicas": 3,
            "maxReplicas": 9,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "metrics": [{
                "type": "Resource",
                "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } },
            }],
        },
    })
}

/// All objects of a workload that is set well: its Service, Deployment, budget and autoscaler, in this order.
pub fn sound(name: &str) -> [Value; 4] {
    [service(name), deployment(name), budget(name, name), autoscaler(name)]
}

/// A workload with nothing that a measurement is needed for: no preStop, no minReadySeconds, and a slow probe.
pub fn unprepared(name: &str) -> [Value; 4] {
    let mut objects = sound(name);
    objects[1]["spec"]["minReadySeconds"] = json!(0);
    container(&mut objects[1])["lifecycle"] = Value::Null;
    container(&mut objects[1])["readinessProbe"]["periodSeconds"] = json!(60);
    objects
}
