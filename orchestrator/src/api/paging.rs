//! Page tokens: opaque, bound to their list and its conditions, refused when anything about them is off.
//!
//! Owns their form. A token is a keyset: where the last page ended, never an offset.

use serde::Serialize;
use tidemill_dsl::ids::{ExecutionId, Time};

use super::body::{hex, unhex};
use super::query::{Query, bad};
use crate::problem::Problem;

/// Bytes of a token that tie it to its list.
const SEAL: usize = 8;

/// A page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T: Serialize> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins; null at the end.
    pub next_page_token: Option<String>,
    /// How many there are in all, when asked for (`count=true`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl<T: Serialize> Page<T> {
    /// A page.
    pub fn new(items: Vec<T>, next: Option<String>) -> Page<T> {
        Page { items, next_page_token: next, total: None }
    }

    /// The same with the number of all entries, if the query asks for it (`count=true`).
    pub fn counting(self, query: &Query, count: impl FnOnce() -> usize) -> Result<Page<T>, Problem> {
        let total = if query.flag("count")? { Some(count() as u64) } else { None };
        Ok(Page { total, ..self })
    }
}

/// A list in which tokens are made and read: its name and the conditions it was asked with.
pub struct Keyset {
    bound: String,
}

impl Keyset {
    /// Of a list of a namespace (or of one thing in it).
    pub fn new(list: &str, namespace: &str, query: &Query) -> Keyset {
        Keyset { bound: format!("{list}\n{namespace}\n{}", query.fingerprint()) }
    }

    /// A token for a key.
    pub fn token(&self, key: &[u8]) -> String {
        hex(&[&self.seal(key)[..], key].concat())
    }

    /// The key of `pageToken`, if there is one.
    pub fn key(&self, query: &Query) -> Result<Option<Vec<u8>>, Problem> {
        let Some(text) = query.get("pageToken") else {
            return Ok(None);
        };
        let bytes = unhex(text).filter(|bytes| bytes.len() > SEAL).ok_or_else(refused)?;
        let (seal, key) = bytes.split_at(SEAL);
        if seal == self.seal(key) { Ok(Some(key.to_vec())) } else { Err(refused()) }
    }

    /// The key of `pageToken` as a number.
    pub fn number(&self, query: &Query) -> Result<Option<u64>, Problem> {
        let number = |key: Vec<u8>| key.try_into().map(u64::from_be_bytes).map_err(|_| refused());
        self.key(query)?.map(number).transpose()
    }

    /// The key of `pageToken` as a name.
    pub fn name(&self, query: &Query) -> Result<Option<String>, Problem> {
        self.key(query)?.map(|key| String::from_utf8(key).map_err(|_| refused())).transpose()
    }

    /// The key of `pageToken` as an instant and an execution.
    pub fn execution(&self, query: &Query) -> Result<Option<(Time, ExecutionId)>, Problem> {
        let Some(key) = self.key(query)? else {
            return Ok(None);
        };
        let read = || {
            let time = i64::from_be_bytes(key.get(..8)?.try_into().ok()?);
            Some((Time(time), ExecutionId(key.get(8..)?.try_into().ok()?)))
        };
        read().map(Some).ok_or_else(refused)
    }

    /// A token behind an execution.
    pub fn after_execution(&self, time: Time, id: ExecutionId) -> String {
        self.token(&[&time.0.to_be_bytes()[..], &id.0[..]].concat())
    }

    fn seal(&self, key: &[u8]) -> [u8; SEAL] {
        let mut hash = blake3::Hasher::new();
        hash.update(self.bound.as_bytes()).update(key);
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&hash.finalize().as_bytes()[..SEAL]);
        seal
    }
}

fn refused() -> Problem {
    bad("pageToken", "is not one that this list gave for these conditions")
}

/// One page of names in rising order.
pub fn by_name<'a, T>(
    keyset: &Keyset,
    query: &Query,
    all: impl Iterator<Item = (&'a str, T)>,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let size = query.page_size(50)?;
    let after = keyset.name(query)?;
    let mut rest = all.filter(|(name, _)| after.as_deref().is_none_or(|after| *name > after));
    let page: Vec<(&str, T)> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let next = page.last().filter(|_| more).map(|(name, _)| keyset.token(name.as_bytes()));
    Ok((page.into_iter().map(|(_, item)| item).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_serve_their_own_list_only() {
        let query = |text: &str| Query::parse(text, &["pageToken", "status", "pageSize"]).unwrap();
        let keyset = |list: &str, text: &str| Keyset::new(list, "ns", &query(text));
        let token = keyset("a", "status=x").token(&7u64.to_be_bytes());
        let read = |list: &str, text: &str, token: &str| {
            let all = format!("{text}&pageToken={token}");
            keyset(list, &all).number(&query(&all)).ok().flatten()
        };
        assert_eq!(read("a", "status=x", &token), Some(7));
        assert_eq!(read("a", "status=x&pageSize=9", &token), Some(7));
        assert_eq!(read("b", "status=x", &token), None);
        assert_eq!(read("a", "status=y", &token), None);
        assert_eq!(read("a", "status=x", &token.replace('0', "1")), None);
        assert_eq!(read("a", "status=x", "zz"), None);
    }

    #[test]
    fn pages_of_names() {
        let check = |text: &str, expected: &[u32]| {
            let query = Query::parse(text, &["pageSize", "pageToken"]).unwrap();
            let keyset = Keyset::new("n", "ns", &query);
            let all = [("a", 1), ("b", 2), ("c", 3)];
            let (items, next) = by_name(&keyset, &query, all.into_iter()).unwrap();
            assert_eq!(items, expected);
            next
        };
        let next = check("pageSize=2", &[1, 2]).unwrap();
        assert_eq!(check(&format!("pageSize=2&pageToken={next}"), &[3]), None);
        assert_eq!(check("pageSize=3", &[1, 2, 3]), None);
    }
}
