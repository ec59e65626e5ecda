//! Large values: stored once, by hash, and referred to from the rows they stand in (D8).
//!
//! Owns the tables `blob` and `blob_use`, the form of a column that refers, and the removal of what nobody refers to any
//! more. A column is given back byte for byte: who reads it sees nothing of all this. Which bytes are a value is found
//! by their form (JSON within a stored body), so a wrong guess costs space and never content.

use std::borrow::Cow;
use std::ops::Range;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};
use tidemill_dsl::ids::ExecutionId;

use super::apply::Applying;
use super::codec;

/// Bytes from which on a value is stored apart.
const LARGE: usize = 64 * 1024;

/// First byte of a column that refers; no format byte, kind or JSON begins with it. Then come pieces in turn: a length
/// and so many bytes, the hash of a value, a length and so many bytes, ...
const REFERS: u8 = 0xff;

const HASH: usize = blake3::OUT_LEN;

/// Beginnings of values that lead nowhere, at most, for one column: what is behind them stays in place.
const MISSES: usize = 16;

/// What a large value stands in: everything of an execution, or an event or dead letter by position.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Execution(ExecutionId),
    Row(i64),
}

impl ToSql for Owner {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Owner::Execution(id) => ValueRef::Blob(&id.0),
            Owner::Row(pos) => ValueRef::Integer(*pos),
        }))
    }
}

impl Applying<'_> {
    /// The bytes to store for a column: with its large values stored apart.
    pub(super) fn kept<'b>(&mut self, owner: Owner, bytes: &'b [u8]) -> rusqlite::Result<Cow<'b, [u8]>> {
        let values = if bytes.len() < LARGE { Vec::new() } else { large(bytes) };
        if values.is_empty() {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut out = vec![REFERS];
        let mut at = 0;
        for value in values {
            piece(&mut out, &bytes[at..value.start]);
            let hash = *blake3::hash(&bytes[value.clone()]).as_bytes();
            out.extend_from_slice(&hash);
            at = value.end;
            let stored = self.run(
                "INSERT OR IGNORE INTO blob(hash, bytes) VALUES (?1, ?2)",
                params![hash, &bytes[value.clone()]],
            )?;
            self.tally.bytes += if stored > 0 { value.len() as u64 } else { 0 };
            self.run("INSERT OR IGNORE INTO blob_use VALUES (?1, ?2)", params![owner, hash])?;
        }
        piece(&mut out, &bytes[at..]);
        Ok(Cow::Owned(out))
    }

    /// The rows of an owner are gone: so are the values nobody else has.
    pub(super) fn unused(&mut self, owner: Owner) -> rusqlite::Result<()> {
        let mut uses = self.conn.prepare_cached("DELETE FROM blob_use WHERE owner = ?1 RETURNING hash")?;
        let hashes: Vec<[u8; HASH]> =
            uses.query_map([owner], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for hash in hashes {
            let sql =
                "DELETE FROM blob WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM blob_use WHERE hash = ?1)";
            self.run(sql, [hash])?;
        }
        Ok(())
    }
}

fn piece(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// What [`Applying::kept`] was given.
pub(super) fn whole<'b>(conn: &Connection, stored: &'b [u8]) -> rusqlite::Result<Cow<'b, [u8]>> {
    let Some((&REFERS, mut rest)) = stored.split_first() else {
        return Ok(Cow::Borrowed(stored));
    };
    let damaged = || codec::broken("a reference to a large value");
    let mut value = conn.prepare_cached("SELECT bytes FROM blob WHERE hash = ?1")?;
    let mut out = Vec::new();
    loop {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (own, behind) =
            behind.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        out.extend_from_slice(own);
        if behind.is_empty() {
            return Ok(Cow::Owned(out));
        }
        let (hash, behind) = behind.split_first_chunk::<HASH>().ok_or_else(damaged)?;
        value.query_row([hash], |row| {
            out.extend_from_slice(row.get_ref(0)?.as_blob()?);
            Ok(())
        })?;
        rest = behind;
    }
}

/// The large values within a stored body, in order. The first byte is never part of one: it is a format, a kind, or the
/// brace of an event.
fn large(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at, mut misses) = (Vec::new(), 1, 0);
    while at + LARGE <= bytes.len() && misses < MISSES {
        if !matches!(bytes[at], b'{' | b'[' | b'"') {
            at += 1;
            continue;
        }
        match end(bytes, at) {
            Some(end) => {
                if end - at >= LARGE {
                    found.push(at..end);
                }
                at = end;
            }
            None => {
                misses += 1;
                at += 1;
            }
        }
    }
    found
}

/// Where the JSON object, array or text that begins at `from` ends, as compact JSON: a control byte is none of it.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, from);
    loop {
        match *bytes.get(at)? {
            b'"' => at = text_end(bytes, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            0..=0x1f => return None,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The closing quote of the text that begins at `from`.
fn text_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_within_what_surrounds_them() {
        let long = "x".repeat(LARGE);
        let text = format!("\"{long}\"");
        let nested = format!("{{\"a\":[1,\"{long}\\\"]\"],\"b\":{{}}}}");
        let check = |before: &[u8], value: &str, after: &[u8], expected: bool| {
            let bytes = [before, value.as_bytes(), after].concat();
            let whole = before.len()..before.len() + value.len();
            let expected = if expected { vec![whole] } else { Vec::new() };
            assert_eq!(large(&bytes), expected, "{before:?} {after:?}");
        };
        for value in [&text, &nested] {
            check(&[1], value, &[], true);
            check(&[1, 3, b'x', 0x5b, 0x01], value, &[0, 7, 9], true);
            check(br#"{"type":"t","data":"#, value, br#","id":"1"}"#, true);
        }
        check(&[1], &text[..text.len() - 1], &[], false);
        check(&[1], "\"short\"", &[0; LARGE], false);
        check(&[1], &"[".repeat(4 * LARGE), &[], false);
    }
}
