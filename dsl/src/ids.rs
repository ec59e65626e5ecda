//! Names and identities: namespaces, execution ids, shards, and the one time type.
//!
//! Owns the text forms of identities and their limits. Draws nothing: randomness and the clock come from the
//! caller (invariants 1 and 6).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Milliseconds since the Unix epoch, UTC. The only time type of the pure rooms; the caller passes it in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Time(pub i64);

impl Time {
    /// This instant plus a duration, saturating at the end of time.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 text in UTC with milliseconds, for example `2026-11-24T06:37:45.120Z`.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| self.0.to_string(), |t| format!("{t:.3}"))
    }

    /// Reads an RFC 3339 instant (fractions below a millisecond are cut off).
    pub fn parse(text: &str) -> Option<Time> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Time(t.as_millisecond()))
    }
}

/// A namespace's name: a DNS label of at most 63 characters.
pub type Namespace = Arc<str>;

/// Number of virtual shards; fixed when a store is created (D1).
pub const SHARDS: u16 = 256;

/// A shard: the single writer of the executions that hash to it (D1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of an execution: a hash of its id modulo [`SHARDS`]. Ids are unique across namespaces, so a timer or
    /// an inbox item finds its shard without naming one.
    pub fn of(id: ExecutionId) -> Shard {
        let hash = fnv(FNV_OFFSET, &id.0);
        Shard(((hash ^ (hash >> 32)) % u64::from(SHARDS)) as u16)
    }

    /// The shard that owns a trigger's buffer (D12).
    pub fn of_trigger(namespace: &str, trigger: &str) -> Shard {
        let hash = fnv(fnv(fnv(FNV_OFFSET, namespace.as_bytes()), b"/"), trigger.as_bytes());
        Shard(((hash ^ (hash >> 32)) % u64::from(SHARDS)) as u16)
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// An execution's identity (D7): 48 bits of the creating instant in milliseconds, then 80 bits that are random
/// (API starts) or a hash of what caused it (events, children). Text form: 26 characters of base32, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ExecutionId(pub [u8; 16]);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl ExecutionId {
    /// An id from its instant and 80 bits.
    pub fn new(at: Time, tail: [u8; 10]) -> ExecutionId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&at.0.max(0).to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&tail);
        ExecutionId(bytes)
    }

    /// An id whose 80 bits are the SHA-256 hash of `parts`, each preceded by its length.
    pub fn derived(at: Time, parts: &[&[u8]]) -> ExecutionId {
        use sha2::Digest;
        let mut hash = sha2::Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut tail = [0; 10];
        tail.copy_from_slice(&hash.finalize()[..10]);
        ExecutionId::new(at, tail)
    }

    /// The creating instant.
    pub fn time(self) -> Time {
        let mut bytes = [0; 8];
        bytes[2..].copy_from_slice(&self.0[..6]);
        Time(i64::from_be_bytes(bytes))
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = [0u8; 26];
        for (i, slot) in text.iter_mut().enumerate() {
            let shift = 125 - 5 * i as u32;
            *slot = ALPHABET[((bits >> shift) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no execution id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read an execution id: it has 26 characters of 0-9 and a-z without i, l, o and u")]
pub struct BadId;

impl FromStr for ExecutionId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<ExecutionId, BadId> {
        if text.len() != 26 {
            return Err(BadId);
        }
        let mut bits: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|a| *a == byte).ok_or(BadId)? as u128;
            if i == 0 && digit > 7 {
                return Err(BadId);
            }
            bits = (bits << 5) | digit;
        }
        Ok(ExecutionId(bits.to_be_bytes()))
    }
}

/// A task's run within its execution (D6 of the identity rules): counted up, derived, never drawn.
/// Visit 0 is the workflow itself.
pub type Visit = u32;

/// Whether a text is a DNS label: 1 to 63 of `a-z`, `0-9`, `-`, with a letter or digit at both ends.
pub fn is_label(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_text_round_trips_and_sorts_by_time() {
        let a = ExecutionId::derived(Time(1_764_000_000_000), &[b"a", b"b"]);
        let b = ExecutionId::new(Time(1_764_000_000_001), [0; 10]);
        assert_eq!(a.to_string().parse(), Ok(a));
        assert!(a < b && a.to_string() < b.to_string());
        assert_eq!(a.time(), Time(1_764_000_000_000));
        assert_eq!("zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ExecutionId>(), Err(BadId));
        assert_eq!("".parse::<ExecutionId>(), Err(BadId));
    }

    #[test]
    fn labels() {
        for (text, expected) in
            [("a", true), ("a-1", true), ("-a", false), ("A", false), ("", false), ("a.b", false)]
        {
            assert_eq!(is_label(text), expected, "{text}");
        }
        assert!(!is_label(&"a".repeat(64)));
    }

    #[test]
    fn times() {
        let t = Time::parse("2026-11-24T06:37:45.120Z").unwrap();
        assert_eq!(t.rfc3339(), "2026-11-24T06:37:45.120Z");
        assert_eq!(Time::parse("2026-11-24T07:37:45.1209+01:00"), Some(t));
    }
}
