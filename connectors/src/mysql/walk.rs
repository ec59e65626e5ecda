//! The walk through the log: transactions, files and positions. Pure.
//!
//! Owns where reading is and which transaction it is in. Positions move from the end of a transaction to the end of the
//! next; within one, rows are counted. What it does not know and may not pass over is an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::cursor::{Cursor, Malformed};
use super::gtid::{Gtid, GtidSet};
use super::position::{Position, Within, place};
use super::rows::{inflate, is_rows};

/// An event as it stands in the log.
#[derive(Clone, Debug)]
pub(super) struct Raw<'a> {
    pub(super) kind: u8,
    /// The server that wrote it first.
    pub(super) server: u32,
    /// Seconds since 1970.
    pub(super) time: u32,
    /// Bytes with the header.
    pub(super) size: u32,
    /// Where the next event stands; 0 for those that stand in no file.
    pub(super) end: u32,
    pub(super) flags: u16,
    pub(super) body: &'a [u8],
    /// Of a tagged transaction, whose event the client library reads.
    pub(super) tagged: Option<Gtid>,
}

/// What an event means for the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    None,
    /// A table map.
    Map,
    /// Rows, those before `first` being taken already.
    Rows { event: u32, first: u32 },
    /// A transaction has ended; the position has moved.
    Ended,
    /// The schema of something changed, and the position has moved.
    Altered,
    /// The server has nothing new.
    Heartbeat,
    /// Something that no event can be made of.
    Lost(String),
}

/// The transaction that the walk is in.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// What the ids of its events begin with.
    pub(super) id: Arc<str>,
    pub(super) gtid: Option<Gtid>,
    pub(super) file: Arc<str>,
    /// Where it begins.
    pub(super) pos: u64,
    events: u32,
    /// It ends with its first statement.
    alone: bool,
}

/// A walk.
#[derive(Debug)]
pub(super) struct Walk {
    /// Behind the last whole transaction.
    position: Position,
    file: Arc<str>,
    /// The end of the last event.
    seen: u64,
    open: Option<Open>,
    /// Where a compressed transaction ends that is being read.
    payload: Option<u64>,
    /// Files that the server has, until the first description of a format.
    known: Option<Vec<Arc<str>>>,
    skip: Option<Within>,
}

const ARTIFICIAL: u16 = 0x20;
const IGNORABLE: u16 = 0x80;
/// MariaDB's flag of a transaction that is one statement.
const STANDALONE: u8 = 1;

impl Walk {
    /// A walk from a position on. `known` are the files of the server: the first one is told in a form that is
    /// mistaken without them.
    pub(super) fn new(position: Position, known: Vec<Arc<str>>) -> Walk {
        let (file, seen) = (position.file.clone(), position.pos);
        let skip = position.within.clone();
        Walk { position, file, seen, open: None, payload: None, known: Some(known), skip }
    }

    /// The position behind the rows that were taken: `within` is the rows event and the next of its rows.
    pub(super) fn position(&self, within: Option<(u32, u32)>) -> Position {
        let mut position = self.position.clone();
        if let Some(open) = &self.open {
            // What was taken in an earlier run stays taken until the transaction is met and passed.
            let met = |(event, row)| Within { transaction: open.id.clone(), event, row };
            position.within = within.map(met).or_else(|| self.skip.clone());
        }
        position
    }

    /// The transaction it is in.
    pub(super) fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// How far the log is read, in the order of [`place`].
    pub(super) fn seen(&self) -> (u64, u64) {
        place(&self.file, self.seen)
    }

    /// Takes the next event.
    pub(super) fn step(&mut self, raw: &Raw<'_>) -> Result<Step, Malformed> {
        let before = self.seen;
        let is_real = raw.end > 0 && raw.flags & ARTIFICIAL == 0 && self.payload.is_none();
        if is_real {
            self.seen = self.widened(raw.end);
        }
        let start = if is_real { self.seen.saturating_sub(u64::from(raw.size)) } else { before };
        match raw.kind {
            2 | 165 => return self.query(raw),
            4 => self.rotate(raw)?,
            15 => self.known = None,
            33 => self.begin(Some(mysql_gtid(raw.body)?), start, false)?,
            42 => self.begin(raw.tagged.clone(), start, false)?,
            34 => self.begin(None, start, false)?,
            162 => {
                let (gtid, flags) = mariadb_gtid(raw)?;
                self.begin(Some(gtid), start, flags & STANDALONE != 0)?;
            }
            // Each file begins with what is in those before it.
            163 if self.position.gtids.is_none() => self.position.gtids = Some(gtid_list(raw.body)?),
            35 if self.position.gtids.is_none() => self.position.gtids = previous_gtids(raw.body)?,
            16 | 38 => return Ok(self.end()),
            19 => return Ok(Step::Map),
            kind if is_rows(kind) => return self.rows(),
            40 => self.payload = Some(self.seen),
            27 | 41 => return Ok(Step::Heartbeat),
            17 | 18 => return Ok(Step::Lost("a file was loaded by a statement".into())),
            26 => return Ok(Step::Lost("the server tells that its log lacks changes".into())),
            0..=42 | 160..=171 => {}
            _ if raw.flags & IGNORABLE != 0 => {}
            unknown => return Err(Malformed::Wrong(format!("an event is of the unknown type {unknown}"))),
        }
        Ok(Step::None)
    }

    /// The log says the low half of a position alone.
    fn widened(&self, end: u32) -> u64 {
        let whole = self.seen & !u64::from(u32::MAX) | u64::from(end);
        if whole + (1 << 31) < self.seen { whole + (1 << 32) } else { whole }
    }

    fn rotate(&mut self, raw: &Raw<'_>) -> Result<(), Malformed> {
        let mut cursor = Cursor(raw.body);
        let pos = cursor.little(8)?;
        let name = self.trimmed(cursor.0);
        let moved = self.file != name;
        self.file.clone_from(&name);
        self.seen = pos;
        if (moved || self.position.file.is_empty()) && self.open.is_none() {
            self.position.file = name;
            self.position.pos = pos;
        }
        Ok(())
    }

    /// Before the format is described the client library takes the checksum for the end of the file's name.
    fn trimmed(&self, name: &[u8]) -> Arc<str> {
        let text = |bytes: &[u8]| Arc::<str>::from(&*String::from_utf8_lossy(bytes));
        let shorter = name.len().checked_sub(4).map(|length| text(&name[..length]));
        match (shorter, &self.known) {
            (Some(shorter), Some(known)) if known.contains(&shorter) && !known.contains(&text(name)) => {
                shorter
            }
            _ => text(name),
        }
    }

    fn begin(&mut self, gtid: Option<Gtid>, start: u64, alone: bool) -> Result<(), Malformed> {
        if self.payload.is_some() {
            return Err(Malformed::Wrong("a compressed transaction could not be read to its end".into()));
        }
        if self.open.is_some() {
            self.close(start);
        }
        let id: Arc<str> = match (&gtid, &self.position.server) {
            (Some(gtid), _) => gtid.to_string().into(),
            (None, Some(server)) => format!("{server}/{}/{start}", self.file).into(),
            (None, None) => format!("{}/{start}", self.file).into(),
        };
        self.open = Some(Open { id, gtid, file: self.file.clone(), pos: start, events: 0, alone });
        Ok(())
    }

    fn end(&mut self) -> Step {
        let end = self.payload.take().unwrap_or(self.seen);
        self.close(end);
        Step::Ended
    }

    fn close(&mut self, end: u64) {
        if let Some(open) = self.open.take() {
            if self.skip.as_ref().is_some_and(|skip| skip.transaction == open.id) {
                self.skip = None;
            }
            // A set that lacks what was before it would ask for that again.
            if let (Some(set), Some(gtid)) = (&mut self.position.gtids, &open.gtid) {
                set.add(gtid);
            }
        }
        self.position.file.clone_from(&self.file);
        self.position.pos = end;
        self.position.within = self.skip.clone();
    }

    fn rows(&mut self) -> Result<Step, Malformed> {
        let Some(open) = &mut self.open else {
            return Err(Malformed::Wrong("rows stand outside of a transaction".into()));
        };
        let event = open.events;
        open.events += 1;
        let first = match &self.skip {
            Some(skip) if skip.transaction == open.id && event < skip.event => return Ok(Step::None),
            Some(skip) if skip.transaction == open.id && event == skip.event => skip.row,
            _ => 0,
        };
        Ok(Step::Rows { event, first })
    }

    fn query(&mut self, raw: &Raw<'_>) -> Result<Step, Malformed> {
        let text = statement(raw)?;
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is = |word: &str| first.eq_ignore_ascii_case(word);
        if is("BEGIN")
            || (is("XA")
                && !second.eq_ignore_ascii_case("COMMIT")
                && !second.eq_ignore_ascii_case("ROLLBACK"))
        {
            if self.open.is_none() {
                let start = self.seen.saturating_sub(u64::from(raw.size));
                self.begin(None, start, false)?;
            }
            if let Some(open) = &mut self.open {
                open.alone = false;
                // From here on its end is told.
                open.events = 0;
            }
            return Ok(Step::None);
        }
        if is("COMMIT") || (is("ROLLBACK") && !second.eq_ignore_ascii_case("TO")) || is("XA") {
            return Ok(self.end());
        }
        if is("SAVEPOINT") || is("ROLLBACK") || is("RELEASE") {
            return Ok(Step::None);
        }
        if ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD"].into_iter().any(is) {
            let shown: String = text.chars().take(80).collect();
            return Ok(Step::Lost(format!("a session wrote by statements and not by rows: {shown}")));
        }
        let goes_on = text.trim_end().to_ascii_uppercase().ends_with("START TRANSACTION");
        let is_mariadb =
            self.open.as_ref().is_some_and(|open| matches!(open.gtid, Some(Gtid::Mariadb { .. })));
        let alone = self.open.as_ref().is_none_or(|open| open.alone);
        if goes_on || (is_mariadb && !alone) {
            return Ok(Step::Altered);
        }
        self.end();
        Ok(Step::Altered)
    }
}

/// The text of a statement event.
fn statement(raw: &Raw<'_>) -> Result<String, Malformed> {
    let mut cursor = Cursor(raw.body);
    cursor.take(8)?;
    let database = usize::from(cursor.byte()?);
    cursor.take(2)?;
    let variables = cursor.little(2)? as usize;
    cursor.take(variables + database + 1)?;
    if raw.kind == 165 {
        return inflate(cursor.0).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(String::from_utf8_lossy(cursor.0).into_owned())
}

fn mysql_gtid(body: &[u8]) -> Result<Gtid, Malformed> {
    let mut cursor = Cursor(body);
    cursor.take(1)?;
    let uuid = cursor.take(16)?;
    Ok(Gtid::Mysql { server: uuid_text(uuid).into(), number: cursor.little(8)? })
}

/// Sixteen bytes as a uuid is written.
pub(super) fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The server stands in the header of the event, and not in its body.
fn mariadb_gtid(raw: &Raw<'_>) -> Result<(Gtid, u8), Malformed> {
    let mut cursor = Cursor(raw.body);
    let (number, domain, flags) = (cursor.little(8)?, cursor.little(4)? as u32, cursor.byte()?);
    Ok((Gtid::Mariadb { domain, server: raw.server, number }, flags))
}

/// The set in front of a file; none where it has tags, or where the server has no GTIDs.
fn previous_gtids(body: &[u8]) -> Result<Option<GtidSet>, Malformed> {
    let mut cursor = Cursor(body);
    let servers = cursor.little(8)?;
    let mut text = String::new();
    if servers >> 56 != 0 {
        return Ok(None);
    }
    for _ in 0..servers {
        let _ = write!(text, ",{}", uuid_text(cursor.take(16)?));
        for _ in 0..cursor.little(8)? {
            let (first, end) = (cursor.little(8)?, cursor.little(8)?);
            let _ = write!(text, ":{first}-{}", end.saturating_sub(1));
        }
    }
    Ok(GtidSet::parse(&text).filter(|set| !set.is_empty()))
}

fn gtid_list(body: &[u8]) -> Result<GtidSet, Malformed> {
    let mut cursor = Cursor(body);
    let count = cursor.little(4)? & 0x0fff_ffff;
    let mut set = GtidSet::Mariadb(BTreeMap::default());
    for _ in 0..count {
        let (domain, server) = (cursor.little(4)? as u32, cursor.little(4)? as u32);
        set.add(&Gtid::Mariadb { domain, server, number: cursor.little(8)? });
    }
    Ok(set)
}

#[cfg(test)]
mod tests;
