//! Checkpoints: the log file of SQLite back into the database, off the commit path.
//!
//! Owns when and on which thread. Each checkpoint is a passive one: it waits for nobody and nobody waits for it. A
//! thread of its own moves the bulk; what was written meanwhile the writer moves between two transactions, after which
//! SQLite begins its log file anew by itself.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};

use super::BUSY;

/// Log file size at which a checkpoint begins, at most and at least; between them a share of the file system.
const MOST: u64 = 48 << 20;
const LEAST: u64 = 1 << 20;
const SHARE: u64 = 32;

/// The writer moves the rest itself when it is at most one part in so many of the log, or the log is this many times
/// the size it should have.
const REST: u64 = 8;
const OVERGROWN: u64 = 4;

/// The writer's end of the checkpointing thread.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
    frames: Arc<AtomicU64>,
    threshold: u64,
}

#[derive(Default)]
struct Progress {
    running: AtomicBool,
    moved: AtomicU64,
}

impl Checkpointer {
    /// Starts the thread. `total` is the size of the file system, in bytes.
    pub(super) fn start(path: &Path, page_size: u64, total: u64) -> rusqlite::Result<Checkpointer> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.execute_batch(
            "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL; PRAGMA cache_size = -256",
        )?;
        let (wake, woken) = sync_channel(1);
        let progress = Arc::new(Progress::default());
        let seen = progress.clone();
        let thread = std::thread::Builder::new().name("store-checkpoint".into());
        let thread = thread.spawn(move || move_bulk(&conn, &woken, &seen)).ok();
        let threshold = (total / SHARE).clamp(LEAST, MOST) / page_size;
        let frames = Arc::new(AtomicU64::new(0));
        Ok(Checkpointer { wake: Some(wake), thread, progress, frames, threshold })
    }

    /// Watches the commits of the writer's connection: each tells how many frames the log file has.
    pub(super) fn watch(&self, conn: &mut Connection) -> rusqlite::Result<()> {
        let seen = self.frames.clone();
        let committed = move |_: &mut Wal, frames: c_int| {
            seen.store(frames as u64, Ordering::Relaxed);
            Ok(())
        };
        conn.wal_hook(Some(committed))
    }

    /// Called by the writer after each commit.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < self.threshold || self.progress.running.load(Ordering::Acquire) {
            return;
        }
        let rest = frames.saturating_sub(self.progress.moved.swap(0, Ordering::AcqRel));
        if rest <= self.threshold / REST || frames > self.threshold * OVERGROWN {
            let _ = passive(conn);
        } else if let Some(wake) = &self.wake {
            self.progress.running.store(true, Ordering::Release);
            if wake.try_send(()).is_err() {
                self.progress.running.store(false, Ordering::Release);
            }
        }
    }

    /// Moves everything and cuts the log file off, if nobody reads it: gives its space back.
    pub(super) fn reclaim(conn: &Connection) {
        let _ = conn.busy_timeout(Duration::ZERO);
        let _ = run(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
        let _ = conn.busy_timeout(BUSY);
    }

    /// Ends the thread and moves everything.
    pub(super) fn finish(mut self, conn: &Connection) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        Checkpointer::reclaim(conn);
    }
}

fn move_bulk(conn: &Connection, woken: &Receiver<()>, progress: &Progress) {
    while woken.recv().is_ok() {
        let moved = passive(conn).unwrap_or(0);
        progress.moved.store(moved, Ordering::Release);
        progress.running.store(false, Ordering::Release);
    }
}

/// Frames moved so far.
fn passive(conn: &Connection) -> rusqlite::Result<u64> {
    run(conn, "PRAGMA wal_checkpoint(PASSIVE)")
}

fn run(conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
    conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(2)).map(|frames| frames.max(0) as u64)
}
