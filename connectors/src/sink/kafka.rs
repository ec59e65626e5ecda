//! Sink kind `kafka`: events as records, in binary mode (Kafka protocol binding).
//!
//! Owns the producers: one for each cluster and user, at most [`PRODUCERS`], the one unused for longest is closed first.
//! A record counts as sent when the broker has acknowledged it from every replica in sync.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tidemill_dsl::event::{self, Event};
use tokio::sync::Notify;

use super::SinkError;
use crate::kafka::fault::{Fault, fault};

/// Producers that are kept open (limit `kafka-producers`).
pub const PRODUCERS: usize = 64;
/// How long the client tries to hand a record to its broker. Shorter than a call may take: what is told as failed
/// should not arrive much later.
const DELIVERY: Duration = Duration::from_secs(20);

/// Who is spoken to: two equal ones share a producer, so that new credentials make a new one.
#[derive(Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Settings in librdkafka's words, `bootstrap.servers` among them.
    pub settings: Vec<(Arc<str>, Arc<str>)>,
    /// User name and password.
    pub credentials: Option<(Arc<str>, Arc<str>)>,
}

/// One event to send.
pub struct Spec {
    /// To whom.
    pub cluster: Cluster,
    /// The topic.
    pub topic: Arc<str>,
    /// The record's key; none: the event's `partitionkey`.
    pub key: Option<Arc<str>>,
    /// The event.
    pub event: Event,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// The producers.
#[derive(Default)]
pub struct Kafka {
    /// The latest used is last.
    open: Mutex<Vec<(Cluster, Arc<Producer>)>>,
}

struct Producer {
    client: FutureProducer<Listener>,
    told: Arc<Told>,
}

impl Kafka {
    /// Sends one event and waits for its acknowledgement.
    pub async fn send(&self, spec: &Spec) -> Result<Sent, SinkError> {
        let producer = self.producer(&spec.cluster)?;
        let key = spec.key.as_deref().map(str::to_owned).or_else(|| event::kafka::key(&spec.event));
        let (headers, value) = event::kafka::write(&spec.event);
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        let mut record = FutureRecord::to(&spec.topic).headers(headers);
        record.key = key.as_ref();
        record.payload = value.as_ref();
        let sent = tokio::select! {
            biased;
            sent = producer.client.send(record, DELIVERY) => sent,
            fault = producer.told.lasting() => {
                self.close(&spec.cluster);
                return Err(error(fault));
            }
        };
        match sent {
            Ok(delivery) => {
                producer.told.well();
                Ok(Sent { partition: delivery.partition, offset: delivery.offset })
            }
            Err((kafka, _)) => Err(error(producer.told.fault(&kafka))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Cluster, Arc<Producer>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn producer(&self, cluster: &Cluster) -> Result<Arc<Producer>, SinkError> {
        let mut open = self.lock();
        let producer = match open.iter().position(|(own, _)| own == cluster) {
            Some(at) => open.remove(at).1,
            None => Arc::new(create(cluster).map_err(|kafka| error(fault(&kafka, None)))?),
        };
        if open.len() >= PRODUCERS {
            close(open.remove(0).1);
        }
        open.push((cluster.clone(), producer.clone()));
        Ok(producer)
    }

    fn close(&self, cluster: &Cluster) {
        let mut open = self.lock();
        if let Some(at) = open.iter().position(|(own, _)| own == cluster) {
            close(open.remove(at).1);
        }
    }
}

/// Dropping a producer may wait for the brokers: not on the runtime's threads.
fn close(producer: Arc<Producer>) {
    let _ = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(producer));
}

fn create(cluster: &Cluster) -> Result<Producer, KafkaError> {
    let mut config = ClientConfig::new();
    config.set("client.id", "tidemill").set("linger.ms", "5").set("queue.buffering.max.kbytes", "65536");
    for (name, value) in &cluster.settings {
        config.set(&**name, &**value);
    }
    config
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", DELIVERY.as_millis().to_string())
        // A topic that is not there is told before the record's time is over.
        .set("topic.metadata.propagation.max.ms", "5000");
    if let Some((username, password)) = &cluster.credentials {
        config.set("sasl.username", &**username).set("sasl.password", &**password);
    }
    let told = Arc::<Told>::default();
    Ok(Producer { client: config.create_with_context(Listener(told.clone()))?, told })
}

/// What the client tells beside the answers to records: why they are not delivered.
#[derive(Default)]
struct Told {
    last: Mutex<Option<Fault>>,
    news: Notify,
}

impl Told {
    fn last(&self) -> MutexGuard<'_, Option<Fault>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn well(&self) {
        *self.last() = None;
    }

    /// Waits for trouble that does not mend itself.
    async fn lasting(&self) -> Fault {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if let Some(fault) = self.last().as_ref().filter(|fault| fault.ends) {
                return fault.clone();
            }
            news.await;
        }
    }

    /// Why a record was not delivered: a time-out says less than what was told before it.
    fn fault(&self, kafka: &KafkaError) -> Fault {
        let late = matches!(kafka.rdkafka_error_code(), Some(RDKafkaErrorCode::MessageTimedOut));
        let told = self.last().clone().filter(|_| late);
        told.unwrap_or_else(|| fault(kafka, None))
    }
}

/// Hears what the client tells.
struct Listener(Arc<Told>);

impl ClientContext for Listener {
    fn error(&self, kafka: KafkaError, reason: &str) {
        *self.0.last() = Some(fault(&kafka, Some(reason)));
        self.0.news.notify_waiters();
    }
}

/// The error with a status that says whether trying again can help, and help for who writes.
fn error(fault: Fault) -> SinkError {
    let (status, help) = match fault.code {
        "kafka-auth" => (401, fault.help),
        "kafka-denied" => (403, "allow the user to write to the topic"),
        "kafka-topic" => (404, "create the topic, or correct `topic`"),
        "kafka-size" => (413, "raise max.message.bytes of the topic, or send less"),
        "kafka-options" => (400, fault.help),
        _ => (503, fault.help),
    };
    SinkError { code: fault.code.into(), message: fault.message, help: help.to_owned(), status }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_trying_again_helps() {
        use RDKafkaErrorCode as Code;
        let check = |code: Code, expected: (&str, u16)| {
            let error = error(fault(&KafkaError::MessageProduction(code), None));
            assert_eq!((&*error.code, error.status), expected, "{error}");
            assert!(!error.help.is_empty());
        };
        check(Code::MessageSizeTooLarge, ("kafka-size", 413));
        check(Code::UnknownTopicOrPartition, ("kafka-topic", 404));
        check(Code::TopicAuthorizationFailed, ("kafka-denied", 403));
        check(Code::SaslAuthenticationFailed, ("kafka-auth", 401));
        check(Code::MessageTimedOut, ("kafka-unreachable", 503));
        check(Code::NotEnoughReplicas, ("kafka-error", 503));
    }
}
