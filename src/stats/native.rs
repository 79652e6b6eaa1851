//! The sparse buckets of a Prometheus native histogram, counted as values arrive.
//!
//! They cannot be computed from the HDR cells: with more than one bucket per octave, the bounds of both do not match, and some
//! counts would be in the wrong bucket.

use std::{sync::LazyLock, time::Duration};

/// Each bucket is 2^(2^-3) times as wide as the one before, which is nine percent more: eight buckets per octave.
pub const SCHEMA: i32 = 3;

const PER_OCTAVE: i32 = 1 << SCHEMA;

/// Values up to this are in the zero bucket: 2^-128, as in Prometheus' own clients.
pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Lower bounds of the eight buckets of the octave from 0.5 to 1. The fraction of every number is in this octave.
static FRACTIONS: LazyLock<[f64; PER_OCTAVE as usize]> =
    LazyLock::new(|| std::array::from_fn(|at| (at as f64 / f64::from(PER_OCTAVE) - 1.0).exp2()));

/// Sparse counts. Bucket `i` holds the values in `(2^((i-1)/8), 2^(i/8)]` seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeBuckets {
    /// Number of values in the zero bucket.
    pub zero: u64,
    /// Bucket and count, sorted by bucket. A count is never zero.
    pub positive: Vec<(i32, u64)>,
}

impl NativeBuckets {
    /// Counts a delay.
    pub fn record(&mut self, delay: Duration) {
        let seconds = delay.as_secs_f64();
        if seconds <= ZERO_THRESHOLD {
            self.zero += 1;
            return;
        }
        let bucket = bucket(seconds);
        match self.positive.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.positive[at].1 += 1,
            Err(at) => self.positive.insert(at, (bucket, 1)),
        }
    }

    /// Runs of adjacent buckets: for each run the distance from the end of the previous one (for the first: from bucket 0) and
    /// its length. Then the counts, each as the difference from the previous one. An empty histogram has one empty run, which
    /// marks it as a native histogram.
    pub fn spans_and_deltas(&self) -> (Vec<(i32, u32)>, Vec<i64>) {
        let (mut spans, mut deltas): (Vec<(i32, u32)>, Vec<i64>) = (Vec::new(), Vec::new());
        let (mut next, mut last_count) = (0, 0);
        for (bucket, count) in &self.positive {
            match spans.last_mut() {
                Some((_, length)) if *bucket == next => *length += 1,
                _ => spans.push((bucket - next, 1)),
            }
            next = bucket + 1;
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            deltas.push(count - last_count);
            last_count = count;
        }
        if spans.is_empty() && self.zero == 0 {
            spans.push((0, 0));
        }
        (spans, deltas)
    }
}

/// The bucket of a positive number of seconds.
fn bucket(seconds: f64) -> i32 {
    let exponent = exponent(seconds);
    let fraction = seconds / f64::from(exponent).exp2();
    // Upper bounds are inclusive, so a fraction equal to a bound belongs to the bucket below.
    let within = FRACTIONS.partition_point(|bound| *bound < fraction) as i32;
    within + (exponent - 1) * PER_OCTAVE
}

/// The power of two `e` with `seconds` in `[2^(e-1), 2^e)`. Delays are at least a nanosecond, so they are never subnormal
/// numbers.
fn exponent(seconds: f64) -> i32 {
    let bits = (seconds.to_bits() >> 52) & 0x7ff;
    bits as i32 - 1022
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_belong_to_the_bucket_below() {
        // Schema 3: bucket 0 ends at 1 s, bucket 8 at 2 s, bucket -8 at 0.5 s.
        assert_eq!([0.5, 1.0, 2.0].map(bucket), [-8, 0, 8]);
        assert_eq!([0.5000001, 1.0000001, 2.0000001].map(bucket), [-7, 1, 9]);
        assert_eq!(bucket(1.09), 1);
        assert_eq!(bucket(1.0906), 2);
    }

    #[test]
    fn runs_and_differences_follow_the_counts() {
        let mut native = NativeBuckets::default();
        assert_eq!(native.spans_and_deltas(), (vec![(0, 0)], vec![]));
        for seconds in [0.0, 1.0, 1.0, 1.05, 4.0] {
            native.record(Duration::from_secs_f64(seconds));
        }
        assert_eq!(native.zero, 1);
        assert_eq!(native.positive, [(0, 2), (1, 1), (16, 1)]);
        assert_eq!(native.spans_and_deltas(), (vec![(0, 2), (14, 1)], vec![2, -1, 0]));
    }

    proptest! {
        #[test]
        fn a_delay_lies_within_the_bounds_of_its_bucket(nanos in 1..u64::from(u32::MAX) * 1000) {
            let seconds = Duration::from_nanos(nanos).as_secs_f64();
            let bucket = f64::from(bucket(seconds));
            let (lower, upper) = (((bucket - 1.0) / 8.0).exp2(), (bucket / 8.0).exp2());
            // The last bit of the bounds computed here may be wrong.
            prop_assert!(lower * (1.0 - 1e-12) < seconds && seconds <= upper * (1.0 + 1e-12), "{lower} {seconds} {upper}");
        }
    }
}
