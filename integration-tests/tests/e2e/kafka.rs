//! Kafka to executions over SIGKILL: every record has exactly one execution and the positions resume exactly; a full
//! buffer pauses the source, and what waited drains. Against a real broker.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;
use tidemill_integration_tests::server::Server;

use crate::contract::ask;
use crate::responder::Responder;
use crate::support::{LOOPBACK, all, apply, folder, get, until};

const PARTITIONS: i32 = 3;

/// The broker; none if there is none, which is told.
pub(crate) fn broker(test: &str) -> Option<String> {
    let broker = std::env::var("TIDEMILL_TEST_KAFKA").ok().filter(|address| !address.is_empty());
    if broker.is_none() {
        assert!(std::env::var_os("CI").is_none(), "TIDEMILL_TEST_KAFKA=host:port is not set");
        eprintln!("SKIPPED kafka: {test}: TIDEMILL_TEST_KAFKA=host:port is not set");
    }
    broker
}

/// A topic of its own.
pub(crate) async fn topic(broker: &str, name: &str) -> String {
    let topic = format!("e2e-{name}-{}-{}", std::process::id(), jiff::Timestamp::now().as_millisecond());
    make_topic(broker, &topic).await;
    topic
}

/// Makes a topic with [`PARTITIONS`] partitions.
pub(crate) async fn make_topic(broker: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let wanted = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for made in admin.create_topics([&wanted], &options).await.unwrap() {
        made.unwrap();
    }
}

/// Writes records `from..to`, each acknowledged by the broker.
pub(crate) async fn produce(broker: &str, topic: &str, numbers: std::ops::Range<usize>) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()
        .unwrap();
    let mut sent = Vec::new();
    for n in numbers {
        let (key, value) = (format!("key{}", n % 31), format!(r#"{{"n":{n}}}"#));
        let record = FutureRecord::to(topic).key(&key).payload(&value);
        sent.push(
            producer.send_result(record).unwrap_or_else(|(error, _)| panic!("cannot produce: {error}")),
        );
    }
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }
}

fn set(broker: &str, topic: &str, buffer: &str) -> String {
    format!(
        r"
document: {{dsl: '1.0.3', namespace: default, name: take, version: '1.0.0'}}
do:
  - ask: {{call: 'held:1@default'}}
---
kind: Source
metadata: {{name: records}}
spec: {{kafka: {{brokers: ['{broker}'], topics: ['{topic}'], group: '{topic}', start: earliest}}}}
---
kind: Trigger
metadata: {{name: taken}}
spec:
  source: records
  target: {{workflow: take}}
  tags: {{record: '${{ .id }}', n: '${{ .data.n }}'}}
{buffer}
"
    )
}

async fn status(server: &Server) -> Value {
    get(server, "/sources/records").await["status"].clone()
}

/// Records up to the saved positions.
fn taken(status: &Value) -> i64 {
    let positions = status["position"].as_object().into_iter().flatten();
    positions.map(|(_, next)| next.as_str().unwrap().parse::<i64>().unwrap()).sum()
}

/// Each record has one execution, and the saved positions are the ends of the partitions.
async fn check(server: &Server, count: usize) {
    let executions = all(server, "/executions", "&trigger=taken").await;
    let tags = |name: &str| -> BTreeSet<String> {
        executions.iter().map(|e| e["tags"][name].as_str().unwrap().to_owned()).collect()
    };
    let numbers: BTreeSet<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(tags("n"), numbers, "a record has no execution");
    assert_eq!(tags("record").len(), count);
    assert_eq!(executions.len(), count, "a record has two executions");
    assert!(executions.iter().all(|e| e["status"] == "completed"));
    let status = status(server).await;
    assert_eq!(taken(&status), count as i64, "{status}");
    assert_eq!(status["position"].as_object().unwrap().len(), PARTITIONS as usize, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_each_record_once_over_kills() {
    const COUNT: usize = 3000;
    const ROUNDS: usize = 5;
    let Some(broker) = broker("each record once over kills") else {
        return;
    };
    let topic = topic(&broker, "once").await;
    let responder = Responder::start();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    apply(&server, &format!("{}{}", responder.function("held"), set(&broker, &topic, ""))).await;
    until("the source runs", Duration::from_mins(1), async || status(&server).await["state"] == "running")
        .await;
    let mut at_kills = Vec::new();
    for round in 0..ROUNDS {
        let part = COUNT / ROUNDS;
        let (own_broker, own_topic) = (broker.clone(), topic.clone());
        let producing = tokio::spawn(async move {
            produce(&own_broker, &own_topic, round * part..(round + 1) * part).await;
        });
        // The kill falls into the reading of this part, each time somewhere else.
        let least = (round * part + part * round / 8 + 1) as i64;
        until("records are read", Duration::from_mins(1), async || taken(&status(&server).await) >= least)
            .await;
        server.kill();
        producing.await.unwrap();
        server.restart().await;
        if round == 0 {
            waits_to_rejoin(&server).await;
        }
        let position = taken(&status(&server).await);
        assert!(position >= least, "the positions went back: {position} < {least}");
        at_kills.push(position);
    }
    eprintln!("saved positions after the kills: {at_kills:?}");
    until("all is taken", Duration::from_mins(2), async || {
        taken(&status(&server).await) == COUNT as i64 && crate::support::open(&server).await == 0
    })
    .await;
    check(&server, COUNT).await;
    // One more start reads nothing again and goes on where it was.
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart().await;
    produce(&broker, &topic, COUNT..COUNT + 1).await;
    until("one more is taken", Duration::from_mins(1), async || {
        taken(&status(&server).await) == COUNT as i64 + 1 && crate::support::open(&server).await == 0
    })
    .await;
    check(&server, COUNT + 1).await;
    let status = status(&server).await;
    assert_eq!((&status["eventsAccepted"], &status["duplicates"]), (&1.into(), &0.into()), "{status}");
}

/// The former member has to be given up first: until then the source reads nothing, and says so.
async fn waits_to_rejoin(server: &Server) {
    until("it is told that the source waits to rejoin", Duration::from_secs(30), async || {
        let status = status(server).await;
        assert_ne!(status["state"], "running", "it reads nothing yet: {status}");
        status["state"] == "degraded" && status["lastError"]["code"] == "kafka-joining"
    })
    .await;
    until("it runs again", Duration::from_mins(1), async || status(server).await["state"] == "running").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_seek_and_limits() {
    const COUNT: usize = 60;
    let Some(broker) = broker("seek and limits") else {
        return;
    };
    let topic = topic(&broker, "seek").await;
    let responder = Responder::start();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    // Fewer at once than the client fetches: each part is stored with its own positions.
    let definitions = set(&broker, &topic, "")
        .replace("spec: {kafka:", "spec: {limits: {rate: 20/s, maxInFlight: 7}, kafka:");
    apply(&server, &format!("{}{definitions}", responder.function("held"))).await;
    produce(&broker, &topic, 0..COUNT).await;
    until("all is taken", Duration::from_mins(1), async || {
        taken(&status(&server).await) == COUNT as i64 && crate::support::open(&server).await == 0
    })
    .await;
    check(&server, COUNT).await;
    let executions = all(&server, "/executions", "&trigger=taken").await;
    let mut starts: Vec<i64> = executions.iter().map(|e| crate::support::millis(&e["startedAt"])).collect();
    starts.sort_unstable();
    // A second's records at once, then twenty a second.
    let span = starts[COUNT - 1] - starts[0];
    assert!(span >= 1900, "{COUNT} records within {span} ms");

    // Back to the first record of one partition, and to the last but one of another.
    let positions = status(&server).await["position"].clone();
    let (names, ends): (Vec<&String>, Vec<i64>) = positions
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, end)| (name, end.as_str().unwrap().parse::<i64>().unwrap()))
        .unzip();
    let again = ends[0] + 1;
    let body = serde_json::json!({"positions": {names[0]: "0", names[1]: (ends[1] - 1).to_string()}});
    let answer = ask(&server, "POST", "/sources/records/seek", &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    until("it has read again", Duration::from_mins(1), async || {
        all(&server, "/executions", "&trigger=taken&status=completed").await.len() == COUNT + again as usize
    })
    .await;
    assert_eq!(status(&server).await["position"], positions);
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_full_buffer_pauses_the_source() {
    const COUNT: usize = 1500;
    const CAPACITY: usize = 20;
    let Some(broker) = broker("a full buffer pauses the source") else {
        return;
    };
    let topic = topic(&broker, "full").await;
    let responder = Responder::start();
    responder.hold();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    let buffer = format!("  buffer: {{concurrency: 1, capacity: {CAPACITY}, whenFull: wait}}");
    apply(&server, &format!("{}{}", responder.function("held"), set(&broker, &topic, &buffer))).await;
    until("the source runs", Duration::from_mins(1), async || status(&server).await["state"] == "running")
        .await;
    // A first record is let out and held; what follows waits in the buffer, then in the topic.
    produce(&broker, &topic, 0..1).await;
    until("the first is in flight", Duration::from_secs(30), async || responder.calls() == 1).await;
    produce(&broker, &topic, 1..COUNT).await;
    let mut held = 0;
    for _ in 0..2 {
        until("the source is held and lags", Duration::from_mins(1), async || {
            let (status, depth) = (status(&server).await, depth(&server).await);
            assert!(depth <= CAPACITY as i64, "the buffer holds more than it may: {depth}");
            status["lagRecords"].as_u64().unwrap_or(0) > 0
                && depth == CAPACITY as i64
                && depth + 1 == taken(&status)
        })
        .await;
        let status = status(&server).await;
        assert!(
            held == 0 || held == taken(&status),
            "it read on over a kill though nothing was let out: {status}"
        );
        held = taken(&status);
        assert!(held < COUNT as i64, "nothing was held: {status}");
        server.kill();
        server.restart().await;
    }
    eprintln!("held at {held} of {COUNT} records with a capacity of {CAPACITY}");
    responder.release();
    until("all is taken", Duration::from_mins(3), async || {
        taken(&status(&server).await) == COUNT as i64 && crate::support::open(&server).await == 0
    })
    .await;
    check(&server, COUNT).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

async fn depth(server: &Server) -> i64 {
    get(server, "/buffers/taken").await["depth"].as_i64().unwrap()
}
