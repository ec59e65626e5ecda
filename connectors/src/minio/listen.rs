//! Via `listen`: the server's stream of events, and listings over its gaps.
//!
//! Owns the stream. Reading goes on while events are being stored, up to a limit; then the stream is dropped rather
//! than the server made to drop events unseen, and the gap is listed.

use std::time::Duration;

use reqwest::Response;
use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Spec;
use super::client::{Client, S3Error, Vendor, ahead, date, first_cause};
use super::record::{KeyForm, Mapping, Record, read};
use super::sweep::{Position, give, now, sweep};
use crate::{Context, SourceError};

/// Seconds between two heartbeats of the server. The first one says that the stream is open; each costs an idle source CPU.
const PING: &str = "2";
/// Without a byte for so long the stream is dead.
const SILENCE: Duration = Duration::from_secs(20);
/// Lines held while others are being stored (limit `minio-held`).
const HELD: usize = 10_000;
/// The longest line that is read (limit `record-size`).
const LINE: usize = 8 * 1024 * 1024;
/// Most lines taken at once.
const BATCH: usize = 500;
/// How often a position is saved while nothing happens.
const SAVE: Duration = Duration::from_secs(10);

/// What the stream brings.
enum Line {
    /// Records, or poison.
    Records(Value),
    /// Nothing happened up to this instant that was not told before.
    Beat(Time),
    /// What is no JSON.
    Broken(String),
}

/// Why reading ended.
enum End {
    /// As many lines as may be held.
    Full,
    Stopped,
    Failed(S3Error),
}

/// Runs until stopped or failed.
pub(super) async fn run(
    spec: &Spec,
    backfill: bool,
    client: &Client,
    context: &Context,
) -> Result<(), SourceError> {
    let mut position = if backfill { Position::saved(context) } else { None };
    loop {
        let opened = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(()),
            opened = open(client, &spec.mapping) => opened,
        };
        let (response, ahead) = opened.map_err(|error| error.error()).and_then(|(response, vendor)| {
            refuse_vendor(vendor)?;
            let ahead = ahead(date(&response), (context.clock)());
            Ok((response, ahead))
        })?;
        let server_time = || Time((context.clock)().0 + ahead);
        context.health.running();
        let place = position.get_or_insert_with(|| Position::at(Time(context.since.0 + ahead)));
        if backfill && place.due().is_some() {
            place.doubt();
        }
        match follow(spec, backfill.then_some(client), context, (response, &server_time), place).await? {
            End::Stopped => return Ok(()),
            End::Failed(error) => return Err(error.error()),
            End::Full => {
                let message =
                    "events come faster than they are stored; the stream is taken up again behind them";
                context.health.degraded("minio-held", message, "its triggers' buffers show where they wait");
                place.doubt();
            }
        }
    }
}

fn refuse_vendor(vendor: Vendor) -> Result<(), SourceError> {
    if vendor == Vendor::Minio {
        return Ok(());
    }
    let help = "let the server send to a bus and use `via: {kafka: {source: NAME}}`";
    let message = "this server has no listen stream".to_owned();
    Err(SourceError { code: "minio-unsupported".into(), message, help: help.into(), permanent: true })
}

async fn open(client: &Client, mapping: &Mapping) -> Result<(Response, Vendor), S3Error> {
    let mut parameters = vec![("ping", PING)];
    parameters.extend(mapping.events.iter().map(|event| ("events", &**event)));
    parameters.push(("prefix", mapping.prefix.as_deref().unwrap_or("")));
    parameters.push(("suffix", mapping.suffix.as_deref().unwrap_or("")));
    client.stream(&parameters).await
}

/// Reads and stores side by side until one of them ends.
async fn follow(
    spec: &Spec,
    lister: Option<&Client>,
    context: &Context,
    (response, server_time): (Response, &(impl Fn() -> Time + Sync)),
    position: &mut Position,
) -> Result<End, SourceError> {
    let (lines, taken) = mpsc::channel(HELD);
    let reading = read_lines(response, lines, context, server_time);
    let storing = store(spec, lister, context, taken, position);
    tokio::pin!(reading, storing);
    let mut end = None;
    loop {
        tokio::select! {
            biased;
            stored = &mut storing => {
                return match stored {
                    Err(error) => Ok(End::Failed(error)),
                    Ok(None) => Ok(End::Stopped),
                    Ok(Some(())) => Ok(end.unwrap_or(End::Stopped)),
                };
            }
            ended = &mut reading, if end.is_none() => end = Some(ended),
        }
    }
}

async fn read_lines(
    mut response: Response,
    lines: mpsc::Sender<Line>,
    context: &Context,
    server_time: &(impl Fn() -> Time + Sync),
) -> End {
    let dead = |why: &str| {
        End::Failed(S3Error::Unreachable { endpoint: "the listen stream".into(), why: why.to_owned() })
    };
    let mut held: Vec<u8> = Vec::new();
    loop {
        let chunk = tokio::select! {
            biased;
            () = context.stop.cancelled() => return End::Stopped,
            chunk = tokio::time::timeout(SILENCE, response.chunk()) => chunk,
        };
        match chunk {
            Ok(Ok(Some(chunk))) => held.extend_from_slice(&chunk),
            Ok(Ok(None)) => return dead("the server ended it"),
            Ok(Err(error)) => return dead(&format!("it broke off: {}", first_cause(&error))),
            Err(_) => return dead("no heartbeat came"),
        }
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let rest = held.split_off(end + 1);
            let text = std::mem::replace(&mut held, rest);
            if let Some(line) = line(&text, server_time)
                && lines.try_send(line).is_err()
            {
                return End::Full;
            }
        }
        if held.len() > LINE {
            return dead("a line is larger than the limit `record-size` of 8388608 bytes");
        }
    }
}

/// Reads a line; blanks alone are none.
fn line(text: &[u8], server_time: impl Fn() -> Time) -> Option<Line> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return None;
    }
    Some(match Value::parse(text) {
        Ok(value) if value.get("Records").is_none_or(Value::is_null) => Line::Beat(server_time()),
        Ok(value) => Line::Records(value),
        Err(error) => Line::Broken(format!("read a line of the listen stream: {error}")),
    })
}

/// Stores what comes and lists when that is due. `Ok(None)` when the source stops.
async fn store(
    spec: &Spec,
    lister: Option<&Client>,
    context: &Context,
    mut taken: mpsc::Receiver<Line>,
    position: &mut Position,
) -> Result<Option<()>, S3Error> {
    let mut saved: Option<Instant> = None;
    let mut lines = Vec::new();
    loop {
        if let Some(client) = lister
            && position.due().is_none_or(|due| due <= now())
            && sweep(context, client, &spec.mapping, position).await?.is_none()
        {
            return Ok(None);
        }
        lines.clear();
        if taken.recv_many(&mut lines, BATCH).await == 0 {
            return Ok(Some(()));
        }
        let (records, beat) = sort_out(context, &mut lines);
        if let Some(beat) = beat.filter(|_| lister.is_some()) {
            position.confirm(beat);
        }
        let save = lister.is_some() && saved.is_none_or(|at| at.elapsed() >= SAVE);
        if records.is_empty() && !save {
            continue;
        }
        if save {
            saved = Some(now());
        }
        if give(context, &spec.mapping, records, save.then_some(&*position)).await.is_none() {
            return Ok(None);
        }
    }
}

/// Records and the last heartbeat that no record came after.
fn sort_out(context: &Context, lines: &mut Vec<Line>) -> (Vec<Record>, Option<Time>) {
    let (mut records, mut beat) = (Vec::new(), None);
    for line in lines.drain(..) {
        match line {
            Line::Beat(at) => beat = Some(at),
            Line::Broken(why) => context.health.poison(&why),
            Line::Records(value) => {
                for record in read(&value, KeyForm::Plain) {
                    match record {
                        Ok(record) => records.push(record),
                        Err(poison) => context.health.poison(&poison.to_string()),
                    }
                }
            }
        }
    }
    (records, beat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |text: &str, expected: &str| {
            let kind = match line(text.as_bytes(), || Time(7)) {
                None => "none",
                Some(Line::Beat(Time(7))) => "beat",
                Some(Line::Beat(_)) => "another time",
                Some(Line::Records(_)) => "records",
                Some(Line::Broken(_)) => "broken",
            };
            assert_eq!(kind, expected, "{text}");
        };
        check(" \r\n", "none");
        check("{\"Records\":null}\n", "beat");
        check("{\"Records\":[{}]}\n", "records");
        check("{\"Records\":[", "broken");
    }

    #[test]
    fn only_minio_streams() {
        assert!(refuse_vendor(Vendor::Minio).is_ok());
        assert_eq!(refuse_vendor(Vendor::Ceph).map_err(|e| e.permanent), Err(true));
    }
}
