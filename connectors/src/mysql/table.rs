//! Tables as the log describes them: pure.
//!
//! Owns reading table map events with their optional metadata, and joining them with what the server's own schema
//! says where the log says less. Asks nobody.

use std::collections::HashMap;
use std::sync::Arc;

use tidemill_dsl::value::{Map, Value};

use super::charset::{Charset, Charsets};
use super::cursor::{Cursor, Malformed, bit};
use super::value::Kind;

/// A table whose rows can be read.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) database: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) columns: Vec<Column>,
    /// The columns of the primary key, in its order.
    pub(super) key: Vec<usize>,
    /// Types by name: `columns` of the events.
    pub(super) types: Value,
    /// Whether names and types are those of a schema that may be another than that of the row.
    pub(super) assumed: bool,
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
}

impl Table {
    pub(super) fn new(
        (database, name): (Arc<str>, Arc<str>),
        columns: Vec<Column>,
        key: Vec<usize>,
        assumed: bool,
    ) -> Table {
        let types: Map = columns.iter().map(|c| (c.name.clone(), Value::text(c.kind.name()))).collect();
        Table { database, name, columns, key, types: types.into(), assumed }
    }
}

/// What a table map event says.
#[derive(Clone, Debug)]
pub(super) struct TableMap {
    pub(super) database: Arc<str>,
    pub(super) name: Arc<str>,
    kinds: Vec<Kind>,
    /// There with binlog_row_metadata=FULL.
    names: Option<Vec<Arc<str>>>,
    key: Vec<usize>,
    /// The members of sets and of enums, as bytes of their character sets, by column.
    members: Vec<(usize, Vec<Vec<u8>>)>,
    /// Those character sets, in the order of the columns.
    member_charsets: Vec<Charset>,
}

/// The number of the table in this stretch of the log, database and name: enough to tell whether it is wanted.
pub(super) fn head(body: &[u8]) -> Result<(u64, &str, &str), Malformed> {
    let mut cursor = Cursor(body);
    let id = cursor.little(6)?;
    cursor.take(2)?;
    Ok((id, cursor.name()?, cursor.name()?))
}

impl TableMap {
    /// Reads the body of a table map event.
    pub(super) fn read(body: &[u8], charsets: &Charsets, is_mariadb: bool) -> Result<TableMap, Malformed> {
        let mut cursor = Cursor(body);
        cursor.take(8)?;
        let (database, name) = (cursor.name()?.into(), cursor.name()?.into());
        let count = cursor.length()?;
        let types = cursor.take(count)?;
        let mut metadata = Cursor(cursor.counted()?);
        let kinds: Result<Vec<Kind>, Malformed> =
            types.iter().map(|kind| read_kind(*kind, &mut metadata)).collect();
        cursor.take(count.div_ceil(8))?;
        let mut map = TableMap {
            database,
            name,
            kinds: kinds?,
            names: None,
            key: Vec::new(),
            members: Vec::new(),
            member_charsets: Vec::new(),
        };
        while !cursor.is_empty() {
            let field = cursor.byte()?;
            map.field(field, Cursor(cursor.counted()?), (charsets, is_mariadb))?;
        }
        map.name_members();
        Ok(map)
    }

    /// The table, if the log names its columns.
    pub(super) fn table(&self) -> Option<Table> {
        let names = self.names.as_ref().filter(|names| names.len() == self.kinds.len())?;
        let columns = names.iter().zip(&self.kinds);
        let columns = columns.map(|(name, kind)| Column { name: name.clone(), kind: kind.clone() }).collect();
        Some(Table::new((self.database.clone(), self.name.clone()), columns, self.key.clone(), false))
    }

    /// The table with the names, signs, character sets and members of the server's schema. Where that does not fit,
    /// columns are called by their number and assumed to be what the log alone tells.
    pub(super) fn described(&self, schema: Option<&Table>, assumed: bool) -> Table {
        let place = (self.database.clone(), self.name.clone());
        let fits = |schema: &&Table| {
            schema.columns.len() == self.kinds.len()
                && schema.columns.iter().zip(&self.kinds).all(|(column, kind)| is_like(&column.kind, kind))
        };
        let Some(schema) = schema.filter(fits) else {
            let numbered = self.kinds.iter().enumerate();
            let columns = numbered
                .map(|(index, kind)| Column { name: format!("@{}", index + 1).into(), kind: kind.clone() });
            return Table::new(place, columns.collect(), Vec::new(), true);
        };
        let columns = schema.columns.iter().zip(&self.kinds);
        let columns = columns
            .map(|(column, kind)| Column { name: column.name.clone(), kind: joined(kind, &column.kind) })
            .collect();
        Table::new(place, columns, schema.key.clone(), assumed)
    }

    fn field(
        &mut self,
        field: u8,
        mut cursor: Cursor<'_>,
        (charsets, is_mariadb): (&Charsets, bool),
    ) -> Result<(), Malformed> {
        match field {
            1 => {
                let numbers = self.kinds.iter_mut().filter(|kind| has_sign(kind));
                for (index, kind) in numbers.enumerate() {
                    // The highest bit first.
                    let set = cursor.0.get(index / 8).is_some_and(|byte| byte << (index % 8) & 0x80 != 0);
                    if let Kind::Integer { unsigned, .. } = kind {
                        *unsigned = set;
                    }
                }
            }
            2 => {
                let texts = self.kinds.iter_mut().filter(|kind| has_charset(kind, is_mariadb));
                for (kind, found) in texts.zip(by_default(&mut cursor, charsets)?) {
                    if let Some(charset) = charset_of(kind) {
                        *charset = found;
                    }
                }
            }
            3 => {
                for kind in self.kinds.iter_mut().filter(|kind| has_charset(kind, is_mariadb)) {
                    let found = charsets.of(cursor.packed()?);
                    if let Some(charset) = charset_of(kind) {
                        *charset = found;
                    }
                }
            }
            10 => self.member_charsets = by_default(&mut cursor, charsets)?.take(self.kinds.len()).collect(),
            11 => {
                while !cursor.is_empty() {
                    self.member_charsets.push(charsets.of(cursor.packed()?));
                }
            }
            4 => {
                let mut names = Vec::new();
                while !cursor.is_empty() {
                    names.push(Arc::from(text(cursor.counted()?)?));
                }
                self.names = Some(names);
            }
            5 | 6 => self.members(field == 5, cursor)?,
            8 => {
                while !cursor.is_empty() {
                    self.key.push(cursor.length()?);
                }
            }
            9 => {
                while !cursor.is_empty() {
                    self.key.push(cursor.length()?);
                    cursor.packed()?;
                }
            }
            _ => {}
        }
        let columns = self.kinds.len();
        if self.key.iter().any(|index| *index >= columns) {
            return Err(Malformed::Wrong("a primary key names a column that is not there".into()));
        }
        Ok(())
    }

    fn members(&mut self, of_sets: bool, mut cursor: Cursor<'_>) -> Result<(), Malformed> {
        for (index, kind) in self.kinds.iter().enumerate() {
            if !matches!((kind, of_sets), (Kind::Set { .. }, true) | (Kind::Enum { .. }, false)) {
                continue;
            }
            let count = cursor.length()?.min(MEMBERS);
            let read: Result<_, Malformed> =
                (0..count).map(|_| cursor.counted().map(<[u8]>::to_vec)).collect();
            self.members.push((index, read?));
        }
        Ok(())
    }

    /// Members as text, when their character sets are known too.
    fn name_members(&mut self) {
        let mut columns: Vec<usize> = (0..self.kinds.len()).collect();
        columns.retain(|index| matches!(self.kinds[*index], Kind::Set { .. } | Kind::Enum { .. }));
        for (index, bytes) in std::mem::take(&mut self.members) {
            let nth = columns.iter().position(|column| *column == index);
            let charset = nth.and_then(|nth| self.member_charsets.get(nth)).copied().unwrap_or(Charset::Utf8);
            let text = |bytes: &Vec<u8>| {
                charset.text(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes).into())
            };
            if let Kind::Set { members, .. } | Kind::Enum { members, .. } = &mut self.kinds[index] {
                *members = bytes.iter().map(text).collect();
            }
        }
    }
}

/// Most members of an enum.
const MEMBERS: usize = 65_535;

/// A character set that most columns have, and those that have another, by their place among the columns of text.
fn by_default(
    cursor: &mut Cursor<'_>,
    charsets: &Charsets,
) -> Result<impl Iterator<Item = Charset> + use<>, Malformed> {
    let common = charsets.of(cursor.packed()?);
    let mut own = HashMap::new();
    while !cursor.is_empty() {
        own.insert(cursor.length()?, charsets.of(cursor.packed()?));
    }
    Ok((0..).map(move |index| own.get(&index).copied().unwrap_or(common)))
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Wrong("a column's name is no UTF-8".into()))
}

/// Columns that the signs are listed of; years are among them.
fn has_sign(kind: &Kind) -> bool {
    matches!(kind, Kind::Integer { .. } | Kind::Float | Kind::Double | Kind::Decimal { .. } | Kind::Year)
}

/// Columns that the character sets are listed of; for MariaDB geometries are among them.
fn has_charset(kind: &Kind, is_mariadb: bool) -> bool {
    matches!(kind, Kind::Fixed { .. } | Kind::Varying { .. } | Kind::Long { .. })
        || matches!(kind, Kind::Opaque { name: "geometry", .. } if is_mariadb)
        || matches!(kind, Kind::Unknown(140 | 141))
}

/// The character set of a column, where it matters.
fn charset_of(kind: &mut Kind) -> Option<&mut Charset> {
    match kind {
        Kind::Fixed { charset, .. } | Kind::Varying { charset, .. } | Kind::Long { charset, .. } => {
            Some(charset)
        }
        _ => None,
    }
}

/// A type with its own metadata. Until the log says otherwise, numbers have signs and text is UTF-8.
fn read_kind(kind: u8, metadata: &mut Cursor<'_>) -> Result<Kind, Malformed> {
    let integer = |bytes| Kind::Integer { bytes, unsigned: false };
    Ok(match kind {
        1 => integer(1),
        2 => integer(2),
        9 => integer(3),
        3 => integer(4),
        8 => integer(8),
        4 => {
            metadata.byte()?;
            Kind::Float
        }
        5 => {
            metadata.byte()?;
            Kind::Double
        }
        7 => Kind::OldTimestamp,
        10 | 14 => Kind::Date,
        11 => Kind::OldTime,
        12 => Kind::OldDateTime,
        13 => Kind::Year,
        15 => Kind::Varying { most: metadata.little(2)? as u16, charset: Charset::Utf8 },
        16 => {
            let (bits, bytes) = (metadata.byte()?, metadata.byte()?);
            Kind::Bit { bytes: bytes + u8::from(bits > 0) }
        }
        17 => Kind::Timestamp { digits: metadata.byte()? },
        18 => Kind::DateTime { digits: metadata.byte()? },
        19 => Kind::Time { digits: metadata.byte()? },
        242 => Kind::Opaque { name: "vector", length: metadata.byte()? },
        245 => {
            metadata.byte()?;
            Kind::Json
        }
        246 => Kind::Decimal { precision: metadata.byte()?, scale: metadata.byte()? },
        249..=252 => Kind::Long { length: metadata.byte()?, charset: Charset::Utf8 },
        247 | 248 | 254 => of_string(metadata.byte()?, metadata.byte()?),
        255 => Kind::Opaque { name: "geometry", length: metadata.byte()? },
        // Compressed columns of MariaDB: their metadata has to be passed over.
        140 => {
            metadata.byte()?;
            Kind::Unknown(140)
        }
        141 => {
            metadata.take(2)?;
            Kind::Unknown(141)
        }
        other => Kind::Unknown(other),
    })
}

/// What STRING stands for: the first byte is the real type; bits that are missing in it lengthen the length.
fn of_string(real: u8, length: u8) -> Kind {
    match real {
        247 => Kind::Enum { bytes: length, members: Arc::default() },
        248 => Kind::Set { bytes: length, members: Arc::default() },
        _ => {
            let high = u16::from(real & 0x30 ^ 0x30) << 4;
            Kind::Fixed { most: u16::from(length) | high, charset: Charset::Utf8 }
        }
    }
}

/// Whether a type of the schema can be that of the log.
fn is_like(schema: &Kind, log: &Kind) -> bool {
    match (schema, log) {
        (Kind::Integer { bytes: a, .. }, Kind::Integer { bytes: b, .. }) => a == b,
        (Kind::Decimal { precision: a, scale: b }, Kind::Decimal { precision: c, scale: d }) => {
            (a, b) == (c, d)
        }
        (Kind::Time { .. }, Kind::OldTime)
        | (Kind::DateTime { .. }, Kind::OldDateTime)
        | (Kind::Timestamp { .. }, Kind::OldTimestamp) => true,
        _ => std::mem::discriminant(schema) == std::mem::discriminant(log),
    }
}

/// The log's type with what the schema alone tells.
fn joined(log: &Kind, schema: &Kind) -> Kind {
    let mut kind = log.clone();
    match (&mut kind, schema) {
        (Kind::Integer { unsigned, .. }, Kind::Integer { unsigned: own, .. }) => *unsigned = *own,
        (Kind::Enum { members, .. }, Kind::Enum { members: own, .. })
        | (Kind::Set { members, .. }, Kind::Set { members: own, .. }) => *members = own.clone(),
        (log, schema) => {
            if let (Some(charset), Some(own)) = (charset_of(log), charset_of(&mut schema.clone())) {
                *charset = *own;
            }
        }
    }
    kind
}

/// Which columns an image has.
pub(super) fn present(bitmap: &[u8], columns: usize) -> impl Iterator<Item = usize> + '_ {
    (0..columns).filter(|index| bit(bitmap, *index))
}
