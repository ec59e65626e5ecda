//! Columns to records and back.
//!
//! Owns the small binary and JSON forms inside columns. Bodies of transitions, snapshots and inbox items are not
//! looked into.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::types::{FromSqlError, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Row, ToSql};
use sha2::Digest;
use tidemill_dsl::event::{Event, StoredEvent};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Ended, Parent, Status, Transition};

use super::blobs::whole;
use crate::batch::{
    AttemptRecord, DeadLetter, DeadState, Definition, DefinitionKind, Delivery, DeliveryState,
};
use crate::read::{ExecutionRow, StoredDelivery};

/// Longest text stored raw in a key of `seen`; a longer one is stood for by its hash (D8).
const RAW_KEY: usize = 128;

/// A text within a key: itself as text, or its SHA-256 as a blob.
pub(super) enum KeyText<'a> {
    Raw(&'a str),
    Hash([u8; 32]),
}

impl<'a> KeyText<'a> {
    pub(super) fn new(text: &'a str) -> KeyText<'a> {
        if text.len() <= RAW_KEY {
            KeyText::Raw(text)
        } else {
            KeyText::Hash(sha2::Sha256::digest(text).into())
        }
    }
}

impl ToSql for KeyText<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            KeyText::Raw(text) => ValueRef::Text(text.as_bytes()),
            KeyText::Hash(hash) => ValueRef::Blob(hash),
        }))
    }
}

/// An error for a column whose content is not what we write.
pub(super) fn broken(what: &str) -> rusqlite::Error {
    let error: Box<dyn std::error::Error + Send + Sync> = format!("{what} is damaged").into();
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, error)
}

/// How an execution ended: a byte and JSON.
pub(super) fn write_ended(ended: &Ended) -> Vec<u8> {
    let (kind, value) = match ended {
        Ended::Completed(value) => (1, Some(Cow::Borrowed(value))),
        Ended::Faulted(fault) => (2, Some(Cow::Owned(fault.to_value()))),
        Ended::Cancelled => (3, None),
    };
    let mut out = vec![kind];
    if let Some(value) = value {
        value.write(&mut out);
    }
    out
}

fn read_ended(bytes: &[u8]) -> rusqlite::Result<Ended> {
    let value = |json| Value::parse(json).map_err(|_| broken("a result"));
    match bytes.split_first() {
        Some((1, json)) => Ok(Ended::Completed(value(json)?)),
        Some((2, json)) => Ok(Ended::Faulted(Fault::from_value(&value(json)?))),
        Some((3, [])) => Ok(Ended::Cancelled),
        _ => Err(broken("a result")),
    }
}

/// Tags: texts, each behind its length; none if there are none.
pub(super) fn write_tags(tags: &[(Arc<str>, Arc<str>)]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for text in tags.iter().flat_map(|(name, value)| [name, value]) {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    }
    (!out.is_empty()).then_some(out)
}

/// Reads what [`write_tags`] wrote.
pub(super) fn read_tags(bytes: Option<&[u8]>) -> rusqlite::Result<Vec<(Arc<str>, Arc<str>)>> {
    let mut rest = bytes.unwrap_or_default();
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let pair = text_of(&mut rest).and_then(|name| Some((name, text_of(&mut rest)?)));
        tags.push(pair.ok_or_else(|| broken("a list of tags"))?);
    }
    Ok(tags)
}

fn text_of(rest: &mut &[u8]) -> Option<Arc<str>> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = behind;
    Some(std::str::from_utf8(text).ok()?.into())
}

/// A text column.
pub(super) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Arc<str>> {
    Ok(row.get_ref(index)?.as_str()?.into())
}

/// A text column that may be null.
pub(super) fn maybe_text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Arc<str>>> {
    Ok(row.get_ref(index)?.as_str_or_null()?.map(Into::into))
}

/// An execution's id.
pub(super) fn id(row: &Row<'_>, index: usize) -> rusqlite::Result<ExecutionId> {
    row.get(index).map(ExecutionId)
}

/// An instant.
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Time> {
    row.get(index).map(Time)
}

/// A count or position; never negative in what we write.
pub(super) fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(|n| n as u64)
}

/// The columns of [`transition`], in its order.
pub(super) const TRANSITION: &str = "exec, ns, first, count, time, life, body";

/// A row of `log`, its columns from `at` on.
pub(super) fn transition(conn: &Connection, row: &Row<'_>, at: usize) -> rusqlite::Result<Transition> {
    Ok(Transition {
        execution: id(row, at)?,
        namespace: text(row, at + 1)?,
        first: number(row, at + 2)?,
        count: row.get(at + 3)?,
        time: time(row, at + 4)?,
        lifecycle: row.get(at + 5)?,
        body: whole(conn, row.get_ref(at + 6)?.as_blob()?)?.into_owned(),
    })
}

/// The columns of [`execution`] without the result, in its order.
pub(super) const EXECUTION: &str = "id, ns, workflow, version, digest, status, created, started, ended, trigger, \
     binding, source, event, attempt, parent, visit, awaited, tags";

/// A summary; the result is read when there is a 19th column.
pub(super) fn execution(conn: &Connection, row: &Row<'_>) -> rusqlite::Result<ExecutionRow> {
    let event = match (maybe_text(row, 10)?, maybe_text(row, 11)?, maybe_text(row, 12)?) {
        (Some(binding), Some(source), Some(id)) => Some((binding, source, id)),
        _ => None,
    };
    let parent = match row.get::<_, Option<[u8; 16]>>(14)? {
        Some(id) => Some(Parent { execution: ExecutionId(id), visit: row.get(15)?, awaited: row.get(16)? }),
        None => None,
    };
    let result = match row.get_ref(18) {
        Ok(ValueRef::Blob(bytes)) => Some(read_ended(&whole(conn, bytes)?)?),
        _ => None,
    };
    Ok(ExecutionRow {
        id: id(row, 0)?,
        namespace: text(row, 1)?,
        workflow: text(row, 2)?,
        version: text(row, 3)?,
        digest: row.get(4)?,
        status: Status::of_byte(row.get(5)?).ok_or(FromSqlError::InvalidType)?,
        created: time(row, 6)?,
        started: row.get::<_, Option<i64>>(7)?.map(Time),
        ended: row.get::<_, Option<i64>>(8)?.map(Time),
        result,
        trigger: maybe_text(row, 9)?,
        event,
        attempt: row.get(13)?,
        parent,
        tags: read_tags(row.get_ref(17)?.as_blob_or_null()?)?,
    })
}

/// The columns of [`event`], in its order.
pub(super) const EVENT: &str = "pos, accepted, binding, body";

/// A row of `event`.
pub(super) fn event(conn: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        pos: number(row, 0)?,
        accepted: time(row, 1)?,
        binding: text(row, 2)?,
        event: Arc::new(read_event(&whole(conn, row.get_ref(3)?.as_blob()?)?)?),
    })
}

/// Reads a stored event's body.
pub(super) fn read_event(json: &[u8]) -> rusqlite::Result<Event> {
    Event::restore(json).map_err(|_| broken("an event"))
}

/// The columns of [`delivery`], in its order.
pub(super) const DELIVERY: &str = "pos, ns, trigger, exec, state, okey, prio, attempt, not_before";

/// A row of `delivery`.
pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    let states =
        [DeliveryState::Ready, DeliveryState::Blocked, DeliveryState::Parked, DeliveryState::InFlight];
    let state = states.get(usize::from(row.get::<_, u8>(4)?)).ok_or(FromSqlError::InvalidType)?;
    Ok(StoredDelivery {
        pos: number(row, 0)?,
        state: *state,
        delivery: Delivery {
            namespace: text(row, 1)?,
            trigger: text(row, 2)?,
            execution: id(row, 3)?,
            key: maybe_text(row, 5)?,
            priority: row.get(6)?,
            attempt: row.get(7)?,
            not_before: time(row, 8)?,
        },
    })
}

/// The attempts of a dead letter, as JSON.
pub(super) fn write_attempts(attempts: &[AttemptRecord]) -> Vec<u8> {
    let attempt = |a: &AttemptRecord| {
        let id = Value::text(a.execution.to_string());
        Value::from(vec![id, a.at.0.into(), a.error.to_value()])
    };
    Value::from(attempts.iter().map(attempt).collect::<Vec<_>>()).to_json()
}

fn read_attempts(json: &[u8]) -> Option<Vec<AttemptRecord>> {
    let value = Value::parse(json).ok()?;
    let attempt = |value: &Value| {
        Some(AttemptRecord {
            execution: value.at(0)?.as_str()?.parse().ok()?,
            at: Time(value.at(1)?.as_i64()?),
            error: Fault::from_value(value.at(2)?),
        })
    };
    value.as_array()?.iter().map(attempt).collect()
}

/// The columns of [`dead_letter`], in its order.
pub(super) const DEAD_LETTER: &str =
    "id, ns, trigger, generation, cause, binding, okey, parked, at, state, attempts, event";

/// A row of `dead_letter`.
pub(super) fn dead_letter(conn: &Connection, row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let states = [DeadState::Open, DeadState::Redriven, DeadState::Purged];
    let attempts = read_attempts(row.get_ref(10)?.as_blob()?);
    Ok(DeadLetter {
        id: number(row, 0)?,
        namespace: text(row, 1)?,
        trigger: text(row, 2)?,
        generation: number(row, 3)?,
        cause: text(row, 4)?,
        binding: text(row, 5)?,
        key: maybe_text(row, 6)?,
        parked: row.get::<_, Option<i64>>(7)?.map(|n| n as u64),
        at: time(row, 8)?,
        state: *states.get(usize::from(row.get::<_, u8>(9)?)).ok_or(FromSqlError::InvalidType)?,
        attempts: attempts.ok_or_else(|| broken("a list of attempts"))?,
        event: Arc::new(read_event(&whole(conn, row.get_ref(11)?.as_blob()?)?)?),
    })
}

/// The columns of [`definition`], in its order.
pub(super) const DEFINITION: &str = "kind, ns, name, version, digest, generation, at, current, paused, text";

/// A row of `definition`.
pub(super) fn definition(row: &Row<'_>) -> rusqlite::Result<Definition> {
    let kinds = [
        DefinitionKind::Workflow,
        DefinitionKind::Source,
        DefinitionKind::Trigger,
        DefinitionKind::Function,
        DefinitionKind::Connection,
        DefinitionKind::Queue,
        DefinitionKind::Alias,
    ];
    Ok(Definition {
        kind: *kinds.get(usize::from(row.get::<_, u8>(0)?)).ok_or(FromSqlError::InvalidType)?,
        namespace: text(row, 1)?,
        name: text(row, 2)?,
        version: text(row, 3)?,
        digest: row.get(4)?,
        generation: number(row, 5)?,
        at: time(row, 6)?,
        current: row.get(7)?,
        paused: row.get(8)?,
        text: text(row, 9)?,
    })
}
