//! Names and addresses that are reused.

use super::{selecting, start_plane};
use anyhow::Result;
use std::collections::BTreeSet;
use testkit::controlplane::plane::Options;
use testkit::scene::Scene;
use testkit::truth::Change;

/// How often the pod is replaced.
const LIVES: usize = 4;

/// A pod that takes over the name and the address of the previous one at once, as a StatefulSet's may. The controller changes one
/// endpoint in place, and only the UID shows that it is another pod's.
#[tokio::test]
async fn replaced_under_the_same_name_and_address() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "identity").await?;
    scene.create_service("db", selecting("db")).await?;
    let mut pod = scene.objects.create_pod("db-0", "db").await?;
    scene.objects.report(&pod, true).await?;
    scene.agree().await?;
    for _ in 1..LIVES {
        scene.objects.finish(&pod).await?;
        pod = scene.objects.create_pod("db-0", "db").await?.at(&pod);
        scene.objects.report(&pod, true).await?;
        // One watch may deliver the pod's end before the other delivers its beginning: wait until the change is reported.
        scene.agree().await?;
    }
    let pairs = scene.agree().await?;
    for (change, expected) in [(Change::Ready, LIVES), (Change::Removed, LIVES - 1)] {
        let of_kind = pairs.iter().filter(|pair| pair.record.change == change);
        let uids: BTreeSet<_> = of_kind.clone().map(|pair| pair.sample.uid.clone()).collect();
        assert_eq!((of_kind.count(), uids.len()), (expected, expected), "{}: one a life", change.label());
    }
    let names: BTreeSet<_> = pairs.iter().filter_map(|pair| pair.sample.pod.clone()).collect();
    assert_eq!(names, BTreeSet::from(["db-0".to_owned()]));
    scene.finish().await
}
