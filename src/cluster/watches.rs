//! Starts all watches of what is measured.

use super::{
    ScopeSettings, WatchSettings,
    client::{ApiClient, Link, Scope},
    clock::Clock,
    decode::Decoder,
    health::{LinkHealth, WatchHealth},
    heartbeat::Heartbeat,
    queue::{EventReceiver, EventSender},
    readers::Readers,
    watch::{Signals, Watch},
};
use crate::model::Resource;
use std::sync::Arc;

/// Running watches.
pub struct Watches {
    /// Shows whether their thread runs.
    pub heartbeat: Arc<Heartbeat>,
    /// What they deliver.
    pub queue: EventReceiver,
    /// The end of each watch, by its number in the queue.
    pub ends: Vec<WatchEnd>,
    /// Number of scopes. Each has a watch for every resource.
    pub scopes: usize,
}

/// What the receiver of a watch's messages needs.
pub struct WatchEnd {
    /// Index of its scope: the whole cluster, or one of the chosen namespaces.
    pub scope: usize,
    /// Decodes its frames.
    pub decoder: Decoder,
    /// Its health.
    pub health: Arc<WatchHealth>,
    /// Reaches its reader.
    pub signals: Arc<Signals>,
}

// === impl Watches ===

impl Watches {
    /// Starts them on the thread of `readers`, where `client` was created.
    pub fn start(
        readers: &Readers,
        client: &ApiClient,
        part: &ScopeSettings,
        settings: WatchSettings,
        clock: Clock,
    ) -> Self {
        let heartbeat = Arc::new(Heartbeat::new(clock));
        let beating = heartbeat.clone();
        readers.spawn(async move { beating.run().await });
        let namespaces = part.scopes();
        let scopes = namespaces.len();
        let (senders, queue) = EventSender::for_watches(scopes * Resource::ALL.len());
        let mut senders = senders.into_iter();
        let mut ends = Vec::new();
        for (scope, namespace) in namespaces.into_iter().enumerate() {
            let link_health = Arc::<LinkHealth>::default();
            let link = Link::new(client.clone(), settings.protocol, scopes, heartbeat.clone(), link_health.clone());
            let link = Arc::new(link);
            for (resource, queue) in Resource::ALL.into_iter().zip(&mut senders) {
                let health = Arc::new(WatchHealth::new(resource, namespace.clone(), link_health.clone()));
                let signals = Arc::new(Signals::default());
                let watch = Watch {
                    scope: Scope { resource, namespace: namespace.clone(), field_selector: part.field_selector() },
                    link: link.clone(),
                    clock,
                    heartbeat: heartbeat.clone(),
                    queue,
                    health: health.clone(),
                    signals: signals.clone(),
                    idle_timeout: settings.idle_timeout,
                };
                readers.spawn(watch.run());
                ends.push(WatchEnd { scope, decoder: Decoder::new(resource, part.shard), health, signals });
            }
        }
        Self { heartbeat, queue, ends, scopes }
    }
}
