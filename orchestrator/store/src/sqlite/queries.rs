//! The longer queries of the reads, and the way all of them are run.
//!
//! Owns SQL and rows. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::ExecutionId;
use tidemill_engine::record::{Due, TimerKind};

use super::codec::{self, KeyText};
use super::{blobs, marks, seen};
use crate::batch::{DeadLetter, StateSnapshot};
use crate::read::{BufferRow, DeadQuery, EventQuery};

/// All rows of a statement.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    conn.prepare_cached(sql)?.query_map(params, row)?.collect()
}

/// The first row of a statement.
pub(super) fn first<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    conn.prepare_cached(sql)?.query_row(params, row).optional()
}

pub(super) fn counter(conn: &Connection, name: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT value FROM counter WHERE name = ?1";
    Ok(first(conn, sql, [name], |row| codec::number(row, 0))?.unwrap_or_default())
}

pub(super) fn snapshot(conn: &Connection, execution: ExecutionId) -> rusqlite::Result<Option<StateSnapshot>> {
    let sql = "SELECT next, transitions, body FROM state WHERE exec = ?1";
    first(conn, sql, [execution.0], |row| {
        let (next, transitions) = (codec::number(row, 0)?, codec::number(row, 1)?);
        let body = blobs::whole(conn, row.get_ref(2)?.as_blob()?)?.into_owned();
        Ok(StateSnapshot { execution, next, transitions, body })
    })
}

/// The position of the transition that holds a sequence, or of the first after it: found by halving, as sequences rise
/// with positions within an execution.
pub(super) fn holder(conn: &Connection, execution: ExecutionId, sequence: u64) -> rusqlite::Result<i64> {
    let ends =
        "SELECT (SELECT min(pos) FROM log WHERE exec = ?1), (SELECT max(pos) FROM log WHERE exec = ?1)";
    let mut ends = conn.prepare_cached(ends)?;
    let (low, high): (Option<i64>, Option<i64>) =
        ends.query_row([execution.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(mut low), Some(mut high)) = (low, high.map(|high| high + 1)) else {
        return Ok(0);
    };
    let at = "SELECT pos, first + count FROM log WHERE exec = ?1 AND pos >= ?2 ORDER BY pos LIMIT 1";
    let mut at = conn.prepare_cached(at)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found = at.query_row(params![execution.0, middle], |row| {
            Ok((row.get::<_, i64>(0)?, codec::number(row, 1)?))
        });
        match found.optional()? {
            Some((pos, end)) if end <= sequence => low = pos + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

pub(super) fn events(conn: &Connection, query: &EventQuery) -> rusqlite::Result<Vec<StoredEvent>> {
    let (mut low, mut high) = marks::bounds(conn, query.since, query.until)?;
    let (order, after) = (if query.descending { "DESC" } else { "ASC" }, query.after.map(|pos| pos as i64));
    match after {
        Some(after) if query.descending => high = high.min(after - 1),
        Some(after) => low = low.max(after),
        None => {}
    }
    let (table, kind) = match query.kind {
        Some(_) => ("event INDEXED BY event_type", "type = ?2"),
        None => ("event NOT INDEXED", "?2 IS NULL"),
    };
    let sql = format!(
        "SELECT {} FROM {table} WHERE ns = ?1 AND {kind} AND pos > ?3 AND pos <= ?4
         AND accepted >= ?5 AND accepted < ?6 ORDER BY pos {order} LIMIT ?7",
        codec::EVENT
    );
    let since = query.since.map_or(i64::MIN, |t| t.0);
    let until = query.until.map_or(i64::MAX, |t| t.0);
    let (namespace, kind, limit) = (&*query.namespace, query.kind.as_deref(), query.limit as i64);
    all(conn, &sql, params![namespace, kind, low, high, since, until, limit], |row| codec::event(conn, row))
}

pub(super) fn event(
    conn: &Connection,
    namespace: &str,
    source: &str,
    id: &str,
) -> rusqlite::Result<Vec<StoredEvent>> {
    let days = seen::days(conn)?;
    if days.is_empty() {
        return Ok(Vec::new());
    }
    let keys = seen::union(&days, "SELECT pos FROM seen_D WHERE ns = ?1 AND source = ?2 AND id = ?3");
    let sql = format!("SELECT {} FROM event WHERE pos IN ({keys}) ORDER BY pos", codec::EVENT);
    let found = all(conn, &sql, params![namespace, KeyText::new(source), KeyText::new(id)], |row| {
        codec::event(conn, row)
    })?;
    let latest: BTreeMap<Arc<str>, StoredEvent> = found.into_iter().map(|e| (e.binding.clone(), e)).collect();
    Ok(latest.into_values().collect())
}

pub(super) fn due_row(row: &Row<'_>) -> rusqlite::Result<Due> {
    Ok(Due {
        at: codec::time(row, 0)?,
        execution: codec::id(row, 1)?,
        visit: row.get(2)?,
        kind: TimerKind::of_byte(row.get(3)?).ok_or(rusqlite::types::FromSqlError::InvalidType)?,
    })
}

pub(super) fn buffer_row(row: &Row<'_>) -> rusqlite::Result<BufferRow> {
    Ok(BufferRow {
        namespace: codec::text(row, 0)?,
        trigger: codec::text(row, 1)?,
        waiting: codec::number(row, 2)?,
        in_flight: codec::number(row, 3)?,
        parked: codec::number(row, 4)?,
        oldest: row.get::<_, Option<i64>>(5)?.map(|pos| pos as u64),
    })
}

pub(super) fn dead_letters(conn: &Connection, query: &DeadQuery) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql = format!(
        "SELECT {} FROM dead_letter WHERE ns = ?1 AND id < ?2 AND (?3 IS NULL OR trigger = ?3)
         AND (?4 IS NULL OR cause = ?4) AND (?5 IS NULL OR state = ?5) ORDER BY id DESC LIMIT ?6",
        codec::DEAD_LETTER
    );
    let before = query.before.map_or(i64::MAX, |id| id as i64);
    let (trigger, cause, state) =
        (query.trigger.as_deref(), query.cause.as_deref(), query.state.map(|s| s as u8));
    let row = params![&*query.namespace, before, trigger, cause, state, query.limit as i64];
    all(conn, &sql, row, |row| codec::dead_letter(conn, row))
}
