//! K1: records of a topic, each matched by a trigger, run by a workflow with one call over loopback HTTP; events/s, lag
//! and CPU per event. Against the broker named by `TIDEMILL_TEST_KAFKA`.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::sleep;

use super::figures::{Reading, print};
use super::seq10::{put, serve};
use super::{Options, responder};
use crate::server::Server;

const BASE: &str = "/v1/namespaces/default";
const PARTITIONS: i32 = 4;
/// Between two looks at the lag.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for the source, and for what is left after the round.
const PATIENCE: Duration = Duration::from_mins(5);

/// The address of the broker; none is told.
pub(super) fn broker(what: &str) -> Option<String> {
    let broker = std::env::var("TIDEMILL_TEST_KAFKA").ok().filter(|address| !address.is_empty());
    if broker.is_none() {
        println!("{what:28} SKIPPED: TIDEMILL_TEST_KAFKA=host:port is not set");
    }
    broker
}

/// A round: records are written as fast as the broker takes them while they are read.
pub(super) async fn run(options: &Options) {
    let Some(broker) = broker("K1") else { return };
    let topic = format!("bench-{}", std::process::id());
    make(&broker, std::slice::from_ref(&topic), PARTITIONS).await;
    let server = serve(options, "k1").await;
    let address = responder::start();
    let function =
        format!("kind: Function\nmetadata: {{name: take}}\nspec: {{http: {{url: 'http://{address}/'}}}}\n");
    put(&server, &format!("{BASE}/functions/take"), &function).await;
    let workflow = "document: {dsl: '1.0.3', namespace: default, name: take, version: '1.0.0'}\ndo:\n  - take: {call: 'take:1@default'}\n";
    put(&server, &format!("{BASE}/workflows/take"), workflow).await;
    let source = format!(
        "kind: Source\nmetadata: {{name: records}}\nspec: {{kafka: {{brokers: ['{broker}'], topics: ['{topic}'], group: '{topic}', start: earliest}}}}\n"
    );
    put(&server, &format!("{BASE}/sources/records"), &source).await;
    let trigger = "kind: Trigger\nmetadata: {name: taken}\nspec: {source: records, filters: [{exact: {type: kafka.record}}], target: {workflow: take}}\n";
    put(&server, &format!("{BASE}/triggers/taken"), trigger).await;
    settled(&server, 0).await;
    let before = Reading::take(&server, &options.dir).await;
    let producing = tokio::spawn(produce(broker, topic, options.round()));
    let mut lags = Vec::new();
    while !producing.is_finished() {
        sleep(LOOK).await;
        lags.push(status(&server).await.1);
    }
    let written = producing.await.unwrap_or_else(|error| panic!("the producer broke: {error}"));
    let read_to_the_end = Instant::now();
    settled(&server, written).await;
    let behind = read_to_the_end.elapsed();
    let after = Reading::take(&server, &options.dir).await;
    print("K1 Kafka, trigger, HTTP", (written, "event"), &mut [], &before, &after);
    lags.sort_unstable();
    let at = |share: usize| lags.get(lags.len() * share / 100).or(lags.last()).copied().unwrap_or(0);
    println!(
        "{:28} lag while written: p50 {} records, p95 {}; all done {:.1} s after the last was written",
        "",
        at(50),
        at(95),
        behind.as_secs_f64()
    );
}

/// Makes topics that are not there.
pub(super) async fn make(broker: &str, topics: &[String], partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().expect("a client");
    let wanted: Vec<_> =
        topics.iter().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1))).collect();
    let made = admin.create_topics(&wanted, &AdminOptions::new()).await;
    let there = |made: &Result<String, (String, RDKafkaErrorCode)>| {
        made.as_ref().is_ok() || matches!(made, Err((_, RDKafkaErrorCode::TopicAlreadyExists)))
    };
    assert!(made.as_ref().is_ok_and(|made| made.iter().all(there)), "cannot make the topics: {made:?}");
}

/// Writes until the time is over; gives how many records.
async fn produce(broker: String, topic: String, length: Duration) -> u64 {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker)
        .set("linger.ms", "5")
        .create()
        .expect("a producer");
    let (began, mut written) = (Instant::now(), 0);
    while began.elapsed() < length {
        let mut sent = Vec::new();
        for n in written..written + 500 {
            let (key, value) =
                (format!("key{}", n % 97), format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(64)));
            let record = FutureRecord::to(&topic).key(&key).payload(&value);
            sent.push(
                producer.send_result(record).unwrap_or_else(|(error, _)| panic!("cannot write: {error}")),
            );
        }
        written += 500;
        for delivery in sent {
            assert!(delivery.await.is_ok_and(|taken| taken.is_ok()), "a record was not taken");
        }
    }
    written
}

/// Events accepted, and records behind.
async fn status(server: &Server) -> (u64, u64) {
    let answer = server.client().get(&format!("{BASE}/sources/records")).await;
    let status = answer.map(|(_, body)| body["status"].clone()).unwrap_or_default();
    let number = |name: &str| status[name].as_u64().unwrap_or(0);
    (number("eventsAccepted"), number("lagRecords"))
}

/// Waits until the source runs, has this many events, and nothing is under way.
async fn settled(server: &Server, events: u64) {
    let began = Instant::now();
    loop {
        let answer = server.client().get(&format!("{BASE}/sources/records")).await;
        let runs = answer.is_ok_and(|(_, body)| body["status"]["state"] == "running");
        if runs && status(server).await.0 >= events && open(server).await == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "not settled: {:?}", status(server).await);
        sleep(LOOK).await;
    }
}

async fn open(server: &Server) -> usize {
    let mut count = 0;
    for status in ["pending", "running"] {
        let path = format!("{BASE}/executions?pageSize=1&status={status}");
        let answer = server.client().get(&path).await;
        count += answer.map_or(1, |(_, body)| body["items"].as_array().map_or(1, Vec::len));
    }
    count
}
