//! The rate of a buffer: a bucket of tokens that accrue with time, one for each start.
//!
//! Owns the arithmetic and the default burst. Pure; reads no clock and stores nothing.

use std::time::Duration;

use tidemill_dsl::ids::Time;

use crate::catalog::TriggerEntry;

/// The rate bucket: tokens accrue with time up to the burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Starts that may take place now.
    pub(super) tokens: f64,
    /// When they were counted.
    pub(super) at: Time,
}

impl Bucket {
    /// Adds what accrued since.
    pub(super) fn refill(&mut self, per_second: f64, burst: f64, now: Time) {
        let elapsed = (now.0 - self.at.0).max(0) as f64 / 1000.0;
        self.tokens = (self.tokens + elapsed * per_second).min(burst);
        self.at = Time(self.at.0.max(now.0));
    }

    /// Pays for starts that take place only now, though the tokens were taken off earlier: what accrued meanwhile is
    /// held to the burst before the payment, as if it were made now.
    pub(super) fn pay_late(&mut self, paid: f64, (per_second, burst): (f64, f64), now: Time) {
        self.tokens += paid;
        self.refill(per_second, burst, now);
        self.tokens -= paid;
    }

    /// When the next whole token is there.
    pub(super) fn next(&self, per_second: f64) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::from_secs_f64((missing / per_second).clamp(0.001, 3600.0))
    }
}

/// Tokens per second and burst of a trigger; none without a rate.
pub(super) fn rate_of(trigger: &TriggerEntry) -> Option<(f64, f64)> {
    let spec = trigger.spec.buffer.as_ref()?;
    let rate = spec.rate?;
    let per_second = rate.count / rate.per.as_secs_f64();
    // Without a stated burst a tenth of a second's tokens may pile up: enough to make up for a late wake-up.
    let burst = spec.burst.map_or_else(|| (per_second / 10.0).max(1.0), f64::from);
    Some((per_second, burst.max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_keeps_the_rate_and_the_burst() {
        let mut bucket = Bucket { tokens: 0.0, at: Time(0) };
        bucket.refill(100.0, 10.0, Time(50));
        assert!((bucket.tokens - 5.0).abs() < 1e-9);
        bucket.refill(100.0, 10.0, Time(5_000));
        assert!((bucket.tokens - 10.0).abs() < 1e-9);
        bucket.tokens = 0.25;
        assert_eq!(bucket.next(100.0), Duration::from_secs_f64(0.0075));
        // A start that takes place later than it was paid for lets no more than the burst pile up behind it.
        let mut late = Bucket { tokens: 0.0, at: Time(0) };
        late.pay_late(4.0, (100.0, 5.0), Time(1_000));
        assert!((late.tokens - 1.0).abs() < 1e-9);
        // A clock that stands still gives nothing, one that jumps back takes nothing.
        bucket.refill(100.0, 10.0, Time(4_000));
        assert!((bucket.tokens - 0.25).abs() < 1e-9);
    }
}
