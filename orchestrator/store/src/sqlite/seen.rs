//! Event keys, one table a day, so that retention drops whole tables (D8).
//!
//! Owns which days have a table and the statements over them. A key counts as long as its event is stored.

use rusqlite::{Connection, params};

use super::blobs;
use super::codec::{self, KeyText};
use crate::batch::Accepted;
use tidemill_dsl::event::Event;

/// The days that have a table, with the statements made for this set of days.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenDays {
    days: Vec<i64>,
    probe: String,
}

/// An event's key.
pub(super) struct Key<'a> {
    pub(super) namespace: &'a str,
    pub(super) binding: &'a str,
    pub(super) event: &'a Event,
}

impl SeenDays {
    /// As stored.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<SeenDays> {
        Ok(SeenDays::new(days(conn)?))
    }

    fn new(mut days: Vec<i64>) -> SeenDays {
        days.sort_unstable();
        let probe =
            union(&days, "SELECT pos FROM seen_D WHERE ns = ?1 AND source = ?2 AND id = ?3 AND binding = ?4");
        SeenDays { days, probe }
    }

    /// The earlier event of this key, if one is stored.
    pub(super) fn earlier(&self, conn: &Connection, key: &Key<'_>) -> rusqlite::Result<Option<Accepted>> {
        if self.days.is_empty() {
            return Ok(None);
        }
        let (source, id) = (KeyText::new(&key.event.source), KeyText::new(&key.event.id));
        let mut probe = conn.prepare_cached(&self.probe)?;
        let mut rows = probe.query(params![key.namespace, source, id, key.binding])?;
        let mut found = None;
        while let Some(row) = rows.next()? {
            found = found.max(Some(row.get::<_, i64>(0)?));
        }
        let Some(pos) = found else { return Ok(None) };
        let mut body = conn.prepare_cached("SELECT body FROM event WHERE pos = ?1")?;
        let mut rows = body.query([pos])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let earlier = codec::read_event(&blobs::whole(conn, row.get_ref(0)?.as_blob()?)?)?;
        Ok(Some(Accepted::Duplicate { pos: pos as u64, mismatch: earlier.data != key.event.data }))
    }

    /// Keeps a key under a day; a key of that day points to the latest event.
    pub(super) fn keep(
        &mut self,
        conn: &Connection,
        day: i64,
        pos: i64,
        key: &Key<'_>,
    ) -> rusqlite::Result<()> {
        if !self.days.contains(&day) {
            conn.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS seen_{day}(
                    ns TEXT, source, id, binding TEXT, pos INTEGER NOT NULL,
                    PRIMARY KEY(ns, source, id, binding)) WITHOUT ROWID"
            ))?;
            let mut days = self.days.clone();
            days.push(day);
            *self = SeenDays::new(days);
        }
        let (source, id) = (KeyText::new(&key.event.source), KeyText::new(&key.event.id));
        let sql = format!("INSERT OR REPLACE INTO seen_{day} VALUES (?1, ?2, ?3, ?4, ?5)");
        conn.prepare_cached(&sql)?.execute(params![key.namespace, source, id, key.binding, pos])?;
        Ok(())
    }

    /// Forgets the days before this one.
    pub(super) fn drop_before(&mut self, conn: &Connection, today: i64) -> rusqlite::Result<()> {
        let (old, kept): (Vec<i64>, Vec<i64>) = self.days.iter().partition(|day| **day < today);
        for day in &old {
            conn.execute_batch(&format!("DROP TABLE seen_{day}"))?;
        }
        if !old.is_empty() {
            *self = SeenDays::new(kept);
        }
        Ok(())
    }

    /// Forgets at most so many keys of a namespace; gives their number.
    pub(super) fn drop_namespace(
        &self,
        conn: &Connection,
        namespace: &str,
        rows: u32,
    ) -> rusqlite::Result<u32> {
        let mut left = rows;
        for day in &self.days {
            let sql = format!(
                "DELETE FROM seen_{day} WHERE (ns, source, id, binding) IN
                 (SELECT ns, source, id, binding FROM seen_{day} WHERE ns = ?1 LIMIT ?2)"
            );
            left -= conn.prepare_cached(&sql)?.execute(params![namespace, left])? as u32;
        }
        Ok(rows - left)
    }
}

/// The days that have a table now.
pub(super) fn days(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    let sql =
        "SELECT substr(name, 6) FROM sqlite_schema WHERE type = 'table' AND name LIKE 'seen\\_%' ESCAPE '\\'";
    let mut names = conn.prepare_cached(sql)?;
    let days = names.query_map([], |row| row.get::<_, String>(0))?;
    days.map(|day| Ok(day?.parse().unwrap_or_default())).collect()
}

/// One statement for all days: `each` with `D` for the day.
pub(super) fn union(days: &[i64], each: &str) -> String {
    let parts: Vec<String> = days.iter().map(|day| each.replace("seen_D", &format!("seen_{day}"))).collect();
    parts.join(" UNION ALL ")
}
