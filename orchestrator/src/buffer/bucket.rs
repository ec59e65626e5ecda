//! The rate of a buffer: a bucket of tokens that accrue with time, one for each start.
//!
//! # Contract
//! While deliveries wait for nothing but the rate, time is never lost: a process that stalls, or is killed and comes
//! back, makes up for what it missed. In any window of `w` seconds at most `(1 + 1/10) x rate x w + burst + 1` starts
//! take place; the tenth is there only while missed starts are being made up for, and over the whole time that
//! deliveries wait the starts are `rate x time + burst` at most. At most [`ARREARS`] of time is made up for. A buffer
//! that has nothing to start saves up its burst and no more.
//!
//! Owns the arithmetic and the default burst. Pure; reads no clock and stores nothing.

use std::time::Duration;

use tidemill_dsl::ids::Time;
use tidemill_store::StoredBucket;

use crate::catalog::TriggerEntry;

/// The share of the rate by which missed starts are made up for.
const SHARE: f64 = 0.1;
/// The longest time whose starts are made up for (limit `buffer-arrears`).
pub(super) const ARREARS: Duration = Duration::from_secs(10);

/// Starts per second and burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) per_second: f64,
    pub(super) burst: f64,
}

impl Pace {
    /// Of a trigger; none without a rate.
    pub(super) fn of(trigger: &TriggerEntry) -> Option<Pace> {
        let spec = trigger.spec.buffer.as_ref()?;
        let rate = spec.rate?;
        let per_second = rate.count / rate.per.as_secs_f64();
        // Without a stated burst a tenth of a second's tokens may pile up.
        let burst = spec.burst.map_or_else(|| (per_second / 10.0).max(1.0), f64::from);
        Some(Pace { per_second, burst: burst.max(1.0) })
    }
}

/// The rate bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Tokens, up to the burst; while deliveries wait up to one more, so that a late wake-up costs nothing.
    tokens: f64,
    /// Starts that were missed while deliveries waited.
    arrears: f64,
    /// When both were counted.
    at: Time,
}

impl From<StoredBucket> for Bucket {
    fn from(StoredBucket { tokens, arrears, at }: StoredBucket) -> Bucket {
        Bucket { tokens, arrears, at }
    }
}

impl Bucket {
    /// A full one.
    pub(super) fn full(pace: Pace, at: Time) -> Bucket {
        Bucket { tokens: pace.burst, arrears: 0.0, at }
    }

    /// To be saved.
    pub(super) fn to_save(self) -> StoredBucket {
        StoredBucket { tokens: self.tokens, arrears: self.arrears, at: self.at }
    }

    /// Lets time pass up to `now`. `hungry` tells whether all that time deliveries waited for the rate alone.
    pub(super) fn pass(&mut self, pace: Pace, hungry: bool, now: Time) {
        let elapsed = (now.0 - self.at.0).max(0) as f64 / 1000.0;
        self.at = Time(self.at.0.max(now.0));
        self.tokens += elapsed * pace.per_second;
        let most = if hungry { pace.burst + 1.0 } else { pace.burst };
        let above = (self.tokens - most).max(0.0);
        self.tokens -= above;
        if hungry {
            self.arrears = (self.arrears + above).min(ARREARS.as_secs_f64() * pace.per_second);
        }
        let room = (pace.burst - self.tokens).max(0.0);
        let paid = self.arrears.min(room).min(elapsed * pace.per_second * SHARE);
        self.arrears -= paid;
        self.tokens += paid;
    }

    /// Starts that may take place now.
    pub(super) fn allows(&self, pace: Pace) -> usize {
        self.tokens.min(pace.burst).max(0.0) as usize
    }

    /// Pays for starts.
    pub(super) fn pay(&mut self, starts: usize) {
        self.tokens -= starts as f64;
    }

    /// Takes a payment back: the starts it was for take place only now, and are paid for then.
    pub(super) fn repay(&mut self, starts: usize) {
        self.tokens += starts as f64;
    }

    /// When the next whole token is there.
    pub(super) fn next(&self, pace: Pace) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        let share = if self.arrears > 0.0 { SHARE } else { 0.0 };
        Duration::from_secs_f64((missing / (pace.per_second * (1.0 + share))).clamp(0.001, 3600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { per_second: 100.0, burst: 10.0 };

    #[test]
    fn time_that_passes() {
        // From (tokens, arrears) over milliseconds, hungry or not, to (tokens, arrears).
        let check = |from: (f64, f64), millis: i64, hungry: bool, expected: (f64, f64)| {
            let mut bucket = Bucket { tokens: from.0, arrears: from.1, at: Time(0) };
            bucket.pass(PACE, hungry, Time(millis));
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(
                near(bucket.tokens, expected.0) && near(bucket.arrears, expected.1),
                "{from:?} + {millis} ms: {bucket:?}"
            );
        };
        check((0.0, 0.0), 50, false, (5.0, 0.0));
        // Idle: the burst and no more.
        check((5.0, 0.0), 5_000, false, (10.0, 0.0));
        // A late wake-up keeps its part of a token.
        check((0.4, 0.0), 102, true, (10.6, 0.0));
        // A stall is owed for, and made up for by a tenth of the rate.
        check((0.0, 0.0), 500, true, (11.0, 39.0));
        check((0.0, 39.0), 50, true, (5.5, 38.5));
        check((0.0, 0.2), 50, true, (5.2, 0.0));
        // A bucket that is full takes nothing of the arrears.
        check((9.9, 39.0), 1, true, (10.0, 39.0));
        check((9.8, 39.0), 1, true, (9.91, 38.99));
        // Nobody waited: arrears stay, nothing is added to them.
        check((10.0, 5.0), 1_000, false, (10.0, 5.0));
        // No more than ten seconds are made up for.
        check((0.0, 0.0), 60_000, true, (11.0, 1000.0));
        // A clock that stands still gives nothing, one that jumps back takes nothing.
        check((3.0, 2.0), 0, true, (3.0, 2.0));
        check((3.0, 2.0), -1_000, true, (3.0, 2.0));
        // Starts that were paid for twice are owed.
        check((-2.0, 0.0), 50, true, (3.0, 0.0));
    }

    #[test]
    fn saved_and_read() {
        let bucket = Bucket { tokens: 10.0, arrears: 7.5, at: Time(9) };
        assert_eq!(Bucket::from(bucket.to_save()), bucket);
        assert_eq!(
            Bucket { tokens: 0.25, arrears: 0.0, at: Time(0) }.next(PACE),
            Duration::from_micros(7500)
        );
    }

    /// A minute of starts by an owner that wakes some milliseconds late, stalls every eighth second but the last, and
    /// comes back from the store now and then; gives the instants of the starts.
    fn minute(pace: Pace, late: i64, stall: i64) -> Vec<f64> {
        let mut bucket = Bucket { tokens: 0.0, arrears: 0.0, at: Time(0) };
        let (mut now, mut wakes, mut starts) = (0, 0, Vec::new());
        while now < 60_000 {
            bucket.pass(pace, true, Time(now));
            if wakes % 97 == 96 {
                bucket = bucket.to_save().into();
            }
            let allowed = bucket.allows(pace);
            bucket.pay(allowed);
            starts.extend(std::iter::repeat_n(now as f64 / 1000.0, allowed));
            let next = now + bucket.next(pace).as_millis().max(1) as i64 + wakes % (late + 1);
            let stalls = next / 8_000 > now / 8_000 && next < 50_000;
            now = if stalls { next + stall } else { next };
            wakes += 1;
        }
        starts
    }

    #[test]
    fn a_minute_is_exact_over_stalls_and_windows_hold() {
        let paces = [(50.0, 5.0), (100.0, 10.0), (1000.0, 100.0), (20.0, 1.0), (100.0, 200.0), (100.0, 1.0)];
        for (per_second, burst) in paces {
            for (late, stall) in [(0, 0), (4, 0), (2, 250), (2, 400), (0, 600)] {
                let pace = Pace { per_second, burst };
                let starts = minute(pace, late, stall);
                let expected = per_second * 60.0;
                let off = (starts.len() as f64 - expected) / expected;
                assert!(off.abs() <= 0.01, "{pace:?} {late} {stall}: {} of {expected}", starts.len());
                assert!(starts.len() as f64 <= expected + burst, "{pace:?}: never ahead of rate x time");
                // The worst window of every length, in one walk: see the module's contract.
                let mut least = f64::MAX;
                for (n, at) in starts.iter().enumerate() {
                    let level = n as f64 - (1.0 + SHARE) * per_second * at;
                    least = least.min(level);
                    assert!(level - least < burst + 1e-6, "{pace:?} {late} {stall}: too many up to {at}");
                }
            }
        }
    }
}
