//! How many events came within the last minute. Pure in the time it is given.

use tidemill_dsl::ids::Time;

/// Seconds that are looked back on.
const SECONDS: usize = 60;

/// Counts by second.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    /// The second that was counted last, since 1970.
    second: i64,
    counts: [u64; SECONDS],
}

impl Recent {
    pub(super) fn new() -> Recent {
        Recent { second: 0, counts: [0; SECONDS] }
    }

    pub(super) fn add(&mut self, now: Time, count: u64) {
        let second = now.0.div_euclid(1000);
        let passed = usize::try_from(second - self.second).unwrap_or(0).min(SECONDS);
        for back in 0..passed {
            self.counts[place(second - back as i64)] = 0;
        }
        self.second = self.second.max(second);
        self.counts[place(second)] += count;
    }

    /// Events per second over the last minute, to a hundredth.
    pub(super) fn per_second(&self, now: Time) -> f64 {
        let now = now.0.div_euclid(1000);
        let live = |back: &i64| now - (self.second - back) < SECONDS as i64;
        let count: u64 = (0..SECONDS as i64).filter(live).map(|b| self.counts[place(self.second - b)]).sum();
        (count as f64 * 100.0 / SECONDS as f64).round() / 100.0
    }
}

fn place(second: i64) -> usize {
    second.rem_euclid(SECONDS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_counts() {
        let mut recent = Recent::new();
        let at = |second: i64| Time(1_764_000_000_000 + second * 1000);
        let check = |recent: &Recent, second: i64, expected: f64| {
            assert!((recent.per_second(at(second)) - expected).abs() < 1e-9, "at {second}: {recent:?}");
        };
        check(&recent, 0, 0.0);
        recent.add(at(0), 60);
        recent.add(at(0), 60);
        check(&recent, 0, 2.0);
        recent.add(at(30), 60);
        check(&recent, 30, 3.0);
        check(&recent, 59, 3.0);
        check(&recent, 60, 1.0);
        recent.add(at(95), 30);
        check(&recent, 95, 0.5);
        check(&recent, 1000, 0.0);
    }
}
