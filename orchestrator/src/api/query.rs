//! Query strings: decoded once, unknown names and doubled values refused (api.md, fine print on lists).
//!
//! Owns the reading of parameters into types; knows no route's meaning.

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::diagnostic::nearest;
use tidemill_dsl::duration;
use tidemill_dsl::ids::Time;

use crate::problem::Problem;

/// Parameters that may stand several times.
const REPEATED: [&str; 4] = ["tag", "status", "topics", "id"];
/// Page sizes that are taken (limit `page-size`).
const PAGE_SIZES: std::ops::RangeInclusive<usize> = 1..=1000;

/// Tags: names and values.
pub type Tags = Vec<(Arc<str>, Arc<str>)>;

/// The parameters of a request.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; only `known` names are taken.
    pub fn parse(text: &str, known: &[&str]) -> Result<Query, Problem> {
        let mut all: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&&*name) {
                let hint = nearest(&name, known.iter().copied()).map(|n| format!("; did you mean `{n}`?"));
                return Err(bad(&name, &format!("is not known here{}", hint.unwrap_or_default())));
            }
            if !REPEATED.contains(&&*name) && all.iter().any(|(other, _)| *other == name) {
                return Err(bad(&name, "stands twice"));
            }
            all.push((name, value));
        }
        Ok(Query(all))
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's value that is not empty, shared.
    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        self.get(name).filter(|value| !value.is_empty()).map(Into::into)
    }

    /// Every value of a repeated parameter; a value may hold several, parted by commas.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let all = self.0.iter().filter(|(key, _)| key == name);
        all.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    /// `name:value` pairs of `tag`; a comma belongs to the value.
    pub fn tags(&self) -> Result<Tags, Problem> {
        let all = self.0.iter().filter(|(key, _)| key == "tag");
        all.map(|(_, text)| match text.split_once(':') {
            Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
            _ => Err(bad("tag", "is written `name:value`")),
        })
        .collect()
    }

    /// `true` or `false`; absent is false, an empty value true.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(bad(name, "is `true` or `false`")),
        }
    }

    /// An RFC 3339 instant.
    pub fn time(&self, name: &str) -> Result<Option<Time>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        // A plus sign that was sent bare is decoded as a blank.
        let text = text.trim().replace(' ', "+");
        match Time::parse(&text) {
            Some(time) => Ok(Some(time)),
            None => Err(bad(name, "is an RFC 3339 instant, for example 2026-11-24T06:37:45Z")),
        }
    }

    /// A duration such as `30s`, `PT30S` or plain seconds.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let seconds = text.parse::<u32>().ok().map(|s| Duration::from_secs(s.into()));
        let read =
            seconds.or_else(|| duration::parse_human(text).ok()).or_else(|| duration::parse_iso(text).ok());
        read.map(Some).ok_or_else(|| bad(name, "is a duration, for example 30s"))
    }

    /// `pageSize`, within its limits.
    pub fn page_size(&self, default: usize) -> Result<usize, Problem> {
        match self.get("pageSize") {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| PAGE_SIZES.contains(size))
                .ok_or_else(|| bad("pageSize", "is a number from 1 to 1000 (limit page-size)")),
        }
    }

    /// Everything but the page, in one text: what a page token is bound to.
    pub fn fingerprint(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut own: Vec<_> =
            pairs.filter(|(name, _)| !matches!(*name, "pageToken" | "pageSize" | "count")).collect();
        own.sort_unstable();
        own.into_iter().flat_map(|(k, v)| [k, "=", v, "\n"]).collect()
    }
}

/// A parameter that is refused.
pub fn bad(name: &str, why: &str) -> Problem {
    Problem::bad("bad-parameter", format!("the parameter `{name}` {why}"))
}

/// Percent-decodes once; `+` is a blank.
fn decode(text: &str) -> Result<String, Problem> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let pair = [bytes.next(), bytes.next()];
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                match (digit(pair[0]), digit(pair[1])) {
                    (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
                    _ => return Err(Problem::bad("bad-query", "the query has a `%` that is no escape")),
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| Problem::bad("bad-query", "the query is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let known = ["a", "tag", "since", "pageSize"];
        let check = |text: &str, expected: Result<&[(&str, &str)], &str>| {
            let read = Query::parse(text, &known);
            let expected =
                expected.map(|pairs| Query(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()));
            match expected {
                Ok(query) => assert_eq!(read.as_ref(), Ok(&query), "{text}"),
                Err(code) => assert_eq!(read.unwrap_err().code, code, "{text}"),
            }
        };
        check("", Ok(&[]));
        check("a=1+2%2B3&&tag=x:1&tag=y:2", Ok(&[("a", "1 2+3"), ("tag", "x:1"), ("tag", "y:2")]));
        check("a=1&a=2", Err("bad-parameter"));
        check("b=1", Err("bad-parameter"));
        check("a=%zz", Err("bad-query"));
        check("a=%ff", Err("bad-query"));
    }

    #[test]
    fn values() {
        let query = |text: &str| Query::parse(text, &["since", "pageSize", "wait", "dryRun"]).unwrap();
        assert_eq!(
            query("since=2026-11-24T07:37:45+01:00").time("since"),
            Ok(Time::parse("2026-11-24T06:37:45Z"))
        );
        assert!(query("since=yesterday").time("since").is_err());
        for (text, expected) in [("", Ok(50)), ("pageSize=1", Ok(1)), ("pageSize=1000", Ok(1000))] {
            assert_eq!(query(text).page_size(50), expected);
        }
        for text in ["pageSize=0", "pageSize=1001", "pageSize=x", "pageSize="] {
            assert!(query(text).page_size(50).is_err(), "{text}");
        }
        for text in ["wait=30s", "wait=PT30S", "wait=30"] {
            assert_eq!(query(text).duration("wait"), Ok(Some(Duration::from_secs(30))), "{text}");
        }
        assert!(query("wait=soon").duration("wait").is_err());
        assert_eq!(query("dryRun=true").flag("dryRun"), Ok(true));
        assert!(query("dryRun=1x").flag("dryRun").is_err());
    }
}
