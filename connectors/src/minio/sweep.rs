//! Back-fill: what a listing finds that no notification told, and the place from where it lists.
//!
//! Owns the saved position. It is the instant from which the next listing must look: behind it everything is either
//! accepted or older than the source. Known events are found again and again; their ids make them duplicates.

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::ids::Time;
use tokio::time::Instant;

use super::client::{Client, S3Error};
use super::record::{Mapping, Record, can_tell, listed};
use super::xml;
use crate::offer::offer;
use crate::{Arrivals, Context};

/// How far a listing looks back behind the last instant at which nothing was outstanding: an object is dated before
/// it is there to be seen, and clocks differ.
const MARGIN: Duration = Duration::from_mins(2);
/// The least time between two listings while nothing is wrong.
const EVERY: Duration = Duration::from_mins(10);
/// A listing takes at most one part in so many of the time.
const SHARE: u32 = 50;
/// Versions held in memory before they are offered (limit `minio-backfill-held`).
const HELD: usize = 10_000;
/// Most events offered at once.
const BATCH: usize = 500;

/// The saved position and what moves it.
pub(super) struct Position {
    /// Where the source, or its last rule, began: nothing before it is ever back-filled.
    floor: Time,
    /// From where the next listing looks.
    from: Time,
    /// When the next listing is due.
    due: Option<Instant>,
}

impl Position {
    /// The saved one, or none before the first run.
    pub(super) fn saved(context: &Context) -> Option<Position> {
        let (_, value) = context.positions.iter().find(|(partition, _)| partition.is_empty())?;
        let from = Time::parse(value)?;
        Some(Position { floor: from, from, due: Some(now()) })
    }

    /// One that begins at an instant.
    pub(super) fn at(floor: Time) -> Position {
        Position { floor, from: floor, due: None }
    }

    /// Everything that happened up to an instant is accepted.
    pub(super) fn confirm(&mut self, at: Time) {
        let back = Time(at.0.saturating_sub(MARGIN.as_millis() as i64));
        self.from = self.from.max(back).max(self.floor);
    }

    /// A listing is due at once.
    pub(super) fn doubt(&mut self) {
        self.due = Some(now());
    }

    /// When the next listing is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// As it is saved.
    pub(super) fn value(&self) -> (Arc<str>, Arc<str>) {
        ("".into(), self.from.rfc3339().into())
    }
}

/// The time of the runtime's clock, for delays alone.
pub(super) fn now() -> Instant {
    Instant::now() // tidy: clock, delays
}

/// Offers records as events, in the order of their times, with a position behind them. None when the source stops.
pub(super) async fn give(
    context: &Context,
    mapping: &Mapping,
    mut records: Vec<Record>,
    position: Option<&Position>,
) -> Option<()> {
    records.retain(|record| mapping.takes(record));
    records.sort_by_key(|record| record.time);
    let mut batches: Vec<Vec<_>> = records.chunks(BATCH).map(|chunk| chunk.iter().collect()).collect();
    if batches.is_empty() && position.is_some() {
        batches.push(Vec::new());
    }
    let last = batches.len().saturating_sub(1);
    for (n, batch) in batches.into_iter().enumerate() {
        let events = batch.into_iter().filter_map(|record| match mapping.to_event(record) {
            Ok(event) => Some(event),
            Err(poison) => {
                context.health.poison(&poison.to_string());
                None
            }
        });
        let arrivals = Arrivals {
            marks: Vec::new(),
            namespace: context.namespace.clone(),
            source: context.name.clone(),
            events: events.collect(),
            positions: position.filter(|_| n == last).map(Position::value).into_iter().collect(),
            placed: Vec::new(),
        };
        offer(context.ingress.clone(), context.health.clone(), context.stop.clone(), arrivals).await?;
    }
    Some(())
}

/// Lists the bucket and offers what is not older than the position, then moves and saves it. `Ok(None)` when the
/// source stops.
pub(super) async fn sweep(
    context: &Context,
    client: &Client,
    mapping: &Mapping,
    position: &mut Position,
) -> Result<Option<()>, S3Error> {
    let began = now();
    let mut begun_at = None;
    let mut found: Vec<Record> = Vec::new();
    let (mut key, mut version) = (String::new(), String::new());
    loop {
        let mut parameters = vec![("versions", ""), ("encoding-type", "url"), ("max-keys", "1000")];
        let prefix = mapping.prefix.as_deref().unwrap_or_default();
        parameters.extend([("prefix", prefix), ("key-marker", &key), ("version-id-marker", &version)]);
        parameters.retain(|(name, value)| *name == "versions" || !value.is_empty());
        let answer = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(None),
            answer = client.get(&parameters) => answer?,
        };
        begun_at = begun_at.or(answer.date);
        let page = xml::page(&answer.text).map_err(|why| client.unreadable(why))?;
        let young =
            page.versions.iter().filter(|version| version.modified >= position.from && can_tell(version));
        found.extend(young.map(|version| listed(mapping, version)).filter(|record| mapping.takes(record)));
        if found.len() >= HELD && give(context, mapping, std::mem::take(&mut found), None).await.is_none() {
            return Ok(None);
        }
        match page.next {
            Some(next) => (key, version) = next,
            None => break,
        }
    }
    position.confirm(begun_at.unwrap_or_else(|| (context.clock)()));
    let took = began.elapsed();
    position.due = Some(now() + EVERY.max(took * SHARE));
    Ok(give(context, mapping, found, Some(position)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_never_falls_before_its_floor() {
        let check = |floor: i64, confirmed: &[i64], expected: i64| {
            let mut position = Position::at(Time(floor * 60_000));
            for at in confirmed {
                position.confirm(Time(at * 60_000));
            }
            assert_eq!(position.from, Time(expected * 60_000));
        };
        check(10, &[], 10);
        check(10, &[11], 10);
        check(10, &[20], 18);
        check(10, &[20, 15], 18);
    }
}
