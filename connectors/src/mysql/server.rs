//! The server: connecting, what it is and has, whether it is set as reading needs it, and its stream.
//!
//! Owns the statements that are sent besides those of the snapshot and of the schema. Decides nothing about positions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, ClientIdentity, Conn, OptsBuilder, Row, Sid, SslOpts};

use super::charset::Charsets;
use super::fault::{Fault, error, fault};
use super::gtid::GtidSet;
use super::position::{FIRST, Position};
use crate::SourceError;
use crate::http::auth::Secret;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest event that is taken (the server's own limit).
const PACKET: usize = 1 << 30;
/// How long the server waits while events are held here: as long as it can.
const HELD_SECONDS: u32 = 31_536_000;

/// How to reach the server, with the secrets.
#[derive(Clone, Debug)]
pub struct Place {
    /// Host name or address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// User.
    pub username: Arc<str>,
    /// Password.
    pub password: Secret,
    /// How the connection is encrypted; none: it is not.
    pub tls: Option<Tls>,
}

/// Whom to trust and who one is, in PEM form.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities; none: the well-known ones.
    pub ca: Option<Pem>,
    /// Certificate and key of the client.
    pub identity: Option<(Pem, Pem)>,
    /// The name of the server's certificate; none: the host.
    pub server_name: Option<Arc<str>>,
}

/// A text in PEM form, or the file that has it.
#[derive(Clone, Debug)]
pub enum Pem {
    /// A file, read at each connection.
    File(Arc<str>),
    /// The text.
    Text(Secret),
}

impl Pem {
    async fn bytes(&self) -> Result<Vec<u8>, SourceError> {
        match self {
            Pem::File(path) => tokio::fs::read(&**path).await.map_err(|why| {
                error(
                    "mysql-tls",
                    format!("{path} cannot be read: {why}"),
                    "correct the file that `tls` names",
                )
            }),
            Pem::Text(text) => Ok(text.0.as_bytes().to_vec()),
        }
    }
}

/// What a server is.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) is_mariadb: bool,
    /// Not of MariaDB.
    pub(super) uuid: Option<Arc<str>>,
    /// Its id among the servers.
    pub(super) number: u32,
    pub(super) has_gtids: bool,
    pub(super) charsets: Arc<Charsets>,
    /// Major and minor number.
    version: (u16, u16),
}

/// Connects, in UTC and utf8mb4.
pub(super) async fn connect(place: &Place) -> Result<Conn, SourceError> {
    let tls = match &place.tls {
        Some(tls) => Some(encryption(tls).await?),
        None => None,
    };
    let options = OptsBuilder::default()
        .ip_or_hostname(&*place.host)
        .tcp_port(place.port)
        .user(Some(&*place.username))
        .pass(Some(&*place.password.0))
        .ssl_opts(tls)
        .prefer_socket(false)
        .tcp_nodelay(true)
        .max_allowed_packet(Some(PACKET))
        .wait_timeout(Some(HELD_SECONDS as usize))
        .setup(vec!["SET time_zone = '+00:00', NAMES utf8mb4"]);
    match tokio::time::timeout(CONNECT, Conn::new(options)).await {
        Ok(connected) => connected.map_err(|found| fault(&found)),
        Err(_) => {
            let message = format!("{}:{} did not answer within 10 s", place.host, place.port);
            let help = "check that `url` names a running server and that its port is open";
            Err(error("mysql-unreachable", message, help))
        }
    }
}

async fn encryption(tls: &Tls) -> Result<SslOpts, SourceError> {
    let identity = match &tls.identity {
        Some((chain, key)) => {
            Some(ClientIdentity::new(chain.bytes().await?.into(), key.bytes().await?.into()))
        }
        None => None,
    };
    let options = SslOpts::default().with_client_identity(identity);
    let options = match &tls.ca {
        Some(ca) => options.with_root_certs(vec![ca.bytes().await?.into()]).with_disable_built_in_roots(true),
        None => options,
    };
    Ok(options.with_danger_tls_hostname_override(tls.server_name.as_deref().map(str::to_owned)))
}

/// Asks what the server is and refuses settings that changes of rows cannot be read with.
pub(super) async fn facts(conn: &mut Conn) -> Result<Facts, SourceError> {
    let names = "'version', 'log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_value_options', \
                 'gtid_mode', 'server_uuid', 'server_id'";
    let rows: Vec<(String, String)> =
        ask(conn, &format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")).await?;
    let variables: HashMap<String, String> =
        rows.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let value = |name: &str| -> &str { variables.get(name).map_or("", String::as_str) };
    check_settings(&value)?;
    let is_mariadb = value("version").contains("MariaDB");
    let list = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS \
                WHERE ID IS NOT NULL AND CHARACTER_SET_NAME IS NOT NULL";
    let (major, minor, _) = conn.server_version();
    Ok(Facts {
        is_mariadb,
        uuid: Some(value("server_uuid")).filter(|uuid| !uuid.is_empty() && !is_mariadb).map(Arc::from),
        number: value("server_id").parse().unwrap_or(0),
        has_gtids: is_mariadb || value("gtid_mode").starts_with("ON"),
        charsets: Arc::new(Charsets::listed(ask::<(u64, String)>(conn, list).await?)),
        version: (major, minor),
    })
}

/// One query whose rows are held.
pub(super) async fn ask<T>(conn: &mut Conn, query: &str) -> Result<Vec<T>, SourceError>
where
    T: mysql_async::prelude::FromRow + Send + 'static,
{
    conn.query(query).await.map_err(|found| fault(&found))
}

fn check_settings<'a>(value: &dyn Fn(&str) -> &'a str) -> Result<(), SourceError> {
    let is = |name: &str, wanted: &str| value(name).eq_ignore_ascii_case(wanted);
    if !is("log_bin", "ON") && !is("log_bin", "1") {
        let help = "start the server with `log-bin=binlog` and `server-id=1` in the section [mysqld] of its settings";
        return Err(error("mysql-settings", "the server writes no binlog (log_bin is OFF)", help));
    }
    let wanted = [("binlog_format", "ROW"), ("binlog_row_image", "FULL"), ("binlog_row_value_options", "")];
    let Some((name, wanted)) = wanted.into_iter().find(|(name, wanted)| !is(name, wanted)) else {
        return Ok(());
    };
    let message = format!("{name} is `{}`, and changes of rows are read with `{wanted}` alone", value(name));
    let help = format!(
        "SET GLOBAL {name} = '{wanted}'; and the same in the settings of the server. Sessions that are open keep the \
         old value until they connect again"
    );
    Err(error("mysql-settings", message, help))
}

/// The files of the log with their lengths, the oldest first.
pub(super) async fn logs(conn: &mut Conn) -> Result<Vec<(Arc<str>, u64)>, SourceError> {
    let rows: Vec<Row> = ask(conn, "SHOW BINARY LOGS").await?;
    let file = |row: &Row| Some((row.get::<String, _>(0)?.into(), row.get::<u64, _>(1)?));
    Ok(rows.iter().filter_map(file).collect())
}

/// The end of the log.
pub(super) async fn head(conn: &mut Conn, facts: &Facts) -> Result<Position, SourceError> {
    let renamed = !facts.is_mariadb && facts.version >= (8, 2);
    let query = if renamed { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let rows: Vec<Row> = ask(conn, query).await?;
    let place = rows.first().and_then(|row| Some((row.get::<String, _>(0)?, row.get::<u64, _>(1)?)));
    let Some((file, pos)) = place else {
        return Err(error("mysql-settings", "the server writes no binlog", "start it with `log-bin=binlog`"));
    };
    let gtids = if !facts.has_gtids {
        None
    } else if facts.is_mariadb {
        let found: Option<Option<String>> = conn
            .exec_first("SELECT BINLOG_GTID_POS(?, ?)", (&file, pos))
            .await
            .map_err(|found| fault(&found))?;
        GtidSet::parse(&found.flatten().unwrap_or_default())
    } else {
        rows.first()
            .and_then(|row| row.get::<String, _>("Executed_Gtid_Set"))
            .and_then(|text| GtidSet::parse(&text))
    };
    Ok(Position { file: file.into(), pos, gtids, server: facts.uuid.clone(), within: None })
}

/// The transactions that MySQL has, and those of them that are in no log any more.
pub(super) async fn executed(conn: &mut Conn) -> Result<(GtidSet, GtidSet), SourceError> {
    let rows: Vec<(String, String)> =
        ask(conn, "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged").await?;
    let read = |text: &str| GtidSet::parse(text);
    let sets = rows.first().and_then(|(executed, purged)| Some((read(executed)?, read(purged)?)));
    sets.ok_or_else(|| {
        error("mysql-error", "the server's sets of GTIDs cannot be read", "see its gtid_executed")
    })
}

/// From where the log is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// From a place in a file.
    File,
    /// Everything that is not in the position's set.
    Gtids,
}

/// Turns a connection into the stream of the log.
pub(super) async fn stream(
    mut conn: Conn,
    facts: &Facts,
    (request, position): (&Request, &Position),
    (server_id, heartbeat): (u32, Duration),
) -> Result<BinlogStream, Fault> {
    let period = heartbeat.as_nanos();
    let mut settings = vec![
        format!("SET @master_heartbeat_period = {period}, @source_heartbeat_period = {period}"),
        format!("SET SESSION net_write_timeout = {HELD_SECONDS}"),
    ];
    if facts.is_mariadb {
        settings.push("SET @mariadb_slave_capability = 4".to_owned());
    }
    let gtids = position.gtids.as_ref().filter(|_| *request == Request::Gtids);
    if let Some(gtids) = gtids.filter(|_| facts.is_mariadb) {
        settings.push(format!(
            "SET @slave_connect_state = '{gtids}', @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0"
        ));
    }
    for setting in &settings {
        conn.query_drop(setting).await?;
    }
    let wanted = BinlogStreamRequest::new(server_id);
    let wanted = match gtids {
        None => wanted.with_filename(position.file.as_bytes()).with_pos(position.pos),
        Some(_) if facts.is_mariadb => wanted.with_pos(FIRST),
        Some(gtids) => wanted.with_gtid().with_pos(FIRST).with_gtid_set(sids(gtids)?),
    };
    Ok(conn.get_binlog_stream(wanted).await?)
}

fn sids(gtids: &GtidSet) -> Result<Vec<Sid<'static>>, SourceError> {
    let text = gtids.to_string();
    let parts = text.split(',').filter(|part| !part.is_empty());
    let sids: Result<Vec<Sid<'static>>, std::io::Error> = parts.map(str::parse).collect();
    sids.map_err(|why| {
        error(
            "mysql-position",
            format!("the GTIDs `{gtids}` cannot be asked for: {why}"),
            "seek to a place in a file",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_refused_with_the_line_that_mends_them() {
        let check = |format: &str, image: &str, options: &str, expected: Option<&str>| {
            let refused = check_settings(&|name| match name {
                "log_bin" => "ON",
                "binlog_format" => format,
                "binlog_row_image" => image,
                _ => options,
            });
            let help = refused.err().map(|error| error.help);
            assert_eq!(help.as_deref().and_then(|help| help.split(" and the same").next()), expected);
        };
        check("ROW", "FULL", "", None);
        check("row", "full", "", None);
        check("MIXED", "FULL", "", Some("SET GLOBAL binlog_format = 'ROW';"));
        check("ROW", "MINIMAL", "", Some("SET GLOBAL binlog_row_image = 'FULL';"));
        check("ROW", "FULL", "PARTIAL_JSON", Some("SET GLOBAL binlog_row_value_options = '';"));
    }
}
