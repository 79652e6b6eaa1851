use super::*;
use crate::simulator::object::set_ready;

fn pod(namespace: &str, name: &str) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.namespace = namespace.to_owned();
    pod.metadata.name = name.to_owned();
    pod
}

fn names(page: &Page<Pod>) -> Vec<&str> {
    page.items.iter().map(|p| p.metadata.name.as_str()).collect()
}

#[test]
fn one_counter_over_all_resources() {
    let store = Store::new(10);
    let first = store.apply(pod("shop", "cart-1"));
    let mut service = Service::default();
    service.metadata.name = "cart".to_owned();
    let second = store.apply(service);
    let deleted = store.delete::<Pod>("shop", "cart-1").unwrap();
    assert_eq!(first.metadata.resource_version, "1");
    assert_eq!(second.metadata.resource_version, "2");
    assert_eq!(deleted.metadata.resource_version, "3", "a deletion has a version of its own");
    assert_eq!(store.version(), 3);
}

#[test]
fn a_write_that_changes_nothing_is_none() {
    let store = Store::new(10);
    store.apply(pod("shop", "cart-1"));
    let again = store.apply(pod("shop", "cart-1"));
    assert_eq!(again.metadata.resource_version, "1");
    assert_eq!(store.since::<Pod>(0, 10).unwrap().events.len(), 1);
}

#[test]
fn events_are_read_in_batches_to_the_version_of_the_store() {
    let store = Store::new(10);
    for name in ["a", "b", "c"] {
        store.apply(pod("shop", name));
    }
    store.apply(Service::default());
    let batch = store.since::<Pod>(1, 1).unwrap();
    assert_eq!((batch.events.len(), batch.version), (1, 2));
    let batch = store.since::<Pod>(batch.version, 10).unwrap();
    assert_eq!((batch.events.len(), batch.version), (1, 4), "the Service's write counts as read");
    assert!(store.since::<Pod>(4, 10).unwrap().events.is_empty());
}

#[test]
fn history_is_bounded_and_older_versions_expire() {
    let store = Store::new(3);
    for n in 0..5 {
        store.apply(pod("shop", &format!("cart-{n}")));
    }
    assert_eq!(store.since::<Pod>(1, 10).unwrap_err(), Expired { asked: 1, oldest: 2 });
    assert_eq!(store.since::<Pod>(2, 10).unwrap().events.len(), 3);
    assert!(store.since::<Service>(0, 10).is_ok(), "each resource has a history of its own");
    store.compact();
    assert!(store.since::<Pod>(4, 10).is_err());
    assert!(store.since::<Pod>(5, 10).is_ok());
}

#[test]
fn pages_show_one_version_whatever_happens_between_them() {
    let store = Store::new(100);
    for name in ["a", "c", "e", "g", "i"] {
        store.apply(pod("shop", name));
    }
    let first = store.page::<Pod>(None, None, None, 2).unwrap();
    assert_eq!((names(&first), first.more), (vec!["a", "c"], true));

    // Behind the first page: one new, one gone, one changed twice, one left alone.
    store.apply(pod("shop", "d"));
    store.delete::<Pod>("shop", "e");
    store.update("shop", "g", |p: &mut Pod| set_ready(p, true));
    store.update("shop", "g", |p: &mut Pod| set_ready(p, false));
    let after = ("shop".to_owned(), "c".to_owned());
    let second = store.page::<Pod>(None, Some(first.version), Some(&after), 2).unwrap();
    assert_eq!((names(&second), second.more), (vec!["e", "g"], true));
    assert!(second.items[1].status.is_none(), "as it was at the first page");

    let now = store.page::<Pod>(None, None, None, 10).unwrap();
    assert_eq!(names(&now), ["a", "c", "d", "g", "i"]);
    store.compact();
    assert!(store.page::<Pod>(None, Some(first.version), Some(&after), 2).is_err());
}

#[test]
fn a_namespace_is_listed_alone() {
    let store = Store::new(100);
    store.apply(pod("pay", "x"));
    store.apply(pod("payments", "a"));
    store.apply(pod("payments", "b"));
    store.apply(pod("shop", "c"));
    let page = store.page::<Pod>(Some("payments"), None, None, 10).unwrap();
    assert_eq!(names(&page), ["a", "b"]);
    assert_eq!(store.select::<Pod>(Some("pay"), |_| true).len(), 1);
    assert_eq!(store.select::<Pod>(None, |_| true).len(), 4);
}
