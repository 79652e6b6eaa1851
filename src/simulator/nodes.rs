//! The simulated nodes. On each one a kube-proxy reads Services and slices, and writes rules into its kernel. The kernel exists only as
//! the sets of endpoints that it would use.
//!
//! All of them run in one place, [`Nodes::next`], which takes little CPU and ends when it is dropped.

mod proxy;
mod rules;

use self::proxy::Proxy;
use super::{controller::Delay, messages::EndpointSlice, store::Store};
use crate::{
    cluster::wire::Service,
    dataplane::{EffectiveSets, Observation},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Number of nodes.
pub(super) const NODES: usize = 12;

/// Time until a node hears of a change: 1 to 15 ms.
const WATCH: Delay = Delay {
    shortest: Duration::from_millis(1),
    longest: Duration::from_millis(15),
    tail: 0.0,
    tail_longest: Duration::from_millis(15),
};

/// Seconds until a node turns slow, and for which it is slow.
const HEALTHY_FOR: RangeInclusive<u64> = 15..=45;
const SLOW_FOR: RangeInclusive<u64> = 15..=30;

/// The nodes of a simulated cluster.
#[derive(Debug)]
pub struct Nodes {
    store: Store,
    services: watch::Receiver<()>,
    slices: watch::Receiver<()>,
    proxies: Vec<Proxy>,
    /// What kernels should do according to the store, unless it has changed since.
    wanted: Option<Arc<EffectiveSets>>,
    /// The node that is slow at present.
    slow: Option<usize>,
    /// When it recovers, or when the next one turns slow.
    turn: Instant,
    /// What is to be returned next.
    syncs: VecDeque<NodeSync>,
    rng: StdRng,
}

/// A sync of one node's kube-proxy that changed where connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSync {
    /// Name of the node.
    pub node: Arc<str>,
    /// One change for each frontend, all with the same commit. Its stamps are those of CLOCK_MONOTONIC_RAW.
    pub observations: Vec<Observation>,
}

/// The name of a node. It says that the node is simulated wherever it is shown.
pub(super) fn node_name(number: usize) -> String {
    format!("simulated-node-{:02}", number + 1)
}

// === impl Nodes ===

impl Nodes {
    /// Nodes whose kernels do what the slices of the store say now.
    pub(super) fn new(store: Store, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (services, slices) = (store.subscribe::<Service>(), store.subscribe::<EndpointSlice>());
        let now = Instant::now();
        let wanted = Arc::new(rules::wanted(&store));
        Self {
            proxies: (0..NODES).map(|number| Proxy::new(node_name(number).into(), (*wanted).clone(), now)).collect(),
            wanted: Some(wanted),
            services,
            slices,
            slow: None,
            turn: now + draw(HEALTHY_FOR, &mut rng),
            syncs: VecDeque::new(),
            rng,
            store,
        }
    }

    /// Their names, and what their kernels do now.
    pub fn kernels(&self) -> impl Iterator<Item = (&Arc<str>, &EffectiveSets)> {
        self.proxies.iter().map(|proxy| (proxy.node(), proxy.kernel()))
    }

    /// The next sync. Nothing is lost if this is dropped before it completes.
    pub async fn next(&mut self) -> NodeSync {
        loop {
            let due = self.step(Instant::now());
            if let Some(sync) = self.syncs.pop_front() {
                return sync;
            }
            tokio::select! {
                _ = self.services.changed() => self.hear(Instant::now()),
                _ = self.slices.changed() => self.hear(Instant::now()),
                () = sleep_until(due) => {}
            }
        }
    }

    /// The store has changed.
    fn hear(&mut self, now: Instant) {
        self.wanted = None;
        for proxy in &mut self.proxies {
            proxy.hear(now + WATCH.sample(&mut self.rng));
        }
    }

    /// Does what is due. Returns when there is more to do.
    fn step(&mut self, now: Instant) -> Instant {
        if now >= self.turn {
            self.turn = now + self.change_speed();
        }
        for (number, proxy) in self.proxies.iter_mut().enumerate() {
            self.syncs.extend(proxy.commit(now));
            if proxy.is_due(now) {
                let wanted = self.wanted.get_or_insert_with(|| Arc::new(rules::wanted(&self.store)));
                proxy.sync(wanted.clone(), self.slow == Some(number), now, &mut self.rng);
            }
        }
        let next = self.proxies.iter().filter_map(Proxy::next).min();
        next.map_or(self.turn, |next| next.min(self.turn))
    }

    /// Lets the slow node recover, or turns one slow. Returns the time until this is to be called again.
    fn change_speed(&mut self) -> Duration {
        if let Some(number) = self.slow.take() {
            tracing::info!(node = &**self.proxies[number].node(), "the simulated node is fast again");
            return draw(HEALTHY_FOR, &mut self.rng);
        }
        let number = self.rng.random_range(0..self.proxies.len());
        let lasting = draw(SLOW_FOR, &mut self.rng);
        self.slow = Some(number);
        tracing::info!(
            node = &**self.proxies[number].node(),
            seconds = lasting.as_secs(),
            "the simulated node turns slow"
        );
        lasting
    }
}

fn draw(seconds: RangeInclusive<u64>, rng: &mut StdRng) -> Duration {
    Duration::from_secs(rng.random_range(seconds))
}

#[cfg(test)]
mod tests;
