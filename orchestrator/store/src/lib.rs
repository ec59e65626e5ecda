//! The store: one write method, readers apart; memory (the specification), SQLite.
//!
//! # Contract
//! - [`Store::submit`] never blocks. Batches of one caller commit in the order of submission. A batch is atomic: all
//!   of its parts or none. Batches waiting together share one transaction (natural group commit, D2); if one cannot be
//!   applied the transaction is redone without it and only that batch is refused.
//! - The completion is called exactly once, after the commit is durable (or refused), on the store's thread: it must
//!   hand over and return.
//! - Positions (`pos`) come from one rising counter for log and events (D9).
//! - Readers see every commit whose completion has been called.
//! - Disk full (D14): batches of [`Class::New`] are refused with [`Refusal::Full`] below the low mark; batches of
//!   [`Class::Running`] use the reserve, then wait until space returns. Nothing acknowledged is lost.
//!
//! Holds no decisions and knows no HTTP. May import the record types of the engine, never its deciding part.

pub mod batch;
pub mod memory;
pub mod read;
pub mod sqlite;

use tidemill_dsl::ids::Time;

pub use batch::*;
pub use memory::MemoryStore;
pub use read::*;
pub use sqlite::SqliteStore;

/// Version of the stored form (D13). A store of a later one is not opened; an earlier one is migrated.
pub const FORMAT: u32 = 4;

/// The day of an instant, counted from the epoch: event keys are kept by day (D8).
pub(crate) fn day(at: Time) -> i64 {
    at.0.div_euclid(86_400_000)
}

/// A store. All methods may be called from any thread; reads block the calling thread on disk.
pub trait Store: Read + Send + Sync + 'static {
    /// Hands over a batch. The completion tells what became of it.
    fn submit(&self, batch: Batch, done: Completion);

    /// Counters since opening: what benches and tests assert on.
    fn counters(&self) -> Counters;

    /// Whether new work is refused for want of space (D14).
    fn full(&self) -> bool;

    /// Waits until everything submitted is durable, checkpoints, releases files. Further batches are refused.
    fn close(&self);
}

/// Called once, after the commit or the refusal, on the store's own thread.
pub type Completion = Box<dyn FnOnce(Result<Committed, Refusal>) + Send>;

/// Counters since opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions committed.
    pub commits: u64,
    /// Batches committed.
    pub batches: u64,
    /// Transitions appended.
    pub transitions: u64,
    /// Rows written (inserted, updated, deleted).
    pub rows: u64,
    /// Body bytes written.
    pub bytes: u64,
    /// CPU time of the writer thread, microseconds.
    pub writer_cpu_us: u64,
    /// CPU time of the writer thread within SQLite, the system's writes and flushes included, microseconds.
    pub sqlite_cpu_us: u64,
    /// Time spent waiting for the flush, microseconds.
    pub flush_us: u64,
}
