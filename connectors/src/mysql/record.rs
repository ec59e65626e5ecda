//! Changes and rows as events: pure.
//!
//! Owns the events' ids, attributes and data (manifests.md, Source `mysql`). A row that a snapshot read and the same row
//! out of the log have the same values and the same key.

use std::fmt::Write as _;
use std::sync::Arc;

use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::EventOverrides;
use tidemill_dsl::value::{Map, Value};

use super::position::Position;
use super::rows::{Change, Image};
use super::table::Table;

/// Most bytes of a change in the log (limit `record-size`); larger ones are set aside.
pub const MAX_RECORD: usize = 8 * 1024 * 1024;

/// How changes become events.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// `host:port` of the server: part of the source of events.
    pub authority: Arc<str>,
    /// The `event` block, over `{operation, database, table, before, after, primaryKey, position}`.
    pub overrides: EventOverrides,
}

/// Where a change stands in the log.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The id of its transaction.
    pub(super) transaction: Arc<str>,
    /// Its rows event in the transaction.
    pub(super) event: u32,
    /// The place where the transaction begins, and its GTID.
    pub(super) file: Arc<str>,
    pub(super) pos: u64,
    pub(super) gtid: Option<Arc<str>>,
    /// Seconds since 1970.
    pub(super) time: u32,
}

/// A change that cannot become an event. Displays with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the row {place}: {message}")]
pub struct Poison {
    /// The id that the event would have, and the table.
    pub place: String,
    /// Why.
    pub message: String,
}

impl Mapping {
    /// What events of the server itself have as their source.
    fn server(&self) -> String {
        format!("mysql://{}", self.authority)
    }

    /// The event of a change.
    pub(super) fn to_event(&self, table: &Table, change: Change, origin: &Origin) -> Result<Event, Poison> {
        let id = format!("{}/{}/{}", origin.transaction, origin.event, change.index);
        let poison =
            |message: String| Poison { place: format!("{id} of {}.{}", table.database, table.name), message };
        if change.size > MAX_RECORD {
            return Err(poison(format!("it is larger than the limit `record-size` of {MAX_RECORD} bytes")));
        }
        let sequence = format!("{}:{:012}:{:06}:{:06}", origin.file, origin.pos, origin.event, change.index);
        let mut position = Map::with_capacity(3);
        position.insert("file".into(), Value::String(origin.file.clone()));
        position.insert("pos".into(), Value::from(origin.pos));
        position.extend(origin.gtid.clone().map(|gtid| ("gtid".into(), Value::String(gtid))));
        let kind = format!("mysql.row.{}", change.operation.word());
        let row = Row { id: id.clone(), kind, before: change.before, after: change.after, sequence };
        let time = Time(i64::from(origin.time) * 1000);
        self.event(table, row, (position.into(), time)).map_err(poison)
    }

    /// The event of a row that a snapshot read, at `read`. `start` names the snapshot.
    pub(super) fn of_row(
        &self,
        table: &Table,
        image: Image,
        start: &Position,
        read: Time,
    ) -> Result<Event, Poison> {
        let name = format!("{}.{}", table.database, table.name);
        let id = format!("snapshot/{}/{name}/{}", start.name(), key_text(table, &image));
        let sequence = format!("{}:{:012}:000000:000000", start.file, start.pos);
        let row =
            Row { id: id.clone(), kind: "mysql.row.read".into(), before: None, after: Some(image), sequence };
        self.event(table, row, (start.shown(), read)).map_err(|message| Poison { place: id, message })
    }

    /// The event that tells of a gap.
    pub(super) fn of_gap(&self, from: &Position, to: &Position, why: &str, at: Time) -> Event {
        Event {
            id: format!("gap/{}/{}", from.name(), to.name()).into(),
            source: self.server().into(),
            kind: "mysql.gap".into(),
            subject: None,
            time: Some(at.rfc3339().into()),
            datacontenttype: Some("application/json".into()),
            dataschema: None,
            extensions: Map::new(),
            data: Data::Json(Value::object([
                ("from", from.shown()),
                ("to", to.shown()),
                ("reason", Value::text(why)),
            ])),
        }
    }

    fn event(&self, table: &Table, row: Row, (position, time): (Value, Time)) -> Result<Event, String> {
        let known = row.after.as_ref().or(row.before.as_ref());
        // A delete tells its key before, an update after; partial images may lack one of them.
        let key = known.map_or_else(Map::new, |image| key(table, image, row.before.as_ref()));
        let subject = joined(&key);
        let name = format!("{}.{}", table.database, table.name);
        let partition = if subject.is_empty() { name } else { format!("{name}/{subject}") };
        let mut extensions = Map::with_capacity(3);
        extensions.insert("partitionkey".into(), Value::text(partition));
        extensions.insert("sequence".into(), Value::text(row.sequence));
        if table.assumed {
            extensions.insert("schemaassumed".into(), Value::Bool(true));
        }
        let mut data = Map::with_capacity(5);
        data.insert("before".into(), shown(table, row.before));
        data.insert("after".into(), shown(table, row.after));
        data.insert("columns".into(), table.types.clone());
        data.insert("primaryKey".into(), key.into());
        data.insert("position".into(), position);
        let event = Event {
            id: row.id.into(),
            source: format!("{}/{}/{}", self.server(), encoded(&table.database), encoded(&table.name)).into(),
            kind: row.kind.into(),
            subject: (!subject.is_empty()).then(|| subject.into()),
            time: Some(time.rfc3339().into()),
            datacontenttype: Some("application/json".into()),
            dataschema: None,
            extensions,
            data: Data::Json(data.into()),
        }
        .sound();
        if self.overrides.is_empty() {
            return Ok(event);
        }
        let raw = raw(table, &event);
        self.overrides.apply(&event, &raw).map_err(|error| error.to_string())
    }
}

struct Row {
    id: String,
    kind: String,
    before: Option<Image>,
    after: Option<Image>,
    sequence: String,
}

/// A name in a URI reference: what is not allowed there is percent-encoded.
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~$".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The columns that an image has, by name; null without an image.
fn shown(table: &Table, image: Option<Image>) -> Value {
    let Some(image) = image else {
        return Value::Null;
    };
    let columns = table.columns.iter().zip(image);
    let map: Map = columns.filter_map(|(column, value)| Some((column.name.clone(), value?))).collect();
    map.into()
}

fn key(table: &Table, image: &Image, other: Option<&Image>) -> Map {
    let value = |index: &usize| {
        let own = image.get(*index).and_then(Option::as_ref);
        let value = own.or_else(|| other.and_then(|other| other.get(*index)?.as_ref()));
        Some((table.columns.get(*index)?.name.clone(), value?.clone()))
    };
    table.key.iter().filter_map(value).collect()
}

fn joined(key: &Map) -> String {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    key.values().map(one).collect::<Vec<_>>().join(",")
}

/// The key of a row, its parts joined by commas: the subject of its event.
pub(super) fn key_text(table: &Table, image: &Image) -> String {
    joined(&key(table, image, None))
}

/// What the expressions of the `event` block see.
fn raw(table: &Table, event: &Event) -> Value {
    let data = match &event.data {
        Data::Json(data) => data.clone(),
        _ => Value::Null,
    };
    let member = |name: &str| data.get(name).cloned().unwrap_or_default();
    Value::object([
        ("operation", Value::text(event.kind.rsplit('.').next().unwrap_or_default())),
        ("database", Value::String(table.database.clone())),
        ("table", Value::String(table.name.clone())),
        ("before", member("before")),
        ("after", member("after")),
        ("primaryKey", member("primaryKey")),
        ("position", member("position")),
    ])
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::expr::Template;

    use super::super::rows::Operation;
    use super::super::table::Column;
    use super::super::value::Kind;
    use super::*;

    fn table(key: &[usize]) -> Table {
        let column =
            |name: &str, unsigned| Column { name: name.into(), kind: Kind::Integer { bytes: 4, unsigned } };
        let columns = vec![column("id", true), column("shop", false), column("n", false)];
        Table::new(("my shop".into(), "orders".into()), columns, key.to_vec(), false)
    }

    fn change(operation: Operation, before: Option<&[Option<i64>]>, after: Option<&[Option<i64>]>) -> Change {
        let image =
            |values: &[Option<i64>]| values.iter().map(|value| value.map(Value::from)).collect::<Image>();
        Change { operation, before: before.map(image), after: after.map(image), index: 2, size: 9 }
    }

    fn origin() -> Origin {
        Origin {
            transaction: "0-101-7".into(),
            event: 3,
            file: "binlog.000002".into(),
            pos: 4571,
            gtid: Some("0-101-7".into()),
            time: 1_764_000_000,
        }
    }

    fn check(key: &[usize], change: Change, expected: &str) {
        let mapping = Mapping { authority: "h:3306".into(), ..Mapping::default() };
        let event = mapping.to_event(&table(key), change, &origin()).unwrap().to_value().to_string();
        let common = r#""columns":{"id":"int unsigned","shop":"int","n":"int"},"#;
        let position = r#","position":{"file":"binlog.000002","pos":4571,"gtid":"0-101-7"}}}"#;
        let event = event.replace(common, "").replace(position, "}}");
        let head = r#"{"specversion":"1.0","id":"0-101-7/3/2","source":"mysql://h:3306/my%20shop/orders","#;
        let event = event.strip_prefix(head).unwrap();
        let event =
            event.replace(r#""time":"2025-11-24T16:00:00.000Z","datacontenttype":"application/json","#, "");
        let event = event.replace(r#""sequence":"binlog.000002:000000004571:000003:000002","#, "");
        assert_eq!(event, expected);
    }

    #[test]
    fn changes_become_events() {
        let row = [Some(7), Some(1), Some(5)];
        check(
            &[0],
            change(Operation::Insert, None, Some(&row)),
            r#""type":"mysql.row.inserted","subject":"7","partitionkey":"my shop.orders/7","data":{"before":null,"after":{"id":7,"shop":1,"n":5},"primaryKey":{"id":7}}}"#,
        );
        check(
            &[1, 0],
            change(Operation::Delete, Some(&row), None),
            r#""type":"mysql.row.deleted","subject":"1,7","partitionkey":"my shop.orders/1,7","data":{"before":{"id":7,"shop":1,"n":5},"after":null,"primaryKey":{"shop":1,"id":7}}}"#,
        );
        // Partial images: what the image lacks is left out, the key is taken from where it stands.
        check(
            &[0],
            change(Operation::Update, Some(&[Some(7), None, None]), Some(&[None, None, Some(6)])),
            r#""type":"mysql.row.updated","subject":"7","partitionkey":"my shop.orders/7","data":{"before":{"id":7},"after":{"n":6},"primaryKey":{"id":7}}}"#,
        );
        check(
            &[],
            change(Operation::Insert, None, Some(&row)),
            r#""type":"mysql.row.inserted","partitionkey":"my shop.orders","data":{"before":null,"after":{"id":7,"shop":1,"n":5},"primaryKey":{}}}"#,
        );
    }

    #[test]
    fn rows_and_gaps_become_events() {
        let mapping = Mapping { authority: "h:3306".into(), ..Mapping::default() };
        let start = Position::parse("binlog.000002:4571").unwrap();
        let image = vec![Some(Value::from(7)), Some(Value::Null), Some(Value::from(5))];
        let event = mapping.of_row(&table(&[0]), image, &start, Time(0)).unwrap();
        insta::assert_snapshot!(event.to_value(), @r#"{"specversion":"1.0","id":"snapshot/binlog.000002:4571/my shop.orders/7","source":"mysql://h:3306/my%20shop/orders","type":"mysql.row.read","subject":"7","time":"1970-01-01T00:00:00.000Z","datacontenttype":"application/json","partitionkey":"my shop.orders/7","sequence":"binlog.000002:000000004571:000000:000000","data":{"before":null,"after":{"id":7,"shop":null,"n":5},"columns":{"id":"int unsigned","shop":"int","n":"int"},"primaryKey":{"id":7},"position":{"file":"binlog.000002","pos":4571}}}"#);
        let event = mapping.of_gap(&start, &Position::parse("0-101-9").unwrap(), "purged", Time(0));
        insta::assert_snapshot!(event.to_value(), @r#"{"specversion":"1.0","id":"gap/binlog.000002:4571/0-101-9","source":"mysql://h:3306","type":"mysql.gap","time":"1970-01-01T00:00:00.000Z","datacontenttype":"application/json","data":{"from":{"file":"binlog.000002","pos":4571},"to":{"gtid":"0-101-9"},"reason":"purged"}}"#);
    }

    #[test]
    fn the_event_block_sees_the_row() {
        let of = |text: &str| Template::compile(&Value::text(text), &[]).unwrap();
        let overrides = EventOverrides {
            attributes: vec![
                ("type", of("${ .table + \".\" + .operation }")),
                ("subject", of("${ .after.n }")),
            ],
            extensions: Vec::new(),
        };
        let mapping = Mapping { authority: "h:3306".into(), overrides };
        let row = [Some(7), Some(1), Some(5)];
        let event = mapping.to_event(&table(&[0]), change(Operation::Insert, None, Some(&row)), &origin());
        let event = event.unwrap();
        assert_eq!((&*event.kind, event.subject.as_deref()), ("orders.inserted", Some("5")));
        let huge = Change { size: MAX_RECORD + 1, ..change(Operation::Insert, None, Some(&row)) };
        insta::assert_snapshot!(mapping.to_event(&table(&[0]), huge, &origin()).unwrap_err(), @"read the row 0-101-7/3/2 of my shop.orders: it is larger than the limit `record-size` of 8388608 bytes");
    }
}
