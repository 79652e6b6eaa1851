//! What was received and not looked at yet. It has a limit: a reader that falls behind loses datagrams and knows it.

use super::{follower::Arrival, netlink::socket::SocketError, observation::Loss};
use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, time::Instant};

/// What came from the socket, in its order.
#[derive(Debug)]
pub(crate) enum Item {
    /// A datagram, and when it was received.
    Datagram(Arrival, Box<[u8]>),
    /// Something was lost before this.
    Lost(Loss),
    /// Nothing will come any more.
    Failed(SocketError),
}

/// A queue between the thread that receives and the one that reads.
#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Bytes of the datagrams in it.
    bytes: usize,
    closed: bool,
}

// === impl Queue ===

impl Queue {
    /// One for so many bytes of datagrams.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, waiting: Mutex::default(), filled: Condvar::new() }
    }

    /// Adds what came. A datagram that is too much leaves the notice of a loss in place of all that waits: what waits can no
    /// longer be followed to the present.
    pub(crate) fn push(&self, item: Item) {
        let mut waiting = self.waiting.lock();
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
        self.filled.notify_one();
    }

    /// Takes the first, and waits for it until `deadline`.
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

    /// Drops what waits, but for the notice that nothing will come any more.
    pub(crate) fn clear(&self) {
        let mut waiting = self.waiting.lock();
        waiting.items.retain(|item| matches!(item, Item::Failed(_)));
        waiting.bytes = 0;
    }

    /// Whether somebody still reads.
    pub(crate) fn is_open(&self) -> bool {
        !self.waiting.lock().closed
    }

    /// Tells the thread that receives to end.
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
        queue.push(datagram(60));
        queue.push(datagram(40));
        assert!(matches!(queue.pop(Instant::now()), Some(Item::Datagram(..))));
        queue.push(datagram(61));
        assert!(matches!(queue.pop(Instant::now()), Some(Item::Lost(Loss::QueueOverflow))));
        assert!(queue.pop(Instant::now()).is_none());
        queue.push(datagram(100));
        assert!(matches!(queue.pop(Instant::now()), Some(Item::Datagram(..))));
    }
}
