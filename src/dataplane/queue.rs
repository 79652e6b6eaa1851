//! Datagrams that were received and not read yet. The queue is bounded: a slow reader loses datagrams and is notified.

use super::{follower::Arrival, netlink::socket::SocketError, observation::Loss};
use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, time::Instant};

/// What came from the socket, in order.
#[derive(Debug)]
pub(crate) enum Item {
    /// A datagram, and when it was received.
    Datagram(Arrival, Box<[u8]>),
    /// Something before this was lost.
    Lost(Loss),
    /// Nothing more will come.
    Failed(SocketError),
}

/// A queue between the receiving thread and the reading thread.
#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Bytes of the datagrams in the queue.
    bytes: usize,
    closed: bool,
}

// === impl Queue ===

impl Queue {
    /// A queue for this number of bytes of datagrams.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, waiting: Mutex::default(), filled: Condvar::new() }
    }

    /// Adds items, and leaves none. If a datagram makes the queue too large, a loss notice replaces everything that waits: the waiting items no
    /// longer lead up to the present.
    pub(crate) fn push(&self, items: &mut Vec<Item>) {
        if items.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        for item in items.drain(..) {
            if let Item::Datagram(_, bytes) = &item {
                waiting.bytes += bytes.len();
            }
            if waiting.bytes > self.limit {
                waiting.items.clear();
                waiting.bytes = 0;
                waiting.items.push_back(Item::Lost(Loss::QueueOverflow));
            } else {
                waiting.items.push_back(item);
            }
        }
        self.filled.notify_one();
    }

    /// Takes the first item. Waits for it until `deadline`.
    pub(crate) fn pop(&self, deadline: Instant) -> Option<Item> {
        let mut waiting = self.waiting.lock();
        while waiting.items.is_empty() {
            if self.filled.wait_until(&mut waiting, deadline).timed_out() {
                break;
            }
        }
        let item = waiting.items.pop_front()?;
        if let Item::Datagram(_, bytes) = &item {
            waiting.bytes -= bytes.len();
        }
        Some(item)
    }

    /// Drops everything that waits, except the notice that nothing more will come.
    pub(crate) fn clear(&self) {
        let mut waiting = self.waiting.lock();
        waiting.items.retain(|item| matches!(item, Item::Failed(_)));
        waiting.bytes = 0;
    }

    /// Whether the queue still has a reader.
    pub(crate) fn is_open(&self) -> bool {
        !self.waiting.lock().closed
    }

    /// Tells the receiving thread to end.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(bytes: usize) -> Item {
        Item::Datagram(Arrival::default(), vec![0; bytes].into_boxed_slice())
    }

    #[test]
    fn what_is_too_much_is_lost_and_said() {
        let queue = Queue::new(100);
        queue.push(&mut vec![datagram(60), datagram(40)]);
        assert!(matches!(queue.pop(Instant::now()), Some(Item::Datagram(..))));
        queue.push(&mut vec![datagram(61)]);
        assert!(matches!(queue.pop(Instant::now()), Some(Item::Lost(Loss::QueueOverflow))));
        assert!(queue.pop(Instant::now()).is_none());
        queue.push(&mut vec![datagram(100)]);
        assert!(matches!(queue.pop(Instant::now()), Some(Item::Datagram(..))));
    }
}
