//! The events that the daemon has not acknowledged yet, in limited space.

use super::messages::{MAX_EVENT, NumberedEvent};
use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes that are kept. Enough for two hundred thousand changes of one endpoint, or half an hour at a hundred changes a second.
pub(super) const KEPT: usize = 16 << 20;

/// What an event costs in addition to its own bytes.
const OVERHEAD: usize = 64;

/// Events of one run of the agent, numbered from 1.
///
/// If there is no room, the oldest events are dropped: the newest show what the node does now.
#[derive(Debug)]
pub(super) struct Ring {
    /// Ascending. All events that are neither acknowledged nor lost.
    events: VecDeque<NumberedEvent>,
    /// Their total cost.
    bytes: usize,
    bound: usize,
    /// The last number that was assigned.
    last: u64,
    /// The last event that was acknowledged.
    acknowledged: u64,
    /// Events up to this one are in flight, and cannot be dropped to make room.
    sent: u64,
    lost: Lost,
}

/// Events that were lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// There was no room to keep them until they could be sent.
    pub ring_full: u64,
    /// They were longer than a message may be.
    pub too_long: u64,
}

// === impl Ring ===

impl Ring {
    /// A ring with this limit in bytes.
    pub(super) fn new(bound: usize) -> Self {
        let events = VecDeque::new();
        Self { events, bytes: 0, bound, last: 0, acknowledged: 0, sent: 0, lost: Lost::default() }
    }

    /// Numbers an event and keeps it. Drops older ones if necessary.
    pub(super) fn push(&mut self, event: Bytes) {
        self.last += 1;
        if event.len() > MAX_EVENT {
            self.lost.too_long += 1;
            return;
        }
        self.bytes += cost(&event);
        self.events.push_back(NumberedEvent { sequence: self.last, event });
        while self.bytes > self.bound {
            let on_their_way = self.events.partition_point(|event| event.sequence <= self.sent);
            let Some(oldest) = self.events.remove(on_their_way) else { return };
            self.bytes -= cost(&oldest.event);
            self.lost.ring_full += 1;
        }
    }

    /// The oldest events: up to this number of bytes, but at least one event if there is one. They are in flight until they are
    /// acknowledged or given up.
    pub(super) fn send(&mut self, bytes: usize) -> Vec<NumberedEvent> {
        let mut left = bytes;
        let mut batch = Vec::new();
        for event in &self.events {
            if !batch.is_empty() && left < cost(&event.event) {
                break;
            }
            left = left.saturating_sub(cost(&event.event));
            batch.push(event.clone());
        }
        self.sent = batch.last().map_or(self.sent, |event| event.sequence);
        batch
    }

    /// Events up to this one need not be sent again.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence.min(self.last));
        while let Some(event) = self.events.pop_front_if(|event| event.sequence <= sequence) {
            self.bytes -= cost(&event.event);
        }
    }

    /// What was in flight has not arrived, as far as is known.
    pub(super) fn give_up(&mut self) {
        self.sent = 0;
    }

    /// The last event that was acknowledged; 0 if none.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Events that wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.events.len(), self.bytes)
    }

    /// Number of events that were numbered until now.
    pub(super) fn numbered(&self) -> u64 {
        self.last
    }

    /// Events that were lost. Some that were in flight when a stream broke may be counted although they arrived; the daemon's
    /// count is exact.
    pub(super) fn lost(&self) -> Lost {
        self.lost
    }
}

fn cost(event: &Bytes) -> usize {
    event.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn event(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    fn numbers(events: &[NumberedEvent]) -> Vec<u64> {
        events.iter().map(|event| event.sequence).collect()
    }

    /// A ring for this number of events of zero length.
    fn ring_of(events: usize) -> Ring {
        Ring::new(events * OVERHEAD)
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again() {
        let mut ring = ring_of(10);
        (0..5).for_each(|_| ring.push(event(0)));
        assert_eq!(numbers(&ring.send(3 * OVERHEAD)), [1, 2, 3]);
        ring.give_up();
        assert_eq!(numbers(&ring.send(3 * OVERHEAD)), [1, 2, 3]);
        ring.acknowledge(3);
        assert_eq!(numbers(&ring.send(3 * OVERHEAD)), [4, 5]);
        ring.acknowledge(5);
        assert_eq!((ring.waiting(), ring.acknowledged(), ring.lost()), ((0, 0), 5, Lost::default()));
    }

    #[test]
    fn the_oldest_are_lost_but_not_what_is_on_its_way() {
        let mut ring = ring_of(3);
        (0..3).for_each(|_| ring.push(event(0)));
        assert_eq!(numbers(&ring.send(OVERHEAD)), [1]);
        (0..2).for_each(|_| ring.push(event(0)));
        assert_eq!(ring.lost(), Lost { ring_full: 2, too_long: 0 });
        ring.acknowledge(1);
        assert_eq!(numbers(&ring.send(9 * OVERHEAD)), [4, 5]);
    }

    #[test]
    fn a_long_event_is_sent_alone_and_one_that_is_too_long_is_not() {
        let mut ring = Ring::new(4 * MAX_EVENT);
        ring.push(event(MAX_EVENT));
        ring.push(event(MAX_EVENT + 1));
        ring.push(event(0));
        assert_eq!(numbers(&ring.send(100)), [1]);
        ring.acknowledge(1);
        assert_eq!(numbers(&ring.send(100)), [3]);
        assert_eq!(ring.lost(), Lost { ring_full: 0, too_long: 1 });
    }

    #[derive(Clone, Debug)]
    enum Move {
        Push(usize),
        Send(usize),
        Acknowledge,
        Break,
    }

    fn some_move() -> impl Strategy<Value = Move> {
        prop_oneof![
            4 => (0usize..100).prop_map(Move::Push),
            2 => (0usize..500).prop_map(Move::Send),
            2 => Just(Move::Acknowledge),
            1 => Just(Move::Break),
        ]
    }

    proptest! {
        /// Each event is acknowledged, waiting or lost. The limit holds, except for what is in flight.
        #[test]
        fn every_event_is_somewhere(moves in vec(some_move(), 0..200)) {
            let mut ring = Ring::new(1_000);
            let mut on_their_way = Vec::new();
            let mut arrived = 0;
            for it in moves {
                match it {
                    Move::Push(bytes) => ring.push(event(bytes)),
                    Move::Send(bytes) if on_their_way.is_empty() => on_their_way = numbers(&ring.send(bytes)),
                    Move::Send(_) => {}
                    Move::Acknowledge => {
                        if let Some(last) = on_their_way.last() {
                            arrived += on_their_way.len() as u64;
                            ring.acknowledge(*last);
                        }
                        on_their_way.clear();
                    }
                    Move::Break => {
                        ring.give_up();
                        on_their_way.clear();
                    }
                }
                let (waiting, bytes) = ring.waiting();
                prop_assert_eq!(arrived + waiting as u64 + ring.lost().ring_full, ring.numbered());
                prop_assert!(bytes <= 1_000);
            }
        }
    }
}
