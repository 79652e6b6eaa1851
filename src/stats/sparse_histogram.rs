//! An HDR histogram that stores only cells with a count.
//!
//! It uses HdrHistogram's own grid, so cells convert to one of its histograms without moving a count. A dense array takes 13 KB
//! with two digits and 188 KB with three, even for a Service with a hundred changes a day. Here a used cell takes 8 bytes, and
//! the delays of one Service use a few dozen cells.

use hdrhistogram::Histogram;
use std::time::Duration;

/// HDR histograms count in units of 2^-20 s (0.95 us), so that their octaves match the bounds of native histograms.
pub const UNITS_PER_SECOND: u64 = 1 << 20;

/// The longest delay that has its own cell: one hour. Changes expire earlier, unless `--expiry` is longer.
pub const MAX_UNITS: u64 = 3600 * UNITS_PER_SECOND;

/// Number of octaves in [`SparseHistogram::octaves`]: up to the one that contains an hour.
pub const OCTAVES: usize = 23;

/// The octave in units that ends at 2^-10 s. Differences between shorter delays do not matter.
const FIRST_OCTAVE: usize = 10;

/// Precision of an HDR histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Two decimal digits, for Services, because there are thousands of them.
    Service,
    /// Three decimal digits, for the cluster.
    Cluster,
}

/// Counts by cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparseHistogram {
    precision: Precision,
    /// Cell and count, sorted by cell. A count is never zero.
    counts: Vec<(u16, u32)>,
}

// === impl Precision ===

impl Precision {
    /// Number of significant decimal digits, as HdrHistogram takes it.
    pub fn digits(self) -> u8 {
        match self {
            Self::Service => 2,
            Self::Cluster => 3,
        }
    }

    /// Number of cells per octave, as a power of two: half of the smallest power that distinguishes 2 * 10^digits values.
    fn magnitude(self) -> u32 {
        match self {
            Self::Service => 7,
            Self::Cluster => 10,
        }
    }

    /// The cell of a value. Each cell of the first two octaves contains one value. After that an octave has `2^magnitude` cells.
    pub(super) fn cell(self, units: u64) -> u16 {
        let magnitude = self.magnitude();
        let units = units.min(MAX_UNITS);
        let octave = (u64::BITS - units.leading_zeros()).saturating_sub(magnitude + 1);
        let cell = (u64::from(octave) << magnitude) + (units >> octave);
        // The cell of MAX_UNITS at three digits is below 2^15.
        u16::try_from(cell).expect("bounded by MAX_UNITS")
    }

    /// The lowest and the highest value of a cell.
    fn values(self, cell: u16) -> (u64, u64) {
        let (magnitude, cell) = (self.magnitude(), u64::from(cell));
        let octave = (cell >> magnitude).saturating_sub(1);
        let lowest = (cell - (octave << magnitude)) << octave;
        (lowest, lowest + (1 << octave) - 1)
    }
}

// === impl SparseHistogram ===

impl SparseHistogram {
    /// An empty histogram.
    pub fn new(precision: Precision) -> Self {
        Self { precision, counts: Vec::new() }
    }

    /// Sums up cells in any order.
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

    /// Number of counted values.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Merges several histograms with the same precision, which is that of the first; `None` if there are none.
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

    /// The delay that a share `q` of all delays does not exceed: the upper end of its cell. `None` if there are no values.
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

    /// Exact counts by octave of seconds. The first one counts delays of at most a millisecond (2^-10 s), each other one an
    /// octave that ends at [`octave_end`]. The last one also counts delays longer than an hour.
    pub fn octaves(&self) -> [u64; OCTAVES] {
        let mut counts = [0; OCTAVES];
        for (cell, count) in &self.counts {
            // Value `n` means `(n, n + 1]` units, so all values of an octave have the same number of bits.
            let bits = u64::BITS - self.precision.values(*cell).0.leading_zeros();
            let octave = (bits as usize).saturating_sub(FIRST_OCTAVE).min(OCTAVES - 1);
            counts[octave] += u64::from(*count);
        }
        counts
    }

    /// Converts to a histogram of the HdrHistogram library.
    pub fn to_histogram(&self) -> Histogram<u64> {
        let mut histogram = empty_histogram(self.precision);
        for (cell, count) in &self.counts {
            histogram.saturating_record_n(self.precision.values(*cell).0, u64::from(*count));
        }
        histogram
    }
}

/// An empty dense histogram, with room for every delay.
pub fn empty_histogram(precision: Precision) -> Histogram<u64> {
    // The bounds are constants that the library accepts.
    Histogram::new_with_bounds(1, MAX_UNITS, precision.digits()).expect("constant bounds")
}

/// The upper bound of an octave of [`SparseHistogram::octaves`], in seconds.
pub fn octave_end(octave: usize) -> f64 {
    (1u64 << (octave + FIRST_OCTAVE)) as f64 / UNITS_PER_SECOND as f64
}

/// The value for a delay. Value `n` means a delay in `(n, n + 1]` units, with an inclusive upper bound as in Prometheus. Zero
/// also means no delay.
pub fn units(delay: Duration) -> u64 {
    let units = (delay.as_nanos() * u128::from(UNITS_PER_SECOND)).div_ceil(1_000_000_000).saturating_sub(1);
    u64::try_from(units).unwrap_or(u64::MAX)
}

/// The longest delay of a value.
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
