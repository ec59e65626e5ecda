//! Errors of the server and of its client in Tidemill's codes.
//!
//! Owns which error is which code, and what helps.

use mysql_async::{DriverError, Error, IoError, ServerError};

use crate::SourceError;

/// Why a run ends.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The log behind the position is gone.
    Gap(String),
    /// Something else.
    Error(SourceError),
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Fault {
        Fault::Error(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match &error {
            Error::Server(server) if server.code == READING && is_gap(&server.message) => {
                Fault::Gap(server.message.clone())
            }
            _ => Fault::Error(fault(&error)),
        }
    }
}

/// The server's code for all that keeps it from sending its log.
const READING: u16 = 1236;

/// Texts of the servers when the log behind a position is not there (any more).
fn is_gap(message: &str) -> bool {
    let texts = [
        "Could not find first log file name",
        "could not find next log",
        "Could not find GTID state requested",
        "purged required binary logs",
        "purged binary logs containing GTIDs",
        "binary logs have been purged",
        "which is not in the master's binlog",
        "more GTIDs than the",
        "impossible position",
        "Client requested master to start replication from",
    ];
    texts.iter().any(|text| message.contains(text))
}

/// An error that trying again may mend.
pub(super) fn error(code: &str, message: impl Into<String>, help: impl Into<String>) -> SourceError {
    SourceError { code: code.into(), message: message.into(), help: help.into(), permanent: false }
}

/// Reads an error of the client.
pub(super) fn fault(found: &Error) -> SourceError {
    let (code, message) = match found {
        Error::Server(server) => (code_of(server), format!("{} ({})", server.message, server.code)),
        Error::Io(IoError::Tls(tls)) => ("mysql-tls", tls.to_string()),
        Error::Io(IoError::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData => {
            let code = if io.to_string().contains("ertificate") { "mysql-tls" } else { "mysql-log" };
            (code, io.to_string())
        }
        Error::Io(IoError::Io(io)) => ("mysql-unreachable", io.to_string()),
        Error::Driver(DriverError::ConnectionClosed) => {
            ("mysql-unreachable", "the server closed the connection".to_owned())
        }
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            ("mysql-tls", "the server offers no TLS".to_owned())
        }
        Error::Driver(DriverError::NoKeyFound) => {
            ("mysql-tls", "the file of the key holds no key".to_owned())
        }
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            ("mysql-auth", format!("the user logs in by `{name}`, which is not known here"))
        }
        Error::Driver(DriverError::MysqlOldPasswordDisabled) => ("mysql-auth", found.to_string()),
        other => ("mysql-error", other.to_string()),
    };
    error(code, message, help_for(code))
}

fn code_of(server: &ServerError) -> &'static str {
    match server.code {
        1045 | 1130 | 1524 | 1698 | 1862 | 3118 => "mysql-auth",
        1044 | 1142 | 1143 | 1227 | 1370 => "mysql-denied",
        READING if server.message.contains("same server_uuid/server_id") => "mysql-server-id",
        READING => "mysql-log",
        1040 | 1053 | 1077 | 1079 | 1203 | 2006 | 2013 | 3159 => "mysql-unreachable",
        _ => "mysql-error",
    }
}

/// The rights that reading takes.
pub(super) const GRANTS: &str = "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'USER'@'HOST'; \
                                 (MariaDB 10.5 and later: BINLOG MONITOR for REPLICATION CLIENT)";

fn help_for(code: &str) -> String {
    let text = match code {
        "mysql-auth" => "check the secret with username and password, and from which hosts the user may come",
        "mysql-denied" => return format!("let the user read the log and the tables: {GRANTS}"),
        "mysql-tls" => "check `tls`: ca, certificate, key and serverName; without `tls` nothing is encrypted",
        "mysql-unreachable" => "check that `url` names a running server and that its port is open",
        "mysql-server-id" => "another replica has the same id: set `serverId` to one that nobody uses",
        "mysql-log" => "the log cannot be read on; see the server's error log",
        _ => "see the server's error log",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> Error {
        Error::Server(ServerError { code, message: message.to_owned(), state: "HY000".to_owned() })
    }

    #[test]
    fn errors_have_codes() {
        let check = |error: Error, expected: &str| {
            let code = match Fault::from(error) {
                Fault::Gap(_) => "gap".to_owned(),
                Fault::Error(error) => error.code.to_string(),
            };
            assert_eq!(code, expected);
        };
        check(server(1045, "Access denied for user"), "mysql-auth");
        check(server(1227, "Access denied; you need SUPER"), "mysql-denied");
        check(server(READING, "Could not find first log file name in binary log index file"), "gap");
        check(server(READING, "Cannot replicate because the master purged required binary logs."), "gap");
        check(
            server(
                READING,
                "Error: connecting slave requested to start from GTID 0-1-2, which is not in the master's binlog",
            ),
            "gap",
        );
        let same = "A slave with the same server_uuid/server_id as this slave has connected to the master";
        check(server(READING, same), "mysql-server-id");
        check(server(READING, "log event entry exceeded max_allowed_packet"), "mysql-log");
        check(server(1053, "Server shutdown in progress"), "mysql-unreachable");
        let io = |kind| Error::Io(IoError::Io(std::io::Error::new(kind, "invalid peer certificate")));
        check(io(std::io::ErrorKind::ConnectionRefused), "mysql-unreachable");
        check(io(std::io::ErrorKind::InvalidData), "mysql-tls");
        check(Error::Driver(DriverError::NoClientSslFlagFromServer), "mysql-tls");
        check(Error::Driver(DriverError::ConnectionClosed), "mysql-unreachable");
    }
}
