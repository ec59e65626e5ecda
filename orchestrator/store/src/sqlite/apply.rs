//! A batch to rows, within a transaction the writer holds open.
//!
//! Owns the statements of shard parts, creations and inbox items, and the positions. The memory store says what the
//! parts mean; this says how it is done cheaply.

use rusqlite::{CachedStatement, Connection, params};
use tidemill_dsl::ids::ExecutionId;
use tidemill_engine::record::{Due, DueChange, SubscriptionChange, Summary, Transition};

use super::blobs::Owner;
use super::codec;
use super::marks::Block;
use super::prepare::Prepared;
use super::seen::SeenDays;
use crate::batch::{Committed, Create, InboxItem, Part, Refusal, ShardPart};

/// Why a batch was not applied.
pub(super) enum Stop {
    /// It is refused; the others of its transaction are not touched by that.
    Refused(Refusal),
    /// The database failed.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Sql(error)
    }
}

/// The counters that live in memory between transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    /// The last position given.
    pub(super) pos: u64,
    /// The block of events that has no mark yet.
    pub(super) block: Block,
}

impl Positions {
    /// As stored: the saved position, or what the tables hold if that is more.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Positions> {
        Ok(Positions { pos: last_pos(conn)?, block: Block::load(conn)? })
    }

    /// Saves the last position. Needed only where rows with positions were removed: else the tables tell.
    pub(super) fn save(self, conn: &Connection) -> rusqlite::Result<()> {
        let mut save = conn.prepare_cached("INSERT OR REPLACE INTO counter VALUES ('pos', ?1)")?;
        save.execute([self.pos as i64])?;
        Ok(())
    }
}

/// The last position given, from the tables.
pub(super) fn last_pos(conn: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT max(
        ifnull((SELECT value FROM counter WHERE name = 'pos'), 0), ifnull((SELECT max(pos) FROM log), 0),
        ifnull((SELECT max(pos) FROM event), 0), ifnull((SELECT max(pos) FROM delivery), 0),
        ifnull((SELECT max(id) FROM dead_letter), 0))";
    conn.prepare_cached(sql)?.query_row([], |row| codec::number(row, 0))
}

/// What a transaction has written so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) transitions: u64,
}

/// A transaction in the making.
pub(super) struct Applying<'c> {
    pub(super) conn: &'c Connection,
    pub(super) at: Positions,
    pub(super) seen: &'c mut SeenDays,
    pub(super) tally: Tally,
    /// Rows with positions were removed: the counters must be saved with them.
    pub(super) save: bool,
    log: CachedStatement<'c>,
    summary: CachedStatement<'c>,
    ending: CachedStatement<'c>,
}

impl<'c> Applying<'c> {
    /// Begins at the given positions; the transaction is already open.
    pub(super) fn new(
        conn: &'c Connection,
        at: Positions,
        seen: &'c mut SeenDays,
    ) -> rusqlite::Result<Applying<'c>> {
        let log = conn.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        let summary = conn.prepare_cached(
            "UPDATE execution SET status = ?2, started = ?3, ended = ?4, listed = ifnull(?3, created), result = ?5
             WHERE id = ?1",
        )?;
        // Without `listed`, for whose sake an update reads the whole old row and its tags' trigger.
        let ending = conn.prepare_cached(
            "UPDATE execution SET status = ?2, ended = ?4, result = ?5 WHERE id = ?1 AND started IS ?3",
        )?;
        Ok(Applying { conn, at, seen, tally: Tally::default(), save: false, log, summary, ending })
    }

    /// The next position.
    pub(super) fn next(&mut self) -> i64 {
        self.at.pos += 1;
        self.at.pos as i64
    }

    /// Runs a statement that is used often enough to be kept.
    pub(super) fn run(&mut self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<usize> {
        let changed = self.conn.prepare_cached(sql)?.execute(params)?;
        self.tally.rows += changed as u64;
        Ok(changed)
    }

    /// Applies a batch, part by part.
    pub(super) fn batch(&mut self, prepared: &Prepared) -> Result<Committed, Stop> {
        let mut out = Committed::default();
        let mut ended = prepared.ended.iter();
        let mut bodies = prepared.events.iter();
        for part in &prepared.batch.parts {
            match part {
                Part::Shard(part) => self.shard(part, &mut ended)?,
                Part::Ingress(part) => self.ingress(part, &mut bodies, &mut out)?,
                Part::Create(create) => self.create(create)?,
                Part::Inbox(items) => self.inbox(items)?,
                Part::Buffer(changes) => {
                    for change in changes {
                        self.buffer(change, &mut out)?;
                    }
                }
                Part::Definitions(changes) => {
                    for change in changes {
                        self.definition(change)?;
                    }
                }
                Part::Operator(changes) => {
                    for change in changes {
                        self.operator(change, &mut out)?;
                    }
                }
            }
        }
        out.pos = self.at.pos;
        Ok(out)
    }

    fn shard<'e>(
        &mut self,
        part: &ShardPart,
        ended: &mut impl Iterator<Item = &'e Option<Vec<u8>>>,
    ) -> Result<(), Stop> {
        for (shard, epoch) in &part.epochs {
            self.epoch(shard.0, *epoch)?;
        }
        for transition in &part.transitions {
            self.append(transition)?;
        }
        for summary in &part.summaries {
            let result = ended.next().and_then(Option::as_deref);
            self.summarise(summary, result)?;
        }
        for snapshot in &part.states {
            let sql = "INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3, ?4)";
            let (next, transitions) = (snapshot.next as i64, snapshot.transitions as i64);
            let body = self.kept(Owner::Execution(snapshot.execution), &snapshot.body)?;
            self.run(sql, params![snapshot.execution.0, next, transitions, body])?;
            self.tally.bytes += body.len() as u64;
        }
        self.due(&part.due)?;
        for change in &part.subscriptions {
            self.subscription(change)?;
        }
        for key in &part.inbox_done {
            let sql = "DELETE FROM inbox WHERE shard = ?1 AND exec = ?2 AND number = ?3";
            self.run(sql, params![key.shard.0, key.from.0, key.number])?;
        }
        Ok(())
    }

    fn epoch(&mut self, shard: u16, epoch: u64) -> Result<(), Stop> {
        let sql = "INSERT INTO epoch VALUES (?1, ?2)
            ON CONFLICT(shard) DO UPDATE SET epoch = excluded.epoch WHERE excluded.epoch >= epoch";
        match self.run(sql, params![shard, epoch as i64])? {
            0 => Err(Stop::Refused(Refusal::StaleEpoch)),
            _ => Ok(()),
        }
    }

    fn append(&mut self, t: &Transition) -> rusqlite::Result<()> {
        let pos = self.next();
        let (first, life) = (t.first as i64, t.lifecycle);
        let body = self.kept(Owner::Execution(t.execution), &t.body)?;
        self.log.execute(params![pos, t.execution.0, &*t.namespace, first, t.count, t.time.0, life, body])?;
        self.tally.rows += 1;
        self.tally.transitions += 1;
        self.tally.bytes += body.len() as u64;
        Ok(())
    }

    fn summarise(&mut self, s: &Summary, result: Option<&[u8]>) -> rusqlite::Result<()> {
        let (started, ended) = (s.started.map(|t| t.0), s.ended.map(|t| t.0));
        let result = result.map(|bytes| self.kept(Owner::Execution(s.execution), bytes)).transpose()?;
        let row = params![s.execution.0, s.status as u8, started, ended, result];
        // An end finds its place in the lists taken at the start, but for one that begins and ends in one batch.
        let mut changed = if ended.is_some() { self.ending.execute(row)? } else { 0 };
        if changed == 0 {
            changed = self.summary.execute(row)?;
        }
        self.tally.rows += changed as u64;
        Ok(())
    }

    fn due(&mut self, changes: &[DueChange]) -> rusqlite::Result<()> {
        let row = |due: &Due| (due.at.0, due.execution.0, due.visit, due.kind as u8);
        for change in changes {
            match change {
                DueChange::Set(due) => {
                    self.run("INSERT OR IGNORE INTO due VALUES (?1, ?2, ?3, ?4)", row(due))?
                }
                DueChange::Clear(due) => self.run(
                    "DELETE FROM due WHERE at = ?1 AND exec = ?2 AND visit = ?3 AND kind = ?4",
                    row(due),
                )?,
            };
        }
        Ok(())
    }

    fn subscription(&mut self, change: &SubscriptionChange) -> rusqlite::Result<()> {
        match change {
            SubscriptionChange::Add(s) => {
                let sql = "INSERT OR REPLACE INTO subscription VALUES (?1, ?2, ?3, ?4, ?5)";
                self.run(sql, params![s.execution.0, s.visit, &*s.namespace, s.kind.as_deref(), s.since.0])?;
            }
            SubscriptionChange::Remove(execution, visit) => {
                self.run(
                    "DELETE FROM subscription WHERE exec = ?1 AND visit = ?2",
                    params![execution.0, visit],
                )?;
            }
        }
        Ok(())
    }

    fn inbox(&mut self, items: &[InboxItem]) -> rusqlite::Result<()> {
        for item in items {
            let (key, sql) = (&item.key, "INSERT OR IGNORE INTO inbox VALUES (?1, ?2, ?3, ?4)");
            self.run(sql, params![key.shard.0, key.from.0, key.number, item.body])?;
            self.tally.bytes += item.body.len() as u64;
        }
        Ok(())
    }

    /// A new execution: key, summary, tags, first transition.
    pub(super) fn create(&mut self, create: &Create) -> Result<(), Stop> {
        let (birth, summary) = (&*create.birth, &create.summary);
        if let Some(key) = &create.key {
            let sql = "INSERT OR IGNORE INTO start_key VALUES (?1, ?2, ?3, ?4, ?5)";
            if self.run(sql, params![&*birth.namespace, &*birth.workflow, &*key.key, birth.id.0, key.body])?
                == 0
            {
                return Err(self.taken(create, key)?);
            }
        }
        let (cause, parent) = (birth.cause.as_ref(), birth.parent.as_ref());
        let listed = summary.started.unwrap_or(birth.created);
        let result = summary.result.as_ref().map(codec::write_ended);
        let result =
            result.as_deref().map(|bytes| self.kept(Owner::Execution(birth.id), bytes)).transpose()?;
        let sql = "INSERT OR IGNORE INTO execution VALUES
            (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";
        let inserted = self.run(
            sql,
            params![
                birth.id.0,
                &*birth.namespace,
                &*birth.workflow,
                &*birth.version,
                birth.digest,
                summary.status as u8,
                birth.created.0,
                summary.started.map(|t| t.0),
                summary.ended.map(|t| t.0),
                listed.0,
                cause.map(|c| &*c.trigger),
                cause.map(|c| &*c.binding),
                cause.map(|c| &*c.source),
                cause.map(|c| &*c.id),
                cause.map_or(0, |c| c.attempt),
                parent.map(|p| p.execution.0),
                parent.map(|p| p.visit),
                parent.map(|p| p.awaited),
                create.key.as_ref().map(|k| &*k.key),
                codec::write_tags(&birth.tags),
                result,
            ],
        )?;
        if inserted == 0 {
            return Err(Stop::Refused(Refusal::Exists(birth.id)));
        }
        for (name, value) in &birth.tags {
            let sql = "INSERT OR IGNORE INTO tag VALUES (?1, ?2, ?3, ?4, ?5)";
            self.run(sql, params![&*birth.namespace, &**name, &**value, listed.0, birth.id.0])?;
        }
        self.append(&create.first)?;
        Ok(())
    }

    fn taken(&self, create: &Create, key: &crate::batch::StartKey) -> rusqlite::Result<Stop> {
        let sql = "SELECT exec, body FROM start_key WHERE ns = ?1 AND workflow = ?2 AND key = ?3";
        let (ns, workflow) = (&*create.birth.namespace, &*create.birth.workflow);
        let (execution, body): ([u8; 16], [u8; 32]) = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![ns, workflow, &*key.key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let same_body = body == key.body;
        Ok(Stop::Refused(Refusal::KeyTaken { execution: ExecutionId(execution), same_body }))
    }
}
