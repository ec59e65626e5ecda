//! The SQLite store: one file, one writer, readers of their own (D2, D8).
//!
//! Owns opening, the lock of the folder, and the threads. What the parts of a batch mean is stated by the memory store.
//!
//! Files beside the database `P`: `P-wal` and `P-shm` (SQLite's own), `lock` (held while the store is open), `reserve`
//! (space for running work on a full disk). Completions are called on the writer's thread, in the order of submission
//! within a commit.

mod apply;
pub mod backup;
mod blobs;
mod checkpoint;
mod codec;
mod executions;
mod ingest;
mod marks;
mod operator;
mod pool;
mod prepare;
mod queries;
mod retention;
mod schema;
mod seen;
mod space;
mod view;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};
use rustix::fs::{FlockOperation, flock};

use self::apply::Positions;
use self::checkpoint::Checkpointer;
use self::pool::Pool;
use self::prepare::Prepared;
use self::seen::SeenDays;
use self::space::Space;
use self::writer::{Shared, Writer};
use crate::batch::{Batch, Refusal};
use crate::read::ReadResult;
use crate::{Completion, Counters, Store};

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk: survives a power cut.
    #[default]
    Disk,
    /// The system has it: survives the end of the process; a power cut loses the last commits, never more.
    Process,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// When a commit counts as durable.
    pub durability: Durability,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another store of this one) has the folder.
    #[error("open the store: the folder {0} is in use by another process")]
    Locked(PathBuf),
    /// The file was written by a later version.
    #[error("open the store: its format {found} is later than {known}, the latest this version knows")]
    TooNew {
        /// The file's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The file is a SQLite database of something else.
    #[error("open the store: the file is a database, but not of Tidemill")]
    Foreign,
    /// Another process holds it.
    #[error("open the store: {0} is held by another process")]
    Busy(PathBuf),
    /// The file system refuses.
    #[error("open the store: {0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// The database refuses.
    #[error("open the store: {0}")]
    Sql(#[from] rusqlite::Error),
}

/// A store in a SQLite file.
pub struct SqliteStore {
    shared: Arc<Shared>,
    pool: Pool,
    running: Mutex<Option<Running>>,
}

/// What lasts from opening to closing.
struct Running {
    writer: JoinHandle<()>,
    lock: File,
}

/// How long the writer waits for a lock another process holds (a backup, for example).
const BUSY: Duration = Duration::from_secs(10);

impl SqliteStore {
    /// Opens or creates the database at `path`, in a folder that is made if missing and locked while the store is open.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<SqliteStore, OpenError> {
        let path = path.as_ref();
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let io = |error| OpenError::Io(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(io)?;
        let lock = lock(folder)?;
        let mut space = Space::open(folder).map_err(io)?;
        space.make_way_to_open();
        let mut conn = connect(path, options)?;
        let page_size = conn.pragma_query_value(None, "page_size", |row| codec::number(row, 0))?;
        let shared = Arc::new(Shared::new(space.low()));
        let checkpointer = Checkpointer::start(path, page_size, space.total())?;
        checkpointer.watch(&mut conn)?;
        let writer = Writer {
            shared: shared.clone(),
            at: Positions::load(&conn)?,
            seen: SeenDays::load(&conn)?,
            checkpointer,
            vacuum: false,
            conn,
            space,
        };
        let thread = std::thread::Builder::new().name("store-writer".into());
        let writer = thread.spawn(move || writer.run()).map_err(io)?;
        let running = Mutex::new(Some(Running { writer, lock }));
        Ok(SqliteStore { shared, pool: Pool::new(path.to_owned()), running })
    }

    fn read<T>(&self, read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> ReadResult<T> {
        self.pool.read(read)
    }
}

impl Store for SqliteStore {
    fn submit(&self, batch: Batch, done: Completion) {
        if let Err(refused) = self.shared.submit(Prepared::new(batch, done)) {
            (refused.done)(Err(Refusal::Closed));
        }
    }

    fn counters(&self) -> Counters {
        self.shared.counters()
    }

    fn full(&self) -> bool {
        self.shared.full()
    }

    fn close(&self) {
        self.shared.close();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { writer, lock }) = running.take() {
            self.pool.close();
            let _ = writer.join();
            drop(lock);
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let io = |error| OpenError::Io(folder.to_owned(), error);
    let path = folder.join("lock");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked(folder.to_owned())),
        Err(error) => Err(io(error.into())),
    }
}

/// KiB of pages the writer keeps. A commit after a page split walks all of them (SQLite forgets those behind the file's
/// end), so four times as many cost it a fifth more CPU; what is not kept is in the system's own cache.
const CACHE: u32 = 8192;

/// The writer's connection, its file up to date.
fn connect(path: &Path, options: Options) -> Result<Connection, OpenError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    schema::lay_out(&conn)?;
    let synchronous = match options.durability {
        Durability::Disk => "FULL",
        Durability::Process => "NORMAL",
    };
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.execute_batch(&format!(
        "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE}; PRAGMA trusted_schema = 0"
    ))?;
    conn.set_prepared_statement_cache_capacity(128);
    schema::migrate(&mut conn)?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    Ok(conn)
}
