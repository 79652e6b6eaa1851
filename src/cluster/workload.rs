//! One workload, followed through kube's typed API: what is asked for, and how far its controller is.

use super::clock::Clock;
use crate::model::{
    Stamp,
    spec::{RolloutStatus, WorkloadKind},
};
use futures::{TryStreamExt as _, future::Either, pin_mut};
use http::StatusCode;
use k8s_openapi::{
    NamespaceResourceScope,
    api::apps::v1::{DaemonSet, Deployment, StatefulSet},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, Client, Resource,
    api::WatchParams,
    core::{ParseExpressionError, Selector, WatchEvent},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, fmt::Debug, time::Duration};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long the API server holds a watch. It is less than its own limit, so that it ends when we expect it.
const WATCH_SECONDS: u32 = 290;

/// Pause before it tries again, and between two reads if the workload may not be watched.
const PAUSE: Duration = Duration::from_millis(500);

/// Names a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A workload at one moment.
#[derive(Clone, Debug)]
pub struct Sight {
    /// When it arrived.
    pub at: Stamp,
    /// Identity.
    pub uid: String,
    /// What its pods are made from, as text to compare. An equal one starts no rollout.
    pub template: String,
    /// Which pods are its own, by their labels.
    pub selector: Selector,
    /// Whether it replaces pods by itself.
    pub is_rolling: bool,
    /// How far its controller is.
    pub status: RolloutStatus,
}

/// Why a workload cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// There is none.
    #[error("there is no {0}")]
    None(WorkloadName),
    /// It may not be read.
    #[error("may not read {name}: it needs permission to get {resource} in namespace {}", name.namespace)]
    Denied {
        /// Which.
        name: WorkloadName,
        /// The resource with its group.
        resource: &'static str,
    },
    /// The API server does not answer as expected.
    #[error("cannot read {name}")]
    Failed {
        /// Which.
        name: WorkloadName,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Its selector makes no sense. The API server takes none like this.
    #[error("the selector of {name} cannot be used")]
    Selector {
        /// Which.
        name: WorkloadName,
        /// Why.
        source: ParseExpressionError,
    },
    /// It was deleted while it was followed.
    #[error("{0} was deleted")]
    Deleted(WorkloadName),
}

/// What the three kinds have in common.
trait Rolls: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug {
    const RESOURCE: &'static str;

    fn selector(&self) -> &LabelSelector;
    fn template(&self) -> String;
    fn is_rolling(&self) -> bool;
    fn status(&self) -> RolloutStatus;
}

// === impl WorkloadName ===

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl WorkloadName {
    /// Reads it once.
    ///
    /// # Errors
    /// If there is none, or it may not be read.
    pub async fn read(&self, client: &Client, clock: Clock) -> Result<Sight, WorkloadError> {
        match self.kind {
            WorkloadKind::Deployment => self.read_as::<Deployment>(client, clock).await,
            WorkloadKind::StatefulSet => self.read_as::<StatefulSet>(client, clock).await,
            WorkloadKind::DaemonSet => self.read_as::<DaemonSet>(client, clock).await,
        }
    }

    /// Follows it: each of its states, and at the end why there are no more. It ends when the receiver is dropped.
    pub fn follow(self, client: Client, clock: Clock) -> UnboundedReceiver<Result<Sight, WorkloadError>> {
        let (sender, receiver) = unbounded_channel();
        tokio::spawn(async move {
            let following = async {
                match self.kind {
                    WorkloadKind::Deployment => self.follow_as::<Deployment>(client, clock, &sender).await,
                    WorkloadKind::StatefulSet => self.follow_as::<StatefulSet>(client, clock, &sender).await,
                    WorkloadKind::DaemonSet => self.follow_as::<DaemonSet>(client, clock, &sender).await,
                }
            };
            pin_mut!(following);
            let closed = sender.closed();
            pin_mut!(closed);
            if let Either::Left((Err(error), _)) = futures::future::select(following, closed).await {
                let _ = sender.send(Err(error));
            }
        });
        receiver
    }

    async fn read_as<K: Rolls>(&self, client: &Client, clock: Clock) -> Result<Sight, WorkloadError> {
        self.get(&Api::<K>::namespaced(client.clone(), &self.namespace), clock).await.map(|(sight, _)| sight)
    }

    async fn get<K: Rolls>(&self, api: &Api<K>, clock: Clock) -> Result<(Sight, String), WorkloadError> {
        let object = api.get(&self.name).await.map_err(|error| self.failed::<K>(error))?;
        let version = object.meta().resource_version.clone().unwrap_or_default();
        Ok((self.sight(&object, clock)?, version))
    }

    /// Each attempt lists first, so nothing of a gap is missed but states that are over.
    async fn follow_as<K: Rolls>(
        &self,
        client: Client,
        clock: Clock,
        sender: &UnboundedSender<Result<Sight, WorkloadError>>,
    ) -> Result<(), WorkloadError> {
        let api = Api::<K>::namespaced(client, &self.namespace);
        let fields = format!("metadata.name={}", self.name);
        let params = WatchParams::default().fields(&fields).timeout(WATCH_SECONDS);
        loop {
            match self.get(&api, clock).await {
                Ok((sight, version)) => {
                    let events = api.watch(&params, &version).await;
                    // Who knows it hears of the next state as it comes.
                    let _ = sender.send(Ok(sight));
                    if let Ok(events) = events {
                        pin_mut!(events);
                        while let Ok(Some(event)) = events.try_next().await {
                            match event {
                                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                                    let _ = sender.send(Ok(self.sight(&object, clock)?));
                                }
                                WatchEvent::Deleted(_) => return Err(WorkloadError::Deleted(self.clone())),
                                WatchEvent::Bookmark(_) => {}
                                WatchEvent::Error(_) => break,
                            }
                        }
                    }
                }
                Err(WorkloadError::None(name)) => return Err(WorkloadError::Deleted(name)),
                Err(error @ WorkloadError::Failed { .. }) => {
                    tracing::warn!(error = crate::errors::chain(&error), "trying again");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn failed<K: Rolls>(&self, error: kube::Error) -> WorkloadError {
        let name = self.clone();
        match error {
            kube::Error::Api(status) if status.code == StatusCode::NOT_FOUND.as_u16() => WorkloadError::None(name),
            kube::Error::Api(status) if status.code == StatusCode::FORBIDDEN.as_u16() => {
                WorkloadError::Denied { name, resource: K::RESOURCE }
            }
            error => WorkloadError::Failed { name, source: Box::new(error) },
        }
    }

    fn sight<K: Rolls>(&self, object: &K, clock: Clock) -> Result<Sight, WorkloadError> {
        let selector = object.selector().clone().try_into();
        let selector = selector.map_err(|source| WorkloadError::Selector { name: self.clone(), source })?;
        let status = RolloutStatus {
            kind: self.kind,
            generation: object.meta().generation.unwrap_or_default(),
            ..object.status()
        };
        Ok(Sight {
            at: clock.now(),
            uid: object.meta().uid.clone().unwrap_or_default(),
            template: object.template(),
            selector,
            is_rolling: object.is_rolling(),
            status,
        })
    }
}

fn number(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// What is compared: kube writes the fields of an object in one order.
fn text<T: Serialize>(template: &T) -> String {
    serde_json::to_string(template).unwrap_or_default()
}

// === impl Rolls ===

impl Rolls for Deployment {
    const RESOURCE: &'static str = "deployments.apps";

    fn selector(&self) -> &LabelSelector {
        &self.spec.selector
    }

    fn template(&self) -> String {
        text(&self.spec.template)
    }

    fn is_rolling(&self) -> bool {
        true
    }

    fn status(&self) -> RolloutStatus {
        let status = self.status.clone().unwrap_or_default();
        let mut conditions = status.conditions.iter().flatten();
        let progressing = conditions.find(|condition| condition.type_.as_deref() == Some("Progressing"));
        let reason = progressing.and_then(|condition| condition.reason.as_deref());
        let progress_said = progressing.and_then(|condition| condition.last_update_time.as_ref());
        RolloutStatus {
            observed_generation: status.observed_generation.unwrap_or_default(),
            wanted: number(self.spec.replicas.unwrap_or(1)),
            total: number(status.replicas.unwrap_or_default()),
            updated: number(status.updated_replicas.unwrap_or_default()),
            ready: number(status.ready_replicas.unwrap_or_default()),
            available: number(status.available_replicas.unwrap_or_default()),
            has_exceeded_deadline: reason == Some("ProgressDeadlineExceeded"),
            progress_reason: reason.unwrap_or_default().to_owned(),
            progress_said: progress_said.map(|time| time.0.to_string()).unwrap_or_default(),
            is_paused: self.spec.paused == Some(true),
            ..RolloutStatus::default()
        }
    }
}

/// Whether this type of updateStrategy replaces pods after an edit. It is the default, and the other one is OnDelete.
fn updates_by_itself(strategy: Option<&str>) -> bool {
    strategy.is_none_or(|strategy| strategy == "RollingUpdate")
}

impl Rolls for StatefulSet {
    const RESOURCE: &'static str = "statefulsets.apps";

    fn selector(&self) -> &LabelSelector {
        &self.spec.selector
    }

    fn template(&self) -> String {
        text(&self.spec.template)
    }

    fn is_rolling(&self) -> bool {
        updates_by_itself(self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()))
    }

    fn status(&self) -> RolloutStatus {
        let status = self.status.clone().unwrap_or_default();
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        RolloutStatus {
            observed_generation: status.observed_generation.unwrap_or_default(),
            wanted: number(self.spec.replicas.unwrap_or(1)),
            total: number(status.replicas),
            updated: number(status.updated_replicas.unwrap_or_default()),
            ready: number(status.ready_replicas.unwrap_or_default()),
            available: number(status.available_replicas.unwrap_or_default()),
            partition: rolling.and_then(|rolling| rolling.partition).map(number),
            is_current: status.update_revision == status.current_revision,
            ..RolloutStatus::default()
        }
    }
}

impl Rolls for DaemonSet {
    const RESOURCE: &'static str = "daemonsets.apps";

    fn selector(&self) -> &LabelSelector {
        &self.spec.selector
    }

    fn template(&self) -> String {
        text(&self.spec.template)
    }

    fn is_rolling(&self) -> bool {
        updates_by_itself(self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()))
    }

    fn status(&self) -> RolloutStatus {
        let status = self.status.clone().unwrap_or_default();
        RolloutStatus {
            observed_generation: status.observed_generation.unwrap_or_default(),
            wanted: number(status.desired_number_scheduled),
            total: number(status.current_number_scheduled),
            updated: number(status.updated_number_scheduled.unwrap_or_default()),
            ready: number(status.number_ready),
            available: number(status.number_available.unwrap_or_default()),
            ..RolloutStatus::default()
        }
    }
}
