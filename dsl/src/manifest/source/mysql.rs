//! `mysql` of a source: rows of tables, read from the binlog.
//!
//! Owns its fields and the patterns of tables. Connects to nothing.

use std::sync::Arc;
use std::time::Duration;

use super::super::connection::read_mysql;
use super::super::{Link, Metadata, MysqlConnection, codes, read};
use crate::codes as shared;
use crate::reader::{Place, Reader, Sink};

/// A binding to the binlog of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlSource {
    /// How to reach the server.
    pub connection: Link<MysqlConnection>,
    /// The tables whose rows become events.
    pub tables: TableFilter,
    /// Which changes become events.
    pub operations: Operations,
    /// Whether the rows that are there at the first start are read.
    pub snapshot: bool,
    /// What is done when the log that follows the saved position is gone.
    pub on_gap: OnGap,
    /// The id that the source has among the replicas of the server.
    pub server_id: u32,
    /// How often a quiet server gives a sign of life, and how often the position is saved meanwhile.
    pub heartbeat: Duration,
}

/// `tables` and `exclude`: which tables are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFilter {
    /// Those that are, at least one.
    pub include: Vec<TablePattern>,
    /// Those that are not, though `include` takes them.
    pub exclude: Vec<TablePattern>,
}

impl TableFilter {
    /// Whether the rows of a table become events.
    pub fn takes(&self, database: &str, table: &str) -> bool {
        let held = |list: &[TablePattern]| list.iter().any(|pattern| pattern.takes(database, table));
        held(&self.include) && !held(&self.exclude)
    }
}

/// One table, or all of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePattern {
    /// The database.
    pub database: Arc<str>,
    /// The table; none is `*`.
    pub table: Option<Arc<str>>,
}

impl TablePattern {
    /// Whether it names the table. Case counts.
    pub fn takes(&self, database: &str, table: &str) -> bool {
        *self.database == *database && self.table.as_deref().is_none_or(|own| own == table)
    }
}

/// Which changes become events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations {
    /// `insert`
    pub insert: bool,
    /// `update`
    pub update: bool,
    /// `delete`
    pub delete: bool,
}

/// `onGap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// The source fails and says so.
    #[default]
    Stop,
    /// The rows that are there are read, as at a first start with `snapshot: initial`.
    Snapshot,
    /// One event tells of the gap, and reading goes on with the oldest log that is left.
    Skip,
}

/// Bits of a derived server id: above what people give by hand, below 2^32.
const DERIVED: u32 = 0x8000_0000;

pub(super) fn read(place: Place, sink: &Sink, meta: &Metadata) -> Option<MysqlSource> {
    let mut reader = Reader::open(place, sink, "a mysql source")?;
    let connection = match reader.take("connection") {
        Some(place) => {
            for key in ["url", "credentials", "tls"] {
                if let Some(extra) = reader.take(key) {
                    let message = format!("`{key}` and `connection` exclude each other");
                    sink.push(
                        extra.key_error(shared::EXCLUSIVE, message).help("the Connection holds these fields"),
                    );
                }
            }
            read::label(&place, sink).map(Link::Named)
        }
        None => read_mysql(&mut reader).map(Link::Inline),
    };
    let tables = reader.need("tables").and_then(|place| read::list(&place, sink, pattern));
    let exclude = reader.take("exclude").map_or(Some(Vec::new()), |place| read::list(&place, sink, pattern));
    let operations = reader.take("operations").map_or(Some(Operations::ALL), |place| {
        let words = [("insert", 0), ("update", 1), ("delete", 2)];
        let found = read::list(&place, sink, |place, sink| place.choice(sink, &words))?;
        let has = |operation| found.contains(&operation);
        Some(Operations { insert: has(0), update: has(1), delete: has(2) })
    });
    let snapshot = reader.choice("snapshot", &[("never", false), ("initial", true)]);
    let on_gap = reader
        .choice("onGap", &[("stop", OnGap::Stop), ("snapshot", OnGap::Snapshot), ("skip", OnGap::Skip)]);
    let server_id = reader.take("serverId").map_or(Some(derived(meta)), |place| {
        read::integer(&place, sink, 1..=i64::from(u32::MAX)).and_then(|id| u32::try_from(id).ok())
    });
    let heartbeat =
        reader.take("heartbeat").map_or(Some(Duration::from_secs(10)), |place| heartbeat(&place, sink));
    reader.finish();
    Some(MysqlSource {
        connection: connection?,
        tables: TableFilter { include: tables?, exclude: exclude? },
        operations: operations?,
        snapshot,
        on_gap,
        server_id: server_id?,
        heartbeat: heartbeat?,
    })
}

impl Operations {
    /// Every change.
    pub const ALL: Operations = Operations { insert: true, update: true, delete: true };
}

/// `DATABASE.TABLE` or `DATABASE.*`. Names may hold any sign but a dot, which would be read as the one between them.
fn pattern(place: &Place, sink: &Sink) -> Option<TablePattern> {
    let text = place.text(sink)?;
    let good = |name: &str| (1..=64).contains(&name.chars().count()) && !name.contains(['*', '.', '`']);
    match text.split_once('.') {
        Some((database, "*")) if good(database) => {
            Some(TablePattern { database: database.into(), table: None })
        }
        Some((database, table)) if good(database) && good(table) => {
            Some(TablePattern { database: database.into(), table: Some(table.into()) })
        }
        _ => read::wrong(place, sink, codes::TABLE, &format!("`{text}` names no table")),
    }
}

/// At least a second, at most an hour.
fn heartbeat(place: &Place, sink: &Sink) -> Option<Duration> {
    let found = read::duration(place, sink)?;
    if (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&found) {
        return Some(found);
    }
    read::wrong(place, sink, codes::DURATION, "a heartbeat is from 1s to 1h")
}

/// The same for the same source, wherever it runs: a source that comes back takes the place of its former self.
fn derived(meta: &Metadata) -> u32 {
    let text = format!("{}/{}", meta.namespace, meta.name);
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash | DERIVED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{self, Manifest, Pem, Source, SourceKind};

    const PLACE: &str = "url: 'mysql://h:3307', credentials: {secret: login}";

    fn source(fields: &str) -> Result<Source, String> {
        let text = format!("kind: Source\nmetadata: {{name: rows}}\nspec: {{mysql: {{{fields}}}}}\n");
        match manifest::parse(&crate::yaml::parse(&text).unwrap(), &text, "default") {
            Ok(Manifest::Source(source)) => Ok(*source),
            Ok(other) => panic!("{other:?}"),
            Err(found) => Err(found.iter().map(|d| d.code).collect::<Vec<_>>().join(" ")),
        }
    }

    fn mysql(fields: &str) -> MysqlSource {
        match source(fields).unwrap().kind {
            SourceKind::Mysql(mysql) => mysql,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let found = mysql(&format!("{PLACE}, tables: [shop.orders]"));
        let Link::Inline(connection) = &found.connection else { panic!("{found:?}") };
        assert_eq!((&*connection.host, connection.port, &connection.tls), ("h", 3307, &None));
        assert_eq!(found.operations, Operations::ALL);
        assert_eq!((found.snapshot, found.on_gap), (false, OnGap::Stop));
        assert_eq!(found.heartbeat, Duration::from_secs(10));
        assert_eq!(found.server_id, mysql(&format!("{PLACE}, tables: [a.b]")).server_id);
        assert!(found.server_id >= DERIVED);
    }

    #[test]
    fn fields_are_read() {
        let tls = "tls: {ca: {file: /ca.pem}, certificate: {secret: c}, key: {secret: k}, serverName: db}";
        let found = mysql(&format!(
            "url: '[::1]', credentials: {{secret: login}}, tables: ['shop.*'], exclude: [shop.audit], {tls}, \
             operations: [delete], snapshot: initial, onGap: skip, serverId: 77, heartbeat: 2s"
        ));
        let Link::Inline(connection) = &found.connection else { panic!("{found:?}") };
        assert_eq!(connection.authority(), "[::1]:3306");
        let tls = connection.tls.as_ref().unwrap();
        assert_eq!((&tls.ca, &tls.key), (&Some(Pem::File("/ca.pem".into())), &Some(Pem::Secret("k".into()))));
        assert_eq!(found.operations, Operations { insert: false, update: false, delete: true });
        assert_eq!((found.snapshot, found.on_gap, found.server_id), (true, OnGap::Skip, 77));
        let takes = |table: &str| found.tables.takes("shop", table);
        assert_eq!(
            (takes("orders"), takes("audit"), found.tables.takes("other", "orders")),
            (true, false, false)
        );
    }

    #[test]
    fn mistakes() {
        let check = |fields: &str, expected: &str| {
            assert_eq!(source(fields).err().as_deref(), Some(expected), "{fields}");
        };
        check(PLACE, "E0202");
        check("url: 'http://h', credentials: {secret: s}, tables: [a.b]", "E1030");
        check("url: 'mysql://u:p@h:1', credentials: {secret: s}, tables: [a.b]", "E1030");
        check(&format!("{PLACE}, tables: [orders, 'a.b.c', '*.x']"), "E1031 E1031 E1031");
        check(&format!("{PLACE}, tables: [a.b], heartbeat: 10ms"), "E1015");
        check(&format!("{PLACE}, tables: [a.b], tls: {{key: {{secret: k}}}}"), "E0205");
        check(&format!("connection: c, {PLACE}, tables: [a.b]"), "E0205 E0205");
    }
}
