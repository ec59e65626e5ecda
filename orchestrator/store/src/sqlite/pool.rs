//! The readers: a few read-only connections, opened when first needed.
//!
//! Owns how a read gets a connection and one consistent view. A reader never blocks the writer, nor the writer a
//! reader.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::read::{ReadError, ReadResult};

/// Connections at most (limit `store-readers`); further reads wait for one.
const READERS: usize = 8;

/// How long SQLite waits for a lock another process holds.
const BUSY: Duration = Duration::from_secs(10);

/// The pool.
pub(super) struct Pool {
    path: PathBuf,
    free: Mutex<Free>,
    returned: Condvar,
}

#[derive(Default)]
struct Free {
    idle: Vec<Connection>,
    open: usize,
    closed: bool,
}

impl Pool {
    pub(super) fn new(path: PathBuf) -> Pool {
        Pool { path, free: Mutex::default(), returned: Condvar::new() }
    }

    /// Reads within one transaction: one consistent view.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> ReadResult<T> {
        let mut conn = self.take()?;
        let outcome = conn.transaction_with_behavior(TransactionBehavior::Deferred).and_then(|tx| read(&tx));
        self.give(outcome.is_ok().then_some(conn));
        outcome.map_err(|error| failed(&error))
    }

    fn take(&self) -> ReadResult<Connection> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if free.closed {
                return Err(ReadError("the store is closed".into()));
            }
            if let Some(conn) = free.idle.pop() {
                return Ok(conn);
            }
            if free.open < READERS {
                free.open += 1;
                drop(free);
                return open(&self.path).inspect_err(|_| self.give(None)).map_err(|error| failed(&error));
            }
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a connection back; one that failed is closed instead.
    fn give(&self, conn: Option<Connection>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match conn {
            Some(conn) if !free.closed => free.idle.push(conn),
            _ => free.open -= 1,
        }
        self.returned.notify_all();
    }

    /// Refuses further reads and waits for those that run.
    pub(super) fn close(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.closed = true;
        free.open -= free.idle.len();
        free.idle.clear();
        self.returned.notify_all();
        while free.open > 0 {
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn failed(error: &rusqlite::Error) -> ReadError {
    ReadError(error.to_string().into())
}

fn open(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.execute_batch("PRAGMA query_only = 1; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048")?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}
