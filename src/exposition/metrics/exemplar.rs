//! The labels of an exemplar, which name a pod.

use crate::propagation::PodRef;

/// Maximum number of characters of all label names and values of an exemplar. OpenMetrics 1.0 defines it. Prometheus rejects
/// longer ones, in protobuf too.
const MOST: usize = 128;

/// The labels that name a pod, if there is room: with a pod name of more than 86 characters there is no room for the UID. `None`
/// if even the name is too long.
pub(super) fn labels(pod: &PodRef) -> Option<Vec<(&'static str, String)>> {
    let mut labels = vec![("pod", pod.name.to_string()), ("uid", pod.uid.to_string())];
    while labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum::<usize>() > MOST {
        labels.pop();
    }
    (!labels.is_empty()).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Uid;

    fn names(length: usize) -> Option<Vec<&'static str>> {
        let uid = Uid::from("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
        let labels = labels(&PodRef { name: "p".repeat(length).into(), uid })?;
        Some(labels.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn a_long_name_drops_the_uid_and_then_the_exemplar() {
        assert_eq!(names(86), Some(vec!["pod", "uid"]));
        assert_eq!(names(87), Some(vec!["pod"]));
        assert_eq!(names(125), Some(vec!["pod"]));
        assert_eq!(names(126), None);
    }
}
