//! Removal: slices of retention, whole namespaces, and giving freed pages back to the file system.
//!
//! Owns deletes by range and their order, which the memory store states. A slice is small by what its caller asks for.

use rusqlite::{Connection, OptionalExtension, params};
use tidemill_dsl::ids::{ExecutionId, Time};

use super::apply::Applying;
use super::blobs::Owner;
use super::{codec, marks};
use crate::day;

/// Free pages the file keeps for its next growth: so many, and one in so many of its pages.
const SLACK: i64 = 256;
const SLACK_SHARE: i64 = 8;

/// Pages given back in one slice.
const SLICE: i64 = 128;

impl Applying<'_> {
    /// One slice of retention; tells whether something is left.
    pub(super) fn retain(&mut self, executions: Time, events: Time, rows: u32) -> rusqlite::Result<bool> {
        self.save = true;
        let mut left = rows;
        while left > 0 {
            let begun = self.one("SELECT exec FROM removal ORDER BY exec LIMIT 1", [])?;
            let next = match begun {
                Some(id) => Some(id),
                None => self.next_ended(executions)?,
            };
            match next {
                Some(id) => left = self.remove_execution(id, left)?,
                None => break,
            }
        }
        while left > 0 {
            let Some(pos) = self.next_event(events)? else {
                break;
            };
            self.run("DELETE FROM event WHERE pos = ?1", [pos])?;
            self.unused(Owner::Row(pos))?;
            self.at.removed_event = pos as u64;
            left -= 1;
        }
        while left > 0 {
            let Some(id) = self.next_letter(events)? else {
                break;
            };
            self.run("DELETE FROM dead_letter WHERE id = ?1", [id])?;
            self.unused(Owner::Row(id))?;
            left -= 1;
        }
        let more = self.one::<i64>("SELECT 1 FROM removal LIMIT 1", [])?.is_some()
            || self.next_ended(executions)?.is_some()
            || self.next_event(events)?.is_some()
            || self.next_letter(events)?.is_some();
        marks::forget(self.conn, self.at.removed_event)?;
        if !more {
            self.seen.drop_before(self.conn, day(events))?;
        }
        Ok(more)
    }

    fn one<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<Option<T>> {
        self.conn.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()
    }

    fn next_ended(&self, before: Time) -> rusqlite::Result<Option<[u8; 16]>> {
        let sql =
            "SELECT id FROM execution WHERE ended IS NOT NULL AND ended < ?1 ORDER BY ended, id LIMIT 1";
        self.one(sql, [before.0])
    }

    fn next_event(&self, before: Time) -> rusqlite::Result<Option<i64>> {
        let sql = "SELECT pos, accepted FROM event ORDER BY pos LIMIT 1";
        let first =
            self.conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, codec::time(row, 1)?)));
        Ok(first.optional()?.filter(|(_, accepted)| *accepted < before).map(|(pos, _)| pos))
    }

    fn next_letter(&self, before: Time) -> rusqlite::Result<Option<i64>> {
        self.one(
            "SELECT id FROM dead_letter WHERE state <> 0 AND at < ?1 ORDER BY at, id LIMIT 1",
            [before.0],
        )
    }

    /// Removes the summary and at most `left` rows of the log; gives what is left of `left`.
    fn remove_execution(&mut self, id: [u8; 16], left: u32) -> rusqlite::Result<u32> {
        self.forget(id)?;
        self.run("INSERT OR IGNORE INTO removal VALUES (?1)", [id])?;
        let sql =
            "SELECT max(pos), count(*) FROM (SELECT pos FROM log WHERE exec = ?1 ORDER BY pos LIMIT ?2)";
        let (last, count): (Option<i64>, u32) = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![id, left], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if let Some(last) = last {
            self.run("DELETE FROM log WHERE exec = ?1 AND pos <= ?2", params![id, last])?;
            self.at.removed_log = self.at.removed_log.max(last as u64);
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

    /// Removes a namespace with everything of it, in one go: its cost grows with what it holds.
    pub(super) fn drop_namespace(&mut self, namespace: &str) -> rusqlite::Result<()> {
        self.save = true;
        self.unused_in(namespace)?;
        let mine = "IN (SELECT id FROM execution WHERE ns = ?1)";
        for table in ["log", "state", "due"] {
            self.run(&format!("DELETE FROM {table} WHERE exec {mine}"), [namespace])?;
        }
        let tables = [
            "execution",
            "start_key",
            "tag",
            "subscription",
            "event",
            "delivery",
            "bucket",
            "dead_letter",
            "checkpoint",
            "definition",
            "secret",
        ];
        for table in tables {
            self.run(&format!("DELETE FROM {table} WHERE ns = ?1"), [namespace])?;
        }
        self.seen.drop_namespace(self.conn, namespace)?;
        self.run("DELETE FROM namespace WHERE name = ?1", [namespace])?;
        Ok(())
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
