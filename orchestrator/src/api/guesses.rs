//! Wrong credentials at hooks: how often an address may try (security.md, T17).
//!
//! Owns the counts. Whoever sends the right credentials is let in however many wrong ones came from the same address:
//! behind a proxy or a NAT it is everybody's. Knows no secret and no scheme.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_dsl::ids::{Namespace, Time};

/// The time over which wrong credentials are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses at hooks that are counted (limit `hook-guessers`); the one counted for longest goes first.
const GUESSERS: usize = 10_000;

/// Who tried, and where.
type Guesser = (IpAddr, Namespace, Arc<str>);

/// The counts of wrong credentials.
pub struct Guesses {
    most: usize,
    seen: Mutex<HashMap<Guesser, Window>>,
}

struct Window {
    since: Time,
    count: usize,
}

impl Window {
    /// What is left of it; none when it is over.
    fn left(&self, now: Time) -> Option<Duration> {
        let age = u64::try_from(now.0 - self.since.0).ok()?;
        WINDOW.checked_sub(Duration::from_millis(age)).filter(|left| !left.is_zero())
    }
}

impl Guesses {
    /// So many wrong ones within a minute are answered like the first (limit `hook-guesses`).
    pub fn new(most: usize) -> Guesses {
        Guesses { most, seen: Mutex::default() }
    }

    /// Counts wrong credentials from an address at a hook. Some: too many, until so much later.
    pub fn wrong(
        &self,
        from: IpAddr,
        (namespace, hook): (&Namespace, &Arc<str>),
        now: Time,
    ) -> Option<Duration> {
        let guesser = (network(from), namespace.clone(), hook.clone());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= GUESSERS && !seen.contains_key(&guesser) {
            make_room(&mut seen, now);
        }
        let window = seen.entry(guesser).or_insert(Window { since: now, count: 0 });
        if window.left(now).is_none() {
            *window = Window { since: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        window.left(now).filter(|_| window.count > self.most)
    }
}

fn make_room(seen: &mut HashMap<Guesser, Window>, now: Time) {
    seen.retain(|_, window| window.left(now).is_some());
    if seen.len() >= GUESSERS {
        metrics::counter!("tidemill_limit_met_total", "limit" => "hook-guessers").increment(1);
        let oldest = seen.iter().min_by_key(|(_, window)| window.since.0).map(|(guesser, _)| guesser.clone());
        oldest.map(|guesser| seen.remove(&guesser));
    }
}

/// An address as it is counted: one host has a whole network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_held_for_a_minute() {
        let guesses = Guesses::new(2);
        let check = |from: &str, hook: &str, at: i64, expected: Option<u64>| {
            let hook = (&Namespace::from("default"), &Arc::from(hook));
            let after = guesses.wrong(from.parse().unwrap(), hook, Time(at * 1000));
            assert_eq!(after.map(|after| after.as_secs()), expected, "{from} {at}");
        };
        check("10.0.0.1", "in", 100, None);
        check("10.0.0.1", "in", 110, None);
        check("10.0.0.1", "in", 120, Some(40));
        check("::ffff:10.0.0.1", "in", 159, Some(1));
        check("10.0.0.2", "in", 130, None);
        check("10.0.0.1", "other", 130, None);
        check("10.0.0.1", "in", 160, None);
        for (host, expected) in [(1, None), (2, None), (3, Some(60))] {
            check(&format!("2001:db8::{host}"), "in", 200, expected);
        }
        check("2001:db8:0:1::1", "in", 200, None);
        // A clock that was set back begins anew.
        check("10.0.0.1", "in", 50, None);
    }

    #[test]
    fn the_counts_are_bounded() {
        let guesses = Guesses::new(1);
        let wrong = |n: u32, at: usize| {
            let hook = (&Namespace::from("default"), &Arc::from("in"));
            guesses.wrong(IpAddr::V4(n.into()), hook, Time(i64::try_from(at).unwrap())).is_some()
        };
        for n in 0..GUESSERS + 5 {
            wrong(u32::try_from(n).unwrap(), n);
        }
        assert_eq!(guesses.seen.lock().unwrap().len(), GUESSERS);
        assert!(!wrong(0, GUESSERS + 5), "the first was forgotten");
        assert!(wrong(9000, GUESSERS + 6), "later ones were not");
    }
}
