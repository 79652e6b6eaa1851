//! Lists in pages, and what may not be listed.

use crate::cluster::ScopeSettings;
use http::StatusCode;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::{DynamicObject, GroupVersionKind, ObjectList, PartialObjectMeta, Request},
    discovery::ApiResource,
};
use serde::de::DeserializeOwned;
use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How fast lists are read.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Objects of one page. The largest pods and Deployments have some hundred kilobytes.
    page: u32,
    /// How many times as long as a page took it rests before the next one.
    rests: u32,
}

/// The longest rest. A list must end before its version is compacted, which the API server does every five minutes.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// How often a list begins again whose next page has expired.
const ATTEMPTS: u32 = 3;

/// A resource that may not be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The resource with its group, such as `poddisruptionbudgets.policy`.
    pub resource: &'static str,
    /// In which namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// Services or pods may not be listed.
    #[error("may not list {}. Advice needs permission to list services and pods: see `kubectl auth can-i \
             --list`", place(.0))]
    Denied(Missing),
    /// A list failed.
    #[error("cannot list {resource}")]
    List {
        /// What was listed.
        resource: &'static str,
        /// Why it failed.
        source: Box<kube::Error>,
    },
}

/// The objects that were listed, if they may be.
pub(super) enum Listed<T> {
    All(Vec<T>),
    Denied,
}

/// Lists resources of one part of a cluster.
pub(super) struct Lists<'a> {
    client: Client,
    scope: &'a ScopeSettings,
    pace: Pace,
    missing: Vec<Missing>,
}

/// What one list is of.
struct Part<K> {
    /// `None` for the whole cluster.
    namespace: Option<String>,
    api: Api<K>,
    /// Parameters of the first page.
    first: ListParams,
}

fn place(missing: &Missing) -> String {
    match &missing.namespace {
        Some(namespace) => format!("{} in namespace {namespace}", missing.resource),
        None => format!("{} of the whole cluster", missing.resource),
    }
}

// === impl Pace ===

impl Pace {
    /// For somebody who waits.
    pub const FAST: Self = Self { page: 500, rests: 0 };

    /// For what comes again and again: one connection is busy for a third of the time, with an answer of a few megabytes.
    pub const GENTLE: Self = Self { page: 200, rests: 2 };
}

// === impl Listed ===

impl<T> Listed<T> {
    /// The objects; `None` if they may not be read.
    pub(super) fn readable(self) -> Option<Vec<T>> {
        match self {
            Self::All(objects) => Some(objects),
            Self::Denied => None,
        }
    }
}

// === impl Lists ===

impl<'a> Lists<'a> {
    pub(super) fn new(client: Client, scope: &'a ScopeSettings, pace: Pace) -> Self {
        Self { client, scope, pace, missing: Vec::new() }
    }

    pub(super) fn missing(self) -> Vec<Missing> {
        self.missing
    }

    /// What is indispensable. `convert` keeps of each object what is needed, so that a large cluster is not held in memory.
    pub(super) async fn all<K, T>(
        &mut self,
        resource: &'static str,
        convert: impl FnMut(K) -> Option<T>,
    ) -> Result<Vec<T>, InventoryError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let listed = self.any(resource, convert).await?;
        self.needed(listed)
    }

    fn needed<T>(&mut self, listed: Listed<T>) -> Result<Vec<T>, InventoryError> {
        match listed {
            Listed::All(objects) => Ok(objects),
            Listed::Denied => match self.missing.pop() {
                Some(missing) => Err(InventoryError::Denied(missing)),
                None => Ok(Vec::new()),
            },
        }
    }

    /// What may be missing.
    pub(super) async fn any<K, T>(
        &mut self,
        resource: &'static str,
        convert: impl FnMut(K) -> Option<T>,
    ) -> Result<Listed<T>, InventoryError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let apis = self.apis(|namespace| self.typed(namespace));
        self.pages(resource, apis, async |api: &Api<K>, page: &ListParams| api.list(page).await, convert).await
    }

    /// What is indispensable, of which only the fields of `O` are parsed.
    pub(super) async fn slim<K, O, T>(
        &mut self,
        resource: &'static str,
        convert: impl FnMut(O) -> Option<T>,
    ) -> Result<Vec<T>, InventoryError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone,
        O: Clone + DeserializeOwned,
    {
        let apis = self.apis(|namespace| self.typed::<K>(namespace));
        let client = self.client.clone();
        let list = async |api: &Api<K>, page: &ListParams| {
            let request = Request::new(api.resource_url()).list(page).map_err(kube::Error::BuildRequest)?;
            client.request::<ObjectList<O>>(request).await
        };
        let listed = self.pages(resource, apis, list, convert).await?;
        self.needed(listed)
    }

    /// Only the metadata of namespaced objects.
    pub(super) async fn metadata<K, T>(
        &mut self,
        resource: &'static str,
        mut convert: impl FnMut(&PartialObjectMeta<K>) -> Option<T>,
    ) -> Result<Listed<T>, InventoryError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let apis = self.apis(|namespace| self.typed(namespace));
        let list = async |api: &Api<K>, page: &ListParams| api.list_metadata(page).await;
        self.pages(resource, apis, list, |object| convert(&object)).await
    }

    /// Only the metadata of objects without a namespace.
    pub(super) async fn cluster_metadata<K, T>(
        &mut self,
        resource: &'static str,
        mut convert: impl FnMut(&PartialObjectMeta<K>) -> Option<T>,
    ) -> Result<Listed<T>, InventoryError>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let apis = vec![Part { namespace: None, api: Api::all(self.client.clone()), first: ListParams::default() }];
        let list = async |api: &Api<K>, page: &ListParams| api.list_metadata(page).await;
        self.pages(resource, apis, list, |object| convert(&object)).await
    }

    /// Objects of a kind that the cluster may not have.
    pub(super) async fn custom<T>(
        &mut self,
        resource: &'static str,
        kind: (&str, &str, &str),
        convert: impl FnMut(DynamicObject) -> Option<T>,
    ) -> Result<Listed<T>, InventoryError> {
        // The API server says "forbidden", not "not found", of a kind that it does not have.
        let groups = self.client.list_api_groups().await;
        if groups.is_ok_and(|groups| groups.groups.iter().all(|group| group.name != kind.0)) {
            return Ok(Listed::All(Vec::new()));
        }
        let kind = GroupVersionKind::gvk(kind.0, kind.1, kind.2);
        let plural = resource.split('.').next().unwrap_or(resource);
        let kind = ApiResource::from_gvk_with_plural(&kind, plural);
        let apis = self.apis(|namespace| match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        });
        let list = async |api: &Api<DynamicObject>, page: &ListParams| api.list(page).await;
        self.pages(resource, apis, list, convert).await
    }

    fn typed<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn apis<K>(&self, api: impl Fn(Option<&str>) -> Api<K>) -> Vec<Part<K>> {
        let first = ListParams { field_selector: self.scope.field_selector(), ..ListParams::default() };
        let part = |namespace: Option<&String>| Part {
            namespace: namespace.cloned(),
            api: api(namespace.map(String::as_str)),
            first: first.clone(),
        };
        match &*self.scope.namespaces {
            [] => vec![part(None)],
            some => some.iter().map(Some).map(part).collect(),
        }
    }

    async fn pages<K, O, T>(
        &mut self,
        resource: &'static str,
        apis: Vec<Part<K>>,
        list: impl AsyncFn(&Api<K>, &ListParams) -> kube::Result<ObjectList<O>>,
        mut convert: impl FnMut(O) -> Option<T>,
    ) -> Result<Listed<T>, InventoryError>
    where
        O: Clone,
    {
        let mut all = Vec::new();
        for Part { namespace, api, first } in apis {
            match self.every_page(&api, &first, &list, &mut convert).await {
                Ok(objects) => all.extend(objects),
                Err(kube::Error::Api(status)) if status.code == StatusCode::FORBIDDEN.as_u16() => {
                    self.missing.push(Missing { resource, namespace });
                    return Ok(Listed::Denied);
                }
                // The cluster does not have this kind.
                Err(kube::Error::Api(status)) if status.code == StatusCode::NOT_FOUND.as_u16() => {}
                Err(error) => return Err(InventoryError::List { resource, source: Box::new(error) }),
            }
        }
        Ok(Listed::All(all))
    }

    async fn every_page<K, O: Clone, T>(
        &self,
        api: &Api<K>,
        first: &ListParams,
        list: impl AsyncFn(&Api<K>, &ListParams) -> kube::Result<ObjectList<O>>,
        mut convert: impl FnMut(O) -> Option<T>,
    ) -> kube::Result<Vec<T>> {
        let mut attempt = 1;
        'list: loop {
            let mut all = Vec::new();
            let mut params = first.clone().limit(self.pace.page);
            loop {
                let began = Instant::now();
                let page = match list(api, &params).await {
                    // The pages before are of a version that is gone.
                    Err(kube::Error::Api(status)) if status.code == StatusCode::GONE.as_u16() && attempt < ATTEMPTS => {
                        attempt += 1;
                        continue 'list;
                    }
                    page => page?,
                };
                let next = page.metadata.continue_.filter(|token| !token.is_empty());
                all.extend(page.items.into_iter().filter_map(&mut convert));
                let Some(next) = next else { return Ok(all) };
                params = params.continue_token(&next);
                tokio::time::sleep((began.elapsed() * self.pace.rests).min(LONGEST_REST)).await;
            }
        }
    }
}
