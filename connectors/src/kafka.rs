//! Source kind `kafka`: records of topics as events.
//!
//! Owns the run: what is there is offered as one batch with the positions behind it, and while the ingress makes it
//! wait, at most one more batch is gathered; then the partitions are paused and the client is polled on, so that the
//! group keeps its member. Offsets go to the group only after the commit that stored the events.

mod begin;
pub mod config;
pub(crate) mod fault;
mod reading;
pub mod record;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Time;

pub use config::{Security, owned};
pub use record::{Mapping, Poison, Record, to_event};
pub use tidemill_dsl::manifest::{Format, Start};

use crate::offer::offer;
use crate::{Arrivals, BoxFuture, Context, Source, SourceError};
use reading::Reading;
use watch::{Held, Partition, Positions, SourceConsumer, Watch};

/// A Kafka source, configured.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// `host:port`, at least one.
    pub brokers: Vec<Arc<str>>,
    /// Names of topics, no patterns.
    pub topics: Vec<Arc<str>>,
    /// Consumer group.
    pub group: Arc<str>,
    /// Where a partition begins that has neither a saved position nor one of the group. `latest` is where the
    /// partition ended when the source first ran: that is saved at once.
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

/// How long the client may report nothing: it does so every ten seconds, also while partitions are paused.
const SILENCE: Duration = Duration::from_mins(2);

/// A source made of a spec.
pub struct Kafka(pub Spec);

impl Source for Kafka {
    fn silence(&self) -> Option<Duration> {
        Some(SILENCE)
    }

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
    let consumer = watch::make(&config::client(&spec)?, watch)
        .map_err(|error| permanent(fault::fault(&error, None).error()))?;
    let held = Held::new(consumer);
    let ended = serve(&spec, &context, held.get()).await;
    held.close().await;
    ended
}

async fn serve(spec: &Spec, context: &Context, consumer: Arc<SourceConsumer>) -> Result<(), SourceError> {
    let saved = parse(&context.positions);
    let watch = consumer.context().clone();
    watch.saved(saved.next.clone());
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
        if offer(context.ingress.clone(), context.health.clone(), context.stop.clone(), first).await.is_none()
        {
            return Ok(());
        }
    }
    watch.joining(!begin.absent.is_empty() || !begin.gaps.is_empty());
    let absent = begin.absent.join(", ");
    watch.begins(begin);
    let topics: Vec<&str> = spec.topics.iter().map(|topic| &**topic).collect();
    consumer.subscribe(&topics).map_err(|error| watch.trouble(&error).error())?;
    if !absent.is_empty() {
        let message = format!("there is no topic {absent}");
        context.health.degraded("kafka-topic", &message, "create it; the source goes on when it is there");
    }
    Reading::new(spec, context, &consumer, watch).read().await
}

/// Asks where to begin on a blocking thread, listening to the client meanwhile: some errors, such as a wrong password,
/// are told by its event queue alone, and before the time-out they cause.
async fn ask(
    spec: &Spec,
    consumer: &Arc<SourceConsumer>,
    saved: &Saved,
) -> Result<begin::Begin, SourceError> {
    let (asking, topics, group) = (Arc::clone(consumer), spec.topics.clone(), spec.group.clone());
    let (start, saved) = (spec.start, saved.clone());
    let mut asked =
        tokio::task::spawn_blocking(move || begin::begin(&asking, (&topics, &group), start, &saved));
    let watch = consumer.context();
    let mut stream = consumer.stream();
    loop {
        tokio::select! {
            biased;
            begin = &mut asked => {
                let cancelled = |_| Err(begin::BeginError::Client(KafkaError::Canceled));
                return begin.unwrap_or_else(cancelled).map_err(|error| error.error(watch));
            }
            item = stream.next() => if let Some(Err(error)) = item {
                let fault = watch.trouble(&error);
                if fault.ends {
                    return Err(fault.error());
                }
            }
        }
    }
}

/// What is saved of a partition: the next offset, or where an operator sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next offset to read.
    Next(i64),
    /// To be asked for.
    Sought(Start),
}

impl Place {
    /// An offset, `earliest`, `latest` or an RFC 3339 instant.
    pub(crate) fn parse(text: &str) -> Option<Place> {
        match text {
            "earliest" => Some(Place::Sought(Start::Earliest)),
            "latest" => Some(Place::Sought(Start::Latest)),
            _ => match text.parse().ok().filter(|next| *next >= 0) {
                Some(next) => Some(Place::Next(next)),
                None => Time::parse(text).map(|at| Place::Sought(Start::Timestamp(at))),
            },
        }
    }
}

/// What is saved of all partitions.
#[derive(Clone, Debug, Default)]
struct Saved {
    next: Positions,
    sought: BTreeMap<Partition, Start>,
}

/// The topic and the number of a partition that is written `TOPIC/NUMBER`.
pub(crate) fn partition(name: &str) -> Option<(&str, i32)> {
    let (topic, number) = name.rsplit_once('/')?;
    Some((topic, number.parse().ok().filter(|number| *number >= 0)?))
}

fn parse(positions: &[(Arc<str>, Arc<str>)]) -> Saved {
    let mut saved = Saved::default();
    for (name, value) in positions {
        let Some((topic, number)) = partition(name) else { continue };
        let partition = (topic.into(), number);
        match Place::parse(value) {
            Some(Place::Next(next)) => drop(saved.next.insert(partition, next)),
            Some(Place::Sought(start)) => drop(saved.sought.insert(partition, start)),
            None => {}
        }
    }
    saved
}

/// Events, each with the partition and the offset behind it, and the positions behind all.
fn arrivals(context: &Context, events: Vec<(Event, Partition, i64)>, positions: &Positions) -> Arrivals {
    let row = |((topic, partition), next): (&Partition, &i64)| -> (Arc<str>, Arc<str>) {
        (format!("{topic}/{partition}").into(), next.to_string().into())
    };
    let marks = events.iter().map(|(_, partition, next)| row((partition, next))).collect();
    let is_placed = |(event, (topic, partition), next): &(Event, Partition, i64)| {
        record::is_placed(event, topic, *partition, next - 1)
    };
    let placed = events.iter().map(is_placed).collect();
    let events = events.into_iter().map(|(event, _, _)| event).collect();
    Arrivals {
        marks,
        namespace: context.namespace.clone(),
        source: context.name.clone(),
        events,
        positions: positions.iter().map(row).collect(),
        placed,
    }
}

#[cfg(test)]
mod tests;
