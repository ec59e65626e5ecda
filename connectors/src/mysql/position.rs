//! Where reading is: pure.
//!
//! Owns the text that is saved and that `seek` takes.

use std::sync::Arc;

use tidemill_dsl::value::{Map, Value};

use super::gtid::GtidSet;

/// The partition of the position in the binlog.
pub const BINLOG: &str = "binlog";
/// The partition of the snapshot.
pub const SNAPSHOT: &str = "snapshot";

/// A place between two transactions, or behind a row of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The log file; empty where GTIDs alone tell the place.
    pub(super) file: Arc<str>,
    /// The next byte in it, between two transactions.
    pub(super) pos: u64,
    /// The transactions before it; none where the server has no GTIDs.
    pub(super) gtids: Option<GtidSet>,
    /// The server whose file it is, where it has a uuid.
    pub(super) server: Option<Arc<str>>,
    /// What of the next transaction is taken.
    pub(super) within: Option<Within>,
}

/// Rows of a transaction that are taken: those before `row` of rows event `event`, and all of the events before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Within {
    /// What the ids of its events begin with.
    pub(super) transaction: Arc<str>,
    pub(super) event: u32,
    pub(super) row: u32,
}

impl Position {
    /// The text that is saved: JSON.
    pub(super) fn text(&self) -> Arc<str> {
        let mut map = Map::new();
        if !self.file.is_empty() {
            map.insert("file".into(), Value::String(self.file.clone()));
            map.insert("pos".into(), Value::from(self.pos));
        }
        if let Some(gtids) = &self.gtids {
            map.insert("gtid".into(), Value::text(gtids.to_string()));
        }
        if let Some(server) = &self.server {
            map.insert("server".into(), Value::String(server.clone()));
        }
        if let Some(within) = &self.within {
            map.insert("in".into(), Value::String(within.transaction.clone()));
            map.insert("event".into(), Value::from(within.event));
            map.insert("row".into(), Value::from(within.row));
        }
        Value::from(map).to_string().into()
    }

    /// Reads such a text, `FILE:POS`, or a set of GTIDs. None if it is none of them.
    pub(super) fn parse(text: &str) -> Option<Position> {
        let text = text.trim();
        if text.starts_with('{') {
            return Position::from_json(&Value::parse(text.as_bytes()).ok()?);
        }
        if let Some(gtids) = GtidSet::parse(text).filter(|set| !set.is_empty()) {
            return Some(Position { gtids: Some(gtids), ..Position::default() });
        }
        let (file, pos) = text.rsplit_once(':')?;
        let pos = pos.parse().ok().filter(|pos| *pos >= FIRST)?;
        (!file.is_empty()).then(|| Position { file: file.into(), pos, ..Position::default() })
    }

    fn from_json(json: &Value) -> Option<Position> {
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let number = |key: &str| json.get(key).and_then(Value::as_i64).and_then(|n| u64::try_from(n).ok());
        let gtids = match text("gtid") {
            Some(text) => Some(GtidSet::parse(text)?),
            None => None,
        };
        let within = text("in").map(|transaction| Within {
            transaction: transaction.into(),
            event: number("event").unwrap_or(0) as u32,
            row: number("row").unwrap_or(0) as u32,
        });
        let file: Arc<str> = text("file").unwrap_or_default().into();
        if file.is_empty() && gtids.is_none() {
            return None;
        }
        let pos = number("pos").unwrap_or(FIRST).max(FIRST);
        Some(Position { file, pos, gtids, server: text("server").map(Arc::from), within })
    }

    /// The file and the place in it, as data of events show it.
    pub(super) fn shown(&self) -> Value {
        let gtid = self.gtids.as_ref().filter(|set| !set.is_empty());
        let mut map = Map::new();
        if !self.file.is_empty() {
            map.insert("file".into(), Value::String(self.file.clone()));
            map.insert("pos".into(), Value::from(self.pos));
        }
        map.extend(gtid.map(|gtids| ("gtid".into(), Value::text(gtids.to_string()))));
        Value::from(map)
    }

    /// A short name of it: part of ids.
    pub(super) fn name(&self) -> String {
        match &self.gtids {
            Some(gtids) if !gtids.is_empty() => gtids.to_string(),
            _ => format!("{}:{}", self.file, self.pos),
        }
    }
}

/// Where the first event of a file stands.
pub(super) const FIRST: u64 = 4;

/// Files in order: by their number, then by the place.
pub(super) fn place(file: &str, pos: u64) -> (u64, u64) {
    let number = file.rsplit_once('.').and_then(|(_, number)| number.parse().ok());
    (number.unwrap_or(0), pos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_again() {
        let check = |text: &str, expected: Option<&str>| {
            let read = Position::parse(text).map(|position| position.text().to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        let whole = r#"{"file":"binlog.000002","pos":4571,"gtid":"0-101-5","server":"u","in":"0-101-6","event":3,"row":500}"#;
        check(whole, Some(whole));
        check("binlog.000002:4571", Some(r#"{"file":"binlog.000002","pos":4571}"#));
        check("0-101-5", Some(r#"{"gtid":"0-101-5"}"#));
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        check(set, Some(&format!(r#"{{"gtid":"{set}"}}"#)));
        for bad in ["", "binlog.000002", "binlog.000002:1", "{}", "{\"pos\":4}", r#"{"gtid":"x"}"#] {
            check(bad, None);
        }
    }

    #[test]
    fn places_have_an_order() {
        assert!(place("binlog.000009", 9) < place("binlog.000010", 4));
        assert!(place("binlog.999999", 9) < place("binlog.1000000", 4));
        assert!(place("binlog.000009", 10) > place("binlog.000009", 9));
    }
}
