//! Accepted events, their deliveries and dead letters, to rows.
//!
//! Owns the judgement of duplicates and the states of deliveries. Knows no rates and no clocks: the buffer's owner
//! does.

use rusqlite::{OptionalExtension, params};
use tidemill_dsl::ids::ExecutionId;

use super::apply::{Applying, Stop};
use super::blobs::Owner;
use super::codec;
use super::seen::Key;
use crate::batch::{
    Accepted, Arrival, BufferChange, Checkpoint, Committed, DeadLetter, Delivery, DeliveryKey, DeliveryState,
    IngressPart,
};
use crate::day;

const READY: u8 = DeliveryState::Ready as u8;
const BLOCKED: u8 = DeliveryState::Blocked as u8;
const PARKED: u8 = DeliveryState::Parked as u8;
const IN_FLIGHT: u8 = DeliveryState::InFlight as u8;

impl Applying<'_> {
    /// Accepts the events of one binding.
    pub(super) fn ingress<'b>(
        &mut self,
        part: &IngressPart,
        bodies: &mut impl Iterator<Item = &'b Vec<u8>>,
        out: &mut Committed,
    ) -> Result<(), Stop> {
        for arrival in &part.arrivals {
            let body = bodies.next().map_or(&[][..], Vec::as_slice);
            let key = Key { namespace: &part.namespace, binding: &part.binding, event: &arrival.event };
            if !arrival.placed
                && let Some(earlier) = self.seen.earlier(self.conn, &key)?
            {
                out.arrivals.push(earlier);
                continue;
            }
            let pos = self.event(&key, arrival, body)?;
            out.arrivals.push(Accepted::Stored(pos as u64));
            self.follow(arrival, out)?;
        }
        for checkpoint in &part.checkpoints {
            self.checkpoint(&part.namespace, checkpoint)?;
        }
        Ok(())
    }

    fn event(&mut self, key: &Key<'_>, arrival: &Arrival, body: &[u8]) -> rusqlite::Result<i64> {
        let pos = self.next();
        let at = arrival.accepted.0;
        let body = self.kept(Owner::Row(pos), body)?;
        let sql = "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.run(sql, params![pos, key.namespace, &*key.event.kind, key.binding, at, body])?;
        self.seen.keep(self.conn, day(arrival.accepted), pos, key)?;
        self.at.block.add(self.conn, pos, arrival.accepted)?;
        self.tally.rows += 1;
        self.tally.bytes += body.len() as u64;
        Ok(pos)
    }

    fn follow(&mut self, arrival: &Arrival, out: &mut Committed) -> Result<(), Stop> {
        let before = out.skipped.len();
        for delivery in arrival.deliveries.iter().filter(|d| arrival.skips.contains(&d.trigger)) {
            if self.open(delivery)? {
                out.skipped.push(delivery.execution);
            }
        }
        let stays = |id: &ExecutionId, out: &Committed| !out.skipped[before..].contains(id);
        for create in arrival.starts.iter().filter(|create| stays(&create.birth.id, out)) {
            self.create(create)?;
        }
        for delivery in &arrival.deliveries {
            if stays(&delivery.execution, out) {
                out.deliveries.push(self.enqueue(delivery)?);
            }
        }
        for letter in &arrival.dead {
            self.bury(letter)?;
        }
        Ok(())
    }

    /// Saves a source's position.
    pub(super) fn checkpoint(&mut self, namespace: &str, c: &Checkpoint) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![namespace, &*c.source, &*c.partition, &*c.value])?;
        Ok(())
    }

    fn enqueue(&mut self, d: &Delivery) -> rusqlite::Result<u64> {
        let state = match &d.key {
            Some(key) if self.held(&d.namespace, &d.trigger, key)? => BLOCKED,
            _ => READY,
        };
        let pos = self.next();
        let sql = "INSERT INTO delivery VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let (key, at) = (d.key.as_deref(), d.not_before.0);
        let row =
            params![pos, &*d.namespace, &*d.trigger, d.execution.0, state, key, d.priority, d.attempt, at];
        self.run(sql, row)?;
        Ok(pos as u64)
    }

    /// Whether a delivery of the same trigger and order key is stored.
    fn open(&self, d: &Delivery) -> rusqlite::Result<bool> {
        match &d.key {
            Some(key) => self.held(&d.namespace, &d.trigger, key),
            None => {
                let sql = "SELECT 1 FROM delivery WHERE ns = ?1 AND trigger = ?2 AND okey IS NULL LIMIT 1";
                self.conn.prepare_cached(sql)?.exists(params![&*d.namespace, &*d.trigger])
            }
        }
    }

    fn held(&self, namespace: &str, trigger: &str, key: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM delivery WHERE ns = ?1 AND trigger = ?2 AND okey = ?3 LIMIT 1";
        self.conn.prepare_cached(sql)?.exists(params![namespace, trigger, key])
    }

    fn bury(&mut self, l: &DeadLetter) -> rusqlite::Result<()> {
        let id = self.next();
        let event = l.event.to_json();
        let event = self.kept(Owner::Row(id), &event)?;
        let sql = "INSERT INTO dead_letter VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let row = params![
            id,
            &*l.namespace,
            &*l.trigger,
            l.generation as i64,
            &*l.cause,
            &*l.binding,
            l.key.as_deref(),
            l.parked.map(|pos| pos as i64),
            l.at.0,
            l.state as u8,
            codec::write_attempts(&l.attempts),
            event,
        ];
        self.run(sql, row)?;
        Ok(())
    }

    /// A change of a buffer.
    pub(super) fn buffer(&mut self, change: &BufferChange, out: &mut Committed) -> rusqlite::Result<()> {
        match change {
            BufferChange::Enqueue(delivery) => out.deliveries.push(self.enqueue(delivery)?),
            BufferChange::Take(key) => self.turn(key, READY, IN_FLIGHT)?,
            BufferChange::Park(key) => self.turn(key, IN_FLIGHT, PARKED)?,
            BufferChange::Finish(key) => self.finish(key)?,
            BufferChange::Again { key, not_before, attempt, execution } => {
                let sql = "UPDATE delivery SET state = 0, not_before = ?4, attempt = ?5, exec = ?6
                    WHERE pos = ?1 AND ns = ?2 AND trigger = ?3 AND state IN (2, 3)";
                let (pos, ns, trigger) = (key.pos as i64, &*key.namespace, &*key.trigger);
                self.run(sql, params![pos, ns, trigger, not_before.0, attempt, execution.0])?;
            }
            BufferChange::Bucket { namespace, trigger, bucket: b } => {
                let sql = "INSERT OR REPLACE INTO bucket VALUES (?1, ?2, ?3, ?4, ?5)";
                self.run(sql, params![&**namespace, &**trigger, b.tokens, b.at.0, b.arrears])?;
            }
            BufferChange::Dead(letter) => self.bury(letter)?,
            BufferChange::DeadState { namespace, id, state } => {
                let sql = "UPDATE dead_letter SET state = ?3 WHERE id = ?1 AND ns = ?2";
                self.run(sql, params![*id as i64, &**namespace, *state as u8])?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, key: &DeliveryKey, from: u8, to: u8) -> rusqlite::Result<()> {
        let sql = "UPDATE delivery SET state = ?5 WHERE pos = ?1 AND ns = ?2 AND trigger = ?3 AND state = ?4";
        self.run(sql, params![key.pos as i64, &*key.namespace, &*key.trigger, from, to])?;
        Ok(())
    }

    fn finish(&mut self, key: &DeliveryKey) -> rusqlite::Result<()> {
        let sql = "DELETE FROM delivery WHERE pos = ?1 AND ns = ?2 AND trigger = ?3 RETURNING state, okey";
        let (ns, trigger) = (&*key.namespace, &*key.trigger);
        let gone: Option<(u8, Option<String>)> = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![key.pos as i64, ns, trigger], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((state, okey)) = gone else { return Ok(()) };
        self.tally.rows += 1;
        self.save = true;
        if let Some(okey) = okey
            && state != BLOCKED
        {
            let sql = "UPDATE delivery SET state = 0 WHERE state = 1 AND pos =
                (SELECT min(pos) FROM delivery WHERE ns = ?1 AND trigger = ?2 AND okey = ?3)";
            self.run(sql, params![ns, trigger, okey])?;
        }
        Ok(())
    }
}
