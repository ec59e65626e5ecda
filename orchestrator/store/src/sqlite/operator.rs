//! Definitions and operator business, to rows.
//!
//! Owns rows that change rarely. Retention has a file of its own.

use rusqlite::params;

use super::apply::Applying;
use crate::batch::{Committed, Definition, DefinitionChange, DefinitionKind, OperatorChange};

const WORKFLOW: u8 = DefinitionKind::Workflow as u8;

impl Applying<'_> {
    /// A change of the definitions.
    pub(super) fn definition(&mut self, change: &DefinitionChange) -> rusqlite::Result<()> {
        match change {
            DefinitionChange::Put(new) => self.put(new),
            DefinitionChange::Delete { kind, namespace, name, version } => {
                let which = "kind = ?1 AND ns = ?2 AND name = ?3 AND (?4 = '' OR version = ?4)";
                self.retire(*kind, which, params![*kind as u8, &**namespace, &**name, &**version])
            }
            DefinitionChange::Pause { kind, namespace, name, paused } => {
                let sql =
                    "UPDATE definition SET paused = ?4 WHERE kind = ?1 AND ns = ?2 AND name = ?3 AND current";
                self.run(sql, params![*kind as u8, &**namespace, &**name, paused])?;
                Ok(())
            }
        }
    }

    fn put(&mut self, d: &Definition) -> rusqlite::Result<()> {
        let kind = d.kind as u8;
        if d.current {
            let which = "kind = ?1 AND ns = ?2 AND name = ?3 AND version = ?4 AND digest <> ?5";
            self.retire(d.kind, which, params![kind, &*d.namespace, &*d.name, &*d.version, d.digest])?;
        }
        let sql = "INSERT OR REPLACE INTO definition VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let row = params![
            kind,
            &*d.namespace,
            &*d.name,
            &*d.version,
            d.digest,
            d.generation as i64,
            d.at.0,
            d.current,
            d.paused,
            &*d.text,
        ];
        self.run(sql, row)?;
        Ok(())
    }

    /// Workflow revisions stay, not current, for the executions that pin them; everything else goes.
    fn retire(
        &mut self,
        kind: DefinitionKind,
        which: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<()> {
        let sql = match kind as u8 {
            WORKFLOW => format!("UPDATE definition SET current = 0 WHERE current AND {which}"),
            _ => format!("DELETE FROM definition WHERE {which}"),
        };
        self.run(&sql, params)?;
        Ok(())
    }

    /// Operator business.
    pub(super) fn operator(&mut self, change: &OperatorChange, out: &mut Committed) -> rusqlite::Result<()> {
        match change {
            OperatorChange::Namespace { namespace, text, at } => {
                let sql = "INSERT INTO namespace VALUES (?1, ?2, ?3)
                    ON CONFLICT(name) DO UPDATE SET text = excluded.text";
                self.run(sql, params![&**namespace, &**text, at.0])?;
            }
            OperatorChange::DropNamespace { namespace, rows } => {
                out.more = self.drop_namespace(namespace, *rows)?;
            }
            OperatorChange::Secret { namespace, name, sealed, at } => {
                let (namespace, name) = (&**namespace, &**name);
                match sealed {
                    Some(sealed) => self.run(
                        "INSERT OR REPLACE INTO secret VALUES (?1, ?2, ?3, ?4)",
                        params![namespace, name, sealed, at.0],
                    )?,
                    None => self.run("DELETE FROM secret WHERE ns = ?1 AND name = ?2", [namespace, name])?,
                };
            }
            OperatorChange::Work { id, body } => {
                match body {
                    Some(body) => {
                        self.run("INSERT OR REPLACE INTO work VALUES (?1, ?2)", params![&**id, body])?
                    }
                    None => self.run("DELETE FROM work WHERE id = ?1", [&**id])?,
                };
            }
            OperatorChange::Checkpoint { namespace, checkpoint: c } if c.value.is_empty() => {
                let sql = "DELETE FROM checkpoint WHERE ns = ?1 AND source = ?2 AND part = ?3";
                self.run(sql, params![&**namespace, &*c.source, &*c.partition])?;
            }
            OperatorChange::Checkpoint { namespace, checkpoint } => self.checkpoint(namespace, checkpoint)?,
            OperatorChange::Retain { spans, rows } => {
                out.more = self.retain(spans, *rows)?;
            }
            OperatorChange::Meta { key, value } => {
                let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
                self.run(sql, params![&**key, value.to_json()])?;
            }
        }
        Ok(())
    }
}
