//! The writer: one thread, one connection, everything that waits in one transaction (natural group commit, D2).
//!
//! Owns the queue, the transaction, the order of completions and what happens when the disk is full (D14). What the
//! parts mean is not known here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::apply::{Applying, Positions, Stop, Tally};
use super::checkpoint::Checkpointer;
use super::prepare::Prepared;
use super::retention;
use super::seen::SeenDays;
use super::space::Space;
use crate::Counters;
use crate::batch::{Class, Committed, OperatorChange, Part, Refusal};

/// Records in one transaction (limit `commit-records`); a single batch may have more.
const RECORDS: usize = 8192;

/// Bytes in one transaction (limit `commit-bytes`); a single batch may have more.
const BYTES: usize = 8 << 20;

/// How often a writer with nothing to write looks at the disk while it is full, and tries again what waits.
const RETRY: Duration = Duration::from_millis(50);

type Outcome = Result<Committed, Refusal>;

/// What the writer shares with those who submit.
#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    full: AtomicBool,
    commits: AtomicU64,
    batches: AtomicU64,
    transitions: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    cpu: AtomicU64,
    flush: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Prepared>,
    closing: bool,
    gone: bool,
}

impl Shared {
    /// Nothing waits; `full` tells whether new work is refused from the start.
    pub(super) fn new(full: bool) -> Shared {
        Shared { full: AtomicBool::new(full), ..Shared::default() }
    }

    /// Hands a batch over, or gives it back if the writer takes no more.
    pub(super) fn submit(&self, prepared: Prepared) -> Result<(), Prepared> {
        let mut queue = self.queue();
        if queue.closing || queue.gone {
            return Err(prepared);
        }
        queue.waiting.push_back(prepared);
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Asks the writer to write what waits and end.
    pub(super) fn close(&self) {
        self.queue().closing = true;
        self.filled.notify_one();
    }

    /// Whether new work is refused.
    pub(super) fn full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Counters since opening.
    pub(super) fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            commits: read(&self.commits),
            batches: read(&self.batches),
            transitions: read(&self.transitions),
            rows: read(&self.rows),
            bytes: read(&self.bytes),
            writer_cpu_us: read(&self.cpu),
            flush_us: read(&self.flush),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, batches: u64, tally: Tally, flush: Duration) {
        let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.commits, 1);
        add(&self.batches, batches);
        add(&self.transitions, tally.transitions);
        add(&self.rows, tally.rows);
        add(&self.bytes, tally.bytes);
        add(&self.flush, flush.as_micros() as u64);
    }
}

/// What the writer's thread owns.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) space: Space,
    pub(super) at: Positions,
    pub(super) seen: SeenDays,
    pub(super) checkpointer: Checkpointer,
    pub(super) vacuum: bool,
}

/// How a transaction ended.
enum Attempt {
    /// Committed; one outcome for each batch.
    Done(Vec<Outcome>),
    /// A batch was refused: again, with a savepoint for each.
    Again,
    /// There was no space.
    NoSpace,
    /// The database failed; whether it committed is not known.
    Failed(rusqlite::Error),
}

impl Writer {
    /// Writes until it is asked to end.
    pub(super) fn run(mut self) {
        while let Some(group) = self.gather() {
            if group.is_empty() {
                self.idle();
            } else {
                let retain = group.iter().any(retains);
                self.commit(group);
                self.vacuum |= retain;
                self.checkpointer.after_commit(&self.conn);
            }
            self.shared.cpu.store(cpu_time(), Ordering::Relaxed);
        }
        self.shared.queue().gone = true;
        self.checkpointer.finish(&self.conn);
    }

    /// What waits, up to the caps; empty if there is other work; none at the end.
    fn gather(&mut self) -> Option<VecDeque<Prepared>> {
        let shared = self.shared.clone();
        let mut queue = shared.queue();
        if queue.gone {
            let late = std::mem::take(&mut queue.waiting);
            drop(queue);
            finish(late, |_| Err(Refusal::Closed));
            return None;
        }
        while queue.waiting.is_empty() {
            if queue.closing {
                return None;
            }
            if self.vacuum {
                return Some(VecDeque::new());
            }
            if shared.full() {
                let waited = shared.filled.wait_timeout(queue, RETRY).unwrap_or_else(PoisonError::into_inner);
                queue = waited.0;
                self.look();
            } else {
                queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let (mut records, mut bytes, mut count) = (0, 0, 0);
        for prepared in &queue.waiting {
            records += prepared.records;
            bytes += prepared.bytes;
            if count > 0 && (records > RECORDS || bytes > BYTES) {
                break;
            }
            count += 1;
        }
        if count == queue.waiting.len() {
            return Some(std::mem::take(&mut queue.waiting));
        }
        Some(queue.waiting.drain(..count).collect())
    }

    /// Looks at the disk and tells the others.
    fn look(&mut self) -> bool {
        let low = self.space.low();
        if self.shared.full.swap(low, Ordering::Relaxed) != low && low {
            Checkpointer::reclaim(&self.conn);
        }
        low
    }

    fn idle(&mut self) {
        self.vacuum = retention::shrink(&self.conn).unwrap_or(false);
        if !self.vacuum {
            Checkpointer::reclaim(&self.conn);
        }
    }

    /// Commits a group, whatever it takes: until each of its batches is durable or refused.
    fn commit(&mut self, mut group: VecDeque<Prepared>) {
        let mut careful = false;
        loop {
            if self.look() {
                group = refuse_new(group);
                if group.is_empty() {
                    return;
                }
                if !self.space.make_way() && !self.wait_for_space() {
                    return finish(group, |_| Err(Refusal::Full));
                }
            }
            match self.attempt(&group, careful) {
                Attempt::Done(outcomes) => {
                    let mut outcomes = outcomes.into_iter();
                    return finish(group, |_| outcomes.next().unwrap_or(Err(Refusal::Closed)));
                }
                Attempt::Again => careful = true,
                Attempt::NoSpace => {
                    careful = false;
                    self.space.refuted();
                    self.shared.full.store(true, Ordering::Relaxed);
                    Checkpointer::reclaim(&self.conn);
                    if !group.iter().any(|p| p.batch.class == Class::New) && !self.wait_for_space() {
                        return finish(group, |_| Err(Refusal::Full));
                    }
                }
                Attempt::Failed(error) => {
                    // Whether it committed is not known, and what follows may build on it: nothing more is written.
                    self.shared.queue().gone = true;
                    let failed = Refusal::Failed(error.to_string().into());
                    return finish(group, |_| Err(failed.clone()));
                }
            }
        }
    }

    /// Waits a moment while running work has no space; what is new in the queue is refused meanwhile. Tells whether to
    /// try again: not if the store is closing.
    fn wait_for_space(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut queue = shared.queue();
        if !queue.closing {
            let waited = shared.filled.wait_timeout(queue, RETRY).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
        }
        let waiting = std::mem::take(&mut queue.waiting);
        let closing = queue.closing;
        drop(queue);
        let mut kept = refuse_new(waiting);
        let mut queue = shared.queue();
        kept.append(&mut queue.waiting);
        queue.waiting = kept;
        !closing
    }

    fn attempt(&mut self, group: &VecDeque<Prepared>, careful: bool) -> Attempt {
        let before = (self.at, self.seen.clone());
        let outcome = self.transact(group, careful);
        if matches!(outcome, Ok(Some(_))) {
            return Attempt::Done(outcome.ok().flatten().unwrap_or_default());
        }
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        (self.at, self.seen) = before;
        match outcome {
            Ok(_) => Attempt::Again,
            Err(error) if no_space(&error) => Attempt::NoSpace,
            Err(error) if !careful && of_batch(&error) => Attempt::Again,
            Err(error) => Attempt::Failed(error),
        }
    }

    /// One transaction over the group. None: a batch was refused and nothing is committed.
    fn transact(
        &mut self,
        group: &VecDeque<Prepared>,
        careful: bool,
    ) -> rusqlite::Result<Option<Vec<Outcome>>> {
        let conn = &self.conn;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut applying = Applying::new(conn, self.at, &mut self.seen)?;
        let mut outcomes = Vec::with_capacity(group.len());
        for prepared in group {
            let outcome = if careful { guarded(&mut applying, prepared) } else { applying.batch(prepared) };
            match outcome {
                Ok(committed) => outcomes.push(Ok(committed)),
                Err(Stop::Refused(refusal)) if careful => outcomes.push(Err(refusal)),
                Err(Stop::Refused(_)) => return Ok(None),
                Err(Stop::Sql(error)) => return Err(error),
            }
        }
        let (at, tally) = (applying.at, applying.tally);
        if applying.save {
            at.save(conn)?;
        }
        drop(applying);
        let start = Instant::now(); // tidy: clock, how long a commit takes
        conn.prepare_cached("COMMIT")?.execute([])?;
        self.at = at;
        let applied = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        self.shared.count(applied, tally, start.elapsed());
        Ok(Some(outcomes))
    }
}

/// Applies a batch within a savepoint: a refusal takes back this batch alone.
fn guarded(applying: &mut Applying<'_>, prepared: &Prepared) -> Result<Committed, Stop> {
    let before = (applying.at, applying.seen.clone(), applying.tally, applying.save);
    applying.conn.prepare_cached("SAVEPOINT batch")?.execute([])?;
    let outcome = match applying.batch(prepared) {
        Err(Stop::Sql(error)) if of_batch(&error) => {
            Err(Stop::Refused(Refusal::Failed(error.to_string().into())))
        }
        outcome => outcome,
    };
    if let Err(Stop::Refused(_)) = outcome {
        applying.conn.prepare_cached("ROLLBACK TO batch")?.execute([])?;
        applying.at = before.0;
        *applying.seen = before.1;
        (applying.tally, applying.save) = (before.2, before.3);
    }
    applying.conn.prepare_cached("RELEASE batch")?.execute([])?;
    outcome
}

/// Completes every batch of a group, in order.
fn finish(group: VecDeque<Prepared>, mut outcome: impl FnMut(&Prepared) -> Outcome) {
    for prepared in group {
        let outcome = outcome(&prepared);
        (prepared.done)(outcome);
    }
}

/// Refuses what is new; gives back the rest.
fn refuse_new(group: VecDeque<Prepared>) -> VecDeque<Prepared> {
    let (new, running): (VecDeque<_>, VecDeque<_>) =
        group.into_iter().partition(|prepared| prepared.batch.class == Class::New);
    finish(new, |_| Err(Refusal::Full));
    running
}

fn retains(prepared: &Prepared) -> bool {
    let retains = |change: &OperatorChange| {
        matches!(change, OperatorChange::Retain { .. } | OperatorChange::DropNamespace { .. })
    };
    prepared.batch.parts.iter().any(|part| match part {
        Part::Operator(changes) => changes.iter().any(retains),
        _ => false,
    })
}

/// Whether an error is of the batch alone (what it asks for cannot be stored), not of the database.
fn of_batch(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(
                failure.code,
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
            )
        }
        _ => false,
    }
}

/// Whether an error says that there is no space: SQLite names it so, or the system does in the course of a write.
fn no_space(error: &rusqlite::Error) -> bool {
    const IOERR_WRITE: i32 = 778;
    const IOERR_SHMSIZE: i32 = 4874;
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            failure.code == ErrorCode::DiskFull
                || matches!(failure.extended_code, IOERR_WRITE | IOERR_SHMSIZE)
        }
        _ => false,
    }
}

/// CPU time of this thread, microseconds.
fn cpu_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}
