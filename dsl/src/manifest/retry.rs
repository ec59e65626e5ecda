//! Retry policies of deliveries (events-and-triggers.md section 5).
//!
//! Owns presets, delays as a pure function and the classes of errors. Draws no randomness: jitter comes from a hash
//! that the caller gives.

use std::time::Duration;

use super::{codes, read};
use crate::fault::Fault;
use crate::reader::{Place, Reader, Sink};

/// The longest a delivery may be retried, whatever is stated.
pub const MAX_AGE: Duration = Duration::from_hours(7 * 24);

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

/// When a failed delivery is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; none: as many as fit into `max_age`.
    pub attempts: Option<u32>,
    /// No retry begins later than this after the first try.
    pub max_age: Duration,
    /// How delays grow.
    pub backoff: Backoff,
    /// Part of the delay that is added at most, 0 to 1: delays lie in `[d, d + d * jitter)`.
    pub jitter: f64,
}

/// The delay before retry n = 1, 2, ...
#[derive(Clone, Debug, PartialEq)]
pub enum Backoff {
    /// Always the same.
    Constant(Duration),
    /// `initial + (n - 1) * step`, at most `max`.
    Linear {
        /// Before the first retry.
        initial: Duration,
        /// What is added each time.
        step: Duration,
        /// At most this.
        max: Duration,
    },
    /// `initial * factor^(n - 1)`, at most `max`.
    Exponential {
        /// Before the first retry.
        initial: Duration,
        /// What it is multiplied with each time.
        factor: f64,
        /// At most this.
        max: Duration,
    },
    /// The n-th of the list; behind its end the last.
    Schedule(Vec<Duration>),
}

impl Backoff {
    /// The delay before retry `n`, from 1.
    pub fn delay(&self, n: u32) -> Duration {
        let before = n.saturating_sub(1);
        match self {
            Backoff::Constant(delay) => *delay,
            Backoff::Linear { initial, step, max } => {
                initial.saturating_add(step.saturating_mul(before)).min(*max)
            }
            Backoff::Exponential { initial, factor, max } => {
                let millis = initial.as_millis() as f64 * factor.powi(before.min(10_000) as i32);
                if millis >= max.as_millis() as f64 { *max } else { Duration::from_millis(millis as u64) }
            }
            Backoff::Schedule(delays) => {
                delays.get(before as usize).or(delays.last()).copied().unwrap_or(Duration::ZERO)
            }
        }
    }
}

/// What an error says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Never: to the dead letters at once.
    Permanent,
    /// Later, and not before a Retry-After.
    Throttle,
    /// Later.
    Transient,
}

impl ErrorClass {
    /// The statuses that no repetition mends.
    pub const PERMANENT: [i64; 8] = [400, 401, 403, 404, 410, 413, 415, 422];

    /// By status: the errors of the language carry one as well, so broken contracts (400) are permanent.
    pub fn of_status(status: i64) -> ErrorClass {
        match status {
            429 | 503 => ErrorClass::Throttle,
            _ if ErrorClass::PERMANENT.contains(&status) => ErrorClass::Permanent,
            _ => ErrorClass::Transient,
        }
    }

    /// By fault.
    pub fn of(fault: &Fault) -> ErrorClass {
        ErrorClass::of_status(fault.status)
    }

    /// How long the target asked to wait, as the errors of calls over HTTP tell it in their detail; zero if it did not.
    pub fn retry_after(fault: &Fault) -> Duration {
        let told = fault.detail.as_deref().filter(|_| ErrorClass::of(fault) == ErrorClass::Throttle);
        let seconds = told.and_then(|detail| detail.split_once("(retry-after: ")?.1.split_once(')'));
        Duration::from_secs(seconds.and_then(|(seconds, _)| seconds.parse().ok()).unwrap_or(0))
    }
}

/// The names of the presets.
const PRESETS: [(&str, &str); 5] =
    [("fast", "fast"), ("day", "day"), ("webhook", "webhook"), ("aws", "aws"), ("none", "none")];

impl RetryPolicy {
    /// A preset by its name: fast (3 tries, 10 to 20 s apart), day (1 s doubling to 512 s, over 24 h), webhook (5 s,
    /// 5 min, 30 min, 2 h, 5 h, 10 h, 10 h), aws (185 tries within 24 h), none (one try).
    pub fn preset(name: &str) -> Option<RetryPolicy> {
        let seconds = Duration::from_secs;
        let doubling = |max| Backoff::Exponential { initial: seconds(1), factor: 2.0, max: seconds(max) };
        let policy =
            |attempts, max_age, backoff, jitter| Some(RetryPolicy { attempts, max_age, backoff, jitter });
        match name {
            "fast" => policy(Some(3), HOUR, Backoff::Constant(seconds(10)), 1.0),
            "day" => policy(None, DAY, doubling(512), 0.0),
            "webhook" => {
                let delays = [5, 300, 1800, 7200, 18_000, 36_000, 36_000].map(seconds).to_vec();
                policy(Some(8), MAX_AGE, Backoff::Schedule(delays), 0.0)
            }
            "aws" => policy(Some(185), DAY, doubling(420), 0.1),
            "none" => policy(Some(1), HOUR, Backoff::Constant(seconds(1)), 0.0),
            _ => None,
        }
    }

    /// The default: preset `day`.
    pub fn day() -> RetryPolicy {
        RetryPolicy::preset("day").expect("day is a preset")
    }

    /// The delay after failed try `attempt` (from 1), or none when the count is used up. `hash` spreads the jitter:
    /// the same hash gives the same delay.
    pub fn delay(&self, attempt: u32, hash: u64) -> Option<Duration> {
        if self.attempts.is_some_and(|most| attempt >= most) {
            return None;
        }
        let delay = self.backoff.delay(attempt);
        let share = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        let added = delay.as_millis() as f64 * self.jitter * share;
        Some(delay + Duration::from_millis(added as u64))
    }

    /// The same, but not before `after`, and limited by age too: `age` is the time since the first try. A retry that
    /// would begin after `max_age` is not made.
    pub fn next(&self, attempt: u32, (age, after): (Duration, Duration), hash: u64) -> Option<Duration> {
        let delay = self.delay(attempt, hash)?.max(after);
        (age.saturating_add(delay) <= self.max_age).then_some(delay)
    }

    /// Retries that can happen when every try fails at once and nothing is added by jitter; at most 100,000.
    pub fn retries(&self) -> u32 {
        let mut age = Duration::ZERO;
        let mut count = 0;
        while count < 100_000 {
            let Some(delay) =
                self.delay(count + 1, 0).filter(|delay| age.saturating_add(*delay) <= self.max_age)
            else {
                break;
            };
            age += delay;
            count += 1;
        }
        count
    }
}

/// Reads `retry`. What is stated beside a preset replaces the preset's.
pub(super) fn read(place: Place, sink: &Sink) -> Option<RetryPolicy> {
    let mut reader = Reader::open(place, sink, "retry")?;
    let preset = match reader.take("preset") {
        Some(place) => Some(place.choice(sink, &PRESETS)?),
        None => None,
    };
    let attempts = reader.take("attempts");
    let max_age = reader.take("maxAge");
    let backoff = reader.take("backoff");
    let jitter = reader.take("jitter");
    let place = reader.place().clone();
    reader.finish();
    if preset.is_none() && attempts.is_none() && max_age.is_none() && backoff.is_none() {
        return read::wrong(
            &place,
            sink,
            codes::RETRY,
            "retry states neither `preset` nor `attempts`, `maxAge` or `backoff`",
        );
    }
    let mut policy = preset.and_then(RetryPolicy::preset).unwrap_or_else(RetryPolicy::day);
    let mut good = true;
    if let Some(place) = max_age {
        good &= read_age(&place, sink).map(|age| policy.max_age = age).is_some();
    }
    if let Some(place) = backoff {
        good &= read_backoff(place, sink).map(|backoff| policy.backoff = backoff).is_some();
        if preset.is_none()
            && let Backoff::Schedule(delays) = &policy.backoff
        {
            policy.attempts = Some(delays.len() as u32 + 1);
        }
    }
    if let Some(place) = attempts {
        let most = i64::from(u32::MAX);
        good &= read::count(&place, sink, 1..=most).map(|count| policy.attempts = Some(count)).is_some();
    }
    if let Some(place) = jitter {
        good &= read::fraction(&place, sink, 0.0..=1.0).map(|jitter| policy.jitter = jitter).is_some();
    }
    good.then_some(policy)
}

fn read_age(place: &Place, sink: &Sink) -> Option<Duration> {
    let age = read::duration(place, sink)?;
    if age > MAX_AGE {
        read::wrong(place, sink, codes::RETRY, "maxAge is longer than 7 days")
    } else {
        Some(age)
    }
}

fn delay(place: &Place, sink: &Sink) -> Option<Duration> {
    let delay = read::duration(place, sink)?;
    if delay > MAX_AGE {
        read::wrong(place, sink, codes::RETRY, "the delay is longer than 7 days")
    } else {
        Some(delay)
    }
}

fn read_backoff(place: Place, sink: &Sink) -> Option<Backoff> {
    let mut reader = Reader::open(place, sink, "backoff")?;
    let kind = read::one_of(&mut reader, &["constant", "linear", "exponential", "schedule"], "the backoff");
    reader.finish();
    let (kind, place) = kind?;
    match kind {
        "constant" => delay(&place, sink).map(Backoff::Constant),
        "schedule" => read::list(&place, sink, delay).map(Backoff::Schedule),
        _ => read_growing(kind == "linear", place, sink),
    }
}

fn read_growing(linear: bool, place: Place, sink: &Sink) -> Option<Backoff> {
    let mut reader = Reader::open(place, sink, if linear { "linear" } else { "exponential" })?;
    let initial = reader.need("initial").and_then(|place| delay(&place, sink));
    let step = if linear { reader.need("step").map(|place| delay(&place, sink)) } else { None };
    let factor = if linear { None } else { reader.take("factor") };
    let factor = factor.map_or(Some(2.0), |place| read::fraction(&place, sink, 1.1..=1000.0));
    let max_place = reader.take("max");
    let max = max_place.as_ref().map_or(Some(HOUR), |place| delay(place, sink));
    reader.finish();
    let (initial, max) = (initial?, max?);
    if let Some(place) = max_place
        && max < initial
    {
        return read::wrong(&place, sink, codes::RETRY, "max is shorter than initial");
    }
    let max = max.max(initial);
    Some(if linear {
        Backoff::Linear { initial, step: step??, max }
    } else {
        Backoff::Exponential { initial, factor: factor?, max }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> RetryPolicy {
        RetryPolicy::preset(name).unwrap()
    }

    #[test]
    fn presets() {
        let check = |name: &str, retries: u32, first: &[u64]| {
            let policy = preset(name);
            assert_eq!(policy.retries(), retries, "{name}");
            let delays: Vec<u64> = (1..)
                .map_while(|attempt| policy.delay(attempt, 0))
                .take(first.len())
                .map(|d| d.as_secs())
                .collect();
            assert_eq!(delays, first, "{name}");
        };
        check("none", 0, &[]);
        check("fast", 2, &[10, 10]);
        check("day", 176, &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512]);
        check("webhook", 7, &[5, 300, 1800, 7200, 18_000, 36_000, 36_000]);
        check("aws", 184, &[1, 2, 4, 8, 16, 32, 64, 128, 256, 420, 420]);
        assert_eq!(RetryPolicy::preset("week"), None);
    }

    #[test]
    fn jitter_adds_a_part_that_the_hash_decides() {
        let fast = preset("fast");
        assert_eq!(fast.delay(1, 0), Some(Duration::from_secs(10)));
        let most = fast.delay(1, u64::MAX).unwrap();
        assert!(most > Duration::from_millis(19_990) && most < Duration::from_secs(20), "{most:?}");
        assert_eq!(fast.delay(1, 77), fast.delay(1, 77));
        assert_eq!(fast.delay(3, 0), None);
    }

    #[test]
    fn a_retry_is_not_before_the_target_wants_it() {
        let check = |status: i64, detail: &str, expected: Option<u64>| {
            let after = ErrorClass::retry_after(&Fault::communication(status, detail.to_owned()));
            let next = preset("day").next(1, (Duration::from_mins(1), after), 0);
            assert_eq!(next.map(|delay| delay.as_secs()), expected, "{status} {detail}");
        };
        check(429, "h answered 429 Too Many Requests (retry-after: 70): wait", Some(70));
        check(503, "h answered 503 Service Unavailable (retry-after: 0)", Some(1));
        check(500, "h answered 500 Internal Server Error (retry-after: 70)", Some(1));
        check(429, "h answered 429 Too Many Requests (retry-after: soon)", Some(1));
        check(429, "h answered 429 Too Many Requests", Some(1));
        check(503, "h answered 503 Service Unavailable (retry-after: 86340)", Some(86_340));
        check(503, "h answered 503 Service Unavailable (retry-after: 86341)", None);
    }

    #[test]
    fn age_ends_retries() {
        let day = preset("day");
        let check = |age: u64, expected: Option<u64>| {
            let next =
                day.next(50, (Duration::from_secs(age), Duration::ZERO), 0).map(|delay| delay.as_secs());
            assert_eq!(next, expected, "{age}");
        };
        check(0, Some(512));
        check(24 * 3600 - 512, Some(512));
        check(24 * 3600 - 511, None);
        check(u64::MAX, None);
    }

    #[test]
    fn delays_grow() {
        let seconds = Duration::from_secs;
        let check = |backoff: Backoff, expected: [u64; 4]| {
            assert_eq!([1, 2, 3, 4].map(|n| backoff.delay(n).as_secs()), expected, "{backoff:?}");
            assert!(backoff.delay(u32::MAX) <= seconds(600));
        };
        check(Backoff::Constant(seconds(5)), [5, 5, 5, 5]);
        check(Backoff::Linear { initial: seconds(1), step: seconds(10), max: seconds(25) }, [1, 11, 21, 25]);
        check(Backoff::Exponential { initial: seconds(2), factor: 3.0, max: seconds(50) }, [2, 6, 18, 50]);
        check(Backoff::Schedule(vec![seconds(5), seconds(300)]), [5, 300, 300, 300]);
    }

    #[test]
    fn classes() {
        for (status, expected) in [
            (400, ErrorClass::Permanent),
            (404, ErrorClass::Permanent),
            (422, ErrorClass::Permanent),
            (408, ErrorClass::Transient),
            (409, ErrorClass::Transient),
            (429, ErrorClass::Throttle),
            (503, ErrorClass::Throttle),
            (500, ErrorClass::Transient),
            (504, ErrorClass::Transient),
        ] {
            assert_eq!(ErrorClass::of_status(status), expected, "{status}");
        }
        assert_eq!(ErrorClass::of(&Fault::validation("x")), ErrorClass::Permanent);
        assert_eq!(ErrorClass::of(&Fault::timeout("x")), ErrorClass::Transient);
    }
}
