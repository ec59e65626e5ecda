//! Reading: records to batches, batches to the ingress, offsets to the group.
//!
//! Owns how much is held in memory: one batch that is being stored and at most one more. Ends with an error when the
//! client cannot go on by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use rdkafka::consumer::{CommitMode, Consumer, MessageStream};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tidemill_dsl::event::Event;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::watch::{Partition, Positions, SourceConsumer, Watch};
use super::{BATCH_BYTES, BATCH_RECORDS, Record, Spec, arrivals, fault, record, to_event};
use crate::offer::offer;
use crate::{BoxFuture, Context, Receipt, SourceError};

/// How long a full batch may wait for the one before it until the partitions are paused. Pausing throws away what the
/// client has fetched ahead, so it is not done for every short wait.
const HOLD: Duration = Duration::from_secs(1);
/// How long the group may keep the source waiting, at its start and after it lost its place, until that is told.
const JOIN: Duration = Duration::from_secs(4);
/// How often the group is told the offsets.
const COMMIT: Duration = Duration::from_millis(200);

/// How long partitions that go to another member wait for what was read of them to be stored.
const HAND_OVER: Duration = Duration::from_secs(2);

/// Events read, each with its partition and the offset behind it, and the positions behind all, poison records included.
#[derive(Default)]
struct Batch {
    events: Vec<(Event, Partition, i64)>,
    positions: Positions,
    records: usize,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.records >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }
}

/// A batch that is being stored, with the positions it moves to.
struct Flight {
    stored: BoxFuture<'static, Option<Receipt>>,
    positions: Positions,
}

/// A run that reads.
pub(super) struct Reading<'a> {
    spec: &'a Spec,
    context: &'a Context,
    consumer: &'a SourceConsumer,
    watch: Arc<Watch>,
    topics: Vec<Arc<str>>,
    /// The offset each partition is read up to: what comes again after partitions moved is not read twice.
    read_to: BTreeMap<Partition, i64>,
    gathered: Batch,
    /// Since when the gathered batch is full.
    full_since: Option<Instant>,
    paused: bool,
    /// Stored but not told to the group.
    untold: Positions,
    tell_at: Option<Instant>,
    /// When partitions go, whatever is stored.
    leave_at: Option<Instant>,
}

/// However a run ends, the group gets an answer to what it waits for.
impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.watch.hands_over(false);
        self.watch.hand_over(self.consumer);
    }
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        spec: &'a Spec,
        context: &'a Context,
        consumer: &'a SourceConsumer,
        watch: Arc<Watch>,
    ) -> Reading<'a> {
        watch.hands_over(true);
        Reading {
            spec,
            context,
            consumer,
            watch,
            topics: spec.topics.clone(),
            read_to: BTreeMap::new(),
            gathered: Batch::default(),
            full_since: None,
            paused: false,
            untold: Positions::new(),
            tell_at: None,
            leave_at: None,
        }
    }

    /// Reads until stopped or until the client cannot go on.
    pub(super) async fn read(mut self) -> Result<(), SourceError> {
        let mut stream = self.consumer.stream();
        let mut flight: Option<Flight> = None;
        let mut look = tokio::time::interval(JOIN);
        let mut was_outside = false;
        loop {
            let is_leaving = self.watch.is_leaving();
            if flight.is_none() && self.gathered.records > 0 {
                if !is_leaving {
                    self.drain(&mut stream)?;
                }
                flight = Some(self.take_off());
            } else if flight.is_none() && is_leaving {
                self.hand_over();
            }
            let take_more = !self.watch.is_leaving() && (!self.gathered.is_full() || self.paused);
            let pause_at = self.full_since.filter(|_| !self.paused).map(|since| since + HOLD);
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => break,
                stored = landed(&mut flight), if flight.is_some() => match stored {
                    Some(positions) => self.landed(positions)?,
                    None => break,
                },
                item = stream.next(), if take_more => {
                    if let Some(item) = item {
                        self.take(item)?;
                    }
                }
                () = until(pause_at) => self.pause()?,
                () = until(self.tell_at) => self.tell(),
                () = self.watch.until_leaving() => self.leave_at = Some(Instant::now() + HAND_OVER), // tidy: clock, when partitions go
                () = until(self.leave_at) => self.hand_over(),
                _ = look.tick() => {
                    let is_outside = !self.watch.joined();
                    if is_outside && was_outside {
                        self.watch.waits_to_join();
                    }
                    was_outside = is_outside;
                }
            }
        }
        // What is being stored when the source is told to stop is not read again by another member.
        if let Ok(Some(positions)) = tokio::time::timeout(HAND_OVER, landed(&mut flight)).await {
            self.landed(positions)?;
        }
        self.tell();
        Ok(())
    }

    /// Takes what is already there, up to a full batch.
    fn drain(&mut self, stream: &mut MessageStream<'_, Watch>) -> Result<(), SourceError> {
        while !self.gathered.is_full() {
            match stream.next().now_or_never() {
                Some(Some(item)) => self.take(item)?,
                _ => break,
            }
        }
        Ok(())
    }

    fn take_off(&mut self) -> Flight {
        let batch = std::mem::take(&mut self.gathered);
        self.full_since = None;
        let (context, arrivals) = (self.context, arrivals(self.context, batch.events, &batch.positions));
        // Offered until the run drops it: when it is told to stop it waits for it a moment.
        let never = CancellationToken::new();
        let stored = offer(context.ingress.clone(), context.health.clone(), never, arrivals);
        Flight { stored: Box::pin(stored), positions: batch.positions }
    }

    fn landed(&mut self, positions: Positions) -> Result<(), SourceError> {
        self.watch.saved(positions.clone());
        self.watch.holds(self.gathered.records > 0);
        self.watch.well();
        self.untold.extend(positions);
        self.tell_at.get_or_insert_with(|| Instant::now() + COMMIT); // tidy: clock, when to commit next
        if std::mem::take(&mut self.paused) {
            self.each_assigned(Consumer::resume)?;
        }
        Ok(())
    }

    fn take(&mut self, item: KafkaResult<BorrowedMessage<'_>>) -> Result<(), SourceError> {
        let message = match item {
            Ok(message) => message,
            Err(KafkaError::PartitionEOF(_)) => return Ok(()),
            Err(error) => {
                let fault = self.watch.trouble(&error);
                return if fault.ends { Err(fault.error()) } else { Ok(()) };
            }
        };
        let topic = self.topic(message.topic());
        let partition = (topic.clone(), message.partition());
        let next = message.offset() + 1;
        let read_to = self.read_to.entry(partition.clone()).or_insert(0);
        if next <= *read_to {
            return Ok(());
        }
        *read_to = next;
        self.watch.holds(true);
        let record = owned_record(topic, &message);
        drop(message);
        self.gathered.bytes += record::size(&record);
        self.gathered.records += 1;
        self.gathered.positions.insert(partition.clone(), next);
        match to_event(&self.spec.mapping, &record) {
            Ok(event) => self.gathered.events.push((event, partition, next)),
            Err(poison) => self.context.health.poison(&poison.to_string()),
        }
        if self.gathered.is_full() {
            self.full_since.get_or_insert_with(Instant::now); // tidy: clock, how long it is full
            // Partitions that were assigned while others are paused.
            if self.paused {
                self.pause()?;
            }
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), SourceError> {
        self.paused = true;
        self.each_assigned(Consumer::pause)
    }

    /// Does something with the assigned partitions. The list lives no longer: a list that outlives its consumer keeps
    /// it from closing.
    fn each_assigned(
        &self,
        with: impl Fn(&SourceConsumer, &TopicPartitionList) -> KafkaResult<()>,
    ) -> Result<(), SourceError> {
        let done = self.consumer.assignment().and_then(|list| with(self.consumer, &list));
        done.map_err(|error| fault::fault(&error, None).error())
    }

    /// Tells the group the stored offsets. They are for others to look at; trouble with them is none of the source's.
    fn tell(&mut self) {
        self.tell_at = None;
        let mut list = TopicPartitionList::new();
        for (partition, next) in std::mem::take(&mut self.untold) {
            // Another member that has it now is the one to tell.
            if self.watch.is_assigned(&partition)
                && list.add_partition_offset(&partition.0, partition.1, Offset::Offset(next)).is_err()
            {
                return;
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(target: "kafka", %error, "the group's offsets were not taken");
        }
    }

    fn hand_over(&mut self) {
        self.leave_at = None;
        self.watch.hand_over(self.consumer);
    }

    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(topic) = self.topics.iter().find(|topic| &***topic == name) {
            return topic.clone();
        }
        let topic: Arc<str> = name.into();
        self.topics.push(topic.clone());
        topic
    }
}

/// Waits for the batch in flight. None when it will not be stored, and when there is none.
async fn landed(flight: &mut Option<Flight>) -> Option<Positions> {
    let flying = flight.as_mut()?;
    let stored = flying.stored.as_mut().await;
    let positions = flight.take().map(|flight| flight.positions);
    stored.and(positions)
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn owned_record(topic: Arc<str>, message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Record {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().filter(|at| *at >= 0),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
