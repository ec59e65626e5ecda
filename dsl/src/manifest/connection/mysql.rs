//! How to reach a MySQL or MariaDB server: the fields that a connection and a source share.
//!
//! Owns the fields and their mistakes. Connects to nothing, reads no file.

use std::sync::Arc;

use super::super::{codes, read};
use super::tls::{Tls, read_tls};
use crate::reader::{Place, Reader, Sink};

/// How to reach a MySQL or MariaDB server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlConnection {
    /// Host name or address, without brackets.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// The secret with `username` and `password`.
    pub credentials: Arc<str>,
    /// How the connection is encrypted; none: it is not.
    pub tls: Option<Tls>,
}

impl MysqlConnection {
    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The fields that a MySQL connection and a MySQL source share.
pub(in crate::manifest) fn read_mysql(reader: &mut Reader) -> Option<MysqlConnection> {
    let sink = reader.sink();
    let url = reader.need("url").and_then(|place| url(&place, sink));
    let credentials = reader.need("credentials").and_then(|place| read::secret(&place, sink));
    let tls = match reader.map("tls", "tls") {
        Some(tls) => Some(read_tls(tls)?),
        None => None,
    };
    let (host, port) = url?;
    Some(MysqlConnection { host, port, credentials: credentials?, tls })
}

/// `mysql://host:port`; the scheme and the port may be left out.
fn url(place: &Place, sink: &Sink) -> Option<(Arc<str>, u16)> {
    let text = place.text(sink)?;
    let rest = match text.split_once("://") {
        Some(("mysql" | "mariadb", rest)) => Some(rest),
        Some(_) => None,
        None => Some(&*text),
    };
    let authority = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    match authority.and_then(read::address) {
        Some((host, port)) if !host.is_empty() && port != Some(0) => {
            Some((host.into(), port.unwrap_or(3306)))
        }
        _ => read::wrong(place, sink, codes::MYSQL_URL, &format!("`{text}` is no URL of a MySQL server")),
    }
}
