//! Source kind `kafka`: records of topics as events.
//!
//! Owns the run: what is there is offered as one batch with the positions behind it, and while the ingress makes it
//! wait, at most one more batch is gathered; then the partitions are paused and the client is polled on, so that the
//! group keeps its member. Offsets go to the group only after the commit that stored the events.

pub mod config;
mod fault;
pub mod record;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use rdkafka::consumer::{CommitMode, Consumer, MessageStream};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Time;
use tokio::time::Instant;

pub use config::{Security, owned};
pub use record::{Format, Mapping, Poison, Record, to_event};

use crate::offer::offer;
use crate::{Arrivals, BoxFuture, Context, Receipt, Source, SourceError};
use session::{Held, Partition, Positions, SourceConsumer, Watch};

/// Where a partition begins that has neither a saved position nor one of the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Its first record.
    Earliest,
    /// After its last record, as it is when the source first runs.
    #[default]
    Latest,
    /// The first record at or after a time.
    Timestamp(Time),
}

/// A Kafka source, configured.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// `host:port`, at least one.
    pub brokers: Vec<Arc<str>>,
    /// Names of topics, no patterns.
    pub topics: Vec<Arc<str>>,
    /// Consumer group.
    pub group: Arc<str>,
    /// Where to begin.
    pub start: Start,
    /// How records become events.
    pub mapping: Mapping,
    /// How to speak with the brokers.
    pub security: Security,
    /// Settings for the client, as librdkafka names them.
    pub options: Vec<(Arc<str>, Arc<str>)>,
}

/// Most records offered at once.
pub const BATCH_RECORDS: usize = 500;
/// Most bytes of records offered at once, beside one record that is larger.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// How long a full batch may wait for the one before it until the partitions are paused. Pausing throws away what the
/// client has fetched ahead, so it is not done for every short wait.
const HOLD: Duration = Duration::from_secs(1);
/// How often the group is told the offsets.
const COMMIT: Duration = Duration::from_secs(1);

/// A source made of a spec.
pub struct Kafka(pub Spec);

impl Source for Kafka {
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run(self.0, context))
    }
}

/// Checks what can be told without brokers: options that are Tidemill's own, unknown options, topic patterns.
pub fn check(spec: &Spec) -> Result<(), SourceError> {
    if let Some(topic) = spec.topics.iter().find(|topic| topic.starts_with('^') || topic.is_empty()) {
        return Err(SourceError {
            code: "kafka-options".into(),
            message: format!("`{topic}` is no topic name"),
            help: "name each topic; patterns are not taken".to_owned(),
            permanent: true,
        });
    }
    let native = config::client(spec)?.create_native_config();
    native.map(drop).map_err(|error| fault::fault(&error, None).error()).map_err(permanent)
}

fn permanent(error: SourceError) -> SourceError {
    SourceError { permanent: true, ..error }
}

async fn run(spec: Spec, context: Context) -> Result<(), SourceError> {
    check(&spec)?;
    let watch = Watch::new(context.health.clone());
    let consumer: SourceConsumer = config::client(&spec)?
        .create_with_context(watch)
        .map_err(|error| permanent(fault::fault(&error, None).error()))?;
    let held = Held::new(consumer);
    let ended = serve(&spec, &context, held.get()).await;
    held.close().await;
    ended
}

async fn serve(spec: &Spec, context: &Context, consumer: Arc<SourceConsumer>) -> Result<(), SourceError> {
    let saved = parse(&context.positions);
    let watch = consumer.context().clone();
    watch.saved(saved.clone());
    let asked = ask(spec, &consumer, &saved);
    let begin = tokio::select! {
        biased;
        () = context.stop.cancelled() => return Ok(()),
        asked = asked => asked?,
    };
    if !begin.gaps.is_empty() {
        let message = format!("records were deleted before they were read: {}", begin.gaps.join(", "));
        context.health.degraded("kafka-gap", &message, "keep records longer in the topic, or read faster");
    }
    if !begin.fresh.is_empty() {
        let first = arrivals(context, Vec::new(), &begin.fresh);
        if offer(context.ingress.clone(), context.health.clone(), context.stop.clone(), first).await.is_none() {
            return Ok(());
        }
        watch.saved(begin.fresh);
    }
    let topics: Vec<&str> = spec.topics.iter().map(|topic| &**topic).collect();
    consumer.subscribe(&topics).map_err(|error| watch.trouble(&error).error())?;
    if begin.absent.is_empty() && begin.gaps.is_empty() {
        context.health.running();
    } else if !begin.absent.is_empty() {
        let message = format!("there is no topic {}", begin.absent.join(", "));
        context.health.degraded("kafka-topic", &message, "create it; the source goes on when it is there");
    }
    Reading::new(spec, context, &consumer, watch).read().await
}

/// Asks where to begin on a blocking thread. Errors that only the event queue tells, such as a wrong password, come
/// before the time-out they cause.
async fn ask(spec: &Spec, consumer: &Arc<SourceConsumer>, saved: &Positions) -> Result<session::Begin, SourceError> {
    let (asking, topics, start, saved) = (Arc::clone(consumer), spec.topics.clone(), spec.start, saved.clone());
    let begin = tokio::task::spawn_blocking(move || session::begin(&asking, &topics, start, &saved)).await;
    let watch = consumer.context();
    let error = match begin {
        Ok(Ok(begin)) => return Ok(begin),
        Ok(Err(error)) => error,
        Err(_) => session::BeginError::Client(KafkaError::Canceled),
    };
    let mut told = None;
    {
        let mut stream = consumer.stream();
        for _ in 0..100 {
            match stream.next().now_or_never() {
                Some(Some(Err(error))) => {
                    let fault = watch.trouble(&error);
                    if fault.ends {
                        return Err(fault.error());
                    }
                    told = Some(error);
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    Err(match (error, told) {
        (session::BeginError::Client(_), Some(told)) => watch.trouble(&told).error(),
        (error, _) => error.error(watch),
    })
}

fn parse(positions: &[(Arc<str>, Arc<str>)]) -> Positions {
    let one = |(name, value): &(Arc<str>, Arc<str>)| {
        let (topic, partition) = name.rsplit_once('/')?;
        Some(((topic.into(), partition.parse().ok()?), value.parse().ok()?))
    };
    positions.iter().filter_map(one).collect()
}

fn arrivals(context: &Context, events: Vec<Event>, positions: &Positions) -> Arrivals {
    let row = |((topic, partition), next): (&Partition, &i64)| {
        (format!("{topic}/{partition}").into(), next.to_string().into())
    };
    Arrivals {
        namespace: context.namespace.clone(),
        source: context.name.clone(),
        events,
        positions: positions.iter().map(row).collect(),
        dedupe: false,
    }
}

/// Events read and the positions behind them, poison records included.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
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

struct Reading<'a> {
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
}

impl<'a> Reading<'a> {
    fn new(spec: &'a Spec, context: &'a Context, consumer: &'a SourceConsumer, watch: Arc<Watch>) -> Reading<'a> {
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
        }
    }

    async fn read(mut self) -> Result<(), SourceError> {
        let mut stream = self.consumer.stream();
        let mut flight: Option<Flight> = None;
        loop {
            if flight.is_none() && self.gathered.records > 0 {
                self.drain(&mut stream)?;
                flight = Some(self.take_off());
            }
            let take_more = !self.gathered.is_full() || self.paused;
            let pause_at = self.full_since.filter(|_| !self.paused).map(|since| since + HOLD);
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => break,
                stored = landed(&mut flight) => match stored {
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
            }
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
        let stored = offer(context.ingress.clone(), context.health.clone(), context.stop.clone(), arrivals);
        Flight { stored: Box::pin(stored), positions: batch.positions }
    }

    fn landed(&mut self, positions: Positions) -> Result<(), SourceError> {
        self.watch.saved(positions.clone());
        self.watch.well();
        self.untold.extend(positions);
        self.tell_at.get_or_insert_with(|| Instant::now() + COMMIT);
        if std::mem::take(&mut self.paused) {
            self.each_assigned(|consumer, list| consumer.resume(list))?;
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
        let record = owned_record(topic, &message);
        drop(message);
        self.gathered.bytes += record::size(&record);
        self.gathered.records += 1;
        self.gathered.positions.insert(partition, next);
        match to_event(&self.spec.mapping, &record) {
            Ok(event) => self.gathered.events.push(event),
            Err(poison) => self.context.health.poison(&poison.to_string()),
        }
        if self.gathered.is_full() {
            self.full_since.get_or_insert_with(Instant::now);
            // Partitions that were assigned while others are paused.
            if self.paused {
                self.pause()?;
            }
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), SourceError> {
        self.paused = true;
        self.each_assigned(|consumer, list| consumer.pause(list))
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
        for ((topic, partition), next) in std::mem::take(&mut self.untold) {
            if list.add_partition_offset(&topic, partition, Offset::Offset(next)).is_err() {
                return;
            }
        }
        if list.count() > 0 {
            if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
                tracing::debug!(target: "kafka", %error, "the group's offsets were not taken");
            }
        }
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

/// Waits for the batch in flight, for ever if there is none. None when it will not be stored.
async fn landed(flight: &mut Option<Flight>) -> Option<Positions> {
    let Some(flying) = flight.as_mut() else { return std::future::pending().await };
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
        headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
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

#[cfg(test)]
mod tests;
