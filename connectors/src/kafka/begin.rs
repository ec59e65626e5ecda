//! Where the partitions of a source begin: questions to the brokers, and the answers judged.
//!
//! Owns the order of what counts: the saved position, where an operator sent it, the group's, the source's `start`.
//! Blocks; run on a thread of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::watch::{Partition, Positions, SourceConsumer, Watch};
use super::{Saved, Start};
use crate::SourceError;

/// How long one question to the brokers may take.
const ASK: Duration = Duration::from_secs(5);

/// Where the partitions of a source begin.
#[derive(Debug, Default)]
pub(super) struct Begin {
    /// Positions that were not saved yet, or had to move.
    pub(super) fresh: Positions,
    /// Partitions whose records were deleted before they were read: what was lost.
    pub(super) gaps: Vec<String>,
    /// Topics that are not there yet.
    pub(super) absent: Vec<Arc<str>>,
    /// Those of the fresh ones that neither the store nor the group knew.
    pub(super) unread: BTreeSet<Partition>,
    /// Whether the group has members.
    pub(super) is_shared: bool,
}

/// Asks the brokers where partitions without a saved position begin, and whether the saved ones still exist. Blocks.
pub(super) fn begin(
    consumer: &SourceConsumer,
    (topics, group): (&[Arc<str>], &str),
    start: Start,
    saved: &Saved,
) -> Result<Begin, BeginError> {
    let mut begin = Begin::default();
    let mut partitions = Vec::new();
    for topic in topics {
        match count(consumer, topic)? {
            0 => begin.absent.push(topic.clone()),
            count => partitions.extend((0..count).map(|partition| (topic.clone(), partition))),
        }
    }
    begin.is_shared = has_members(consumer, group);
    let low = offsets(consumer, &partitions, Offset::Beginning)?;
    let high = offsets(consumer, &partitions, Offset::End)?;
    let is_new = |at: &&Partition| !saved.next.contains_key(*at) && !saved.sought.contains_key(*at);
    let unsaved: Vec<Partition> = partitions.iter().filter(is_new).cloned().collect();
    let committed = committed(consumer, &unsaved, ASK)?;
    let asked = |start: Start, partitions: &[Partition]| match start {
        Start::Earliest => Ok(low.clone()),
        Start::Latest => Ok(high.clone()),
        Start::Timestamp(at) => offsets(consumer, partitions, Offset::Offset(at.0.max(0))),
    };
    let mut started = asked(start, &unsaved)?;
    for partition in &partitions {
        if let Some(start) = saved.sought.get(partition) {
            let found = asked(*start, std::slice::from_ref(partition))?;
            let next = found.get(partition).or(high.get(partition)).copied();
            started.extend(next.map(|next| (partition.clone(), next)));
        }
    }
    for partition in partitions {
        let (name, number) = (&partition.0, partition.1);
        let (low, high) = (offset(&low, &partition, 0), offset(&high, &partition, i64::MAX));
        match saved.next.get(&partition) {
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
                let told = committed.get(&partition);
                if told.is_none() && !saved.sought.contains_key(&partition) {
                    begin.unread.insert(partition.clone());
                }
                let from = told.or(started.get(&partition)).copied().unwrap_or(high);
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
                watch.tell(&fault);
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

/// Whether somebody is in the group. A member that was killed is until its session ends; brokers that do not say have
/// none.
fn has_members(consumer: &SourceConsumer, group: &str) -> bool {
    match consumer.fetch_group_list(Some(group), ASK) {
        Ok(list) => list.groups().iter().any(|found| found.name() == group && !found.members().is_empty()),
        Err(error) => {
            tracing::debug!(target: "kafka", %error, "the group's members are not told");
            false
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
pub(super) fn committed(
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
