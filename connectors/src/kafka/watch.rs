//! The consumer's side of a Kafka source: callbacks of the client, where partitions begin, and the end of a consumer.
//!
//! Owns the saved positions while a run lasts. Every partition is assigned with its own position, so no default of the
//! client decides where reading begins. The group's offsets count for partitions that come from another member alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::Start;
use super::fault::{Fault, fault};
use crate::{Health, SourceError};

/// A partition of a topic.
pub(super) type Partition = (Arc<str>, i32);
/// The next offset to read, by partition.
pub(super) type Positions = BTreeMap<Partition, i64>;
/// The consumer of a source.
pub(super) type SourceConsumer = StreamConsumer<Watch>;

/// How long one question to the brokers may take.
const ASK: Duration = Duration::from_secs(5);
/// How long the group may take to say where a partition that comes from another member is. It is asked in a callback.
const ASK_TAKEN_OVER: Duration = Duration::from_secs(2);
/// How long a run waits for its consumer to leave the group.
const CLOSE: Duration = Duration::from_secs(10);
/// The code of waiting for the group.
const JOINING: &str = "kafka-joining";

/// What the client's callbacks and the run share.
pub(super) struct Watch {
    state: Mutex<State>,
    health: Arc<dyn Health>,
}

#[derive(Default)]
struct State {
    positions: Positions,
    assigned: BTreeSet<Partition>,
    reason: Option<String>,
    troubled: Option<&'static str>,
    /// Whether the group has let it in: it has been told its partitions, be they none.
    joined: bool,
    /// Whether it was told its partitions before: those it gets later come from other members.
    is_settled: bool,
    /// Whether it is well once it is let in.
    well_when_joined: bool,
}

impl Watch {
    pub(super) fn new(health: Arc<dyn Health>) -> Watch {
        Watch { state: Mutex::default(), health }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over positions that are durable.
    pub(super) fn saved(&self, positions: impl IntoIterator<Item = (Partition, i64)>) {
        self.state().positions.extend(positions);
    }

    /// Reads a client error with the reason last told, and shows it if the client goes on.
    pub(super) fn trouble(&self, error: &KafkaError) -> Fault {
        let fault = {
            let mut state = self.state();
            let fault = fault(error, state.reason.take().as_deref());
            state.troubled = Some(fault.code);
            fault
        };
        if !fault.ends {
            self.health.degraded(fault.code, &fault.message, fault.help);
        }
        fault
    }

    /// The run begins: it is well once the group lets it in, unless there is something to mend.
    pub(super) fn joining(&self, mending: bool) {
        self.state().well_when_joined = !mending;
    }

    /// Whether the group has let it in.
    pub(super) fn joined(&self) -> bool {
        self.state().joined
    }

    /// The group has kept it waiting: what comes meanwhile is read by nobody here.
    pub(super) fn waits_to_join(&self) {
        {
            let mut state = self.state();
            if state.joined || state.troubled == Some(JOINING) {
                return;
            }
            state.troubled = Some(JOINING);
            state.well_when_joined = true;
        }
        let message = "the consumer group has not let this source in yet";
        self.health.degraded(
            JOINING,
            message,
            "it goes on by itself once a former member is given up or leaves",
        );
    }

    /// Tells that the source reads, if it was in trouble.
    pub(super) fn well(&self) {
        if self.state().troubled.take().is_some() {
            self.health.running();
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Watch>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let told = self.taken_over(consumer, list);
        {
            let mut state = self.state();
            state.is_settled = true;
            for mut element in list.elements() {
                let partition: Partition = (element.topic().into(), element.partition());
                let next = state.positions.get(&partition).max(told.get(&partition)).copied();
                // A partition without a position is newer than this run: all of it is new.
                element.set_offset(next.map_or(Offset::Beginning, Offset::Offset))?;
                state.positions.extend(next.map(|next| (partition.clone(), next)));
                state.assigned.insert(partition);
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            _ => consumer.assign(list)?,
        }
        let well = {
            let mut state = self.state();
            state.joined = true;
            let well = std::mem::take(&mut state.well_when_joined);
            if well {
                state.troubled = None;
            }
            well
        };
        if well {
            self.health.running();
        }
        Ok(())
    }

    /// Where the group is with partitions that come from another member: it told the group only what it had stored, and
    /// reading that again would start again what it has started. The first partitions of a run are its own: what is
    /// saved here counts, so that a seek and a store from a backup are what they say.
    fn taken_over(&self, consumer: &BaseConsumer<Watch>, list: &TopicPartitionList) -> Positions {
        if !self.state().is_settled {
            return Positions::new();
        }
        let partition = |(topic, partition): (String, i32)| (topic.into(), partition);
        let partitions: Vec<Partition> = list.to_topic_map().into_keys().map(partition).collect();
        committed(consumer, &partitions, ASK_TAKEN_OVER).unwrap_or_else(|error| {
            tracing::warn!(target: "kafka", %error, "the group does not say where it is; what is saved here counts");
            Positions::new()
        })
    }

    fn revoke(&self, consumer: &BaseConsumer<Watch>, list: &TopicPartitionList) -> KafkaResult<()> {
        let mut progress = TopicPartitionList::new();
        {
            let mut state = self.state();
            for element in list.elements() {
                let partition: Partition = (element.topic().into(), element.partition());
                state.assigned.remove(&partition);
                if let Some(next) = state.positions.get(&partition) {
                    progress.add_partition_offset(&partition.0, partition.1, Offset::Offset(*next))?;
                }
            }
            state.joined = !state.assigned.is_empty();
        }
        if progress.count() > 0 {
            // The group's offsets are for others to look at; the store's decide.
            let _ = consumer.commit(&progress, CommitMode::Async);
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }

    fn lag(&self, statistics: &Statistics) {
        self.health.alive();
        let mut lag = 0;
        {
            let state = self.state();
            // Without its partitions it cannot tell.
            if !state.joined {
                return;
            }
            for (topic, partition) in &state.assigned {
                let seen = statistics.topics.get(&**topic).and_then(|topic| topic.partitions.get(partition));
                let end = seen.map_or(-1, |partition| partition.hi_offset);
                let next = state.positions.get(&(topic.clone(), *partition)).copied().unwrap_or(0);
                lag += u64::try_from(end.saturating_sub(next)).unwrap_or(0);
            }
        }
        self.health.lag(lag);
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "kafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "kafka", facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.lag(&statistics);
        let reachable = statistics.brokers.values().any(|broker| broker.state == "UP");
        if reachable && self.state().troubled == Some("kafka-unreachable") {
            self.well();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, "{reason}");
        self.state().reason = Some(reason.to_owned());
    }
}

impl ConsumerContext for Watch {
    fn rebalance(&self, consumer: &BaseConsumer<Watch>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let done = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        };
        match done {
            Ok(()) => tracing::debug!(target: "kafka", count = list.count(), "partitions have changed"),
            Err(error) => {
                self.health.degraded("kafka-rebalance", &error.to_string(), "it is tried again by itself");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(target: "kafka", %error, "the group's offsets were not taken");
        }
    }
}

/// A consumer that is dropped on a thread of its own: dropping it may wait for the brokers, and must not hold up the
/// runtime.
pub(super) struct Held(Option<Arc<SourceConsumer>>);

impl Held {
    pub(super) fn new(consumer: SourceConsumer) -> Held {
        Held(Some(Arc::new(consumer)))
    }

    pub(super) fn get(&self) -> Arc<SourceConsumer> {
        Arc::clone(self.0.as_ref().expect("it is there until closed"))
    }

    /// Leaves the group, waiting for it for a limited time.
    pub(super) async fn close(mut self) {
        if let Some(closed) = self.let_go()
            && tokio::time::timeout(CLOSE, closed).await.is_err()
        {
            tracing::warn!(target: "kafka", "the consumer is still leaving its group after {CLOSE:?}");
        }
    }

    fn let_go(&mut self) -> Option<tokio::sync::oneshot::Receiver<()>> {
        let consumer = self.0.take()?;
        let (done, closed) = tokio::sync::oneshot::channel();
        let drop_it = move || {
            drop(consumer);
            let _ = done.send(());
        };
        std::thread::Builder::new().name("kafka-close".to_owned()).spawn(drop_it).ok()?;
        Some(closed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Where the partitions of a source begin.
#[derive(Debug, Default)]
pub(super) struct Begin {
    /// Positions that were not saved yet, or had to move.
    pub(super) fresh: Positions,
    /// Partitions whose records were deleted before they were read: what was lost.
    pub(super) gaps: Vec<String>,
    /// Topics that are not there yet.
    pub(super) absent: Vec<Arc<str>>,
}

/// Asks the brokers where partitions without a saved position begin, and whether the saved ones still exist. Blocks.
pub(super) fn begin(
    consumer: &SourceConsumer,
    topics: &[Arc<str>],
    start: Start,
    saved: &Positions,
) -> Result<Begin, BeginError> {
    let mut begin = Begin::default();
    let mut partitions = Vec::new();
    for topic in topics {
        match count(consumer, topic)? {
            0 => begin.absent.push(topic.clone()),
            count => partitions.extend((0..count).map(|partition| (topic.clone(), partition))),
        }
    }
    let low = offsets(consumer, &partitions, Offset::Beginning)?;
    let high = offsets(consumer, &partitions, Offset::End)?;
    let unsaved: Vec<Partition> = partitions.iter().filter(|at| !saved.contains_key(*at)).cloned().collect();
    let committed = committed(consumer, &unsaved, ASK)?;
    let started = match start {
        Start::Earliest => low.clone(),
        Start::Latest => high.clone(),
        Start::Timestamp(at) => offsets(consumer, &unsaved, Offset::Offset(at.0.max(0)))?,
    };
    for partition in partitions {
        let (name, number) = (&partition.0, partition.1);
        let (low, high) = (offset(&low, &partition, 0), offset(&high, &partition, i64::MAX));
        match saved.get(&partition) {
            Some(next) if *next > high => {
                let message = format!(
                    "the saved position {next} of {name}/{number} lies beyond the topic's end {high}"
                );
                return Err(BeginError::Beyond(message));
            }
            Some(next) if *next >= low => {}
            Some(next) => {
                begin.gaps.push(format!("{name}/{number}: {} records from {next} on", low - next));
                begin.fresh.insert(partition, low);
            }
            None => {
                let from = committed.get(&partition).or(started.get(&partition)).copied().unwrap_or(high);
                begin.fresh.insert(partition, from.clamp(low, high));
            }
        }
    }
    Ok(begin)
}

/// Why a run cannot begin.
pub(super) enum BeginError {
    /// The client's error.
    Client(KafkaError),
    /// A saved position beyond the end.
    Beyond(String),
}

impl From<KafkaError> for BeginError {
    fn from(error: KafkaError) -> BeginError {
        BeginError::Client(error)
    }
}

impl BeginError {
    pub(super) fn error(self, watch: &Watch) -> SourceError {
        match self {
            BeginError::Client(error) => {
                let fault = watch.trouble(&error);
                watch.health.degraded(fault.code, &fault.message, fault.help);
                fault.error()
            }
            BeginError::Beyond(message) => SourceError {
                code: "kafka-position".into(),
                message,
                help: "the topic was made anew or cut off: seek the source to `earliest` or `latest`"
                    .to_owned(),
                permanent: true,
            },
        }
    }
}

/// Partitions of a topic; 0 when it is not there.
fn count(consumer: &SourceConsumer, topic: &str) -> KafkaResult<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.and_then(rdkafka::metadata::MetadataTopic::error).map(RDKafkaErrorCode::from) {
        None => Ok(found.map_or(0, |found| found.partitions().len() as i32)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::LeaderNotAvailable) => Ok(0),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// The offsets that `what` stands for: the ends of partitions, or a time in milliseconds. Partitions without one
/// are left out.
fn offsets(consumer: &SourceConsumer, partitions: &[Partition], what: Offset) -> KafkaResult<Positions> {
    if partitions.is_empty() {
        return Ok(Positions::new());
    }
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, what)?;
    }
    positions(&consumer.offsets_for_times(list, ASK)?)
}

/// The group's offsets; partitions without one are left out.
fn committed(
    consumer: &impl Consumer<Watch>,
    partitions: &[Partition],
    patience: Duration,
) -> KafkaResult<Positions> {
    if partitions.is_empty() {
        return Ok(Positions::new());
    }
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    positions(&consumer.committed_offsets(list, patience)?)
}

fn positions(list: &TopicPartitionList) -> KafkaResult<Positions> {
    let mut positions = Positions::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(next) = element.offset() {
            positions.insert((element.topic().into(), element.partition()), next);
        }
    }
    Ok(positions)
}

fn offset(positions: &Positions, partition: &Partition, absent: i64) -> i64 {
    positions.get(partition).copied().unwrap_or(absent)
}
