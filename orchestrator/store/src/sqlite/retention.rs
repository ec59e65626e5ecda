//! Removal: slices of retention and of namespaces, and giving freed pages back to the file system.
//!
//! Owns deletes by range and their order, which the memory store states. A slice is small by what its caller asks for.

use rusqlite::{Connection, OptionalExtension, params};
use tidemill_dsl::ids::{ExecutionId, Time};

use super::apply::Applying;
use super::blobs::Owner;
use super::{codec, marks};
use crate::batch::Span;
use crate::day;

/// Free pages the file keeps for its next growth: so many, and one in so many of its pages.
const SLACK: i64 = 256;
const SLACK_SHARE: i64 = 8;

/// Pages given back in one slice.
const SLICE: i64 = 128;

/// Which highest position was removed: of the log.
pub(super) const LOG: &str = "removed_log";
/// Of the events.
pub(super) const EVENT: &str = "removed_event";

/// The counter that keeps it for a namespace.
pub(super) fn removed(what: &str, namespace: &str) -> String {
    format!("{what}/{namespace}")
}

/// The other tables of a namespace, each with its key, in the order the memory store states.
const TABLES: [(&str, &str); 5] = [
    ("delivery", "pos"),
    ("bucket", "ns, trigger"),
    ("checkpoint", "ns, source, part"),
    ("definition", "kind, ns, name, version, digest"),
    ("secret", "ns, name"),
];

impl Applying<'_> {
    /// One slice of retention; tells whether something is left.
    pub(super) fn retain(&mut self, spans: &[Span], rows: u32) -> rusqlite::Result<bool> {
        self.save = true;
        let mut left = self.finish_removals(rows)?;
        for span in spans {
            while left > 0
                && let Some(id) = self.next_ended(span)?
            {
                left = self.remove_execution(id, left)?;
            }
        }
        for span in spans {
            left = self.remove_events(&span.namespace, span.events, left)?;
        }
        for span in spans {
            while left > 0
                && let Some(id) = self.next_letter(span)?
            {
                self.run("DELETE FROM dead_letter WHERE id = ?1", [id])?;
                self.unused(Owner::Row(id))?;
                left -= 1;
            }
        }
        marks::forget(self.conn)?;
        let more = self.more(spans)?;
        if !more && let Some(first) = spans.iter().map(|span| day(span.events)).min() {
            self.seen.drop_before(self.conn, first)?;
        }
        Ok(more)
    }

    fn more(&self, spans: &[Span]) -> rusqlite::Result<bool> {
        if self.one::<i64>("SELECT 1 FROM removal LIMIT 1", [])?.is_some() {
            return Ok(true);
        }
        for span in spans {
            if self.next_ended(span)?.is_some()
                || self.next_event(&span.namespace, span.events)?.is_some()
                || self.next_letter(span)?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finish_removals(&mut self, rows: u32) -> rusqlite::Result<u32> {
        let mut left = rows;
        while left > 0
            && let Some(id) = self.one("SELECT exec FROM removal ORDER BY exec LIMIT 1", [])?
        {
            left = self.remove_execution(id, left)?;
        }
        Ok(left)
    }

    /// Removes events type by type from the lowest position on; gives what is left of `left`.
    fn remove_events(&mut self, namespace: &str, before: Time, left: u32) -> rusqlite::Result<u32> {
        let mut left = left;
        let mut highest = None;
        while left > 0
            && let Some(pos) = self.next_event(namespace, before)?
        {
            self.run("DELETE FROM event WHERE pos = ?1", [pos])?;
            self.unused(Owner::Row(pos))?;
            highest = highest.max(Some(pos));
            left -= 1;
        }
        if let Some(pos) = highest {
            self.raise(EVENT, namespace, pos)?;
        }
        Ok(left)
    }

    /// Keeps the highest position that was removed.
    fn raise(&mut self, what: &str, namespace: &str, pos: i64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO counter VALUES (?1, ?2)
            ON CONFLICT(name) DO UPDATE SET value = max(value, excluded.value)";
        self.conn.prepare_cached(sql)?.execute(params![removed(what, namespace), pos])?;
        Ok(())
    }

    fn one<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<Option<T>> {
        self.conn.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()
    }

    fn next_ended(&self, span: &Span) -> rusqlite::Result<Option<[u8; 16]>> {
        let sql = "SELECT id FROM execution WHERE ns = ?1 AND ended IS NOT NULL AND ended < ?2
            ORDER BY ended, id LIMIT 1";
        self.one(sql, params![&*span.namespace, span.executions.0])
    }

    /// The first event of the first type whose first event is old enough. Types are few; each is looked at by the index.
    fn next_event(&self, namespace: &str, before: Time) -> rusqlite::Result<Option<i64>> {
        let mut kind = String::new();
        let types = "SELECT type FROM event WHERE ns = ?1 AND type > ?2 ORDER BY type LIMIT 1";
        let first = "SELECT pos, accepted FROM event WHERE ns = ?1 AND type = ?2 ORDER BY pos LIMIT 1";
        while let Some(next) = self.one::<String>(types, params![namespace, kind])? {
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, codec::time(row, 1)?));
            let found: (i64, Time) =
                self.conn.prepare_cached(first)?.query_row(params![namespace, next], row)?;
            if found.1 < before {
                return Ok(Some(found.0));
            }
            kind = next;
        }
        Ok(None)
    }

    fn next_letter(&self, span: &Span) -> rusqlite::Result<Option<i64>> {
        let sql =
            "SELECT id FROM dead_letter WHERE ns = ?1 AND state <> 0 AND at < ?2 ORDER BY at, id LIMIT 1";
        self.one(sql, params![&*span.namespace, span.events.0])
    }

    /// Removes the summary and at most `left` rows of the log; gives what is left of `left`.
    fn remove_execution(&mut self, id: [u8; 16], left: u32) -> rusqlite::Result<u32> {
        self.forget(id)?;
        self.run("INSERT OR IGNORE INTO removal VALUES (?1)", [id])?;
        let sql = "SELECT max(pos), count(*), max(ns) FROM
            (SELECT pos, ns FROM log WHERE exec = ?1 ORDER BY pos LIMIT ?2)";
        let (last, count, namespace): (Option<i64>, u32, Option<String>) = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![id, left], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        if let (Some(last), Some(namespace)) = (last, namespace) {
            self.run("DELETE FROM log WHERE exec = ?1 AND pos <= ?2", params![id, last])?;
            self.raise(LOG, &namespace, last)?;
        }
        if self.one::<i64>("SELECT pos FROM log WHERE exec = ?1 LIMIT 1", [id])?.is_none() {
            self.run("DELETE FROM removal WHERE exec = ?1", [id])?;
            self.unused(Owner::Execution(ExecutionId(id)))?;
        }
        Ok(left - count)
    }

    /// Removes an execution's summary and all that hangs on it, except its log and timers.
    fn forget(&mut self, id: [u8; 16]) -> rusqlite::Result<()> {
        let sql = "DELETE FROM execution WHERE id = ?1 RETURNING ns, workflow, start_key, tags IS NOT NULL";
        let gone = self.conn.prepare_cached(sql)?.query_row([id], |row| {
            let (ns, workflow): (String, String) = (row.get(0)?, row.get(1)?);
            let (key, tagged): (Option<String>, bool) = (row.get(2)?, row.get(3)?);
            Ok((ns, workflow, key, tagged))
        });
        let Some((ns, workflow, key, tagged)) = gone.optional()? else {
            return Ok(());
        };
        self.tally.rows += 1;
        if let Some(key) = key {
            let sql = "DELETE FROM start_key WHERE ns = ?1 AND workflow = ?2 AND key = ?3";
            self.run(sql, params![ns, workflow, key])?;
        }
        if tagged {
            self.run("DELETE FROM tag WHERE exec = ?1", [id])?;
        }
        self.run("DELETE FROM state WHERE exec = ?1", [id])?;
        self.run("DELETE FROM subscription WHERE exec = ?1", [id])?;
        Ok(())
    }

    /// One slice of removing a namespace; tells whether something is left.
    pub(super) fn drop_namespace(&mut self, namespace: &str, rows: u32) -> rusqlite::Result<bool> {
        self.save = true;
        let mut left = self.finish_removals(rows)?;
        let listed = "SELECT id FROM execution WHERE ns = ?1 ORDER BY workflow, status, listed, id LIMIT 1";
        while left > 0
            && let Some(id) = self.one(listed, [namespace])?
        {
            left = self.remove_execution(id, left)?;
        }
        left = self.remove_events(namespace, Time(i64::MAX), left)?;
        marks::forget(self.conn)?;
        if left > 0 {
            left -= self.seen.drop_namespace(self.conn, namespace, left)?;
        }
        let letters = "SELECT id FROM dead_letter WHERE ns = ?1 ORDER BY id LIMIT 1";
        while left > 0
            && let Some(id) = self.one::<i64>(letters, [namespace])?
        {
            self.run("DELETE FROM dead_letter WHERE id = ?1", [id])?;
            self.unused(Owner::Row(id))?;
            left -= 1;
        }
        left = self.remove_rest(namespace, left)?;
        if left > 0 {
            self.run("DELETE FROM namespace WHERE name = ?1", [namespace])?;
        }
        Ok(left == 0)
    }

    /// Removes rows of the other tables; gives what is left of `left`.
    fn remove_rest(&mut self, namespace: &str, mut left: u32) -> rusqlite::Result<u32> {
        for (table, key) in TABLES {
            if left > 0 {
                let sql = format!(
                    "DELETE FROM {table} WHERE ({key}) IN
                     (SELECT {key} FROM {table} WHERE ns = ?1 ORDER BY {key} LIMIT ?2)"
                );
                left -= self.run(&sql, params![namespace, left])? as u32;
            }
        }
        Ok(left)
    }
}

/// Gives a slice of free pages back, in a transaction of its own; tells whether more may be given.
pub(super) fn shrink(conn: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = conn.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let spare = free - SLACK.max(pages / SLACK_SHARE);
    if spare <= 0 {
        return Ok(false);
    }
    let pages = SLICE.min(spare);
    let mut vacuum = conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(spare > pages)
}
