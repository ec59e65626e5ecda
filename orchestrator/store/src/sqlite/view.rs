//! The reads of the SQLite store.
//!
//! Owns the SQL of every read but the lists of executions. Changes nothing.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};
use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace, Shard, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Due, Subscription, Transition};

use super::SqliteStore;
use super::queries::{
    all, buffer_row, counter, dead_letters, due_row, event, events, first, holder, snapshot,
};
use super::retention::{EVENT, LOG, removed};
use super::{apply, codec, executions};
use crate::batch::{Checkpoint, DeadLetter, Definition, InboxItem, InboxKey, StateSnapshot, StoredBucket};
use crate::read::{
    BufferRow, DeadQuery, DeliveryQuery, EventQuery, ExecutionQuery, ExecutionRow, Read, ReadResult,
    SealedSecret, StoredDelivery, Usage,
};

impl Read for SqliteStore {
    fn log(&self, execution: ExecutionId) -> ReadResult<(Option<StateSnapshot>, Vec<Transition>)> {
        let sql =
            format!("SELECT {} FROM log WHERE exec = ?1 ORDER BY pos LIMIT -1 OFFSET ?2", codec::TRANSITION);
        self.read(|conn| {
            let snapshot = snapshot(conn, execution)?;
            let folded = snapshot.as_ref().map_or(0, |s| s.transitions as i64);
            let rest = all(conn, &sql, params![execution.0, folded], |row| codec::transition(conn, row, 0))?;
            Ok((snapshot, rest))
        })
    }

    fn transitions(
        &self,
        execution: ExecutionId,
        sequence: u64,
        limit: usize,
    ) -> ReadResult<Vec<Transition>> {
        let sql = format!(
            "SELECT {} FROM log WHERE exec = ?1 AND pos >= ?2 ORDER BY pos LIMIT ?3",
            codec::TRANSITION
        );
        self.read(|conn| {
            let from = holder(conn, execution, sequence)?;
            all(conn, &sql, params![execution.0, from, limit as i64], |row| codec::transition(conn, row, 0))
        })
    }

    fn log_rows(
        &self,
        execution: ExecutionId,
        after: u64,
        limit: usize,
    ) -> ReadResult<Vec<(u64, Transition)>> {
        let sql = format!(
            "SELECT pos, {} FROM log WHERE exec = ?1 AND pos > ?2 ORDER BY pos LIMIT ?3",
            codec::TRANSITION
        );
        self.read(|conn| {
            all(conn, &sql, params![execution.0, after as i64, limit as i64], |row| placed(conn, row))
        })
    }

    fn execution(&self, namespace: &str, id: ExecutionId) -> ReadResult<Option<ExecutionRow>> {
        let sql = format!("SELECT {}, result FROM execution WHERE id = ?1 AND ns = ?2", codec::EXECUTION);
        self.read(|conn| first(conn, &sql, params![id.0, namespace], |row| codec::execution(conn, row)))
    }

    fn executions(&self, query: &ExecutionQuery) -> ReadResult<Vec<ExecutionRow>> {
        self.read(|conn| executions::page(conn, query))
    }

    fn count_executions(&self, query: &ExecutionQuery) -> ReadResult<u64> {
        self.read(|conn| executions::count(conn, query))
    }

    fn unfinished(&self, after: Option<ExecutionId>, limit: usize) -> ReadResult<Vec<ExecutionRow>> {
        let sql = format!(
            "SELECT {} FROM execution INDEXED BY execution_live WHERE (status < 2 OR status = 3) AND id > ?1
             AND (status <> 0 OR NOT EXISTS (SELECT 1 FROM delivery WHERE exec = id)) ORDER BY id LIMIT ?2",
            codec::EXECUTION
        );
        let after = after.map_or_else(Vec::new, |id| id.0.to_vec());
        self.read(|conn| all(conn, &sql, params![after, limit as i64], |row| codec::execution(conn, row)))
    }

    fn start_key(
        &self,
        namespace: &str,
        workflow: &str,
        key: &str,
    ) -> ReadResult<Option<(ExecutionId, [u8; 32])>> {
        let sql = "SELECT exec, body FROM start_key WHERE ns = ?1 AND workflow = ?2 AND key = ?3";
        self.read(|conn| {
            first(conn, sql, params![namespace, workflow, key], |row| Ok((codec::id(row, 0)?, row.get(1)?)))
        })
    }

    fn caused_by(
        &self,
        namespace: &str,
        binding: &str,
        source: &str,
        id: &str,
    ) -> ReadResult<Vec<ExecutionRow>> {
        let sql = format!(
            "SELECT {}, result FROM execution INDEXED BY execution_event
             WHERE event = ?4 AND source = ?3 AND binding = ?2 AND ns = ?1 ORDER BY id",
            codec::EXECUTION
        );
        self.read(|conn| {
            all(conn, &sql, params![namespace, binding, source, id], |row| codec::execution(conn, row))
        })
    }

    fn children(&self, parent: ExecutionId) -> ReadResult<Vec<ExecutionRow>> {
        let sql = format!("SELECT {}, result FROM execution WHERE parent = ?1 ORDER BY id", codec::EXECUTION);
        self.read(|conn| all(conn, &sql, [parent.0], |row| codec::execution(conn, row)))
    }

    fn due(&self, after: Option<Due>, until: Time, limit: usize) -> ReadResult<Vec<Due>> {
        let sql = "SELECT at, exec, visit, kind FROM due
            WHERE (at, exec, visit, kind) > (?1, ?2, ?3, ?4) AND at <= ?5 ORDER BY at, exec, visit, kind LIMIT ?6";
        let (at, exec, visit, kind) = after.map_or((i64::MIN, Vec::new(), 0, 0), |due| {
            (due.at.0, due.execution.0.to_vec(), due.visit, due.kind as u8)
        });
        self.read(|conn| all(conn, sql, params![at, exec, visit, kind, until.0, limit as i64], due_row))
    }

    fn subscriptions(&self) -> ReadResult<Vec<Subscription>> {
        let sql = "SELECT exec, visit, ns, type, since FROM subscription ORDER BY exec, visit";
        self.read(|conn| {
            all(conn, sql, [], |row| {
                Ok(Subscription {
                    execution: codec::id(row, 0)?,
                    visit: row.get(1)?,
                    namespace: codec::text(row, 2)?,
                    kind: codec::maybe_text(row, 3)?,
                    since: codec::time(row, 4)?,
                })
            })
        })
    }

    fn inbox(&self) -> ReadResult<Vec<InboxItem>> {
        let sql = "SELECT shard, exec, number, body FROM inbox ORDER BY shard, exec, number";
        self.read(|conn| {
            all(conn, sql, [], |row| {
                let key =
                    InboxKey { shard: Shard(row.get(0)?), from: codec::id(row, 1)?, number: row.get(2)? };
                Ok(InboxItem { key, body: row.get(3)? })
            })
        })
    }

    fn events(&self, query: &EventQuery) -> ReadResult<Vec<StoredEvent>> {
        self.read(|conn| events(conn, query))
    }

    fn event(&self, namespace: &str, source: &str, id: &str) -> ReadResult<Vec<StoredEvent>> {
        self.read(|conn| event(conn, namespace, source, id))
    }

    fn stream(&self, after: u64, lifecycle: bool, limit: usize) -> ReadResult<Vec<(u64, Transition)>> {
        let from =
            if lifecycle { "log INDEXED BY log_life WHERE life = 1 AND" } else { "log NOT INDEXED WHERE" };
        let sql = format!("SELECT pos, {} FROM {from} pos > ?1 ORDER BY pos LIMIT ?2", codec::TRANSITION);
        self.read(|conn| all(conn, &sql, [after as i64, limit as i64], |row| placed(conn, row)))
    }

    fn last_pos(&self) -> ReadResult<u64> {
        self.read(|conn| apply::last_pos(conn))
    }

    fn first_pos(&self, namespace: &str) -> ReadResult<u64> {
        self.read(|conn| Ok(counter(conn, &removed(LOG, namespace))? + 1))
    }

    fn first_event(&self, namespace: &str) -> ReadResult<u64> {
        self.read(|conn| Ok(counter(conn, &removed(EVENT, namespace))? + 1))
    }

    fn deliveries(&self, query: &DeliveryQuery) -> ReadResult<Vec<StoredDelivery>> {
        let sql = format!(
            "SELECT {} FROM delivery INDEXED BY delivery_state
             WHERE ns = ?1 AND trigger = ?2 AND state = ?3 AND not_before <= ?4 ORDER BY prio DESC, pos LIMIT ?5",
            codec::DELIVERY
        );
        let (state, limit) = (query.state as u8, query.limit as i64);
        let row = params![&*query.namespace, &*query.trigger, state, query.now.0, limit];
        self.read(|conn| all(conn, &sql, row, codec::delivery))
    }

    fn ahead(&self, delivery: &StoredDelivery) -> ReadResult<u64> {
        let sql = "SELECT count(*) FROM delivery INDEXED BY delivery_state
            WHERE ns = ?1 AND trigger = ?2 AND state = 0 AND (prio > ?3 OR prio = ?3 AND pos < ?4)";
        let own = &delivery.delivery;
        let row = params![&*own.namespace, &*own.trigger, own.priority, delivery.pos as i64];
        self.read(|conn| Ok(first(conn, sql, row, |row| codec::number(row, 0))?.unwrap_or_default()))
    }

    fn buffers(&self) -> ReadResult<Vec<BufferRow>> {
        let sql = "SELECT ns, trigger, count(*) FILTER (WHERE state < 2), count(*) FILTER (WHERE state = 3),
            count(*) FILTER (WHERE state = 2), min(pos) FILTER (WHERE state < 2) FROM delivery GROUP BY ns, trigger";
        self.read(|conn| all(conn, sql, [], buffer_row))
    }

    fn delivery_of(&self, execution: ExecutionId) -> ReadResult<Option<StoredDelivery>> {
        let sql =
            format!("SELECT {} FROM delivery WHERE exec = ?1 ORDER BY ns, trigger, pos", codec::DELIVERY);
        self.read(|conn| first(conn, &sql, [execution.0], codec::delivery))
    }

    fn running(&self, namespace: &str) -> ReadResult<u64> {
        let sql = "SELECT max(0, (SELECT count(*) FROM execution WHERE ns = ?1 AND status IN (0, 1, 2, 3))
            - (SELECT count(*) FROM delivery WHERE ns = ?1 AND state IN (0, 1)))";
        self.read(|conn| Ok(first(conn, sql, [namespace], |row| codec::number(row, 0))?.unwrap_or_default()))
    }

    fn usage(&self, namespace: &str) -> ReadResult<Usage> {
        let sql = "SELECT
            (SELECT ifnull(sum(length(log.body)), 0) FROM execution JOIN log ON log.exec = execution.id
                WHERE execution.ns = ?1)
            + (SELECT ifnull(sum(length(CAST(body AS BLOB))), 0) FROM event WHERE ns = ?1),
            (SELECT ifnull(sum(length(log.body)), 0) FROM delivery JOIN log ON log.exec = delivery.exec
                WHERE delivery.ns = ?1 AND delivery.state IN (0, 1))";
        let row =
            |row: &Row<'_>| Ok(Usage { stored: codec::number(row, 0)?, buffered: codec::number(row, 1)? });
        self.read(|conn| Ok(first(conn, sql, [namespace], row)?.unwrap_or_default()))
    }

    fn bucket(&self, namespace: &str, trigger: &str) -> ReadResult<Option<StoredBucket>> {
        let sql = "SELECT tokens, arrears, at FROM bucket WHERE ns = ?1 AND trigger = ?2";
        self.read(|conn| {
            first(conn, sql, [namespace, trigger], |row| {
                Ok(StoredBucket { tokens: row.get(0)?, arrears: row.get(1)?, at: codec::time(row, 2)? })
            })
        })
    }

    fn dead_letters(&self, query: &DeadQuery) -> ReadResult<Vec<DeadLetter>> {
        self.read(|conn| dead_letters(conn, query))
    }

    fn dead_letter(&self, namespace: &str, id: u64) -> ReadResult<Option<DeadLetter>> {
        let sql = format!("SELECT {} FROM dead_letter WHERE id = ?1 AND ns = ?2", codec::DEAD_LETTER);
        self.read(|conn| {
            first(conn, &sql, params![id as i64, namespace], |row| codec::dead_letter(conn, row))
        })
    }

    fn definitions(&self) -> ReadResult<Vec<Definition>> {
        let sql = format!(
            "SELECT {} FROM definition WHERE current OR (kind = 0 AND (ns, name, digest) IN
                (SELECT e.ns, e.workflow, e.digest FROM (SELECT DISTINCT ns FROM definition) n
                 CROSS JOIN execution e INDEXED BY execution_status ON e.ns = n.ns AND e.status IN (0, 1, 2, 3)))
             ORDER BY kind, ns, name, version, digest",
            codec::DEFINITION
        );
        self.read(|conn| all(conn, &sql, [], codec::definition))
    }

    fn revision(&self, namespace: &str, name: &str, digest: &[u8; 32]) -> ReadResult<Option<Definition>> {
        let sql = format!(
            "SELECT {} FROM definition WHERE kind = 0 AND ns = ?1 AND name = ?2 AND digest = ?3 ORDER BY version",
            codec::DEFINITION
        );
        self.read(|conn| first(conn, &sql, params![namespace, name, digest], codec::definition))
    }

    fn checkpoints(&self, namespace: &str, source: &str) -> ReadResult<Vec<Checkpoint>> {
        let sql = "SELECT source, part, value FROM checkpoint WHERE ns = ?1 AND source = ?2 ORDER BY part";
        let row = |row: &Row<'_>| {
            let (source, partition) = (codec::text(row, 0)?, codec::text(row, 1)?);
            Ok(Checkpoint { source, partition, value: codec::text(row, 2)? })
        };
        self.read(|conn| all(conn, sql, [namespace, source], row))
    }

    fn namespaces(&self) -> ReadResult<Vec<(Namespace, Arc<str>, Time)>> {
        let sql = "SELECT name, text, at FROM namespace ORDER BY name";
        let row = |row: &Row<'_>| Ok((codec::text(row, 0)?, codec::text(row, 1)?, codec::time(row, 2)?));
        self.read(|conn| all(conn, sql, [], row))
    }

    fn secrets(&self) -> ReadResult<Vec<SealedSecret>> {
        let sql = "SELECT ns, name, sealed, at FROM secret ORDER BY ns, name";
        let row = |row: &Row<'_>| {
            Ok((codec::text(row, 0)?, codec::text(row, 1)?, row.get(2)?, codec::time(row, 3)?))
        };
        self.read(|conn| all(conn, sql, [], row))
    }

    fn works(&self) -> ReadResult<Vec<(Arc<str>, Vec<u8>)>> {
        let row = |row: &Row<'_>| Ok((codec::text(row, 0)?, row.get(1)?));
        self.read(|conn| all(conn, "SELECT id, body FROM work ORDER BY id", [], row))
    }

    fn meta(&self, key: &str) -> ReadResult<Option<Value>> {
        let found: Option<Vec<u8>> =
            self.read(|conn| first(conn, "SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)))?;
        found.map(|json| Value::parse(&json)).transpose().map_err(|e| crate::ReadError(e.to_string().into()))
    }
}

/// A log row with its position.
fn placed(conn: &Connection, row: &Row<'_>) -> rusqlite::Result<(u64, Transition)> {
    Ok((codec::number(row, 0)?, codec::transition(conn, row, 1)?))
}
