//! Memory for what was read and is not decoded yet, used again and again.
//!
//! What lies for some milliseconds would otherwise keep the HTTP library from using its own buffer again: each chunk would be read into
//! memory that is new to the process, and cost more to be given and taken back than to be read.

use bytes::{Bytes, BytesMut};

/// Some events of pods.
const BLOCK: usize = 64 << 10;

/// Blocks that are kept. Together they hold twice what lies before it is due.
const KEPT: usize = 16;

/// Blocks of one reader.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    filling: BytesMut,
    /// Full ones, some of which are looked at by nobody any more.
    full: Vec<BytesMut>,
}

// === impl Blocks ===

impl Blocks {
    /// A copy of these bytes.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.filling.capacity() < bytes.len() {
            self.turn_over(bytes.len());
        }
        self.filling.extend_from_slice(bytes);
        self.filling.split().freeze()
    }

    fn turn_over(&mut self, length: usize) {
        let length = length.max(BLOCK);
        let free = self.full.iter_mut().position(|block| block.try_reclaim(length));
        let next = free.map_or_else(|| BytesMut::with_capacity(length), |at| self.full.swap_remove(at));
        let full = std::mem::replace(&mut self.filling, next);
        if self.full.len() < KEPT {
            self.full.push(full);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_and_what_is_dropped_is_used_again() {
        let mut blocks = Blocks::default();
        let held = blocks.copy(b"held");
        let mut places = std::collections::HashSet::new();
        for number in 0..200_u8 {
            let copy = blocks.copy(&[number; BLOCK / 2]);
            assert!(copy.iter().all(|byte| *byte == number));
            places.insert(copy.as_ptr());
        }
        assert_eq!(held, "held");
        assert!(places.len() <= 6, "{} places", places.len());
        let large = vec![7; 3 * BLOCK];
        assert_eq!(blocks.copy(&large), large);
    }

    #[test]
    fn no_more_is_kept_than_is_useful() {
        let mut blocks = Blocks::default();
        let held: Vec<_> = (0..100).map(|_| blocks.copy(&[1; BLOCK])).collect();
        drop(held);
        assert_eq!(blocks.full.len(), KEPT);
    }
}
