//! Quotas of namespaces: starts per second, executions that run, bytes stored and bytes in buffers.
//!
//! Owns their judgement at the doors: starts by hand, events, and what buffers let out. What an execution does (children,
//! emitted events) is counted and never refused. A namespace without quotas costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::manifest;
use tidemill_store::Usage;

use crate::catalog::Space;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::rooms::Rooms;

/// How old a count of what runs may be; what was admitted since is added to it.
const COUNT_AGE: Duration = Duration::from_millis(100);
/// How old a count of bytes may be.
const BYTES_AGE: Duration = Duration::from_secs(2);
/// When it is worth trying again while too much runs or is stored.
const RETRY: Duration = Duration::from_secs(1);

/// The quotas of all namespaces.
#[derive(Default)]
pub struct Quotas {
    spaces: Mutex<HashMap<Namespace, Used>>,
}

#[derive(Default)]
struct Used {
    /// Tokens of starts, and when they were counted.
    rate: Option<(f64, Time)>,
    /// When what runs was counted, how much it was, and how many had been admitted and were surely seen by then.
    running: Option<(Instant, u64, u64)>,
    usage: Option<(Instant, Usage)>,
    admitted: u64,
    /// Of them, those whose commit is under way.
    in_flight: u64,
}

/// What somebody wants to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Executions that begin at once.
    pub begins: u64,
    /// Deliveries that wait in buffers.
    pub waits: u64,
}

/// What was admitted; until it is dropped its commit is under way.
#[must_use]
#[derive(Default)]
pub struct Admission(Option<(Arc<Quotas>, Namespace, u64)>);

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some((quotas, namespace, count)) = self.0.take()
            && let Some(used) = quotas.spaces().get_mut(&namespace)
        {
            used.in_flight = used.in_flight.saturating_sub(count);
        }
    }
}

/// A quota that is used up.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spent {
    quota: &'static str,
    limit: f64,
    after: Duration,
}

impl Quotas {
    fn spaces(&self) -> MutexGuard<'_, HashMap<Namespace, Used>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits what somebody wants to begin, all of it or nothing.
    pub async fn admit(
        self: &Arc<Self>,
        rooms: &Rooms,
        (namespace, space): (&Namespace, &Space),
        wish: Wish,
    ) -> Result<Admission, Error> {
        let Some(quotas) = stated(space) else { return Ok(Admission::default()) };
        self.count(rooms, namespace, quotas).await?;
        let now = (rooms.clock)();
        let mut spaces = self.spaces();
        let used = spaces.entry(namespace.clone()).or_default();
        let spent = used.bytes(quotas, wish).or_else(|| used.starts(quotas, wish.begins, now));
        if let Some(spent) = spent {
            return Err(spent.error(namespace));
        }
        used.take(wish.begins);
        Ok(Admission(Some((self.clone(), namespace.clone(), wish.begins))))
    }

    /// How many of `wanted` deliveries a buffer may let out now; they are admitted.
    pub async fn let_out(
        self: &Arc<Self>,
        rooms: &Rooms,
        (namespace, space): (&Namespace, &Space),
        wanted: usize,
    ) -> Result<(usize, Admission), Error> {
        let Some(quotas) = stated(space) else { return Ok((wanted, Admission::default())) };
        self.count(rooms, namespace, quotas).await?;
        let now = (rooms.clock)();
        let mut spaces = self.spaces();
        let used = spaces.entry(namespace.clone()).or_default();
        let count = used.places(quotas).min(used.tokens(quotas, now) as u64).min(wanted as u64);
        if count == 0 {
            metrics::counter!("tidemill_limit_met_total", "limit" => "quota-starts").increment(1);
        }
        used.take(count);
        Ok((count as usize, Admission(Some((self.clone(), namespace.clone(), count)))))
    }

    /// Counts anew what was counted too long ago.
    async fn count(
        &self,
        rooms: &Rooms,
        namespace: &Namespace,
        quotas: manifest::Quotas,
    ) -> Result<(), Error> {
        let now = crate::clock::tick();
        let (running, bytes, surely) = {
            let mut spaces = self.spaces();
            let used = spaces.entry(namespace.clone()).or_default();
            let old = |at: Option<Instant>, age: Duration| at.is_none_or(|at| now.duration_since(at) >= age);
            let running = quotas.running.is_some() && old(used.running.map(|(at, ..)| at), COUNT_AGE);
            let wants_bytes = quotas.stored_bytes.is_some() || quotas.buffer_bytes.is_some();
            let bytes = wants_bytes && old(used.usage.map(|(at, _)| at), BYTES_AGE);
            (running, bytes, used.admitted - used.in_flight)
        };
        if running {
            let (store, ns) = (rooms.store.clone(), namespace.clone());
            let count = blocking(move || store.running(&ns)).await?;
            self.spaces().entry(namespace.clone()).or_default().running = Some((now, count, surely));
        }
        if bytes {
            let (store, ns) = (rooms.store.clone(), namespace.clone());
            let usage = blocking(move || store.usage(&ns)).await?;
            self.spaces().entry(namespace.clone()).or_default().usage = Some((now, usage));
        }
        Ok(())
    }
}

/// The quotas of a namespace; none if it states none.
fn stated(space: &Space) -> Option<manifest::Quotas> {
    space.settings.as_ref().map(|own| own.quotas).filter(|quotas| *quotas != manifest::Quotas::default())
}

impl Used {
    fn bytes(&self, quotas: manifest::Quotas, wish: Wish) -> Option<Spent> {
        let usage = self.usage.map(|(_, usage)| usage).unwrap_or_default();
        let spent = |quota, used: u64, limit: Option<u64>| {
            let limit = limit.filter(|limit| used >= *limit)?;
            Some(Spent { quota, limit: limit as f64, after: RETRY })
        };
        let stored = spent("stored-bytes", usage.stored, quotas.stored_bytes);
        stored
            .or_else(|| spent("buffer-bytes", usage.buffered, quotas.buffer_bytes).filter(|_| wish.waits > 0))
    }

    /// Whether so many may begin now. More than a second's starts are let in when a second's are there, and paid for by
    /// those after them.
    fn starts(&mut self, quotas: manifest::Quotas, begins: u64, now: Time) -> Option<Spent> {
        if begins == 0 {
            return None;
        }
        if let Some(limit) = quotas.running.filter(|_| self.places(quotas) < begins) {
            return Some(Spent { quota: "running", limit: f64::from(limit), after: RETRY });
        }
        let per_second = quotas.executions_per_second?;
        let tokens = self.tokens(quotas, now);
        let need = (begins as f64).min(per_second.max(1.0).floor());
        let after = Duration::from_secs_f64(((need - tokens) / per_second).clamp(0.0, 3600.0));
        (tokens < need).then_some(Spent { quota: "executions-per-second", limit: per_second, after })
    }

    /// How many more may run.
    fn places(&self, quotas: manifest::Quotas) -> u64 {
        let (count, seen) = self.running.map_or((0, 0), |(_, count, seen)| (count, seen));
        let open = count + (self.admitted - seen);
        quotas.running.map_or(u64::MAX, |limit| u64::from(limit).saturating_sub(open))
    }

    /// How many may begin now, as far as the rate goes; less than none after more than a second's starts at once.
    fn tokens(&mut self, quotas: manifest::Quotas, now: Time) -> f64 {
        let Some(per_second) = quotas.executions_per_second else { return f64::MAX };
        let most = per_second.max(1.0);
        let (tokens, at) = self.rate.unwrap_or((most, now));
        let elapsed = (now.0 - at.0).max(0) as f64 / 1000.0;
        let tokens = (tokens + elapsed * per_second).min(most);
        self.rate = Some((tokens, at.max(now)));
        tokens
    }

    fn take(&mut self, begins: u64) {
        self.admitted += begins;
        self.in_flight += begins;
        if let Some((tokens, _)) = &mut self.rate {
            *tokens -= begins as f64;
        }
    }
}

impl Spent {
    fn error(self, namespace: &str) -> Error {
        metrics::counter!("tidemill_limit_met_total", "limit" => format!("quota-{}", self.quota))
            .increment(1);
        let Spent { quota, limit, after } = self;
        Error::Quota {
            code: match quota {
                "running" => "quota-running",
                "executions-per-second" => "quota-executions-per-second",
                "buffer-bytes" => "quota-buffer-bytes",
                _ => "quota-stored-bytes",
            },
            detail: format!(
                "begin anything in namespace `{namespace}`: its quota is used up (quota {quota}: {limit})"
            ),
            after,
            storage: quota == "stored-bytes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_held_to_rate_and_number() {
        let quotas = manifest::Quotas {
            executions_per_second: Some(10.0),
            running: Some(15),
            ..manifest::Quotas::default()
        };
        let mut used = Used::default();
        let mut check = |at: i64, begins: u64, expected: Option<(&str, u64)>| {
            let spent = used.starts(quotas, begins, Time(at));
            assert_eq!(spent.map(|s| (s.quota, s.after.as_millis() as u64)), expected, "{begins} at {at}");
            if expected.is_none() {
                used.take(begins);
            }
        };
        check(0, 4, None);
        check(0, 7, Some(("executions-per-second", 100)));
        check(0, 6, None);
        check(50, 1, Some(("executions-per-second", 50)));
        check(100, 1, None);
        check(5_000, 5, Some(("running", 1000)));
        check(5_000, 4, None);
        check(5_000, 0, None);
        // Counted: five run, and all that were admitted before were seen.
        used.running = Some((crate::clock::tick(), 5, 15));
        assert_eq!(used.starts(quotas, 10, Time(9_000)), None);
        assert!(used.starts(quotas, 11, Time(9_000)).is_some());
    }

    #[test]
    fn bytes_are_held_to_what_was_counted() {
        let quotas = manifest::Quotas {
            stored_bytes: Some(100),
            buffer_bytes: Some(10),
            ..manifest::Quotas::default()
        };
        let check = |stored: u64, buffered: u64, waits: u64, expected: Option<&str>| {
            let usage = Some((crate::clock::tick(), Usage { stored, buffered }));
            let used = Used { usage, ..Used::default() };
            let spent = used.bytes(quotas, Wish { begins: 1, waits });
            assert_eq!(spent.map(|s| s.quota), expected, "{stored} {buffered} {waits}");
        };
        check(99, 9, 1, None);
        check(99, 10, 0, None);
        check(99, 10, 1, Some("buffer-bytes"));
        check(100, 0, 0, Some("stored-bytes"));
    }
}
