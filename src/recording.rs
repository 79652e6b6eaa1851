//! A recording: all that reaches the trackers of a measurement, in a file. Given the same steps, the trackers report the same outcomes.
//!
//! The file is gzip. Inside, each line is a JSON value, so that whoever sends a recording can read what it says: `zcat FILE`.
//!
//! ```text
//! {"endpointlag_recording":1,"version":"0.1.0",...}                       a header
//! {"event":{"at":1200000,"is":{"pod":{"namespace":"shop",...}}}}          what a watch delivered, stamped on the session's clock
//! {"through":{"at":1300000}}                                              until when the watches have delivered everything
//! {"check":2774931027}                                                    CRC-32 of all lines since the last such line
//! {"end":1300000}                                                         the recording was ended, and not cut short
//! ```
//!
//! A part is what stands between two checks. Parts are written about once a second, and a reader uses only whole parts. Of an object
//! the file has only what the [`model`](crate::model) has: no environment, no secret, no address. [`Names`] says what happens to text.
//!
//! Whatever changes the meaning of a line, or adds one, takes another [`FORMAT`]: a reader refuses what it does not know.

mod convert;
mod header;
mod line;
mod names;
mod reader;
mod recorder;
mod target;
mod writer;

pub use self::{
    header::{FORMAT, Header},
    names::{Names, NoRandomness},
    reader::{End, ReadError, Reader},
    recorder::{Counts, Recorder},
    target::{Target, TargetError},
    writer::{WriteError, Writing, Written},
};

#[cfg(test)]
mod tests;
