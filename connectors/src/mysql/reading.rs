//! Reading: the log to batches, batches to the ingress.
//!
//! Owns how much is held in memory: one batch that is being stored, one that is gathered, the rows event that is being
//! read and the piece of a snapshot. While the ingress makes it wait the log is not read on, and the server waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use mysql_async::binlog::events::Event as Logged;
use mysql_async::{BinlogStream, Conn};
use tidemill_dsl::event::Event;
use tokio::time::Instant;

use super::cursor::Malformed;
use super::fault::{Fault, error};
use super::payload::{self, raw};
use super::position::{BINLOG, SNAPSHOT};
use super::record::{Origin, key_text};
use super::rows::{Change, Operation, Rows, table_id};
use super::schema::Schemas;
use super::server::Facts;
use super::snapshot::{Piece, Plan, fetch};
use super::table::{Table, TableMap, head};
use super::walk::{Raw, Step, Walk};
use super::watch::Watch;
use super::{BATCH_BYTES, BATCH_RECORDS, Spec, arrivals};
use crate::offer::offer;
use crate::{BoxFuture, Context, Receipt, SourceError};

/// Without a word of the server for so many heartbeats it is taken for dead.
const SILENT_BEATS: u32 = 3;
/// How often the lag is told.
const TELL: Duration = Duration::from_secs(1);
/// Events of the log that are taken before others have their turn: what is being stored, and the next piece.
const EVENTS: u32 = 1000;
/// Most keys that are held while a piece is awaited (limit `mysql-told`).
const TOLD: usize = 100_000;
/// Most tables that are known at once by their numbers in the log.
const TABLES: usize = 10_000;

#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    records: usize,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.records >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    fn push(&mut self, event: Event, size: usize) {
        self.events.push(event);
        self.records += 1;
        self.bytes += size;
    }
}

/// What the numbers of the log stand for.
enum Known {
    /// A table that becomes no events.
    Unwanted,
    /// One that does, with the body of its map: the next one is most often the same.
    Table(Vec<u8>, Arc<Table>),
}

/// A rows event that is being read.
struct Current {
    rows: Rows,
    table: Arc<Table>,
    origin: Origin,
    first: u32,
}

type Fetching = BoxFuture<'static, Result<(Conn, Option<Piece>), SourceError>>;

/// The snapshot while it lasts.
struct Snapshot {
    plan: Plan,
    conn: Option<Conn>,
    fetching: Option<Fetching>,
    piece: Option<Piece>,
    /// Keys of the table that the log has told since the piece was asked for.
    told: HashSet<String>,
    /// Its rows are being told.
    telling: bool,
}

impl Snapshot {
    fn new(plan: Plan) -> Snapshot {
        Snapshot { plan, conn: None, fetching: None, piece: None, told: HashSet::new(), telling: false }
    }

    /// A change that the log tells: the row is told by it, unless such changes become no events.
    fn changed(&mut self, table: &Table, change: &Change, is_wanted: bool) {
        let own =
            self.plan.left.first().is_some_and(|own| (&own.0, &own.1) == (&table.database, &table.name));
        if own && (is_wanted || change.operation == Operation::Delete) {
            let images = [&change.before, &change.after];
            let keys = images.into_iter().flatten().map(|image| key_text(table, image));
            self.told.extend(keys.filter(|key| self.piece.as_ref().is_none_or(|piece| piece.holds(key))));
        }
    }

    /// Whether the log has to wait for the piece: more keys are not held.
    fn holds_back(&self) -> bool {
        self.piece.is_none() && self.told.len() >= TOLD
    }
}

/// A run that reads.
pub(super) struct Reading<'a> {
    spec: &'a Spec,
    context: &'a Context,
    facts: &'a Facts,
    walk: Walk,
    known: HashMap<u64, Known>,
    schemas: Schemas,
    current: Option<Current>,
    /// The rows event of the transaction, and the next of its rows.
    within: Option<(u32, u32)>,
    snapshot: Option<Snapshot>,
    watch: Watch,
    gathered: Batch,
    /// The positions that were saved last.
    saved: Vec<(Arc<str>, Arc<str>)>,
    save_at: Instant,
    heard: Instant,
    told: Instant,
    is_well: bool,
}

pub(super) fn now() -> Instant {
    Instant::now() // tidy: clock, what is heard and saved when
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        (spec, context, facts): (&'a Spec, &'a Context, &'a Facts),
        walk: Walk,
        plan: Option<Plan>,
    ) -> Reading<'a> {
        let plan = plan.filter(|plan| !plan.left.is_empty());
        let snapshot = plan.map(Snapshot::new);
        Reading {
            spec,
            context,
            facts,
            walk,
            known: HashMap::new(),
            schemas: Schemas::default(),
            current: None,
            within: None,
            snapshot,
            watch: Watch::default(),
            gathered: Batch::default(),
            saved: Vec::new(),
            save_at: now() + spec.heartbeat,
            heard: now(),
            told: now(),
            is_well: false,
        }
    }

    /// Reads until stopped or until the stream ends.
    pub(super) async fn read(mut self, mut stream: BinlogStream) -> Result<(), Fault> {
        let mut flight: Option<BoxFuture<'static, Option<Receipt>>> = None;
        loop {
            self.fill(&mut stream).await?;
            if flight.is_none() && (self.gathered.records > 0 || self.save_at <= now()) {
                flight = self.take_off();
            }
            let reads = !self.gathered.is_full() && !self.holds_back();
            if !reads {
                self.watch.held();
            }
            let silent_at = self.heard + self.spec.heartbeat * SILENT_BEATS;
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return Ok(()),
                stored = landed(&mut flight) => match stored {
                    Some(_) => self.heard = self.heard.max(now()),
                    None => return Ok(()),
                },
                fetched = fetched(&mut self.snapshot) => self.fetched(fetched?),
                item = stream.next(), if reads => match item {
                    Some(item) => self.take(&item?).await?,
                    None => return Err(ended().into()),
                },
                () = tokio::time::sleep_until(silent_at), if reads => return Err(self.silent().into()),
                () = tokio::time::sleep_until(self.save_at), if flight.is_none() => {}
            }
        }
    }

    /// Gathers what is there: rows of the event being read, rows of the piece, the next events.
    async fn fill(&mut self, stream: &mut BinlogStream) -> Result<(), Fault> {
        let mut left = EVENTS;
        while !self.gathered.is_full() && left > 0 {
            left -= 1;
            if self.current.is_some() {
                self.rows();
            } else if self.tells_piece() {
                self.piece();
            } else if self.holds_back() {
                break;
            } else {
                match stream.next().now_or_never() {
                    Some(Some(item)) => self.take(&item?).await?,
                    Some(None) => return Err(ended().into()),
                    None => break,
                }
            }
        }
        self.fetch_on();
        Ok(())
    }

    fn holds_back(&self) -> bool {
        self.current.is_some() || self.snapshot.as_ref().is_some_and(Snapshot::holds_back)
    }

    /// Takes one event of the log.
    async fn take(&mut self, event: &Logged) -> Result<(), Fault> {
        self.heard = now();
        if !std::mem::replace(&mut self.is_well, true) {
            self.context.health.running();
        }
        let raw = raw(event);
        let step = self.walk.step(&raw).map_err(|why| broken(&raw, &why))?;
        if let Some(open) = self.walk.open().filter(|_| payload::is_large(event)) {
            payload::check(self.spec, &mut self.watch.conn, open).await?;
        }
        let is_beat = step == Step::Heartbeat;
        match step {
            Step::None => {}
            Step::Map => self.map(raw.body).await?,
            Step::Rows { event, first } => self.begin(&raw, event, first)?,
            Step::Ended => self.within = None,
            Step::Altered => {
                self.within = None;
                self.schemas.forget();
                self.known.clear();
            }
            Step::Heartbeat => {
                self.context.health.behind(0);
                self.watch.beat(self.spec, self.facts, self.walk.seen()).await?;
            }
            Step::Lost(why) => self.context.health.poison(&why),
        }
        if raw.time > 0 && !is_beat && self.told.elapsed() >= TELL {
            self.told = now();
            let seconds = ((self.context.clock)().0 / 1000).saturating_sub(i64::from(raw.time));
            self.context.health.behind(u64::try_from(seconds).unwrap_or(0));
        }
        Ok(())
    }

    async fn map(&mut self, body: &[u8]) -> Result<(), Fault> {
        let malformed =
            |why: Malformed| Fault::from(log_error(&format!("a table map cannot be read: {why}")));
        let (id, database, name) = head(body).map_err(malformed)?;
        let doubts = self.schemas.doubts(self.walk.seen());
        match self.known.get(&id) {
            Some(Known::Table(own, table)) if own == body && table.assumed == (table.assumed && doubts) => {
                return Ok(());
            }
            Some(Known::Unwanted) if !self.spec.tables.takes(database, name) => return Ok(()),
            _ => {}
        }
        if self.known.len() >= TABLES {
            self.known.clear();
        }
        if !self.spec.tables.takes(database, name) {
            self.known.insert(id, Known::Unwanted);
            return Ok(());
        }
        let map = TableMap::read(body, &self.facts.charsets, self.facts.is_mariadb).map_err(malformed)?;
        let table = match map.table() {
            Some(table) => table,
            None => {
                let place = (&map.database, &map.name);
                let (schema, assumed) =
                    self.schemas.table(self.spec, self.facts, place, self.walk.seen()).await?;
                map.described(schema, assumed)
            }
        };
        self.known.insert(id, Known::Table(body.to_vec(), Arc::new(table)));
        Ok(())
    }

    /// Begins a rows event, if its rows matter.
    fn begin(&mut self, raw: &Raw<'_>, event: u32, first: u32) -> Result<(), Fault> {
        let broken = |why: &Malformed| Fault::from(broken(raw, why));
        let id = table_id(raw.body).map_err(|why| broken(&why))?;
        let table = match self.known.get(&id) {
            Some(Known::Table(_, table)) => table.clone(),
            Some(Known::Unwanted) => return Ok(()),
            None => return Err(broken(&Malformed::Wrong("rows come without the map of their table".into()))),
        };
        let Some(open) = self.walk.open() else { return Ok(()) };
        match Rows::read(raw.kind, raw.body) {
            Ok(rows) => {
                let origin = Origin {
                    transaction: open.id.clone(),
                    event,
                    file: open.file.clone(),
                    pos: open.pos,
                    gtid: open.gtid.is_some().then(|| open.id.clone()),
                    time: raw.time,
                };
                self.current = Some(Current { rows, table, origin, first });
            }
            Err(why) => {
                self.within = Some((event + 1, 0));
                let place = format!("{}/{event} of {}.{}", open.id, table.database, table.name);
                self.context.health.poison(&format!("read the rows {place}: {why}"));
            }
        }
        Ok(())
    }

    /// Rows of the event being read, until the batch is full.
    fn rows(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        let event = current.origin.event;
        while !self.gathered.is_full() {
            let change = match current.rows.next(&current.table) {
                None => {
                    self.within = Some((event + 1, 0));
                    return;
                }
                Some(Err(why)) => {
                    self.within = Some((event + 1, 0));
                    let (table, origin) = (&current.table, &current.origin);
                    let place =
                        format!("{}/{event} of {}.{}", origin.transaction, table.database, table.name);
                    self.context.health.poison(&format!("read the rows {place}: {why}"));
                    return;
                }
                Some(Ok(change)) => change,
            };
            let is_wanted = match change.operation {
                Operation::Insert => self.spec.operations.insert,
                Operation::Update => self.spec.operations.update,
                Operation::Delete => self.spec.operations.delete,
            };
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.changed(&current.table, &change, is_wanted);
            }
            let (index, size) = (change.index, change.size);
            if index < current.first {
                continue;
            }
            self.within = Some((event, index + 1));
            if is_wanted {
                match self.spec.mapping.to_event(&current.table, change, &current.origin) {
                    Ok(event) => self.gathered.push(event, size),
                    Err(poison) => self.context.health.poison(&poison.to_string()),
                }
            }
        }
        self.current = Some(current);
    }

    /// Whether rows of a piece are told now: the log is read up to its end, and no transaction is torn by it.
    fn tells_piece(&mut self) -> bool {
        let (seen, open) = (self.walk.seen(), self.walk.open().is_some());
        let Some(snapshot) = &mut self.snapshot else { return false };
        let Some(piece) = &snapshot.piece else { return false };
        snapshot.telling |= !open && seen >= piece.until;
        snapshot.telling
    }

    /// Rows of the piece, until the batch is full.
    fn piece(&mut self) {
        let Some(Snapshot { plan, piece: slot, told, telling, .. }) = &mut self.snapshot else { return };
        let Some(mut piece) = slot.take() else { return };
        while !self.gathered.is_full() {
            let Some(row) = piece.next(plan, told) else {
                *telling = false;
                told.clear();
                // A batch without events still saves how far the plan is.
                self.gathered.records += 1;
                return;
            };
            match self.spec.mapping.of_row(&piece.table, row.image, &plan.start, piece.read) {
                Ok(event) => self.gathered.push(event, row.size),
                Err(poison) => self.context.health.poison(&poison.to_string()),
            }
        }
        *slot = Some(piece);
    }

    /// Asks for the next piece.
    fn fetch_on(&mut self) {
        let Some(snapshot) = &mut self.snapshot else { return };
        if snapshot.piece.is_some() || snapshot.fetching.is_some() {
            return;
        }
        if let Some(table) = snapshot.plan.left.first() {
            let from = (snapshot.conn.take(), table.clone(), snapshot.plan.after.clone());
            let (spec, facts, clock) = (self.spec.clone(), self.facts.clone(), self.context.clock.clone());
            snapshot.fetching = Some(Box::pin(fetch(spec, facts, from, clock)));
        }
    }

    fn fetched(&mut self, (conn, piece): (Conn, Option<Piece>)) {
        let Some(snapshot) = &mut self.snapshot else { return };
        snapshot.conn = Some(conn);
        self.heard = now();
        match piece {
            Some(piece) => snapshot.piece = Some(piece),
            // The table is gone.
            None => {
                snapshot.plan.left.remove(0);
                snapshot.plan.after = None;
            }
        }
    }

    /// The batch with the positions behind it; none if there is nothing to save.
    fn take_off(&mut self) -> Option<BoxFuture<'static, Option<Receipt>>> {
        let batch = std::mem::take(&mut self.gathered);
        self.save_at = now() + self.spec.heartbeat;
        let mut positions = vec![(Arc::from(BINLOG), self.walk.position(self.within).text())];
        let plan = self.snapshot.as_ref().map(|snapshot| snapshot.plan.text());
        positions.extend(plan.map(|plan| (Arc::from(SNAPSHOT), plan)));
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.plan.left.is_empty()) {
            self.snapshot = None;
        }
        positions.retain(|position| !self.saved.contains(position));
        if batch.events.is_empty() && positions.is_empty() {
            return None;
        }
        self.saved.retain(|(partition, _)| positions.iter().all(|(moved, _)| moved != partition));
        self.saved.extend(positions.iter().cloned());
        let context = self.context;
        let arrivals = arrivals(context, batch.events, positions);
        let stored = offer(context.ingress.clone(), context.health.clone(), context.stop.clone(), arrivals);
        Some(Box::pin(stored))
    }

    fn silent(&self) -> SourceError {
        let seconds = (self.spec.heartbeat * SILENT_BEATS).as_secs();
        let message = format!("the server gave no sign of life for {seconds} s");
        error("mysql-silent", message, "it is connected to anew; a longer `heartbeat` waits longer")
    }
}

fn log_error(message: &str) -> SourceError {
    error(
        "mysql-log",
        message,
        "it is read anew from the saved position; the manual page lists what is not read",
    )
}

fn broken(raw: &Raw<'_>, why: &Malformed) -> SourceError {
    log_error(&format!("the event of type {} that ends at {} cannot be read: {why}", raw.kind, raw.end))
}

fn ended() -> SourceError {
    error("mysql-unreachable", "the server ended the stream of its log", "it is connected to anew")
}

/// Waits for the batch in flight, for ever if there is none. None when it will not be stored.
async fn landed(flight: &mut Option<BoxFuture<'static, Option<Receipt>>>) -> Option<Receipt> {
    let Some(flying) = flight.as_mut() else {
        return std::future::pending().await;
    };
    let stored = flying.as_mut().await;
    *flight = None;
    stored
}

/// Waits for the piece that is asked for, for ever if there is none.
async fn fetched(snapshot: &mut Option<Snapshot>) -> Result<(Conn, Option<Piece>), SourceError> {
    let Some(fetching) = snapshot.as_mut().and_then(|snapshot| snapshot.fetching.as_mut()) else {
        return std::future::pending().await;
    };
    let fetched = fetching.as_mut().await;
    if let Some(snapshot) = snapshot {
        snapshot.fetching = None;
    }
    fetched
}
