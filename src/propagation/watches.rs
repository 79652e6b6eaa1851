//! The state of the lists of the three watches.

use crate::model::Resource;

/// The three watches.
#[derive(Debug, Default)]
pub(super) struct Watches([Watch; 3]);

/// One watch.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    /// Number of the last list. Each object stores the list in which it was last seen.
    list: u32,
    is_listing: bool,
    listed_once: bool,
}

/// A list and the events after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    /// Its number. Events after the list keep it.
    pub(super) number: u32,
    /// Whether it is incomplete, so that an object may have had states that were not delivered.
    pub(super) is_under_way: bool,
}

// === impl Watches ===

impl Watches {
    /// A list begins.
    pub(super) fn begin(&mut self, resource: Resource) {
        let watch = &mut self.0[resource as usize];
        watch.list = watch.list.wrapping_add(1);
        watch.is_listing = true;
    }

    /// The list is complete.
    pub(super) fn end(&mut self, resource: Resource) {
        let watch = &mut self.0[resource as usize];
        (watch.is_listing, watch.listed_once) = (false, true);
    }

    /// The list to which the current events belong.
    pub(super) fn list(&self, resource: Resource) -> List {
        let watch = &self.0[resource as usize];
        List { number: watch.list, is_under_way: watch.is_listing }
    }

    /// Whether every watch has listed once.
    pub(super) fn have_listed(&self) -> bool {
        self.0.iter().all(|watch| watch.listed_once)
    }
}
