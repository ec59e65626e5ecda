//! The stored form and the way to it from every earlier one (D8, D13).
//!
//! Owns the tables, the migrations and the check of who may open a file. Every later version appends one step to
//! [`STEPS`]; a step that was released is never edited.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tidemill_dsl::ids::SHARDS;

use super::OpenError;
use crate::FORMAT;

/// Marks a file as Tidemill's in its header: "TIDE".
pub(super) const APPLICATION_ID: i64 = 0x5449_4445;

/// Bytes of a page. Measured against 8 and 16 KiB: the same CPU and bytes per transition with a thousand executions at
/// a time, a third fewer bytes with a hundred and with one.
const PAGE_SIZE: u32 = 4096;

/// Step n leads from version n to version n + 1.
const STEPS: [&str; FORMAT as usize] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];

const VERSION_1: &str = "
CREATE TABLE log(
    pos INTEGER PRIMARY KEY, exec BLOB NOT NULL, ns TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    time INTEGER NOT NULL, life INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX log_exec ON log(exec);
CREATE INDEX log_life ON log(life) WHERE life = 1;

CREATE TABLE execution(
    row INTEGER PRIMARY KEY, id BLOB NOT NULL, ns TEXT NOT NULL, workflow TEXT NOT NULL, version TEXT NOT NULL,
    digest BLOB NOT NULL, status INTEGER NOT NULL, created INTEGER NOT NULL, started INTEGER, ended INTEGER,
    listed INTEGER NOT NULL, trigger TEXT, binding TEXT, source TEXT, event TEXT, attempt INTEGER NOT NULL,
    parent BLOB, visit INTEGER, awaited INTEGER, start_key TEXT, tags BLOB, result BLOB);
CREATE UNIQUE INDEX execution_id ON execution(id);
CREATE INDEX execution_workflow ON execution(ns, workflow, listed, id);
CREATE INDEX execution_status ON execution(ns, status, listed, id);
CREATE INDEX execution_trigger ON execution(ns, trigger, listed, id) WHERE trigger IS NOT NULL;
CREATE INDEX execution_event ON execution(event, source) WHERE event IS NOT NULL;
CREATE INDEX execution_parent ON execution(parent) WHERE parent IS NOT NULL;
CREATE INDEX execution_live ON execution(id) WHERE status IN (0, 1, 3);
CREATE INDEX execution_ended ON execution(ended, id) WHERE ended IS NOT NULL;

CREATE TABLE start_key(
    ns TEXT, workflow TEXT, key TEXT, exec BLOB NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(ns, workflow, key)) WITHOUT ROWID;
CREATE TABLE tag(ns TEXT, name TEXT, value TEXT, exec BLOB, PRIMARY KEY(ns, name, value, exec)) WITHOUT ROWID;
CREATE TABLE removal(exec BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE state(exec BLOB PRIMARY KEY, next INTEGER NOT NULL, transitions INTEGER NOT NULL, body BLOB NOT NULL);

CREATE TABLE due(at INTEGER, exec BLOB, visit INTEGER, kind INTEGER, PRIMARY KEY(at, exec, visit, kind)) WITHOUT ROWID;
CREATE TABLE subscription(
    exec BLOB, visit INTEGER, ns TEXT NOT NULL, type TEXT, since INTEGER NOT NULL,
    PRIMARY KEY(exec, visit)) WITHOUT ROWID;
CREATE TABLE inbox(
    shard INTEGER, exec BLOB, number INTEGER, body BLOB NOT NULL, PRIMARY KEY(shard, exec, number)) WITHOUT ROWID;
CREATE TABLE epoch(shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);

CREATE TABLE event(
    pos INTEGER PRIMARY KEY, ns TEXT NOT NULL, type TEXT NOT NULL, binding TEXT NOT NULL, accepted INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX event_type ON event(ns, type);
CREATE TABLE mark(pos INTEGER PRIMARY KEY, earliest INTEGER NOT NULL, latest INTEGER NOT NULL);

CREATE TABLE delivery(
    pos INTEGER PRIMARY KEY, ns TEXT NOT NULL, trigger TEXT NOT NULL, exec BLOB NOT NULL, state INTEGER NOT NULL,
    okey TEXT, prio INTEGER NOT NULL, attempt INTEGER NOT NULL, not_before INTEGER NOT NULL);
CREATE INDEX delivery_state ON delivery(ns, trigger, state, prio DESC);
CREATE INDEX delivery_key ON delivery(ns, trigger, okey) WHERE okey IS NOT NULL;
CREATE INDEX delivery_exec ON delivery(exec);
CREATE TABLE bucket(
    ns TEXT, trigger TEXT, tokens REAL NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(ns, trigger)) WITHOUT ROWID;
CREATE TABLE dead_letter(
    id INTEGER PRIMARY KEY, ns TEXT NOT NULL, trigger TEXT NOT NULL, generation INTEGER NOT NULL, cause TEXT NOT NULL,
    binding TEXT NOT NULL, okey TEXT, parked INTEGER, at INTEGER NOT NULL, state INTEGER NOT NULL,
    attempts BLOB NOT NULL, event BLOB NOT NULL);
CREATE INDEX dead_letter_ns ON dead_letter(ns, trigger);
CREATE INDEX dead_letter_settled ON dead_letter(at, id) WHERE state <> 0;

CREATE TABLE definition(
    kind INTEGER NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, digest BLOB NOT NULL,
    generation INTEGER NOT NULL, at INTEGER NOT NULL, current INTEGER NOT NULL, paused INTEGER NOT NULL,
    text TEXT NOT NULL, PRIMARY KEY(kind, ns, name, version, digest));
CREATE TABLE checkpoint(
    ns TEXT, source TEXT, part TEXT, value TEXT NOT NULL, PRIMARY KEY(ns, source, part)) WITHOUT ROWID;
CREATE TABLE namespace(name TEXT PRIMARY KEY, text TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE secret(
    ns TEXT, name TEXT, sealed BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(ns, name)) WITHOUT ROWID;
CREATE TABLE work(id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// Large values by hash; indexes that have the order of every list of executions, tags too.
const VERSION_2: &str = "
CREATE TABLE blob(id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL);
CREATE TABLE blob_use(owner, hash BLOB, PRIMARY KEY(owner, hash)) WITHOUT ROWID;
CREATE INDEX blob_use_hash ON blob_use(hash);

DROP INDEX execution_workflow;
DROP INDEX execution_trigger;
CREATE INDEX execution_workflow ON execution(ns, workflow, status, listed, id);
CREATE INDEX execution_trigger ON execution(ns, trigger, status, listed, id) WHERE trigger IS NOT NULL;

CREATE TABLE listed_tag(
    ns TEXT, name TEXT, value TEXT, listed INTEGER, exec BLOB,
    PRIMARY KEY(ns, name, value, listed, exec)) WITHOUT ROWID;
INSERT INTO listed_tag SELECT t.ns, t.name, t.value, e.listed, t.exec FROM tag t JOIN execution e ON e.id = t.exec;
DROP TABLE tag;
ALTER TABLE listed_tag RENAME TO tag;
CREATE INDEX tag_exec ON tag(exec);
CREATE TRIGGER execution_listed AFTER UPDATE OF listed ON execution
    WHEN old.listed <> new.listed AND new.tags IS NOT NULL
    BEGIN UPDATE tag SET listed = new.listed WHERE exec = new.id; END;
";

/// Retention by namespace: what is removed next is found by it, and so is what was removed. Buckets keep what was missed.
const VERSION_3: &str = "
DROP INDEX execution_ended;
CREATE INDEX execution_ended ON execution(ns, ended, id) WHERE ended IS NOT NULL;
DROP INDEX dead_letter_settled;
CREATE INDEX dead_letter_settled ON dead_letter(ns, at, id) WHERE state <> 0;
ALTER TABLE bucket ADD COLUMN arrears REAL NOT NULL DEFAULT 0;
INSERT INTO counter SELECT counter.name || '/' || namespace.name, counter.value FROM counter, namespace
    WHERE counter.name IN ('removed_log', 'removed_event');
DELETE FROM counter WHERE name IN ('removed_log', 'removed_event');
";

/// Live executions by comparisons: a list after IN is built as a table of its own at every write of a row.
const VERSION_4: &str = "
DROP INDEX execution_live;
CREATE INDEX execution_live ON execution(id) WHERE status < 2 OR status = 3;
";

/// Settings that must stand before the first table is made; without effect on a file that has one.
pub(super) fn lay_out(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "page_size", PAGE_SIZE)?;
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")
}

/// Refuses files that are not ours or of a later version; brings older ones up to date, one step a transaction.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let mut version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > FORMAT {
        return Err(OpenError::TooNew { found: version, known: FORMAT });
    }
    let empty = conn.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(())).optional()?.is_none();
    if application != APPLICATION_ID && !(empty && application == 0) {
        return Err(OpenError::Foreign);
    }
    while version < FORMAT {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(STEPS[version as usize])?;
        version += 1;
        tx.pragma_update(None, "user_version", version)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        let format = version.to_string().into_bytes();
        tx.execute("INSERT OR REPLACE INTO meta VALUES ('format', ?1)", [format])?;
        tx.execute("INSERT OR IGNORE INTO meta VALUES ('shards', ?1)", [SHARDS.to_string().into_bytes()])?;
        tx.commit()?;
    }
    Ok(())
}
