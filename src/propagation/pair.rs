//! One pod in one Service, with two sides: what the pod watch says it should be, and what the slices show.

use crate::{
    ledger::Change,
    model::{Families, Family, Pod, Seen, SliceVersion},
};
use std::sync::Arc;

/// What a pod should be in a Service's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Desired {
    /// Not listed: not selected, without an address, ended, or deleted.
    #[default]
    Out,
    /// Listed, but not ready.
    Unready,
    /// Listed, and ready.
    Ready,
    /// Listed, and terminating.
    Terminating,
}

/// One pod in one Service.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pair {
    /// According to the pod watch and the Service's selector.
    pub(super) desired: Desired,
    /// Families in which it is expected: those of both the pod and the Service. Empty exactly when `desired` is `Out`.
    pub(super) expected: Families,
    /// According to the union of the Service's slices, by family.
    shown: [Counts; 2],
}

/// How often the slices of one family name the pod, and how. These are counts, because an endpoint that moves between slices is
/// in two of them for a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    entries: u16,
    /// Entries that get new connections. If unready pods are published: entries whose pod is ready.
    ready: u16,
    terminating: u16,
}

/// How one entry of a slice shows a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
}

/// When slices started to show something, and in which version. It is unknown if a list showed that slices are gone.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) seen: Seen,
    pub(super) by: Option<Arc<SliceVersion>>,
}

/// What the slices show of a pod: that it is ready in each family, then unready, terminating, removed.
pub(super) type Facts = [bool; 5];

/// The change that each of [`Facts`] shows.
const FACTS: [Change; 5] = [Change::Ready, Change::Ready, Change::Unready, Change::Terminating, Change::Removed];

/// When the slices started to show each fact while the pod watch still said otherwise. The slice event may arrive before the
/// pod event that caused it. Only the marks distinguish this from a state that was shown before. Ready has a mark per family,
/// because the expected families of an unknown pod are not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks([Option<Shown>; 5]);

// === impl Desired ===

impl Desired {
    /// The change that leads to this state.
    pub(super) fn change(self) -> Change {
        match self {
            Self::Out => Change::Removed,
            Self::Unready => Change::Unready,
            Self::Ready => Change::Ready,
            Self::Terminating => Change::Terminating,
        }
    }

    /// Whether a move to this state is the opposite of `change`, so that waiting for it makes no sense. A pod that goes away
    /// passes unready, terminating and removed. What shows a later one also shows the earlier ones, so those stay.
    pub(super) fn opposes(self, change: Change) -> bool {
        match change {
            Change::Ready => self != Self::Ready,
            Change::Unready => self == Self::Ready,
            Change::Terminating => matches!(self, Self::Ready | Self::Unready),
            Change::Removed => self != Self::Out,
            Change::Service => false,
        }
    }
}

impl From<&Pod> for Desired {
    /// As in `ShouldPodBeInEndpoints` and `podToEndpoint` of k8s.io/endpointslice.
    fn from(pod: &Pod) -> Self {
        if pod.terminal || pod.families.is_empty() {
            Self::Out
        } else if pod.terminating {
            Self::Terminating
        } else if pod.ready {
            Self::Ready
        } else {
            Self::Unready
        }
    }
}

// === impl Pair ===

impl Pair {
    /// Whether the slices show `change`. `published` says that the Service publishes its pods independent of their readiness, so
    /// that a terminating endpoint stays ready.
    pub(super) fn shows(&self, change: Change, published: bool) -> bool {
        match change {
            Change::Ready => {
                !self.expected.is_empty() && self.expected.iter().all(|family| self.shown[family as usize].ready > 0)
            }
            Change::Unready => self.shown.iter().all(|shown| shown.ready == 0),
            Change::Terminating => {
                let leaving = |shown: &Counts| shown.terminating == shown.entries && (published || shown.ready == 0);
                self.shown.iter().all(leaving)
            }
            Change::Removed => !self.is_listed(),
            Change::Service => false,
        }
    }

    /// All facts that the slices show of it.
    pub(super) fn facts(&self, published: bool) -> Facts {
        let [v4, v6] = self.shown.map(|shown| shown.ready > 0);
        let shows = |change| self.shows(change, published);
        [v4, v6, shows(Change::Unready), shows(Change::Terminating), shows(Change::Removed)]
    }

    /// Whether what the slices show is wrong, and if so, whether this misleads connections. `has_other_ports` says whether a slice
    /// lists the pod with ports that the Service does not have at this pod.
    pub(super) fn fault(&self, published: bool, has_other_ports: impl FnOnce() -> bool) -> Option<bool> {
        let differs = !self.shows(self.desired.change(), published) || self.is_listed_astray();
        let other_ports = self.desired != Desired::Out && self.is_listed() && has_other_ports();
        (differs || other_ports).then(|| self.is_misrouted() || other_ports && self.is_shown_ready())
    }

    /// Whether any slice names the pod.
    pub(super) fn is_listed(&self) -> bool {
        self.shown.iter().any(|shown| shown.entries > 0)
    }

    /// Whether slices of all expected families name the pod, and no other slice.
    pub(super) fn is_listed_as_expected(&self) -> bool {
        Family::ALL.iter().all(|family| (self.shown[*family as usize].entries > 0) == self.expected.contains(*family))
    }

    /// Whether a slice names the pod in a family in which it is not expected.
    pub(super) fn is_listed_astray(&self) -> bool {
        let listed = |family: &Family| self.shown[*family as usize].entries > 0;
        Family::ALL.iter().any(|family| listed(family) && !self.expected.contains(*family))
    }

    /// Whether the slices show, in some family, what a controller writes if it saw `change` and nothing later.
    pub(super) fn is_written(&self, change: Change) -> bool {
        let in_some_family =
            |which: fn(&Counts) -> bool| self.shown.iter().any(|shown| shown.entries > 0 && which(shown));
        match change {
            Change::Ready => self.is_shown_ready(),
            Change::Unready => in_some_family(|shown| shown.ready == 0),
            Change::Terminating => in_some_family(|shown| shown.terminating == shown.entries),
            Change::Removed => self.expected.iter().any(|family| self.shown[family as usize].entries == 0),
            Change::Service => false,
        }
    }

    /// Whether some slice shows it as ready.
    pub(super) fn is_shown_ready(&self) -> bool {
        self.shown.iter().any(|shown| shown.ready > 0)
    }

    /// Whether it gets connections in some family where it should not, or gets none where it should.
    pub(super) fn is_misrouted(&self) -> bool {
        let wanted = |family: Family| self.desired == Desired::Ready && self.expected.contains(family);
        Family::ALL.into_iter().any(|family| (self.shown[family as usize].ready > 0) != wanted(family))
    }

    /// An entry appeared in a slice.
    pub(super) fn show(&mut self, family: Family, entry: Entry, published: bool) {
        let shown = &mut self.shown[family as usize];
        shown.entries = shown.entries.saturating_add(1);
        shown.ready = shown.ready.saturating_add(entry.counts_as_ready(published).into());
        shown.terminating = shown.terminating.saturating_add(entry.terminating.into());
    }

    /// An entry left a slice.
    pub(super) fn hide(&mut self, family: Family, entry: Entry, published: bool) {
        let shown = &mut self.shown[family as usize];
        shown.entries = shown.entries.saturating_sub(1);
        shown.ready = shown.ready.saturating_sub(entry.counts_as_ready(published).into());
        shown.terminating = shown.terminating.saturating_sub(entry.terminating.into());
    }

    /// Forgets what is shown, for a new count.
    pub(super) fn hide_all(&mut self) {
        self.shown = Default::default();
    }

    /// Whether it need not be kept.
    pub(super) fn is_empty(&self) -> bool {
        self.desired == Desired::Out && !self.is_listed()
    }
}

// === impl Entry ===

impl Entry {
    fn counts_as_ready(self, published: bool) -> bool {
        if published { self.serving } else { self.ready }
    }
}

// === impl Marks ===

impl Marks {
    /// When the slices started to show `change` of a pod that is expected in these families.
    pub(super) fn get(&self, change: Change, expected: Families) -> Option<&Shown> {
        match change {
            // The time of the last family.
            Change::Ready => {
                expected.iter().filter_map(|family| self.0[family as usize].as_ref()).max_by_key(|shown| shown.seen.at)
            }
            Change::Unready => self.0[2].as_ref(),
            Change::Terminating => self.0[3].as_ref(),
            Change::Removed => self.0[4].as_ref(),
            Change::Service => None,
        }
    }

    /// Forgets when the slices started to show `change`.
    pub(super) fn clear(&mut self, change: Change) {
        let facts = FACTS.iter().zip(&mut self.0).filter(|(fact, _)| **fact == change);
        facts.for_each(|(_, mark)| *mark = None);
    }

    /// Records what changed from `before` to `after`, except what the pod watch already says.
    pub(super) fn update(&mut self, before: Facts, after: Facts, current: Change, shown: &Shown) {
        for (at, change) in FACTS.into_iter().enumerate() {
            if change != current && before[at] != after[at] {
                self.0[at] = after[at].then(|| shown.clone());
            }
        }
    }

    /// Whether no mark is set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}
