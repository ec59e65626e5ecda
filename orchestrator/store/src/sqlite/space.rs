//! Free space: when new work is refused, and the reserve that running work may use (D14).
//!
//! Owns the reserve file and the judgement of space. Refuses nothing itself: the writer does.
//!
//! The reserve is a file of 32 MiB beside the database. Space it has lost counts as used, so giving some of it to
//! running work does not let new work in again. It is given in small pieces, so that whoever fills the disk does not
//! take all of it at once, and the last piece is kept for opening the database on a full disk.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs, ftruncate};

const MIB: u64 = 1 << 20;

/// Below this much free space new work is refused (limit `disk-free`).
pub(super) const LOW: u64 = 16 * MIB;

/// Size of the reserve (limit `disk-reserve`); smaller where the file system has no room for it at first.
const RESERVE: u64 = 32 * MIB;

/// The reserve is rebuilt when this much is free beyond it and the low mark.
const ROOM: u64 = 8 * MIB;

/// Running work wants at least this much free.
const ENOUGH: u64 = 2 * MIB;

/// What is given from the reserve at once.
const PIECE: u64 = 4 * MIB;

/// What is kept for opening.
const LAST: u64 = 2 * MIB;

/// How long a look at the file system holds.
const FRESH: Duration = Duration::from_millis(50);

/// How long new work is refused after the database itself found no space.
const DOUBT: Duration = Duration::from_secs(1);

/// The space of the folder the database lies in.
pub(super) struct Space {
    reserve: File,
    held: u64,
    target: u64,
    free: u64,
    total: u64,
    looked: Instant,
    doubt: Option<Instant>,
}

impl Space {
    /// Takes up the reserve file of a folder, without growing it.
    pub(super) fn open(folder: &Path) -> std::io::Result<Space> {
        let path = folder.join("reserve");
        let reserve = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let held = reserve.metadata()?.len();
        let now = Instant::now(); // tidy: clock, pacing
        let mut space = Space { reserve, held, target: RESERVE, free: 0, total: 0, looked: now, doubt: None };
        space.look(now);
        let spare = space.free.saturating_sub(LOW + ROOM);
        if held == 0 && spare < RESERVE {
            space.target = spare / 2;
        }
        Ok(space)
    }

    /// Gives the database what it needs to open, if the disk is full.
    pub(super) fn make_way_to_open(&mut self) {
        if self.free < MIB && self.held > 0 {
            self.resize(self.held.saturating_sub(LAST));
        }
    }

    /// Size of the file system.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Looks again if the last look is old. Rebuilds the reserve where there is room. Tells whether new work is
    /// refused.
    pub(super) fn low(&mut self) -> bool {
        let now = Instant::now(); // tidy: clock, pacing
        if now.duration_since(self.looked) >= FRESH {
            self.look(now);
        }
        if self.held < self.target && self.free >= self.target - self.held + LOW + ROOM {
            self.resize(self.target);
        }
        self.doubt = self.doubt.filter(|since| now.duration_since(*since) < DOUBT);
        self.doubt.is_some() || self.free < LOW + (self.target - self.held.min(self.target))
    }

    /// Makes room for running work from the reserve if little is left. Tells whether it is worth a try to write.
    pub(super) fn make_way(&mut self) -> bool {
        if self.free < ENOUGH && self.held > LAST {
            self.resize(self.held.saturating_sub(PIECE).max(LAST));
        }
        self.free >= ENOUGH / 4
    }

    /// The database found no space, whatever the file system says.
    pub(super) fn refuted(&mut self) {
        let now = Instant::now(); // tidy: clock, pacing
        self.doubt = Some(now);
        self.look(now);
        if self.held > LAST {
            self.resize(self.held.saturating_sub(PIECE).max(LAST));
        }
    }

    fn look(&mut self, now: Instant) {
        self.looked = now;
        if let Ok(stat) = fstatvfs(&self.reserve) {
            self.free = stat.f_bavail.saturating_mul(stat.f_frsize);
            self.total = stat.f_blocks.saturating_mul(stat.f_frsize);
        }
    }

    /// Best effort: what cannot be had now is tried again later.
    fn resize(&mut self, size: u64) {
        let done = if size < self.held {
            ftruncate(&self.reserve, size)
        } else {
            fallocate(&self.reserve, FallocateFlags::empty(), 0, size)
        };
        match done {
            Ok(()) => self.held = size,
            Err(_) if size > self.held => drop(ftruncate(&self.reserve, self.held)),
            Err(_) => {}
        }
        self.look(Instant::now()); // tidy: clock, pacing
    }
}
