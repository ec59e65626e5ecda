//! The limits of a source: events per time, and events taken but not yet stored.
//!
//! Owns the arithmetic and the count. Whoever brings events asks first: a route refuses its caller, everything else
//! waits. A whole count of the rate may come at once after a pause (`5/m`: five).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::SourceLimits;

use crate::clock::Clock;

/// How long a source that has too much in flight waits before it asks again.
const BUSY: Duration = Duration::from_millis(20);

/// The gate of one source.
pub struct Gate {
    clock: Clock,
    limits: SourceLimits,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    at: Time,
    in_flight: usize,
}

/// Events that were let in; until it is dropped they are in flight.
#[must_use]
pub struct Permit<'a> {
    gate: &'a Gate,
    /// How many.
    pub count: usize,
}

/// The gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// By this limit.
    pub limit: &'static str,
    /// It is worth asking again after so long.
    pub after: Duration,
}

impl Closed {
    /// Counts that the limit was met.
    pub fn count(&self) {
        metrics::counter!("tidemill_limit_met_total", "limit" => self.limit).increment(1);
    }
}

impl Gate {
    /// An open gate.
    pub fn new(clock: Clock, limits: SourceLimits) -> Gate {
        let at = clock();
        let tokens = limits.rate.map_or(0.0, |rate| rate.count.max(1.0));
        Gate { clock, limits, state: Mutex::new(State { tokens, at, in_flight: 0 }) }
    }

    /// Lets in as many of `wanted` events as may come now, at least one.
    pub fn some(&self, wanted: usize) -> Result<Permit<'_>, Closed> {
        self.enter(1, |open| wanted.min(open))
    }

    /// Lets all in or none. More than ever may come at once are let in when the gate is wide open, and paid for by
    /// those after them.
    pub fn all(&self, wanted: usize) -> Result<Permit<'_>, Closed> {
        let widest = self.limits.rate.map_or(usize::MAX, |rate| rate.count.max(1.0) as usize);
        let widest = widest.min(self.limits.max_in_flight.map_or(usize::MAX, |n| n as usize));
        self.enter(wanted.min(widest), |_| wanted)
    }

    /// Waits until some may come.
    pub async fn wait(&self, wanted: usize) -> Permit<'_> {
        self.until(|| self.some(wanted)).await
    }

    /// Waits until all may come.
    pub async fn wait_all(&self, wanted: usize) -> Permit<'_> {
        self.until(|| self.all(wanted)).await
    }

    async fn until<'a>(&'a self, enter: impl Fn() -> Result<Permit<'a>, Closed>) -> Permit<'a> {
        let mut met = None;
        loop {
            let closed = match enter() {
                Ok(permit) => return permit,
                Err(closed) => closed,
            };
            if met.replace(closed.limit) != Some(closed.limit) {
                closed.count();
            }
            tokio::time::sleep(closed.after).await;
        }
    }

    fn enter(&self, need: usize, take: impl Fn(usize) -> usize) -> Result<Permit<'_>, Closed> {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = usize::MAX;
        if let Some(rate) = self.limits.rate {
            let per_second = rate.count / rate.per.as_secs_f64();
            let elapsed = (now.0 - state.at.0).max(0) as f64 / 1000.0;
            state.tokens = (state.tokens + elapsed * per_second).min(rate.count.max(1.0));
            state.at = state.at.max(now);
            open = state.tokens.max(0.0) as usize;
            if open < need {
                let missing = (need as f64 - state.tokens) / per_second;
                let after = Duration::from_secs_f64(missing.clamp(0.001, 3600.0));
                return Err(Closed { limit: "source.limits.rate", after });
            }
        }
        if let Some(most) = self.limits.max_in_flight {
            open = open.min((most as usize).saturating_sub(state.in_flight));
        }
        if open < need {
            return Err(Closed { limit: "source.limits.maxInFlight", after: BUSY });
        }
        let count = take(open);
        state.tokens -= count as f64;
        state.in_flight += count;
        Ok(Permit { gate: self, count })
    }
}

impl Permit<'_> {
    /// So many of them were not taken after all: they cost nothing.
    pub fn refund(&self, count: usize) {
        self.gate.state.lock().unwrap_or_else(PoisonError::into_inner).tokens += count as f64;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().unwrap_or_else(PoisonError::into_inner).in_flight -= self.count;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tidemill_dsl::duration::Rate;

    use super::*;

    fn gate(rate: Option<(f64, u64)>, max_in_flight: Option<u32>) -> (Gate, Arc<AtomicI64>) {
        let now = Arc::new(AtomicI64::new(0));
        let clock = now.clone();
        let rate = rate.map(|(count, per)| Rate { count, per: Duration::from_secs(per) });
        let limits = SourceLimits { rate, max_in_flight };
        (Gate::new(Arc::new(move || Time(clock.load(Ordering::Relaxed))), limits), now)
    }

    #[test]
    fn a_rate_lets_in_what_has_accrued() {
        let (gate, now) = gate(Some((10.0, 1)), None);
        let check = |at: i64, wanted: usize, expected: Result<usize, u64>| {
            now.store(at, Ordering::Relaxed);
            let found = gate.some(wanted).map(|permit| permit.count);
            let expected = expected
                .map_err(|after| Closed { limit: "source.limits.rate", after: Duration::from_millis(after) });
            assert_eq!(found, expected, "{wanted} at {at}");
        };
        check(0, 4, Ok(4));
        check(0, 20, Ok(6));
        check(0, 1, Err(100));
        check(60, 1, Err(40));
        check(250, 9, Ok(2));
        check(10_000, 99, Ok(10));
        let whole = |wanted: usize| gate.all(wanted).map(|permit| permit.count).ok();
        assert_eq!((whole(1), whole(12)), (None, None));
        now.store(11_000, Ordering::Relaxed);
        // More than ever fit are let in once, and paid for by those after them.
        assert_eq!(whole(12), Some(12));
        now.store(11_200, Ordering::Relaxed);
        assert_eq!(whole(1), None);
        now.store(11_300, Ordering::Relaxed);
        assert_eq!(whole(1), Some(1));
    }

    #[test]
    fn in_flight_is_counted_until_dropped() {
        let (gate, _) = gate(None, Some(3));
        let first = gate.some(5).ok().unwrap();
        assert_eq!(first.count, 3);
        assert_eq!(gate.some(1).err().unwrap().limit, "source.limits.maxInFlight");
        drop(first);
        let second = gate.all(2).ok().unwrap();
        assert!(gate.all(2).is_err());
        drop(second);
        assert!(gate.all(5).is_ok(), "more than ever fit are let in alone");
    }
}
