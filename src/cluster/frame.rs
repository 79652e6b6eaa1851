//! Cuts the bytes of a watch into frames: a big-endian length of four bytes, then as many bytes.
//!
//! The task that reads the socket cuts the bytes, so that it passes on only whole frames. A frame that arrived in one piece is
//! not copied. A frame that arrived in pieces, as the events of a real API server do, is put together in reused memory. To
//! allocate and free memory for each frame would cost more than to read it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Maximum size of a frame. etcd accepts objects of 1.5 MiB by default, so no event of an API server comes near this size.
pub const MAX_FRAME: usize = 32 << 20;

/// Size of a block in which frames are put together: a few events of pods.
const BLOCK: usize = 64 << 10;

/// Number of blocks that are kept for reuse. Together they hold twice what may wait to be decoded.
const KEPT: usize = 16;

/// The stream is not a sequence of frames.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a frame of {0} bytes was announced, more than any object has")]
pub struct FrameTooLarge(pub usize);

/// Collects chunks and returns whole frames.
#[derive(Debug, Default)]
pub struct Framer {
    /// The chunk that is being cut.
    chunk: Bytes,
    /// The beginning of an incomplete frame. It grows with the bytes that arrive, never by the announced length.
    partial: BytesMut,
    /// Blocks with frames. Some of the frames may already be released.
    used: Vec<BytesMut>,
}

// === impl Framer ===

impl Framer {
    /// Adds a chunk. All whole frames must be taken out first.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "frames are left");
        self.chunk = chunk;
    }

    /// Whether no incomplete frame is left, and all whole frames have been taken out.
    pub fn is_between_frames(&self) -> bool {
        self.chunk.is_empty() && self.partial.is_empty()
    }

    /// The next whole frame without its length, if its last byte has arrived.
    ///
    /// # Errors
    /// If a frame announces more than [`MAX_FRAME`] bytes.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameTooLarge> {
        if self.partial.is_empty() {
            if let Some(whole) = whole_length(&self.chunk)?.filter(|whole| self.chunk.len() >= *whole) {
                let mut frame = self.chunk.split_to(whole);
                frame.advance(4);
                return Ok(Some(frame));
            }
        } else {
            // First the length, then only the bytes of this frame.
            self.take(4);
            if let Some(whole) = whole_length(&self.partial)? {
                self.take(whole);
                if self.partial.len() == whole {
                    let mut frame = self.partial.split().freeze();
                    frame.advance(4);
                    return Ok(Some(frame));
                }
            }
        }
        self.take(usize::MAX);
        Ok(None)
    }

    /// Moves bytes from the chunk to the partial frame until the frame has this length.
    fn take(&mut self, length: usize) {
        let missing = length.saturating_sub(self.partial.len()).min(self.chunk.len());
        if self.partial.capacity() - self.partial.len() < missing {
            self.make_room(missing);
        }
        self.partial.put(self.chunk.split_to(missing));
    }

    /// Continues in a block whose frames are released, or in a new block.
    fn make_room(&mut self, missing: usize) {
        let length = BLOCK.max(2 * self.partial.len() + missing);
        let free = self.used.iter_mut().position(|block| block.try_reclaim(length));
        let mut block = free.map_or_else(|| BytesMut::with_capacity(length), |at| self.used.swap_remove(at));
        block.extend_from_slice(&self.partial);
        let mut full = std::mem::replace(&mut self.partial, block);
        full.clear();
        if self.used.len() < KEPT {
            self.used.push(full);
        }
    }
}

/// Length of the first frame, including the four bytes of the length, if these have arrived.
fn whole_length(bytes: &[u8]) -> Result<Option<usize>, FrameTooLarge> {
    let Some((header, _)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*header) as usize;
    if length > MAX_FRAME {
        return Err(FrameTooLarge(length));
    }
    Ok(Some(length + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn framed(payloads: &[Vec<u8>]) -> Vec<u8> {
        payloads.iter().flat_map(|p| [&(p.len() as u32).to_be_bytes()[..], p].concat()).collect()
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_the_bytes_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in prop::collection::vec(1..30usize, 1..60),
        ) {
            let stream = Bytes::from(framed(&payloads));
            let (mut framer, mut out, mut rest) = (Framer::default(), Vec::new(), stream);
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let cut = cuts.next().expect("cycles").min(rest.len());
                framer.push(rest.split_to(cut));
                while let Some(frame) = framer.next_frame().expect("short frames") {
                    out.push(frame);
                }
            }
            prop_assert_eq!(out, payloads);
            prop_assert!(framer.is_between_frames());
            framer.push(Bytes::from_static(&[0]));
            prop_assert!(framer.next_frame() == Ok(None) && !framer.is_between_frames());
        }

        #[test]
        fn arbitrary_bytes_never_cost_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framer = Framer::default();
            framer.push(Bytes::from(bytes.clone()));
            while let Ok(Some(frame)) = framer.next_frame() {
                prop_assert!(frame.len() <= bytes.len());
            }
            prop_assert!(framer.partial.capacity() <= BLOCK);
        }
    }

    #[test]
    fn a_giant_length_is_an_error_at_once() {
        let mut framer = Framer::default();
        framer.push(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff]));
        assert_eq!(framer.next_frame(), Err(FrameTooLarge(0xffff_ffff)));
        let mut framer = Framer::default();
        framer.push(Bytes::from_static(&[0xff]));
        assert_eq!(framer.next_frame(), Ok(None));
        framer.push(Bytes::from_static(&[0xff, 0xff, 0xff]));
        assert_eq!(framer.next_frame(), Err(FrameTooLarge(0xffff_ffff)));
    }

    /// Lets a framer put a frame together from two pieces.
    fn in_pieces(framer: &mut Framer, payload: &[u8]) -> Bytes {
        let mut bytes = Bytes::from(framed(&[payload.to_vec()]));
        framer.push(bytes.split_to(bytes.len() / 2));
        assert_eq!(framer.next_frame(), Ok(None));
        framer.push(bytes);
        framer.next_frame().expect("a short frame").expect("whole")
    }

    #[test]
    fn what_is_held_stays_and_what_is_done_with_is_used_again() {
        let mut framer = Framer::default();
        let held = in_pieces(&mut framer, b"held");
        let mut places = HashSet::new();
        for number in 0..200_u8 {
            let frame = in_pieces(&mut framer, &[number; BLOCK / 3]);
            assert!(frame.iter().all(|byte| *byte == number));
            places.insert(frame.as_ptr());
        }
        assert_eq!(held, "held");
        assert!(places.len() <= 10, "{} places", places.len());
        let large = vec![7; 3 * BLOCK];
        assert_eq!(in_pieces(&mut framer, &large), large);
    }

    #[test]
    fn no_more_memory_is_kept_than_is_useful() {
        let mut framer = Framer::default();
        let held: Vec<_> = (0..100).map(|_| in_pieces(&mut framer, &[1; BLOCK / 2])).collect();
        drop(held);
        assert_eq!(framer.used.len(), KEPT);
    }
}
