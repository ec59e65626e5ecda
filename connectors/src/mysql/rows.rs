//! Rows events as changes of rows: pure.
//!
//! Owns the images before and after, partial ones included. A row at a time: an event may hold many.

use std::io::Read;

use tidemill_dsl::value::Value;

use super::cursor::{Cursor, Malformed, bit};
use super::table::{Table, present};

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Insert,
    Update,
    Delete,
}

impl Operation {
    /// The last word of the event's type.
    pub(super) fn word(self) -> &'static str {
        match self {
            Operation::Insert => "inserted",
            Operation::Update => "updated",
            Operation::Delete => "deleted",
        }
    }

    fn of(kind: u8) -> Option<Operation> {
        match kind {
            23 | 30 | 166 | 169 => Some(Operation::Insert),
            24 | 31 | 39 | 167 | 170 => Some(Operation::Update),
            25 | 32 | 168 | 171 => Some(Operation::Delete),
            _ => None,
        }
    }
}

/// Whether events of this kind hold rows.
pub(super) fn is_rows(kind: u8) -> bool {
    Operation::of(kind).is_some()
}

/// The number of the table that a rows event is about.
pub(super) fn table_id(body: &[u8]) -> Result<u64, Malformed> {
    Cursor(body).little(6)
}

/// The values of a row by column; none where the image leaves the column out.
pub(super) type Image = Vec<Option<Value>>;

/// A change of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) operation: Operation,
    pub(super) before: Option<Image>,
    pub(super) after: Option<Image>,
    /// Its place in the event.
    pub(super) index: u32,
    /// Bytes that it has in the log.
    pub(super) size: usize,
}

/// The rows of an event that are not read yet.
#[derive(Debug)]
pub(super) struct Rows {
    operation: Operation,
    before: Vec<u8>,
    after: Vec<u8>,
    columns: usize,
    data: Vec<u8>,
    at: usize,
    index: u32,
}

/// Most bytes of an event that is stored compressed (limit `mysql-event-size`).
const MOST: u64 = 1 << 30;

impl Rows {
    /// Reads the head of a rows event.
    pub(super) fn read(kind: u8, body: &[u8]) -> Result<Rows, Malformed> {
        let operation = Operation::of(kind).ok_or(Malformed::Short)?;
        if kind == 39 {
            let why = "an update holds parts of JSON documents alone (binlog_row_value_options)";
            return Err(Malformed::Wrong(why.into()));
        }
        let mut cursor = Cursor(body);
        cursor.take(8)?;
        if matches!(kind, 30..=32 | 169..=171) {
            let more = cursor.little(2)? as usize;
            cursor.take(more.saturating_sub(2))?;
        }
        let columns = cursor.length()?;
        let first = cursor.take(columns.div_ceil(8))?.to_vec();
        let (before, after) = match operation {
            Operation::Insert => (Vec::new(), first),
            Operation::Delete => (first, Vec::new()),
            Operation::Update => (first, cursor.take(columns.div_ceil(8))?.to_vec()),
        };
        let data = if kind >= 166 { inflate(cursor.0)? } else { cursor.0.to_vec() };
        Ok(Rows { operation, before, after, columns, data, at: 0, index: 0 })
    }

    /// The next change; after an error there is none.
    pub(super) fn next(&mut self, table: &Table) -> Option<Result<Change, Malformed>> {
        if self.at >= self.data.len() {
            return None;
        }
        let read = self.change(table);
        match &read {
            Ok(_) => self.index += 1,
            Err(_) => self.at = self.data.len(),
        }
        Some(read)
    }

    fn change(&mut self, table: &Table) -> Result<Change, Malformed> {
        if table.columns.len() != self.columns {
            return Err(Malformed::Wrong(format!(
                "it has {} columns and its table {}",
                self.columns,
                table.columns.len()
            )));
        }
        let whole = &self.data[self.at..];
        let mut cursor = Cursor(whole);
        let mut image = |bitmap: &[u8]| -> Result<Option<Image>, Malformed> {
            if bitmap.is_empty() { Ok(None) } else { image(table, bitmap, &mut cursor).map(Some) }
        };
        let (before, after) = (image(&self.before)?, image(&self.after)?);
        let size = whole.len() - cursor.0.len();
        if size == 0 {
            return Err(Malformed::Short);
        }
        self.at += size;
        Ok(Change { operation: self.operation, before, after, index: self.index, size })
    }
}

fn image(table: &Table, bitmap: &[u8], cursor: &mut Cursor<'_>) -> Result<Image, Malformed> {
    let count = present(bitmap, table.columns.len()).count();
    let nulls = cursor.take(count.div_ceil(8))?;
    let mut image: Image = vec![None; table.columns.len()];
    for (nth, index) in present(bitmap, table.columns.len()).enumerate() {
        let value = if bit(nulls, nth) { Value::Null } else { table.columns[index].kind.read(cursor)? };
        image[index] = Some(value);
    }
    Ok(image)
}

/// What MariaDB has compressed: a byte with kind and width of the length, the length, and a zlib stream.
pub(super) fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut cursor = Cursor(bytes);
    let head = cursor.byte()?;
    let length = cursor.big(usize::from(head & 7))?;
    if head >> 4 & 7 != 0 || length > MOST {
        return Err(Malformed::Wrong("it is compressed in an unknown way".into()));
    }
    let mut data = Vec::new();
    flate2::read::ZlibDecoder::new(cursor.0)
        .take(length + 1)
        .read_to_end(&mut data)
        .map_err(|error| Malformed::Wrong(format!("it cannot be inflated: {error}")))?;
    if data.len() as u64 == length { Ok(data) } else { Err(Malformed::Short) }
}
