//! From a `mysql` manifest to its source.

use tidemill_dsl::manifest::{self, ConnectionKind, Link, MysqlConnection, MysqlSource};

use super::{Lookup, connection_absent, pair, text};
use crate::SourceError;
use crate::http::auth::Secret;
use crate::mysql;

/// The source with its secrets.
pub(super) fn spec(
    source: &manifest::Source,
    mysql: &MysqlSource,
    lookup: &Lookup<'_>,
) -> Result<mysql::Spec, SourceError> {
    let connection = match &mysql.connection {
        Link::Inline(connection) => connection.clone(),
        Link::Named(name) => match (lookup.connection)(name) {
            Some(ConnectionKind::Mysql(connection)) => connection,
            _ => return Err(connection_absent("MySQL", name)),
        },
    };
    Ok(mysql::Spec {
        mapping: mysql::Mapping { authority: connection.authority().into(), overrides: source.event.clone() },
        place: place(&connection, lookup)?,
        tables: mysql.tables.clone(),
        operations: mysql.operations,
        snapshot: mysql.snapshot,
        on_gap: mysql.on_gap,
        server_id: mysql.server_id,
        heartbeat: mysql.heartbeat,
    })
}

fn place(connection: &MysqlConnection, lookup: &Lookup<'_>) -> Result<mysql::Place, SourceError> {
    let (username, password) = pair(&connection.credentials, lookup)?;
    let pem = |found: &manifest::Pem| match found {
        manifest::Pem::File(path) => Ok(mysql::Pem::File(path.clone())),
        manifest::Pem::Secret(name) => text(name, lookup).map(|text| mysql::Pem::Text(Secret(text))),
    };
    let tls = match &connection.tls {
        None => None,
        Some(tls) => Some(mysql::Tls {
            ca: tls.ca.as_ref().map(pem).transpose()?,
            identity: match (&tls.certificate, &tls.key) {
                (Some(certificate), Some(key)) => Some((pem(certificate)?, pem(key)?)),
                _ => None,
            },
            server_name: tls.server_name.clone(),
        }),
    };
    Ok(mysql::Place {
        host: connection.host.clone(),
        port: connection.port,
        username,
        password: Secret(password),
        tls,
    })
}
