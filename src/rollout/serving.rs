//! How many endpoints of a Service served over time: the least number, and how much was missing.

use super::{facts::Facts, follower::Phase};
use crate::model::Stamp;
use std::time::Duration;

/// Between the begin and the end of a rollout. Endpoint time is the sum over endpoints: two endpoints that miss for 3 s are 6 s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// How many are wanted at the end.
    pub wanted: u32,
    /// How many served at the begin.
    pub at_begin: u32,
    /// The least number that served at any time.
    pub least: u32,
    /// How long fewer served than were wanted.
    pub below: Duration,
    /// Endpoint time that was missing.
    pub missing: Duration,
    /// As much of it as pods that were ready and not listed yet would have covered.
    pub waiting: Duration,
    /// Endpoint time in which pods were listed that were not ready any more, or were being deleted.
    pub lingering: Duration,
    /// How often a pod was deleted while another one was ready and not listed yet.
    pub hurried: u32,
}

/// One pod in the slices of one Service.
pub(super) struct Pair<'a> {
    pub(super) phase: &'a Facts<Phase>,
    pub(super) listed: &'a Facts<bool>,
    /// When its deletion began.
    pub(super) leaving: Option<Stamp>,
}

/// What a pod is in the slices of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Nothing,
    Serving,
    Waiting,
    Lingering,
}

/// How many pods are in each state.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    serving: i64,
    waiting: i64,
    lingering: i64,
}

/// What happens at a time. Of what happens at the same time, pods that leave are looked at last.
#[derive(Clone, Copy, Debug)]
enum Step {
    Moved(State, State),
    Wanted(u32),
    Leaves,
}

/// Endpoint time in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    below: u128,
    missing: u128,
    waiting: u128,
    lingering: u128,
}

/// Follows the counts from the begin to the end.
pub(super) fn serving(wanted: &Facts<u32>, pairs: &[Pair<'_>], begin: Stamp, end: Stamp) -> Serving {
    let mut counts = Counts::default();
    let mut steps = Vec::new();
    let is_within = |at: Stamp| at > begin && at <= end;
    for pair in pairs {
        let mut state = pair.state(begin);
        counts.move_one(State::Nothing, state);
        for at in pair.times().filter(|at| is_within(*at)) {
            let next = pair.state(at);
            if next != state {
                steps.push((at, Step::Moved(state, next)));
                state = next;
            }
        }
        steps.extend(pair.leaving.filter(|at| is_within(*at)).map(|at| (at, Step::Leaves)));
    }
    let changes = wanted.changes().iter().filter(|(moment, _)| is_within(moment.at));
    steps.extend(changes.map(|(moment, wanted)| (moment.at, Step::Wanted(*wanted))));
    steps.sort_by_key(|(at, step)| (*at, matches!(step, Step::Leaves)));

    let mut now_wanted = i64::from(wanted.at(begin));
    let mut served = Serving { at_begin: number(counts.serving), least: number(counts.serving), ..Serving::default() };
    let (mut sums, mut last) = (Sums::default(), begin);
    for (index, (at, step)) in steps.iter().enumerate() {
        sums.add(at.since(last), now_wanted, counts);
        last = *at;
        match step {
            Step::Moved(from, to) => counts.move_one(*from, *to),
            Step::Wanted(wanted) => now_wanted = i64::from(*wanted),
            Step::Leaves => served.hurried += u32::from(counts.waiting > 0),
        }
        // What happens at the same time is one step.
        if steps.get(index + 1).is_none_or(|(next, _)| next > at) {
            served.least = served.least.min(number(counts.serving));
        }
    }
    sums.add(end.since(last), now_wanted, counts);
    let duration = |nanos: u128| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    Serving {
        wanted: number(now_wanted),
        below: duration(sums.below),
        missing: duration(sums.missing),
        waiting: duration(sums.waiting),
        lingering: duration(sums.lingering),
        ..served
    }
}

fn number(count: i64) -> u32 {
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

// === impl Pair ===

impl Pair<'_> {
    /// When either side changed, in order.
    fn times(&self) -> impl Iterator<Item = Stamp> {
        let phases = self.phase.changes().iter().map(|(moment, _)| moment.at);
        let listed = self.listed.changes().iter().map(|(moment, _)| moment.at);
        let mut times: Vec<_> = phases.chain(listed).collect();
        times.sort_unstable();
        times.dedup();
        times.into_iter()
    }

    fn state(&self, at: Stamp) -> State {
        match (self.phase.at(at), self.listed.at(at)) {
            (Phase::Servable, true) => State::Serving,
            (Phase::Servable, false) => State::Waiting,
            (Phase::Left, true) => State::Lingering,
            // One that is listed before it is ready was seen out of order.
            (Phase::Starting, _) | (Phase::Left, false) => State::Nothing,
        }
    }
}

// === impl Counts ===

impl Counts {
    fn move_one(&mut self, from: State, to: State) {
        for (state, step) in [(from, -1), (to, 1)] {
            match state {
                State::Nothing => {}
                State::Serving => self.serving += step,
                State::Waiting => self.waiting += step,
                State::Lingering => self.lingering += step,
            }
        }
    }
}

// === impl Sums ===

impl Sums {
    /// It was so for this long.
    fn add(&mut self, lasted: Duration, wanted: i64, counts: Counts) {
        let missing = (wanted - counts.serving).max(0);
        let of = |number: i64| lasted.as_nanos() * u128::from(number.max(0).unsigned_abs());
        self.below += of(i64::from(missing > 0));
        self.missing += of(missing);
        self.waiting += of(missing.min(counts.waiting));
        self.lingering += of(counts.lingering);
    }
}
