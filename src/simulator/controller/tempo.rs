//! The speed of the simulated controller: the delay before a Service is processed, and the rate limit of its writes.

use rand::{Rng, RngExt};
use std::time::Duration;
use tokio::time::Instant;

/// A distribution of the time between a change and the processing of its Service.
///
/// Most delays are between `shortest` and `longest`, uniformly on a logarithmic scale. A few are longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// Minimum delay.
    pub shortest: Duration,
    /// Most delays are shorter than this.
    pub longest: Duration,
    /// The share of delays that are longer than `longest`, from 0 to 1.
    pub tail: f64,
    /// Maximum delay.
    pub tail_longest: Duration,
}

/// The rate limit of the controller's writes, as in its API client: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteRate {
    /// Writes a second in the long run; infinite means no limit. A rate below one in 1,000 s counts as one in 1,000 s.
    pub per_second: f64,
    /// Writes at once after a pause; 0 counts as 1.
    pub burst: u32,
}

/// The latest instructions to the controller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tempo {
    pub(super) delay: Delay,
    pub(super) paused: bool,
}

/// Tokens of a [`WriteRate`].
#[derive(Debug)]
pub(super) struct Bucket {
    rate: WriteRate,
    /// The number of tokens at the time `filled`.
    tokens: f64,
    filled: Instant,
}

// === impl Delay ===

impl Delay {
    /// A healthy controller: 5 to 60 ms, and one Service in 50 up to a second late.
    pub const HEALTHY: Self = Self {
        shortest: Duration::from_millis(5),
        longest: Duration::from_millis(60),
        tail: 0.02,
        tail_longest: Duration::from_secs(1),
    };

    /// A throttled or overloaded controller: several seconds.
    pub const SLOW: Self = Self {
        shortest: Duration::from_secs(2),
        longest: Duration::from_secs(9),
        tail: 0.1,
        tail_longest: Duration::from_secs(15),
    };

    /// A healthy garbage collector: 20 to 200 ms, and one object in 20 up to two seconds late, because of its own queue and the
    /// rate limit of its client.
    pub const COLLECTING: Self = Self {
        shortest: Duration::from_millis(20),
        longest: Duration::from_millis(200),
        tail: 0.05,
        tail_longest: Duration::from_secs(2),
    };

    /// A constant delay, which may be zero.
    pub const fn fixed(delay: Duration) -> Self {
        Self { shortest: delay, longest: delay, tail: 0.0, tail_longest: delay }
    }

    /// Draws a delay.
    pub(in crate::simulator) fn sample(&self, rng: &mut impl Rng) -> Duration {
        let (from, to) = if rng.random::<f64>() < self.tail {
            (self.longest, self.tail_longest)
        } else {
            (self.shortest, self.longest)
        };
        if from.is_zero() || to <= from {
            return from;
        }
        let ratio = to.div_duration_f64(from);
        from.mul_f64(ratio.powf(rng.random()))
    }
}

impl Default for Delay {
    fn default() -> Self {
        Self::HEALTHY
    }
}

// === impl WriteRate ===

impl Default for WriteRate {
    /// The defaults of kube-controller-manager, `--kube-api-qps=20` and `--kube-api-burst=30`.
    fn default() -> Self {
        Self { per_second: 20.0, burst: 30 }
    }
}

// === impl Bucket ===

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate: WriteRate, now: Instant) -> Self {
        let rate = WriteRate { per_second: rate.per_second.max(0.001), burst: rate.burst.max(1) };
        Self { rate, tokens: f64::from(rate.burst), filled: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// If there is no token: the time when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.rate.per_second.is_infinite() {
            return Ok(());
        }
        let elapsed = now.saturating_duration_since(self.filled);
        let gained = elapsed.as_secs_f64() * self.rate.per_second;
        self.tokens = (self.tokens + gained).min(f64::from(self.rate.burst));
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / self.rate.per_second;
        // One nanosecond more, so that after rounding the token is really there.
        Err(now + Duration::from_secs_f64(missing) + Duration::from_nanos(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn delays_lie_where_they_should() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut delays: Vec<_> = (0..10_000).map(|_| Delay::HEALTHY.sample(&mut rng)).collect();
        delays.sort();
        assert!(delays[0] >= Duration::from_millis(5));
        assert!(delays[9_999] <= Duration::from_secs(1));
        let tail = delays.iter().filter(|d| **d > Duration::from_millis(60)).count();
        assert!((100..300).contains(&tail), "{tail} of 10,000 in the tail");
        let fixed = Delay::fixed(Duration::ZERO);
        assert_eq!(fixed.sample(&mut rng), Duration::ZERO);
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let start = Instant::now();
        let rate = WriteRate { per_second: 10.0, burst: 3 };
        let mut bucket = Bucket::new(rate, start);
        for _ in 0..3 {
            assert!(bucket.take(start).is_ok());
        }
        let next = bucket.take(start).unwrap_err();
        assert!(next > start + Duration::from_millis(99) && next < start + Duration::from_millis(101));
        assert!(bucket.take(next).is_ok());
        assert!(bucket.take(next).is_err());
    }
}
