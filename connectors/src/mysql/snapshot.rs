//! The snapshot: the rows that are there, read in pieces while the log is read on.
//!
//! Owns the plan, which is saved with the position, and the pieces. A piece is read with share locks, so that it holds
//! every transaction that the log has told by then; after it the end of the log is asked for. Its rows become events when
//! the log is read up to that end, without those that the log has told meanwhile. So the last that is told of a row is
//! what it is, no piece has to be read twice, and a stop in between costs the piece alone.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Params, Row, Value as Queried};
use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;

use super::Spec;
use super::fault::{error, fault};
use super::position::{Position, place};
use super::record::key_text;
use super::rows::Image;
use super::schema::{describe, tables};
use super::server::{Facts, connect, head};
use super::table::Table;
use super::value::Kind;
use crate::SourceError;

/// Most rows of a piece.
const ROWS: usize = 1000;
/// A piece ends behind the row that makes it so large.
const BYTES: usize = 4 * 1024 * 1024;
/// How often a piece is tried while others hold its rows.
const TRIES: usize = 5;

/// What is left to read. Saved as JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Where the log was when it began: the name of the snapshot.
    pub(super) start: Position,
    /// Tables, the one being read first.
    pub(super) left: Vec<(Arc<str>, Arc<str>)>,
    /// The key of the last row that was told of it.
    pub(super) after: Option<Vec<Queried>>,
}

impl Plan {
    /// Every table that the source takes.
    pub(super) async fn new(spec: &Spec, conn: &mut Conn, start: Position) -> Result<Plan, SourceError> {
        let all = tables(conn).await?;
        let left = all.into_iter().filter(|(database, table)| spec.tables.takes(database, table));
        Ok(Plan { start, left: left.map(|(d, t)| (d.into(), t.into())).collect(), after: None })
    }

    /// The text that is saved.
    pub(super) fn text(&self) -> Arc<str> {
        let table = |(database, name): &(Arc<str>, Arc<str>)| {
            Value::array([Value::String(database.clone()), Value::String(name.clone())])
        };
        let after =
            self.after.as_ref().map(|key| Value::array(key.iter().map(|part| Value::text(tagged(part)))));
        Value::object([
            ("start", Value::parse(self.start.text().as_bytes()).unwrap_or_default()),
            ("left", Value::array(self.left.iter().map(table))),
            ("after", after.unwrap_or_default()),
        ])
        .to_string()
        .into()
    }

    /// Reads it; none if it is none.
    pub(super) fn parse(text: &str) -> Option<Plan> {
        let json = Value::parse(text.as_bytes()).ok()?;
        let start = Position::parse(&json.get("start")?.to_string())?;
        let table = |table: &Value| Some((table.at(0)?.as_str()?.into(), table.at(1)?.as_str()?.into()));
        let left = json.get("left")?.as_array()?.iter().map(table).collect::<Option<_>>()?;
        let after = match json.get("after").and_then(Value::as_array) {
            Some(key) => Some(key.iter().map(|part| untagged(part.as_str()?)).collect::<Option<_>>()?),
            None => None,
        };
        Some(Plan { start, left, after })
    }
}

/// A part of a key as text, with its kind in front.
fn tagged(part: &Queried) -> String {
    match part {
        Queried::Int(number) => format!("i{number}"),
        Queried::UInt(number) => format!("u{number}"),
        Queried::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("s{text}"),
            Err(_) => bytes.iter().fold("x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
        },
        // Dates and times are asked for as the server writes them.
        other => format!("s{}", other.as_sql(true).trim_matches('\'')),
    }
}

fn untagged(text: &str) -> Option<Queried> {
    let (kind, rest) = text.split_at_checked(1)?;
    Some(match kind {
        "i" => Queried::Int(rest.parse().ok()?),
        "u" => Queried::UInt(rest.parse().ok()?),
        "s" => Queried::Bytes(rest.as_bytes().to_vec()),
        "x" => {
            let byte = |at: usize| u8::from_str_radix(rest.get(at..at + 2)?, 16).ok();
            Queried::Bytes((0..rest.len()).step_by(2).map(byte).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A piece of a table.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) table: Arc<Table>,
    rows: VecDeque<(Image, Vec<Queried>, usize)>,
    keys: HashSet<String>,
    /// The end of the log when it was read.
    pub(super) until: (u64, u64),
    pub(super) read: Time,
    /// Nothing of the table is left behind it.
    is_last: bool,
}

/// A row of a piece that becomes an event.
pub(super) struct Taken {
    pub(super) image: Image,
    pub(super) size: usize,
}

impl Piece {
    /// Whether a row of this key is in it.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// The next row that the log has not `told` since; the plan moves with it. None at the end of the piece.
    pub(super) fn next(&mut self, plan: &mut Plan, told: &HashSet<String>) -> Option<Taken> {
        while let Some((image, key, size)) = self.rows.pop_front() {
            plan.after = Some(key);
            if !told.contains(&key_text(&self.table, &image)) {
                return Some(Taken { image, size });
            }
        }
        if self.is_last && !plan.left.is_empty() {
            plan.left.remove(0);
            plan.after = None;
        }
        None
    }
}

/// Database and name of a table.
type Named = (Arc<str>, Arc<str>);

/// Reads the next piece, on a connection of its own that it gives back. A table that is gone has none.
pub(super) async fn fetch(
    spec: Spec,
    facts: Facts,
    (conn, table, after): (Option<Conn>, Named, Option<Vec<Queried>>),
    now: Arc<dyn Fn() -> Time + Send + Sync>,
) -> Result<(Conn, Option<Piece>), SourceError> {
    let mut conn = match conn {
        Some(conn) => conn,
        None => {
            let mut conn = connect(&spec.place).await?;
            let set = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
            conn.query_drop(set).await.map_err(|found| fault(&found))?;
            conn
        }
    };
    let Some(described) = describe(&mut conn, (&table.0, &table.1)).await? else {
        return Ok((conn, None));
    };
    if described.key.is_empty() {
        let message = format!("{}.{} has no primary key, and cannot be read in pieces", table.0, table.1);
        let help = "give it a primary key, or name it in `exclude`, or set `snapshot: never`";
        return Err(error("mysql-snapshot-key", message, help));
    }
    let (query, parameters) = select(&described, after.as_deref(), facts.is_mariadb);
    let mut tries = 0;
    let (rows, is_cut) = loop {
        match read(&mut conn, &query, parameters.clone(), &described).await {
            Ok(read) => break read,
            // Others wait for each other, or for longer than the server lets one wait.
            Err(Error::Server(server)) if matches!(server.code, 1205 | 1213) && tries < TRIES => tries += 1,
            Err(found) => return Err(fault(&found)),
        }
    };
    let end = head(&mut conn, &facts).await?;
    let is_last = rows.len() < ROWS && !is_cut;
    let piece = Piece {
        keys: rows.iter().map(|(image, ..)| key_text(&described, image)).collect(),
        table: Arc::new(described),
        rows,
        until: place(&end.file, end.pos),
        read: now(),
        is_last,
    };
    Ok((conn, Some(piece)))
}

type Rows = VecDeque<(Image, Vec<Queried>, usize)>;

async fn read(
    conn: &mut Conn,
    query: &str,
    parameters: Vec<Queried>,
    table: &Table,
) -> Result<(Rows, bool), Error> {
    let parameters = if parameters.is_empty() { Params::Empty } else { Params::Positional(parameters) };
    let mut found = conn.exec_stream::<Row, _, _>(query, parameters).await?;
    let (mut rows, mut bytes) = (Rows::new(), 0);
    while let Some(row) = found.next().await {
        let values = row?.unwrap();
        let size: usize = values.iter().map(size).sum();
        let image = table.columns.iter().zip(&values).map(|(column, value)| Some(column.kind.queried(value)));
        let image = image.collect();
        let key = table.key.iter().filter_map(|index| values.get(*index).cloned()).collect();
        rows.push_back((image, key, size));
        bytes += size;
        if bytes >= BYTES {
            return Ok((rows, true));
        }
    }
    Ok((rows, false))
}

fn size(value: &Queried) -> usize {
    if let Queried::Bytes(bytes) = value { bytes.len() } else { 8 }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The rows behind a key, in the order of keys. A key of several parts is compared part by part, so that the index
/// is used.
fn select(table: &Table, after: Option<&[Queried]>, is_mariadb: bool) -> (String, Vec<Queried>) {
    let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let keys: Vec<(&str, &Kind)> =
        table.key.iter().map(|index| (names[*index].as_str(), &table.columns[*index].kind)).collect();
    let mut parameters = Vec::new();
    let mut condition = String::new();
    if let Some(after) = after.filter(|after| after.len() == keys.len()) {
        let after: Vec<Queried> = keys.iter().zip(after).map(|((_, kind), part)| bound(kind, part)).collect();
        let compared = |(key, kind): &(&str, &Kind), how: &str| match kind {
            // With a text the server compares it as a double, and takes numbers that are near for equal.
            Kind::Decimal { precision, scale } => {
                format!("{key} {how} CAST(? AS DECIMAL({precision},{scale}))")
            }
            _ => format!("{key} {how} ?"),
        };
        let mut ways = Vec::new();
        for (last, key) in keys.iter().enumerate() {
            let mut way: Vec<String> = keys[..last].iter().map(|key| compared(key, "=")).collect();
            way.push(compared(key, ">"));
            ways.push(format!("({})", way.join(" AND ")));
            parameters.extend_from_slice(&after[..=last]);
        }
        let first = if keys.len() > 1 {
            parameters.insert(0, after[0].clone());
            format!("{} AND ", compared(&keys[0], ">="))
        } else {
            String::new()
        };
        condition = format!(" WHERE {first}({})", ways.join(" OR "));
    }
    let lock = if is_mariadb { "LOCK IN SHARE MODE" } else { "FOR SHARE" };
    let order: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
    let query = format!(
        "SELECT {} FROM {}.{}{condition} ORDER BY {} LIMIT {ROWS} {lock}",
        names.join(", "),
        quoted(&table.database),
        quoted(&table.name),
        order.join(", ")
    );
    (query, parameters)
}

/// A part of a key as it is compared: by number where that is the order of the column.
fn bound(kind: &Kind, part: &Queried) -> Queried {
    let Queried::Bytes(bytes) = part else {
        return part.clone();
    };
    let is = |member: &Arc<str>, text: &[u8]| member.as_bytes() == text;
    match kind {
        Kind::Enum { members, .. } => {
            let index = members.iter().position(|member| is(member, bytes));
            Queried::UInt(index.map_or(0, |index| index as u64 + 1))
        }
        Kind::Set { members, .. } => {
            let bit = |text: &[u8]| members.iter().position(|member| is(member, text));
            Queried::UInt(
                bytes.split(|byte| *byte == b',').filter_map(bit).fold(0, |set, bit| set | 1 << bit),
            )
        }
        Kind::Bit { .. } => {
            Queried::UInt(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        _ => part.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Column;
    use super::*;

    fn table(key: &[usize]) -> Table {
        let column =
            |name: &str| Column { name: name.into(), kind: Kind::Integer { bytes: 4, unsigned: false } };
        let columns = vec![column("a"), column("b`c"), column("n")];
        Table::new(("d".into(), "t".into()), columns, key.to_vec(), false)
    }

    #[test]
    fn pieces_are_asked_for_behind_a_key() {
        let check = |key: &[usize], after: Option<&[Queried]>, query: &str, count: usize| {
            let (found, parameters) = select(&table(key), after, true);
            assert_eq!((found.as_str(), parameters.len()), (query, count));
        };
        let head = "SELECT `a`, `b``c`, `n` FROM `d`.`t`";
        let tail = "LIMIT 1000 LOCK IN SHARE MODE";
        check(&[0], None, &format!("{head} ORDER BY `a` {tail}"), 0);
        check(&[0], Some(&[Queried::Int(1)]), &format!("{head} WHERE ((`a` > ?)) ORDER BY `a` {tail}"), 1);
        let both = [Queried::Int(1), Queried::Int(2)];
        let wanted = "WHERE `a` >= ? AND ((`a` > ?) OR (`a` = ? AND `b``c` > ?)) ORDER BY `a`, `b``c`";
        check(&[0, 1], Some(&both), &format!("{head} {wanted} {tail}"), 4);
    }

    #[test]
    fn plans_are_read_again() {
        let key = vec![
            Queried::Int(-7),
            Queried::UInt(u64::MAX),
            Queried::Bytes("Grüße".into()),
            Queried::Bytes(vec![0xff, 0x01]),
        ];
        let plan = Plan {
            start: Position::parse("binlog.000002:4571").unwrap(),
            left: vec![("d".into(), "t".into()), ("d".into(), "u".into())],
            after: Some(key),
        };
        insta::assert_snapshot!(plan.text(), @r#"{"start":{"file":"binlog.000002","pos":4571},"left":[["d","t"],["d","u"]],"after":["i-7","u18446744073709551615","sGrüße","xff01"]}"#);
        assert_eq!(Plan::parse(&plan.text()), Some(plan));
        let date = tagged(&Queried::Date(2024, 2, 29, 1, 2, 3, 4));
        assert_eq!(untagged(&date), Some(Queried::Bytes(b"2024-02-29 01:02:03.000004".to_vec())));
        for bad in ["", "{}", r#"{"start":{"file":"f.1"},"left":[["a"]]}"#] {
            assert_eq!(Plan::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rows_that_the_log_told_are_left_out() {
        let row = |id: i64| (vec![Some(Value::from(id)), None, None], vec![Queried::Int(id)], 8);
        let own = Arc::new(table(&[0]));
        let mut piece = Piece {
            keys: ["1", "2", "3"].map(str::to_owned).into(),
            table: own.clone(),
            rows: (1..=3).map(row).collect(),
            until: (0, 0),
            read: Time(0),
            is_last: true,
        };
        assert!(piece.holds("3") && !piece.holds("4"));
        let told = HashSet::from(["2".to_owned(), "3".to_owned()]);
        let start = Position::parse("f.1:4").unwrap();
        let mut plan = Plan { start, left: vec![("d".into(), "t".into())], after: None };
        assert_eq!(piece.next(&mut plan, &told).unwrap().image, row(1).0);
        assert!(piece.next(&mut plan, &told).is_none());
        assert!(plan.left.is_empty() && plan.after.is_none());
    }
}
