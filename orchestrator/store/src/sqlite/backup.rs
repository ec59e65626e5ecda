//! Copies of a database, made while a server writes it; the look at a database without opening it as a store.
//!
//! A copy is one read transaction: it holds every commit up to its beginning and nothing after. Writes nothing into the
//! database it copies.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::schema::APPLICATION_ID;
use super::{BUSY, OpenError, lock};
use crate::FORMAT;

/// Copies the database at `from` to a new file at `to`. The copy is flushed, complete in one file, and has no writer.
pub fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let source = open(from)?;
    let mut target = Connection::open(to)?;
    {
        let backup = Backup::new(&source, &mut target)?;
        // All pages in one step: the writer of the source goes on meanwhile, and never restarts the copy.
        if backup.step(-1)? != StepResult::Done {
            return Err(OpenError::Busy(from.to_owned()));
        }
    }
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    target.close().map_err(|(_, error)| error)?;
    let io = |error| OpenError::Io(to.to_owned(), error);
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(io)
}

/// The format of a database of Tidemill, which need not be one that this release knows; 0 for an empty file.
pub fn format(path: &Path) -> Result<u32, OpenError> {
    let conn = open(path)?;
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION_ID && (application, version) != (0, 0) {
        return Err(OpenError::Foreign);
    }
    Ok(version)
}

/// What is broken in a database, in SQLite's words; nothing if it is whole. Reads all of it.
pub fn damage(path: &Path) -> Result<Vec<String>, OpenError> {
    let version = format(path)?;
    if version > FORMAT {
        return Err(OpenError::TooNew { found: version, known: FORMAT });
    }
    let conn = open(path)?;
    let mut check = conn.prepare("PRAGMA integrity_check")?;
    let lines = check.query_map([], |row| row.get::<_, String>(0))?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Holds the lock of a store's folder as long as the result lives: no process opens a store there meanwhile.
pub fn hold(folder: &Path) -> Result<impl Sized + use<>, OpenError> {
    lock(folder)
}

/// A connection beside the writer's. It may write nothing but the shared files of the log, which a reader needs.
fn open(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::Options;
    use crate::{SqliteStore, Store};

    #[test]
    fn a_copy_is_whole_and_apart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (from, to) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let store = SqliteStore::open(&from, Options::default()).expect("a store");
        copy(&from, &to).expect("a copy beside the writer");
        assert_eq!(format(&to).expect("a database"), FORMAT);
        assert_eq!(damage(&to).expect("a database"), Vec::<String>::new());
        assert!(!dir.path().join("b.db-wal").exists());
        store.close();
        assert!(copy(&dir.path().join("absent.db"), &dir.path().join("c.db")).is_err());
    }

    #[test]
    fn damage_and_strangers_are_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.db");
        drop(SqliteStore::open(&path, Options::default()).expect("a store"));
        let copied = dir.path().join("b.db");
        copy(&path, &copied).expect("a copy");
        let mut bytes = std::fs::read(&copied).expect("its bytes");
        let length = bytes.len();
        bytes[length / 2..length / 2 + 4096].fill(0xee);
        std::fs::write(&copied, bytes).expect("broken bytes");
        assert!(damage(&copied).map_or(true, |told| !told.is_empty()));
        let other = dir.path().join("c.db");
        let conn = Connection::open(&other).expect("a database");
        conn.execute_batch("CREATE TABLE x(y); PRAGMA user_version = 3").expect("a table");
        assert!(matches!(format(&other), Err(OpenError::Foreign)));
    }
}
