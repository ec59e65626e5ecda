//! The server's own schema: what tables it has and what their columns are.
//!
//! Owns the statements over information_schema, and the tables read for a log that does not name its columns. Those
//! are read anew after every change of a schema; until the log is read up to where it was then, rows are told as
//! `assumed`: another change may stand in between.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tidemill_dsl::diagnostic::nearest;
use tidemill_dsl::manifest::{TableFilter, TablePattern};

use super::Spec;
use super::charset::Charset;
use super::fault::fault;
use super::position::place;
use super::server::{Facts, connect, head};
use super::table::{Column, Table};
use super::value::Kind;
use crate::SourceError;

/// A row of information_schema.COLUMNS, as it is asked for.
type Described = (String, String, String, Option<String>, Option<u64>, Option<u64>, Option<u64>);

/// A table as it is now; none if there is none.
pub(super) async fn describe(
    conn: &mut Conn,
    (database, name): (&str, &str),
) -> Result<Option<Table>, SourceError> {
    let query = "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, NUMERIC_PRECISION, NUMERIC_SCALE, \
                 DATETIME_PRECISION FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
                 ORDER BY ORDINAL_POSITION";
    let rows: Vec<Described> = conn.exec(query, (database, name)).await.map_err(|found| fault(&found))?;
    let query = "SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = ? AND \
                 TABLE_NAME = ? AND CONSTRAINT_NAME = 'PRIMARY' ORDER BY ORDINAL_POSITION";
    let key: Vec<String> = conn.exec(query, (database, name)).await.map_err(|found| fault(&found))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let key = key.iter().filter_map(|name| rows.iter().position(|row| row.0 == *name)).collect();
    let columns = rows.iter().map(|row| Column { name: row.0.as_str().into(), kind: kind(row) }).collect();
    Ok(Some(Table::new((database.into(), name.into()), columns, key, false)))
}

/// Every table of the server, in order.
pub(super) async fn tables(conn: &mut Conn) -> Result<Vec<(String, String)>, SourceError> {
    let query = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME";
    super::server::ask(conn, query).await
}

/// The first pattern that takes no table, and the name that is nearest to it.
pub(super) async fn absent(
    conn: &mut Conn,
    filter: &TableFilter,
) -> Result<Option<(String, Option<String>)>, SourceError> {
    let all = tables(conn).await?;
    let taken = |pattern: &&TablePattern| {
        let takes = |(database, table): &(String, String)| {
            pattern.takes(database, table) && filter.takes(database, table)
        };
        !all.iter().any(takes)
    };
    Ok(filter.include.iter().find(taken).map(|pattern| {
        let shown = |database: &str, table: Option<&str>| format!("{database}.{}", table.unwrap_or("*"));
        let own = shown(&pattern.database, pattern.table.as_deref());
        let names: Vec<String> = all
            .iter()
            .map(|(database, table)| shown(database, pattern.table.as_ref().map(|_| table.as_str())))
            .filter(|name| *name != own)
            .collect();
        let near = nearest(&own, names.iter().map(String::as_str)).map(str::to_owned);
        (own, near)
    }))
}

fn kind((_, data_type, column_type, charset, precision, scale, digits): &Described) -> Kind {
    let unsigned = column_type.to_ascii_lowercase().contains("unsigned");
    let integer = |bytes| Kind::Integer { bytes, unsigned };
    let number = |value: &Option<u64>| value.unwrap_or(0).min(255) as u8;
    let charset = charset.as_deref().map_or(Charset::Binary, Charset::named);
    let digits = number(digits);
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" => integer(1),
        "smallint" => integer(2),
        "mediumint" => integer(3),
        "int" | "integer" => integer(4),
        "bigint" => integer(8),
        "float" => Kind::Float,
        "double" | "real" => Kind::Double,
        "decimal" | "numeric" => Kind::Decimal { precision: number(precision), scale: number(scale) },
        "bit" => Kind::Bit { bytes: number(precision).div_ceil(8) },
        "year" => Kind::Year,
        "date" => Kind::Date,
        "time" => Kind::Time { digits },
        "datetime" => Kind::DateTime { digits },
        "timestamp" => Kind::Timestamp { digits },
        "enum" => Kind::Enum { bytes: 2, members: members(column_type) },
        "set" => Kind::Set { bytes: 8, members: members(column_type) },
        "char" | "binary" | "uuid" | "inet4" | "inet6" => Kind::Fixed { most: 255, charset },
        "varchar" | "varbinary" => Kind::Varying { most: u16::MAX, charset },
        "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            Kind::Long { length: 4, charset }
        }
        "json" => Kind::Json,
        "vector" => Kind::Opaque { name: "vector", length: 4 },
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => {
            Kind::Opaque { name: "geometry", length: 4 }
        }
        _ => Kind::Unknown(0),
    }
}

/// The members of `enum('a','b''c')`.
fn members(column_type: &str) -> Arc<[Arc<str>]> {
    let mut members: Vec<Arc<str>> = Vec::new();
    let mut rest = column_type;
    while let Some((_, behind)) = rest.split_once('\'') {
        let mut member = String::new();
        let mut letters = behind.char_indices().peekable();
        let mut end = behind.len();
        while let Some((at, letter)) = letters.next() {
            if letter == '\'' && letters.next_if(|(_, next)| *next == '\'').is_none() {
                end = at + 1;
                break;
            }
            member.push(letter);
        }
        members.push(member.into());
        rest = &behind[end..];
    }
    members.into()
}

/// The schema for a log without names.
#[derive(Default)]
pub(super) struct Schemas {
    known: HashMap<(Arc<str>, Arc<str>), Option<Table>>,
    /// Up to where rows are of an assumed schema.
    doubt: (u64, u64),
    conn: Option<Conn>,
}

impl Schemas {
    /// Something was altered: what is known may be wrong.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The table as the server has it, and whether it is assumed to be that of a row at `seen`.
    pub(super) async fn table(
        &mut self,
        spec: &Spec,
        facts: &Facts,
        (database, name): (&Arc<str>, &Arc<str>),
        seen: (u64, u64),
    ) -> Result<(Option<&Table>, bool), SourceError> {
        let place_of = (database.clone(), name.clone());
        if !self.known.contains_key(&place_of) {
            let mut conn = match self.conn.take() {
                Some(conn) => conn,
                None => connect(&spec.place).await?,
            };
            let found = describe(&mut conn, (database, name)).await?;
            let end = head(&mut conn, facts).await?;
            self.doubt = self.doubt.max(place(&end.file, end.pos));
            self.conn = Some(conn);
            self.known.insert(place_of.clone(), found);
        }
        let found = self.known.get(&place_of).and_then(Option::as_ref);
        Ok((found, seen < self.doubt))
    }

    /// Whether rows at a place are of an assumed schema.
    pub(super) fn doubts(&self, seen: (u64, u64)) -> bool {
        seen < self.doubt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read() {
        let check = |text: &str, expected: &[&str]| {
            let found = members(text);
            assert_eq!(found.iter().map(|member| &**member).collect::<Vec<_>>(), expected, "{text}");
        };
        check("enum('a','b''c','')", &["a", "b'c", ""]);
        check("set('x,y','ü')", &["x,y", "ü"]);
        check("int(11)", &[]);
    }

    #[test]
    fn types_are_named_as_in_the_log() {
        let check = |data_type: &str, column_type: &str, charset: Option<&str>, expected: &str| {
            let charset = charset.map(str::to_owned);
            let row = (
                String::new(),
                data_type.to_owned(),
                column_type.to_owned(),
                charset,
                Some(10),
                Some(2),
                Some(3),
            );
            assert_eq!(kind(&row).name(), expected);
        };
        check("bigint", "bigint(20) unsigned", None, "bigint unsigned");
        check("decimal", "decimal(10,2)", None, "decimal(10,2)");
        check("varchar", "varchar(20)", Some("latin1"), "varchar");
        check("varbinary", "varbinary(20)", None, "varbinary");
        check("longtext", "longtext", Some("utf8mb4"), "text");
        check("geomcollection", "geomcollection", None, "geometry");
        check("xml", "xml", None, "type 0");
    }
}
