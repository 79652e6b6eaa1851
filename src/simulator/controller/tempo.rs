//! How fast the simulated controller works: the delay before a Service is looked at, and the bound on its writes.

use rand::{Rng, RngExt};
use std::time::Duration;
use tokio::time::Instant;

/// A distribution of the time between a change and the controller's look at its Service.
///
/// Most delays lie between `shortest` and `longest`, evenly on a logarithmic scale; a few lie in the tail above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// No delay is shorter.
    pub shortest: Duration,
    /// Most delays are shorter.
    pub longest: Duration,
    /// The share of delays that are longer, from 0 to 1.
    pub tail: f64,
    /// No delay is longer.
    pub tail_longest: Duration,
}

/// The bound on the controller's writes, as its API client has it: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteRate {
    /// Writes a second in the long run; infinite for no bound. Less than one in 1,000 s counts as that.
    pub per_second: f64,
    /// Writes at once after a pause; 0 counts as 1.
    pub burst: u32,
}

/// What the controller was told of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tempo {
    pub(super) delay: Delay,
    pub(super) paused: bool,
}

/// Tokens of a [`WriteRate`].
#[derive(Debug)]
pub(super) struct Bucket {
    rate: WriteRate,
    /// As of `filled`.
    tokens: f64,
    filled: Instant,
}

// === impl Delay ===

impl Delay {
    /// A controller in good health: 5 to 60 ms, and one look in 50 up to a second late.
    pub const HEALTHY: Self = Self {
        shortest: Duration::from_millis(5),
        longest: Duration::from_millis(60),
        tail: 0.02,
        tail_longest: Duration::from_secs(1),
    };

    /// A controller that is starved or throttled: several seconds.
    pub const SLOW: Self = Self {
        shortest: Duration::from_secs(2),
        longest: Duration::from_secs(9),
        tail: 0.1,
        tail_longest: Duration::from_secs(15),
    };

    /// A garbage collector in good health: 20 to 200 ms, and one object in 20 up to two seconds late, as its own queue and the
    /// rate of its client have it.
    pub const COLLECTING: Self = Self {
        shortest: Duration::from_millis(20),
        longest: Duration::from_millis(200),
        tail: 0.05,
        tail_longest: Duration::from_secs(2),
    };

    /// Always the same delay, which may be zero.
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
    /// When there will be one, if there is none.
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
        // A nanosecond on top, so that rounding does not make it a token that is almost there.
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
