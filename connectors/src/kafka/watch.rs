//! The consumer's side of a Kafka source: callbacks of the client, and the end of a consumer.
//!
//! Owns the saved positions while a run lasts. Every partition is assigned with its own position, so no default of the
//! client decides where reading begins. The group's offsets count for partitions that come from another member alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::{self, Statistics};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::begin::{Begin, committed};
use super::fault::{Fault, fault};
use crate::Health;

/// A partition of a topic.
pub(super) type Partition = (Arc<str>, i32);
/// The next offset to read, by partition.
pub(super) type Positions = BTreeMap<Partition, i64>;
/// The consumer of a source.
pub(super) type SourceConsumer = StreamConsumer<Watch>;

/// How long the group may take to say where a partition that comes from another member is. It is asked in a callback.
const ASK_TAKEN_OVER: Duration = Duration::from_secs(2);
/// How long a run waits for its consumer to leave the group.
const CLOSE: Duration = Duration::from_secs(10);
/// Reports of the client that are not read in a row while nothing happens.
const SKIPPED: u32 = 1;
/// The code of waiting for the group.
const JOINING: &str = "kafka-joining";

/// What the client's callbacks and the run share.
pub(super) struct Watch {
    state: Mutex<State>,
    /// Whether records were read that are not saved yet.
    holds: AtomicBool,
    /// Tells the run that partitions are to go.
    leaving: Notify,
    health: Arc<dyn Health>,
}

#[derive(Default)]
struct State {
    positions: Positions,
    assigned: BTreeSet<Partition>,
    /// Whether a run reads, which hands partitions over itself once what it read of them is stored.
    hands_over: bool,
    /// Partitions that it is to hand over.
    leaving: BTreeSet<Partition>,
    reason: Option<String>,
    troubled: Option<&'static str>,
    /// Whether the group has let it in: it has been told its partitions, be they none.
    joined: bool,
    /// Whether partitions that it gets come from other members: there were some when it joined, or it has had others before.
    is_shared: bool,
    /// Positions that say no more than where the source was to begin: nothing of these partitions was read here.
    unread: BTreeSet<Partition>,
    /// As last told.
    lag: Option<u64>,
    /// Whether positions have moved since a report was read, and how many were not read since.
    has_moved: bool,
    skipped: u32,
    /// Whether it is well once it is let in.
    well_when_joined: bool,
}

impl Watch {
    pub(super) fn new(health: Arc<dyn Health>) -> Watch {
        Watch { state: Mutex::default(), holds: AtomicBool::new(false), leaving: Notify::new(), health }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over positions that are durable.
    pub(super) fn saved(&self, positions: impl IntoIterator<Item = (Partition, i64)>) {
        let mut state = self.state();
        for (partition, next) in positions {
            state.unread.remove(&partition);
            state.positions.insert(partition, next);
        }
        state.has_moved = true;
    }

    /// Takes over where the run begins.
    pub(super) fn begins(&self, begin: Begin) {
        let mut state = self.state();
        state.positions.extend(begin.fresh);
        state.unread = begin.unread;
        state.is_shared = begin.is_shared;
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
            self.tell(&fault);
        }
        fault
    }

    /// Shows a fault.
    pub(super) fn tell(&self, fault: &Fault) {
        self.health.degraded(fault.code, &fault.message, fault.help);
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
        let mut begun = TopicPartitionList::new();
        {
            let mut state = self.state();
            state.is_shared = true;
            for mut element in list.elements() {
                let partition: Partition = (element.topic().into(), element.partition());
                let own = state.positions.get(&partition).filter(|_| !state.unread.contains(&partition));
                let next = own.max(told.get(&partition)).or(state.positions.get(&partition)).copied();
                // A partition without a position is newer than this run: all of it is new.
                element.set_offset(next.map_or(Offset::Beginning, Offset::Offset))?;
                if let Some(next) = next {
                    state.positions.insert(partition.clone(), next);
                    begun.add_partition_offset(&partition.0, partition.1, Offset::Offset(next))?;
                }
                state.assigned.insert(partition);
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            _ => consumer.assign(list)?,
        }
        if begun.count() > 0 {
            // So that another member that comes knows where this one began.
            let _ = consumer.commit(&begun, CommitMode::Async);
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
    /// reading that again would start again what it has started. Of a run that joins an empty group the first partitions
    /// are its own: what is saved here counts, so that a seek and a store from a backup are what they say.
    fn taken_over(&self, consumer: &BaseConsumer<Watch>, list: &TopicPartitionList) -> Positions {
        if !self.state().is_shared {
            return Positions::new();
        }
        let partition = |(topic, partition): (String, i32)| (topic.into(), partition);
        let partitions: Vec<Partition> = list.to_topic_map().into_keys().map(partition).collect();
        committed(consumer, &partitions, ASK_TAKEN_OVER).unwrap_or_else(|error| {
            tracing::warn!(target: "kafka", %error, "the group does not say where it is; what is saved here counts");
            Positions::new()
        })
    }

    /// From now on the run hands partitions over, or no longer.
    pub(super) fn hands_over(&self, itself: bool) {
        self.state().hands_over = itself;
    }

    /// Returns when partitions are to be handed over.
    pub(super) async fn until_leaving(&self) {
        self.leaving.notified().await;
    }

    /// Whether partitions are to be handed over.
    pub(super) fn is_leaving(&self) -> bool {
        !self.state().leaving.is_empty()
    }

    /// Hands over the partitions that are to go, with what is stored of them.
    pub(super) fn hand_over(&self, consumer: &SourceConsumer) {
        let leaving = std::mem::take(&mut self.state().leaving);
        if !leaving.is_empty() {
            self.told(self.revoke(consumer, leaving));
        }
    }

    /// Whether a partition is read here.
    pub(super) fn is_assigned(&self, partition: &Partition) -> bool {
        self.state().assigned.contains(partition)
    }

    /// Partitions go to another member. A run that reads stores first what it has read, so that the other one does not
    /// read it again.
    fn leave(&self, consumer: &BaseConsumer<Watch>, list: &TopicPartitionList) -> KafkaResult<()> {
        let leaving: BTreeSet<Partition> =
            list.elements().iter().map(|element| (element.topic().into(), element.partition())).collect();
        let mut state = self.state();
        if state.hands_over {
            state.leaving.extend(leaving);
            self.leaving.notify_one();
            return Ok(());
        }
        drop(state);
        self.revoke(consumer, leaving)
    }

    fn revoke(&self, consumer: &impl Consumer<Watch>, partitions: BTreeSet<Partition>) -> KafkaResult<()> {
        let (mut list, mut progress) = (TopicPartitionList::new(), TopicPartitionList::new());
        {
            let mut state = self.state();
            for partition in partitions {
                list.add_partition(&partition.0, partition.1);
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
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&list),
            _ => consumer.unassign(),
        }
    }

    /// Tells how a change of partitions went.
    fn told(&self, done: KafkaResult<()>) {
        match done {
            Ok(()) => tracing::debug!(target: "kafka", "partitions have changed"),
            Err(error) => {
                self.health.degraded("kafka-rebalance", &error.to_string(), "it is tried again by itself");
            }
        }
    }

    /// Whether a report of the client need not be read: nothing has moved since one that told no lag. Reading them is most
    /// of what an idle source costs; now and then one is read all the same.
    fn is_quiet(&self) -> bool {
        let mut state = self.state();
        let moved = std::mem::take(&mut state.has_moved);
        let busy = moved || !state.joined || state.troubled.is_some() || state.lag != Some(0);
        state.skipped = if busy || state.skipped >= SKIPPED { 0 } else { state.skipped + 1 };
        state.skipped > 0
    }

    /// Tells whether records were read that are not saved yet.
    pub(super) fn holds(&self, records: bool) {
        self.holds.store(records, Ordering::Relaxed);
    }

    fn lag(&self, statistics: &Statistics) {
        let holds = self.holds.load(Ordering::Relaxed);
        let mut lag = 0;
        {
            let mut state = self.state();
            // Without its partitions it cannot tell.
            if !state.joined {
                return;
            }
            for (topic, partition) in &state.assigned {
                let seen = statistics.topics.get(&**topic).and_then(|topic| topic.partitions.get(partition));
                let next = state.positions.get(&(topic.clone(), *partition)).copied().unwrap_or(0);
                lag += seen.map_or(0, |seen| behind(seen, next, holds));
            }
            state.lag = Some(lag);
        }
        self.health.lag(lag);
    }
}

/// Records of a partition between the saved position and its end. Where all is read and saved, what is left is no record:
/// the marks of transactions, and records that were taken back.
fn behind(seen: &statistics::Partition, next: i64, holds: bool) -> u64 {
    let is_done = !holds && seen.fetchq_cnt == 0 && seen.app_offset >= seen.hi_offset;
    if is_done { 0 } else { u64::try_from(seen.hi_offset.saturating_sub(next)).unwrap_or(0) }
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

    fn stats_raw(&self, statistics: &[u8]) {
        self.health.alive();
        if self.is_quiet() {
            return;
        }
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.stats(statistics),
            Err(error) => tracing::debug!(target: "kafka", %error, "a report of the client cannot be read"),
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
        self.told(match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.leave(consumer, list),
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(target: "kafka", %error, "the group's offsets were not taken");
        }
    }
}

/// How late the timers of a client's threads may come, in nanoseconds.
#[cfg(target_os = "linux")]
const SLACK: std::num::NonZeroU64 = std::num::NonZeroU64::new(300_000_000).unwrap();

/// Makes a consumer. Its four threads wake up for timers several times a second though there is nothing to do; they take
/// over how late those may come from the thread that makes them, so that the system wakes those of many idle sources
/// together. What arrives wakes them at once.
pub(super) fn make(config: &ClientConfig, watch: Watch) -> KafkaResult<SourceConsumer> {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(Some(SLACK));
    let made = config.create_with_context(watch);
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(None);
    made
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
