//! Sets of GTIDs in the two forms there are: pure.
//!
//! Owns their text, adding to them and asking them. MySQL: intervals by server (and tag). MariaDB: the last one of each
//! domain.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The name of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gtid {
    /// `UUID:NUMBER` or `UUID:TAG:NUMBER`.
    Mysql {
        /// `UUID` or `UUID:TAG`.
        server: Arc<str>,
        /// From 1 on.
        number: u64,
    },
    /// `DOMAIN-SERVER-NUMBER`.
    Mariadb { domain: u32, server: u32, number: u64 },
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gtid::Mysql { server, number } => write!(f, "{server}:{number}"),
            Gtid::Mariadb { domain, server, number } => write!(f, "{domain}-{server}-{number}"),
        }
    }
}

/// Which transactions were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GtidSet {
    /// Intervals, first and last included, by `UUID` or `UUID:TAG`; neither touch nor overlap.
    Mysql(BTreeMap<Arc<str>, Vec<(u64, u64)>>),
    /// Server and number of the last one by domain.
    Mariadb(BTreeMap<u32, (u32, u64)>),
}

impl GtidSet {
    /// Reads the text of either form; none if it is neither. The empty text is the empty set of MySQL.
    pub(super) fn parse(text: &str) -> Option<GtidSet> {
        let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
        if parts().next().is_some_and(|part| !part.contains(':')) {
            return parts().map(last_of_domain).collect::<Option<_>>().map(GtidSet::Mariadb);
        }
        let mut set = BTreeMap::new();
        for part in parts() {
            read_intervals(part, &mut set)?;
        }
        Some(GtidSet::Mysql(set))
    }

    /// Adds a transaction. One of the other form begins a set anew: the server was replaced.
    pub(super) fn add(&mut self, gtid: &Gtid) {
        match (&mut *self, gtid) {
            (GtidSet::Mysql(set), Gtid::Mysql { server, number }) => {
                add(set.entry(server.clone()).or_default(), (*number, *number));
            }
            (GtidSet::Mariadb(set), Gtid::Mariadb { domain, server, number }) => {
                set.insert(*domain, (*server, *number));
            }
            (_, Gtid::Mysql { .. }) => {
                *self = GtidSet::Mysql(BTreeMap::new());
                self.add(gtid);
            }
            (_, Gtid::Mariadb { .. }) => {
                *self = GtidSet::Mariadb(BTreeMap::new());
                self.add(gtid);
            }
        }
    }

    /// Adds every transaction of another set of the same form.
    pub(super) fn join(&mut self, other: &GtidSet) {
        match (self, other) {
            (GtidSet::Mysql(set), GtidSet::Mysql(other)) => {
                for (server, intervals) in other {
                    let own = set.entry(server.clone()).or_default();
                    for interval in intervals {
                        add(own, *interval);
                    }
                }
            }
            (own, other) => *own = other.clone(),
        }
    }

    /// Whether every transaction of another set is in it.
    pub(super) fn holds(&self, other: &GtidSet) -> bool {
        match (self, other) {
            (GtidSet::Mysql(set), GtidSet::Mysql(other)) => other.iter().all(|(server, intervals)| {
                let own = set.get(server).map_or(&[][..], Vec::as_slice);
                intervals.iter().all(|(first, last)| own.iter().any(|(a, b)| a <= first && last <= b))
            }),
            (GtidSet::Mariadb(set), GtidSet::Mariadb(other)) => other
                .iter()
                .all(|(domain, (_, number))| set.get(domain).is_some_and(|(_, own)| own >= number)),
            _ => false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            GtidSet::Mysql(set) => set.is_empty(),
            GtidSet::Mariadb(set) => set.is_empty(),
        }
    }
}

fn last_of_domain(part: &str) -> Option<(u32, (u32, u64))> {
    let mut numbers = part.splitn(3, '-');
    let domain = numbers.next()?.parse().ok()?;
    let server = numbers.next()?.parse().ok()?;
    Some((domain, (server, numbers.next()?.parse().ok()?)))
}

/// `UUID:1-5:9:TAG:1-3`: intervals before the first tag are those without one.
fn read_intervals(part: &str, set: &mut BTreeMap<Arc<str>, Vec<(u64, u64)>>) -> Option<()> {
    let mut pieces = part.split(':').map(str::trim);
    let uuid = pieces.next().filter(|uuid| is_uuid(uuid))?.to_ascii_lowercase();
    let mut server: Arc<str> = uuid.as_str().into();
    for piece in pieces {
        if piece.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            server = format!("{uuid}:{}", piece.to_ascii_lowercase()).into();
            continue;
        }
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let interval: (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        if interval.0 == 0 || interval.1 < interval.0 {
            return None;
        }
        add(set.entry(server.clone()).or_default(), interval);
    }
    Some(())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Adds an interval and joins what touches it.
fn add(intervals: &mut Vec<(u64, u64)>, (mut first, mut last): (u64, u64)) {
    // What comes next to the last one is by far the most common.
    if let Some(end) = intervals.last_mut()
        && end.0 <= first
        && first <= end.1.saturating_add(1)
    {
        end.1 = end.1.max(last);
        return;
    }
    intervals.retain(|(a, b)| {
        let apart = *b < first.saturating_sub(1) || last.saturating_add(1) < *a;
        if !apart {
            first = first.min(*a);
            last = last.max(*b);
        }
        apart
    });
    let at = intervals.partition_point(|(a, _)| *a < first);
    intervals.insert(at, (first, last));
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        match self {
            GtidSet::Mysql(set) => {
                for (server, intervals) in set {
                    write!(f, "{comma}{server}")?;
                    for (first, last) in intervals {
                        if first == last { write!(f, ":{first}")? } else { write!(f, ":{first}-{last}")? }
                    }
                    comma = ",";
                }
            }
            GtidSet::Mariadb(set) => {
                for (domain, (server, number)) in set {
                    write!(f, "{comma}{domain}-{server}-{number}")?;
                    comma = ",";
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_are_read_and_written() {
        let check = |text: &str, expected: Option<&str>| {
            let read = GtidSet::parse(text).map(|set| set.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("", Some(""));
        check("0-101-5,3-7-9", Some("0-101-5,3-7-9"));
        check(&format!("{}:1-5:7", A.to_uppercase()), Some(&format!("{A}:1-5:7")));
        check(&format!("{A}:1-5:6-9:11,\n{A}:10"), Some(&format!("{A}:1-11")));
        check(&format!("{A}:3:deploy:1-2"), Some(&format!("{A}:3,{A}:deploy:1-2")));
        check("0-101", None);
        check("nonsense:1", None);
        check(&format!("{A}:5-1"), None);
    }

    #[test]
    fn transactions_are_added() {
        let mut set = GtidSet::parse(&format!("{A}:1-3:9")).unwrap();
        for number in [4, 8, 20, 5, 7, 6, 2] {
            set.add(&Gtid::Mysql { server: A.into(), number });
        }
        assert_eq!(set.to_string(), format!("{A}:1-9:20"));
        let mut domains = GtidSet::parse("0-1-5").unwrap();
        domains.add(&Gtid::Mariadb { domain: 0, server: 2, number: 6 });
        domains.add(&Gtid::Mariadb { domain: 1, server: 2, number: 1 });
        assert_eq!(domains.to_string(), "0-2-6,1-2-1");
        domains.add(&Gtid::Mysql { server: A.into(), number: 1 });
        assert_eq!(domains.to_string(), format!("{A}:1"));
    }

    #[test]
    fn sets_hold_sets() {
        let check = |set: &str, other: &str, expected: bool| {
            let (set, other) = (GtidSet::parse(set).unwrap(), GtidSet::parse(other).unwrap());
            assert_eq!(set.holds(&other), expected, "{set} {other}");
        };
        check(&format!("{A}:1-9"), &format!("{A}:2-3:9"), true);
        check(&format!("{A}:1-9"), &format!("{A}:9-10"), false);
        check(&format!("{A}:1-9"), "", true);
        check("", &format!("{A}:1"), false);
        check("0-1-9", "0-2-9", true);
        check("0-1-9", "0-1-10", false);
        let mut set = GtidSet::parse(&format!("{A}:4-6")).unwrap();
        set.join(&GtidSet::parse(&format!("{A}:1-3")).unwrap());
        assert_eq!(set.to_string(), format!("{A}:1-6"));
    }
}
