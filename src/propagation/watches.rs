//! Where the lists of the three watches stand.

use crate::model::Resource;

/// The three watches.
#[derive(Debug, Default)]
pub(super) struct Watches([Watch; 3]);

/// One watch.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    /// Number of the last list; objects remember in which they were seen last.
    list: u32,
    is_listing: bool,
    listed_once: bool,
}

/// The list to which an object belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    /// Its number. It goes on with what is told after the list.
    pub(super) number: u32,
    /// Whether it is under way, so that an object may have gone through states that nobody told of.
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

    /// The list to which what is told now belongs.
    pub(super) fn list(&self, resource: Resource) -> List {
        let watch = &self.0[resource as usize];
        List { number: watch.list, is_under_way: watch.is_listing }
    }

    /// Whether every watch has listed once.
    pub(super) fn have_listed(&self) -> bool {
        self.0.iter().all(|watch| watch.listed_once)
    }
}
