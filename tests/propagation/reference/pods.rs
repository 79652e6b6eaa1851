//! Changes of pods: what moves from one state to another, and whether the slices knew before.

use super::{
    Ending, Pending, Reference,
    history::{Question, State},
};
use endpointlag::{
    cluster::{
        event::{Resource, Seen},
        object::Uid,
    },
    propagation::{Change, ServiceName},
};

impl Reference {
    /// After an event of the pod watch: every move of a pod in a Service is a change, and a ready pod that gets an address
    /// of another family becomes ready there.
    pub(super) fn pods_moved(&mut self) {
        let seen = self.seen();
        let services: Vec<_> = self.now().services.keys().cloned().collect();
        let mut pods: Vec<_> = self.before().pods.keys().chain(self.now().pods.keys()).cloned().collect();
        pods.sort();
        pods.dedup();
        for service in &services {
            for pod in &pods {
                let (from, to) = (self.before().state(service, pod), self.now().state(service, pod));
                if from != to {
                    self.end_where(seen.at, Ending::Superseded, |pending| {
                        pending.service == *service && pending.pod.as_ref() == Some(pod) && to.opposes(pending.change)
                    });
                    self.pod_changed(service, pod, to);
                } else if to == State::Ready && self.gained_a_family(service, pod) {
                    self.wait_for(service, pod, Change::Ready);
                }
            }
        }
        // A pod that lost an address, or is not expected any more, can leave nothing to wait for.
        self.end_shown(Ending::Withdrawn);
    }

    fn gained_a_family(&self, service: &ServiceName, pod: &Uid) -> bool {
        let before = self.before().expected_families(service, pod);
        self.now().expected_families(service, pod).iter().any(|family| !before.contains(family))
    }

    fn pod_changed(&mut self, service: &ServiceName, pod: &Uid, to: State) {
        let question = self.now().question(service, pod);
        if self.now().shows(&question, to.change()) {
            if let Some(shown) = self.came_to_show(&question, service, pod, to) {
                self.start_shown(service, Some(pod), to.change(), shown);
            }
        } else if to != State::Unready || !self.ready_is_ahead(&question, service, pod) {
            self.wait_for(service, pod, to.change());
        }
    }

    /// Whether the slices show a pod as ready, in some family, that has not been heard to be: it does not leave Ready then.
    fn ready_is_ahead(&self, question: &Question, service: &ServiceName, pod: &Uid) -> bool {
        question.by_family().iter().any(|question| {
            self.now().shows(question, Change::Ready)
                && self.came_to_show(question, service, pod, State::Ready).is_some()
        })
    }

    /// Starts to wait for what the slices do not show, unless they are waited for already.
    fn wait_for(&mut self, service: &ServiceName, pod: &Uid, change: Change) {
        let waited_for = |pending: &Pending| {
            pending.service == *service && pending.pod.as_ref() == Some(pod) && pending.change == change
        };
        if !self.now().shows(&self.now().question(service, pod), change) && !self.pending.iter().any(waited_for) {
            self.start(service, Some(pod), change, self.seen(), None);
        }
    }

    /// The slice event by which the slices came to show what they show, if the pod was not in the state `to` then and since.
    /// Nothing is known of the time before the Service was measured or was edited so that the pod moved, nor of a pod that
    /// was neither expected nor listed.
    fn came_to_show(&self, question: &Question, service: &ServiceName, pod: &Uid, to: State) -> Option<Seen> {
        let last = self.history.len() - 1;
        for index in (self.measuring_since + 1..=last).rev() {
            let (moment, earlier) = (&self.history[index], &self.history[index - 1]);
            let state = moment.view.state(service, pod);
            let edited = moment.resource == Resource::Services && earlier.view.state(service, pod) != state;
            let unheard_of = index != last && state == State::Out && !moment.view.listed(service).contains(pod);
            let begun = earlier.view.measured(service).is_none() || self.asks_otherwise(index, service);
            if edited || unheard_of || begun || earlier.view.state(service, pod) == to {
                return None;
            }
            if !earlier.view.shows(question, to.change()) {
                return (moment.resource == Resource::EndpointSlices).then_some(moment.seen);
            }
        }
        None
    }

    /// Whether the event at `index` changed what counts as ready in the Service.
    fn asks_otherwise(&self, index: usize, service: &ServiceName) -> bool {
        let published =
            |index: usize| self.history[index].view.services.get(service).map(|s| s.publish_not_ready_addresses);
        published(index - 1) != published(index)
    }
}
