//! Which pods a workload has made.
//!
//! Its selector alone does not tell: that of a Deployment often matches the pods of its canary too, or those of a Job. Controllers know
//! their pods by owner references, which the watch does not decode. Their names and labels say the same.

use crate::model::{Pod, spec::WorkloadKind};

/// Names that the API server completes are cut to this number of bytes before it adds [`LETTERS`]: k8s.io/apiserver/pkg/storage/names.
const CUT: usize = 58;
const LETTERS: usize = 5;

/// The label in which a Deployment's controller writes of which ReplicaSet a pod is.
const HASH: &str = "pod-template-hash";

/// Whether a pod whose labels match has been made by the controller of this workload.
pub fn is_made_by(kind: WorkloadKind, workload: &str, pod: &Pod) -> bool {
    match kind {
        WorkloadKind::Deployment => {
            pod.labels.get(HASH).is_some_and(|hash| is_completed(&format!("{workload}-{hash}-"), &pod.name))
        }
        WorkloadKind::StatefulSet => {
            let ordinal = pod.name.strip_prefix(workload).and_then(|rest| rest.strip_prefix('-'));
            ordinal.is_some_and(|ordinal| !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit()))
        }
        WorkloadKind::DaemonSet => is_completed(&format!("{workload}-"), &pod.name),
    }
}

/// Whether the API server made this name from a generateName.
fn is_completed(generate: &str, name: &str) -> bool {
    let kept = generate.get(..CUT).unwrap_or(generate);
    name.strip_prefix(kept).is_some_and(|letters| letters.len() == LETTERS && !letters.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Families, Uid};
    use WorkloadKind::*;

    fn pod(name: &str, hash: Option<&str>) -> Pod {
        Pod {
            uid: Uid::from("00000000-0000-0000-0000-000000000001"),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            resource_version: 1,
            labels: hash.map(|hash| (HASH.to_owned(), hash.to_owned())).into_iter().collect(),
            ready: true,
            terminating: false,
            terminal: false,
            families: Families::NONE,
            ports: Vec::new(),
        }
    }

    #[test]
    fn pods_of_others_with_the_same_labels_are_none_of_a_workload() {
        let long = "a".repeat(70);
        let cut = format!("{}bcdfg", "a".repeat(58));
        let cases = [
            (Deployment, "web", "web-855694bd77-cgwvv", Some("855694bd77"), true),
            (Deployment, "web", "web-canary-6d4b75cb6d-x2x4z", Some("6d4b75cb6d"), false),
            (Deployment, "web", "web-29000123-7xk2p", None, false),
            (Deployment, "web", "web", Some("855694bd77"), false),
            (Deployment, &long, &cut, Some("855694bd77"), true),
            (StatefulSet, "db", "db-0", None, true),
            (StatefulSet, "db", "db-12", None, true),
            (StatefulSet, "db", "db-replica-0", None, false),
            (StatefulSet, "db", "db-", None, false),
            (DaemonSet, "proxy", "proxy-x2x4z", None, true),
            (DaemonSet, "proxy", "proxy-edge-x2x4z", None, false),
            (DaemonSet, "proxy", "proxy-7f9c-x2x4z", None, false),
        ];
        for (kind, workload, name, hash, expected) in cases {
            assert_eq!(is_made_by(kind, workload, &pod(name, hash)), expected, "{kind} {workload}: {name}");
        }
    }
}
