//! An HDR histogram that keeps only the cells in which something was counted.
//!
//! The grid is HdrHistogram's own, so that cells turn into one of its histograms without moving a count. Its dense array takes
//! 13 KB at two digits and 188 KB at three, for a Service that sees a hundred changes a day as much as for the cluster; here a
//! cell in use takes 8 bytes, and delays of one Service fall into some tens of cells.

use hdrhistogram::Histogram;
use std::time::Duration;

/// HDR histograms count in units of 2^-20 s (0.95 us), so that their octaves fall on the bounds of native histograms.
pub const UNITS_PER_SECOND: u64 = 1 << 20;

/// Longest delay that is told from longer ones: an hour. Expiry comes before, unless it is set to more.
pub const MAX_UNITS: u64 = 3600 * UNITS_PER_SECOND;

/// Octaves of [`SparseHistogram::octaves`]: up to the one that an hour lies in.
pub const OCTAVES: usize = 23;

/// The octave in units that ends at 2^-10 s. What is shorter tells nobody anything.
const FIRST_OCTAVE: usize = 10;

/// How finely an HDR histogram counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Two decimal digits: there are thousands of Services.
    Service,
    /// Three decimal digits: there is one cluster.
    Cluster,
}

/// Counts by cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparseHistogram {
    precision: Precision,
    /// Cell and count, by cell. Never a count of zero.
    counts: Vec<(u16, u32)>,
}

// === impl Precision ===

impl Precision {
    /// Significant decimal digits, as HdrHistogram takes them.
    pub fn digits(self) -> u8 {
        match self {
            Self::Service => 2,
            Self::Cluster => 3,
        }
    }

    /// Cells of an octave, as a power of two: the smallest that tells 2 * 10^digits values apart, halved.
    fn magnitude(self) -> u32 {
        match self {
            Self::Service => 7,
            Self::Cluster => 10,
        }
    }

    /// The cell that counts a value. The first two octaves' worth of cells hold one value each; from there on an octave has
    /// `2^magnitude` cells.
    pub(super) fn cell(self, units: u64) -> u16 {
        let magnitude = self.magnitude();
        let units = units.min(MAX_UNITS);
        let octave = (u64::BITS - units.leading_zeros()).saturating_sub(magnitude + 1);
        let cell = (u64::from(octave) << magnitude) + (units >> octave);
        // The cell of MAX_UNITS at three digits is below 2^15.
        u16::try_from(cell).expect("bounded by MAX_UNITS")
    }

    /// The lowest value that a cell counts, and the highest.
    fn values(self, cell: u16) -> (u64, u64) {
        let (magnitude, cell) = (self.magnitude(), u64::from(cell));
        let octave = (cell >> magnitude).saturating_sub(1);
        let lowest = (cell - (octave << magnitude)) << octave;
        (lowest, lowest + (1 << octave) - 1)
    }
}

// === impl SparseHistogram ===

impl SparseHistogram {
    /// Nothing counted.
    pub fn new(precision: Precision) -> Self {
        Self { precision, counts: Vec::new() }
    }

    /// Adds up cells that come in no order.
    pub(super) fn collect(precision: Precision, mut counts: Vec<(u16, u32)>) -> Self {
        counts.sort_unstable_by_key(|(cell, _)| *cell);
        counts.dedup_by(|(cell, count), (kept, sum)| {
            let same = cell == kept;
            if same {
                *sum = sum.saturating_add(*count);
            }
            same
        });
        Self { precision, counts }
    }

    /// How finely it counts.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Counts a value.
    pub(super) fn record(&mut self, cell: u16) {
        match self.counts.binary_search_by_key(&cell, |(cell, _)| *cell) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(1),
            Err(at) => self.counts.insert(at, (cell, 1)),
        }
    }

    /// How much was counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Several of one precision as one. That of the first holds; `None` if there is none.
    pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let mut counts = first.counts.clone();
        for part in parts {
            debug_assert_eq!(part.precision, first.precision, "cells of two grids do not meet");
            counts.extend_from_slice(&part.counts);
        }
        Some(Self::collect(first.precision, counts))
    }

    /// The delay that a share `q` of all delays does not exceed: the upper end of its cell. `None` if nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((q * self.total() as f64).ceil() as u64).max(1);
        let mut passed = 0;
        let reaches = |(_, count): &&(u16, u32)| {
            passed += u64::from(*count);
            passed >= rank
        };
        let (cell, _) = self.counts.iter().find(reaches).or(self.counts.last())?;
        Some(duration(self.precision.values(*cell).1))
    }

    /// Counts by octave of seconds, exactly: what is at most a millisecond long (2^-10 s) comes first, then each octave that ends at
    /// [`octave_end`]. The last holds what is longer than an hour as well.
    pub fn octaves(&self) -> [u64; OCTAVES] {
        let mut counts = [0; OCTAVES];
        for (cell, count) in &self.counts {
            // Value `n` stands for `(n, n + 1]` units, so that the values of an octave have one length in bits.
            let bits = u64::BITS - self.precision.values(*cell).0.leading_zeros();
            let octave = (bits as usize).saturating_sub(FIRST_OCTAVE).min(OCTAVES - 1);
            counts[octave] += u64::from(*count);
        }
        counts
    }

    /// As a histogram of HdrHistogram, for what that library does.
    pub fn to_histogram(&self) -> Histogram<u64> {
        let mut histogram = empty_histogram(self.precision);
        for (cell, count) in &self.counts {
            histogram.saturating_record_n(self.precision.values(*cell).0, u64::from(*count));
        }
        histogram
    }
}

/// A dense histogram that holds every delay, with nothing counted.
pub fn empty_histogram(precision: Precision) -> Histogram<u64> {
    // The bounds are constants that the library accepts.
    Histogram::new_with_bounds(1, MAX_UNITS, precision.digits()).expect("constant bounds")
}

/// The longest delay of an octave of [`SparseHistogram::octaves`], in seconds.
pub fn octave_end(octave: usize) -> f64 {
    (1u64 << (octave + FIRST_OCTAVE)) as f64 / UNITS_PER_SECOND as f64
}

/// The value that stands for a delay. Value `n` stands for the delays in `(n, n + 1]` units, upper bound inclusive as in
/// Prometheus; zero stands for no delay as well.
pub fn units(delay: Duration) -> u64 {
    let units = (delay.as_nanos() * u128::from(UNITS_PER_SECOND)).div_ceil(1_000_000_000).saturating_sub(1);
    u64::try_from(units).unwrap_or(u64::MAX)
}

/// The longest delay that a value stands for.
pub fn duration(units: u64) -> Duration {
    let nanos = (u128::from(units) + 1) * 1_000_000_000 / u128::from(UNITS_PER_SECOND);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Precision; 2] = [Precision::Service, Precision::Cluster];

    #[test]
    fn merging_adds_up() {
        let mut parts = [SparseHistogram::new(Precision::Service), SparseHistogram::new(Precision::Service)];
        for (part, value) in [(0, 5), (0, 7), (1, 5), (1, 1_000_000)] {
            parts[part].record(Precision::Service.cell(value));
        }
        let merged = SparseHistogram::merged(&parts).expect("two parts");
        assert_eq!(merged.counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(merged.total(), 4);
        assert_eq!(SparseHistogram::merged(&[]), None);
        assert_eq!(SparseHistogram::new(Precision::Cluster).quantile(0.5), None);
    }

    #[test]
    fn octaves_end_with_their_bound_and_reach_an_hour() {
        assert_eq!((octave_end(0), octave_end(10), octave_end(OCTAVES - 1)), (1.0 / 1024.0, 1.0, 4096.0));
        for precision in ALL {
            let octave = |delay: Duration| {
                let mut histogram = SparseHistogram::new(precision);
                histogram.record(precision.cell(units(delay)));
                histogram.octaves().iter().position(|count| *count == 1)
            };
            for at in 0..OCTAVES - 1 {
                let end = Duration::from_secs_f64(octave_end(at));
                let more = end.mul_f64(1.02);
                assert_eq!((octave(end), octave(more)), (Some(at), Some(at + 1)), "{end:?}");
            }
            assert_eq!(octave(Duration::ZERO), Some(0));
            assert_eq!(octave(Duration::from_secs(100_000)), Some(OCTAVES - 1));
        }
    }

    proptest! {
        #[test]
        fn the_grid_is_that_of_the_library(value in 0..=MAX_UNITS, small in 0..5_000u64) {
            for precision in ALL {
                let library = empty_histogram(precision);
                for value in [value, small, MAX_UNITS] {
                    let (lowest, highest) = precision.values(precision.cell(value));
                    prop_assert_eq!(lowest, library.lowest_equivalent(value));
                    prop_assert_eq!(highest, library.highest_equivalent(value));
                }
            }
        }

        #[test]
        fn quantiles_are_those_of_the_library(values in prop::collection::vec(0..MAX_UNITS, 1..200)) {
            for precision in ALL {
                let (mut histogram, mut library) = (SparseHistogram::new(precision), empty_histogram(precision));
                for value in &values {
                    histogram.record(precision.cell(*value));
                    library.saturating_record(*value);
                }
                prop_assert_eq!(&histogram.to_histogram(), &library);
                for q in [0.001, 0.5, 0.9, 0.99, 1.0] {
                    prop_assert_eq!(histogram.quantile(q), Some(duration(library.value_at_quantile(q))));
                }
            }
        }
    }
}
