//! Cuts the bytes of a watch into frames: a big-endian length of four bytes, then as many bytes.

use bytes::{Buf, Bytes, BytesMut};

/// Largest frame that is accepted. etcd takes objects of 1.5 MiB by default; nothing an API server sends comes near this.
pub const MAX_FRAME: usize = 32 << 20;

/// The stream is no sequence of frames.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a frame of {0} bytes was announced, more than any object has")]
pub struct FrameTooLarge(pub usize);

/// Collects chunks and hands out whole frames.
#[derive(Debug, Default)]
pub struct Framer {
    /// The chunk being cut, while no frame hangs over its end.
    chunk: Bytes,
    /// The beginning of a frame whose end has not come. Grows with the bytes that come, never by the length announced.
    partial: BytesMut,
}

impl Framer {
    /// Adds a chunk. All whole frames must have been taken out before.
    pub fn push(&mut self, chunk: Bytes) {
        if self.partial.is_empty() {
            self.chunk = chunk;
        } else {
            self.partial.extend_from_slice(&chunk);
        }
    }

    /// The next whole frame, without its length, if its last byte has come.
    ///
    /// # Errors
    /// If a frame announces more than [`MAX_FRAME`] bytes.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameTooLarge> {
        if self.partial.is_empty() {
            let Some(length) = frame_length(&self.chunk)? else {
                self.partial.extend_from_slice(&std::mem::take(&mut self.chunk));
                return Ok(None);
            };
            self.chunk.advance(4);
            return Ok(Some(self.chunk.split_to(length)));
        }
        let Some(length) = frame_length(&self.partial)? else { return Ok(None) };
        // What follows the frame is whole chunks' worth of frames again: back to cutting without copies.
        let mut rest = std::mem::take(&mut self.partial).freeze();
        rest.advance(4);
        let frame = rest.split_to(length);
        self.chunk = rest;
        Ok(Some(frame))
    }
}

/// Length of the frame at the front of `bytes`, if it is whole.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, FrameTooLarge> {
    let Some((header, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*header) as usize;
    if length > MAX_FRAME {
        return Err(FrameTooLarge(length));
    }
    Ok((rest.len() >= length).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
                    out.push(frame.to_vec());
                }
            }
            prop_assert_eq!(out, payloads);
        }

        #[test]
        fn arbitrary_bytes_never_cost_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framer = Framer::default();
            framer.push(Bytes::from(bytes.clone()));
            while let Ok(Some(frame)) = framer.next_frame() {
                prop_assert!(frame.len() <= bytes.len());
            }
            prop_assert!(framer.partial.capacity() <= 2 * bytes.len() + 64);
        }
    }

    #[test]
    fn a_giant_length_is_an_error_at_once() {
        let mut framer = Framer::default();
        framer.push(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff]));
        assert_eq!(framer.next_frame(), Err(FrameTooLarge(0xffff_ffff)));
    }
}
