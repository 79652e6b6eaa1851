//! Upper bounds of classic histogram buckets.

use std::{str::FromStr, time::Duration};

/// Upper bounds in seconds, ascending, without the bucket +Inf. By default there are none, for readers who use the HDR cells only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds {
    seconds: Box<[f64]>,
    /// The same bounds, for comparisons without rounding.
    nanos: Box<[u64]>,
}

/// Invalid bucket bounds.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum BoundsError {
    /// Not a number.
    #[error("{0:?} is not a number of seconds")]
    NotANumber(String),
    /// Outside the range that can be measured.
    #[error("{0} s is not a valid bucket bound: it must be between a microsecond and an hour")]
    OutOfRange(f64),
    /// Not ascending.
    #[error("{1} s is not above {0} s: bucket bounds must ascend")]
    NotAscending(f64, f64),
    /// Too many series for Prometheus.
    #[error("{0} buckets are more than 50: each is a series per Service and kind of change")]
    TooMany(usize),
    /// No bounds at all.
    #[error("there must be at least one bucket bound")]
    None,
}

// === impl Bounds ===

impl Bounds {
    /// From 5 ms, which an idle controller achieves, to one minute. They include the default objective of 5 s.
    pub const DEFAULT: &str = "0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,15,60";

    /// Bounds from seconds.
    ///
    /// # Errors
    /// If they are not ascending, not between 1 us and 1 h, or more than 50.
    pub fn new(seconds: &[f64]) -> Result<Self, BoundsError> {
        if seconds.is_empty() {
            return Err(BoundsError::None);
        }
        if seconds.len() > 50 {
            return Err(BoundsError::TooMany(seconds.len()));
        }
        if let Some(bad) = seconds.iter().find(|bound| !(1e-6..=3600.0).contains(*bound)) {
            return Err(BoundsError::OutOfRange(*bad));
        }
        if let Some(pair) = seconds.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(BoundsError::NotAscending(pair[0], pair[1]));
        }
        let nanos = seconds.iter().map(|bound| (bound * 1e9).round() as u64).collect();
        Ok(Self { seconds: seconds.into(), nanos })
    }

    /// The bounds in seconds, ascending.
    pub fn seconds(&self) -> &[f64] {
        &self.seconds
    }

    /// The bucket of a delay. Upper bounds are inclusive. Longer delays are in the last bucket.
    pub fn bucket(&self, delay: Duration) -> usize {
        let nanos = delay.as_nanos();
        self.nanos.partition_point(|bound| u128::from(*bound) < nanos)
    }

    /// Number of buckets, including the one without a bound.
    pub fn buckets(&self) -> usize {
        self.seconds.len() + 1
    }
}

impl FromStr for Bounds {
    type Err = BoundsError;

    fn from_str(text: &str) -> Result<Self, BoundsError> {
        let parse = |bound: &str| bound.trim().parse().map_err(|_| BoundsError::NotANumber(bound.trim().to_owned()));
        let seconds: Vec<f64> = text.split(',').map(parse).collect::<Result<_, _>>()?;
        Self::new(&seconds)
    }
}
