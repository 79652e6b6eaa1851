//! Slices that another writer than the EndpointSlice controller has made for a Service. kube-proxy uses them beside the controller's, and they
//! are not measured. So for such a Service it is not known what kernels should do.

use super::views::Scope;
use crate::{model::Uid, propagation::ServiceName};
use std::{
    collections::{HashMap, hash_map::Entry as Place},
    sync::Arc,
};

/// All such slices.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    slices: HashMap<Uid, Entry>,
    /// How many of them each Service has.
    by_service: HashMap<Arc<ServiceName>, usize>,
}

#[derive(Debug)]
struct Entry {
    service: Arc<ServiceName>,
    scope: Scope,
    list: u32,
}

// === impl Foreign ===

impl Foreign {
    /// Whether a Service has any.
    pub(super) fn has(&self, service: &ServiceName) -> bool {
        self.by_service.contains_key(service)
    }

    /// A slice for this Service. Returns the Services that it affects.
    pub(super) fn seen(&mut self, uid: &Uid, service: ServiceName, scope: Scope, list: u32) -> Vec<Arc<ServiceName>> {
        if let Some(known) = self.slices.get_mut(uid).filter(|known| *known.service == service) {
            known.list = list;
            return Vec::new();
        }
        let before = self.gone(uid);
        let service = Arc::new(service);
        *self.by_service.entry(service.clone()).or_default() += 1;
        self.slices.insert(uid.clone(), Entry { service: service.clone(), scope, list });
        before.into_iter().chain([service]).collect()
    }

    /// A slice is gone, or is not of this kind any more. Returns the Service that it was for.
    pub(super) fn gone(&mut self, uid: &Uid) -> Option<Arc<ServiceName>> {
        let service = self.slices.remove(uid)?.service;
        if let Place::Occupied(mut count) = self.by_service.entry(service.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(service)
    }

    /// A list of a scope is complete: what it did not contain is gone. Returns the Services that it was for.
    pub(super) fn end_list(&mut self, scope: Scope, list: u32) -> Vec<Arc<ServiceName>> {
        let gone = self.slices.iter().filter(|(_, it)| it.scope == scope && it.list != list);
        let gone: Vec<_> = gone.map(|(uid, _)| uid.clone()).collect();
        gone.iter().filter_map(|uid| self.gone(uid)).collect()
    }
}
