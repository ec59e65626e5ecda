//! Marks on the events: between which positions an interval of time lies.
//!
//! Owns the table `mark`: one row for each block of events, with the earliest and the latest acceptance in it. Events
//! come in order of position; their instants nearly do, but a clock may jump, so a block has both ends.

use rusqlite::{Connection, OptionalExtension, params};
use tidemill_dsl::ids::Time;

/// Events in a block.
const BLOCK: u32 = 256;

/// The block that is not full yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    count: u32,
    earliest: i64,
    latest: i64,
}

impl Block {
    /// As the events behind the last mark say.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Block> {
        let sql = "SELECT count(*), ifnull(min(accepted), 0), ifnull(max(accepted), 0) FROM event
            WHERE pos > ifnull((SELECT max(pos) FROM mark), 0)";
        conn.query_row(sql, [], |row| {
            Ok(Block { count: row.get(0)?, earliest: row.get(1)?, latest: row.get(2)? })
        })
    }

    /// Takes an event in; a full block leaves its mark.
    pub(super) fn add(&mut self, conn: &Connection, pos: i64, accepted: Time) -> rusqlite::Result<()> {
        let at = accepted.0;
        if self.count == 0 {
            (self.earliest, self.latest) = (at, at);
        }
        self.count += 1;
        self.earliest = self.earliest.min(at);
        self.latest = self.latest.max(at);
        if self.count == BLOCK {
            let mut mark = conn.prepare_cached("INSERT INTO mark VALUES (?1, ?2, ?3)")?;
            mark.execute(params![pos, self.earliest, self.latest])?;
            *self = Block::default();
        }
        Ok(())
    }
}

/// The events accepted in an interval have positions above the first and up to the second number.
pub(super) fn bounds(
    conn: &Connection,
    since: Option<Time>,
    until: Option<Time>,
) -> rusqlite::Result<(i64, i64)> {
    let one = |sql: &str, at: Time| conn.prepare_cached(sql)?.query_row([at.0], |row| row.get(0)).optional();
    let low = match since {
        Some(since) => {
            // The end of the block before the first that reaches the interval; all blocks, if none does.
            let sql = "SELECT ifnull(max(pos), 0) FROM mark
                WHERE pos < ifnull((SELECT min(pos) FROM mark WHERE latest >= ?1), 9223372036854775807)";
            one(sql, since)?.unwrap_or(0)
        }
        None => 0,
    };
    let high = match until {
        Some(until) if !open_ended(conn, until)? => {
            one("SELECT ifnull(max(pos), 0) FROM mark WHERE earliest < ?1", until)?.unwrap_or(0)
        }
        _ => i64::MAX,
    };
    Ok((low, high))
}

/// Whether an event behind the last mark was accepted before an instant.
fn open_ended(conn: &Connection, until: Time) -> rusqlite::Result<bool> {
    let sql =
        "SELECT 1 FROM event WHERE pos > ifnull((SELECT max(pos) FROM mark), 0) AND accepted < ?1 LIMIT 1";
    conn.prepare_cached(sql)?.exists([until.0])
}

/// Forgets the marks before the first event that is stored.
pub(super) fn forget(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM mark WHERE pos < (SELECT min(pos) FROM event)")?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_found_between_marks_whatever_the_clock_did() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE mark(pos INTEGER PRIMARY KEY, earliest INTEGER, latest INTEGER);
             CREATE TABLE event(pos INTEGER PRIMARY KEY, accepted INTEGER)",
        )
        .unwrap();
        let mut block = Block::default();
        let instant = |pos: i64| pos * 10 + if pos % 700 == 0 { 9000 } else { 0 } - (pos % 11) * 40;
        for pos in 1..=5000 {
            conn.execute("INSERT INTO event VALUES (?1, ?2)", [pos, instant(pos)]).unwrap();
            block.add(&conn, pos, Time(instant(pos))).unwrap();
        }
        assert_eq!(block, Block::load(&conn).unwrap());
        assert_eq!(conn.query_row("SELECT count(*) FROM mark", [], |row| row.get::<_, i64>(0)).unwrap(), 19);
        for at in (-500..60_000).step_by(97) {
            let (low, _) = bounds(&conn, Some(Time(at)), None).unwrap();
            assert!((1..=low).all(|pos| instant(pos) < at), "since {at}");
            let (_, high) = bounds(&conn, None, Some(Time(at))).unwrap();
            assert!((1..=5000).filter(|pos| *pos > high).all(|pos| instant(pos) >= at), "until {at}");
        }
        assert_eq!(bounds(&conn, Some(Time(25_000)), Some(Time(25_100))).unwrap(), (2048, 2560));
    }
}
