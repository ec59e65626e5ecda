//! Events of the client library as the walk takes them, and transactions that the server compressed.
//!
//! Owns the bound of memory for those: the library unpacks such a transaction as a whole, so the server is asked
//! beforehand how large it becomes.

use mysql_async::Conn;
use mysql_async::binlog::events::{AnonymousGtidEvent, Event as Logged, GtidEvent};

use super::Spec;
use super::fault::error;
use super::gtid::Gtid;
use super::server::{ask, connect};
use super::walk::{Open, Raw, uuid_text};
use crate::SourceError;

/// Most bytes of a compressed transaction once it is unpacked (limit `mysql-transaction-size`).
const MOST: u64 = 512 * 1024 * 1024;
/// A transaction that takes no more bytes in the log than this cannot become larger than [`MOST`] by any sane ratio.
const SMALL: u64 = 64 * 1024;

/// The event as the walk takes it.
pub(super) fn raw(event: &Logged) -> Raw<'_> {
    let header = event.header();
    let kind = header.event_type_raw();
    let tagged = (kind == 42).then(|| event.read_event::<GtidEvent>().ok()).flatten();
    let tagged = tagged.map(|gtid| {
        let uuid = uuid_text(&gtid.sid());
        let server = gtid.tag().map_or_else(|| uuid.clone(), |tag| format!("{uuid}:{tag}"));
        Gtid::Mysql { server: server.into(), number: gtid.gno() }
    });
    Raw {
        kind,
        server: header.server_id(),
        time: header.timestamp(),
        size: header.event_size(),
        end: header.log_pos(),
        flags: header.flags_raw(),
        body: event.data(),
        tagged,
    }
}

/// Whether this is the beginning of a transaction that is large enough to be asked about.
pub(super) fn is_large(event: &Logged) -> bool {
    let length = match event.header().event_type_raw() {
        33 | 42 => event.read_event::<GtidEvent>().map(|gtid| gtid.tx_length()),
        34 => event.read_event::<AnonymousGtidEvent>().map(|gtid| gtid.0.tx_length()),
        _ => return false,
    };
    length.is_ok_and(|length| length > SMALL)
}

/// Asks how large a transaction becomes that has just begun, and refuses one that memory is not to hold.
pub(super) async fn check(spec: &Spec, conn: &mut Option<Conn>, open: &Open) -> Result<(), SourceError> {
    let mut own = match conn.take() {
        Some(own) => own,
        None => connect(&spec.place).await?,
    };
    let query =
        format!("SHOW BINLOG EVENTS IN '{}' FROM {} LIMIT 2", open.file.replace('\'', "''"), open.pos);
    type Shown = (String, u64, String, u64, u64, String);
    let shown: Vec<Shown> = ask(&mut own, &query).await?;
    *conn = Some(own);
    match shown.get(1) {
        Some((_, _, kind, _, end, info)) if kind == "Transaction_payload" => judge(info, open, *end),
        _ => Ok(()),
    }
}

fn judge(info: &str, open: &Open, end: u64) -> Result<(), SourceError> {
    let digits = info.split_once("decompressed_size=").map_or("", |(_, behind)| behind);
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let size: u64 = digits.parse().unwrap_or(0);
    if size <= MOST {
        return Ok(());
    }
    let (file, pos) = (&open.file, open.pos);
    let message = format!(
        "the transaction at {file}:{pos} is compressed and becomes {size} bytes, more than the limit \
         `mysql-transaction-size` of {MOST}"
    );
    let help = format!(
        "seek behind it, with a new snapshot or without: {{\"positions\": {{\"binlog\": \"{file}:{end}\"}}}}; write such \
         transactions with binlog_transaction_compression = OFF: those are read at any size"
    );
    Err(SourceError { permanent: true, ..error("mysql-transaction-size", message, help) })
}

#[cfg(test)]
mod tests {
    use super::super::position::Position;
    use super::super::walk::{Step, Walk};
    use super::*;

    #[test]
    fn a_transaction_that_becomes_too_large_is_refused_with_its_end() {
        let mut walk = Walk::new(Position::parse("binlog.000003:100").unwrap(), Vec::new());
        let (size, end, body) = (40, 140, [0_u8; 42]);
        let raw = Raw { kind: 34, server: 1, time: 0, size, end, flags: 0, body: &body, tagged: None };
        assert_eq!(walk.step(&raw), Ok(Step::None));
        let open = walk.open().unwrap();
        let check =
            |bytes: u64| judge(&format!("compression='ZSTD', decompressed_size={bytes} bytes"), open, 900);
        assert_eq!(check(MOST).map_err(|error| error.message), Ok(()));
        let refused = check(MOST + 1).unwrap_err();
        insta::assert_snapshot!(refused.message, @"the transaction at binlog.000003:100 is compressed and becomes 536870913 bytes, more than the limit `mysql-transaction-size` of 536870912");
        assert!(refused.permanent && refused.help.contains(r#""binlog.000003:900""#), "{}", refused.help);
        assert!(judge("compression='ZSTD'", open, 900).is_ok());
    }
}
