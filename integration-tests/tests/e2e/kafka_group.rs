//! Two services in one consumer group: between them they have every record, over kills of one, of the broker, and over
//! the rebalances in between; and a source whose broker or credentials are not right yet goes on by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use tidemill_integration_tests::server::Server;

use crate::contract::ask;
use crate::kafka::{self, produce};
use crate::kafka_server::Broker;
use crate::support::{all, apply, folder, get, post, secret, until};

pub(crate) const LIMIT: Duration = Duration::from_mins(2);

pub(crate) fn set(broker: &str, topic: &str, more: &str) -> String {
    format!(
        r"
document: {{dsl: '1.0.3', namespace: default, name: take, version: '1.0.0'}}
do:
  - done: {{set: {{ok: true}}}}
---
kind: Source
metadata: {{name: records}}
spec:
  kafka: {{brokers: ['{broker}'], topics: ['{topic}'], group: '{topic}', start: earliest{more}}}
---
kind: Trigger
metadata: {{name: taken}}
spec:
  source: records
  target: {{workflow: take}}
  tags: {{record: '${{ .id }}'}}
"
    )
}

pub(crate) async fn state(server: &Server) -> (String, String) {
    let status = get(server, "/sources/records").await["status"].clone();
    let text = |pointer: &str| status.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("").to_owned();
    (text("/state"), text("/lastError/code"))
}

pub(crate) async fn runs(server: &Server) {
    until("the source runs", LIMIT, async || state(server).await.0 == "running").await;
}

/// Executions of a service.
pub(crate) async fn count(server: &Server) -> u64 {
    get(server, "/executions?pageSize=1&count=true").await["total"].as_u64().unwrap()
}

/// The records that a service has executions for, each once.
async fn records(server: &Server) -> BTreeSet<String> {
    let executions = all(server, "/executions", "").await;
    let ids: BTreeSet<String> =
        executions.iter().map(|e| e["tags"]["record"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), executions.len(), "a service took a record twice");
    ids
}

/// Waits until the services have `wanted` records between them; gives how many are with both.
async fn have(services: [&Server; 2], wanted: usize) -> usize {
    let [one, other] = services;
    let mut twice = 0;
    until(&format!("they have {wanted} records"), LIMIT, async || {
        if count(one).await + count(other).await < wanted as u64 {
            return false;
        }
        let (one, other) = (records(one).await, records(other).await);
        twice = one.intersection(&other).count();
        one.union(&other).count() == wanted
    })
    .await;
    twice
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_two_services_share_a_group_over_kills() {
    const PART: usize = 400;
    let Some(mut broker) = Broker::new("two services share a group") else {
        return;
    };
    let address = broker.address.to_string();
    let (here, there) = (folder(), folder());
    let mut one = Server::start(here.path(), &[]).await;
    let other = Server::start(there.path(), &[]).await;
    // The broker is not there at the start: that is told, and the source goes on when it is.
    apply(&one, &set(&address, "shared", "")).await;
    until("it is told that no broker answers", LIMIT, async || {
        let (state, code) = state(&one).await;
        assert_ne!(state, "running");
        code == "kafka-unreachable"
    })
    .await;
    broker.start().await;
    kafka::make_topic(&address, "shared").await;
    runs(&one).await;
    produce(&address, "shared", 0..PART).await;
    until("the first has all", LIMIT, async || count(&one).await == PART as u64).await;
    // A second member comes at rest: nothing is read twice.
    apply(&other, &set(&address, "shared", "")).await;
    runs(&other).await;
    produce(&address, "shared", PART..2 * PART).await;
    let twice = have([&one, &other], 2 * PART).await;
    assert!(count(&other).await > 0, "the second member reads nothing");
    eprintln!("{twice} of {} records with both after a member came", 2 * PART);
    // A member is killed while it stores.
    let own = address.clone();
    let producing = tokio::spawn(async move { produce(&own, "shared", 2 * PART..3 * PART).await });
    let before = count(&one).await;
    until("the first reads", LIMIT, async || count(&one).await > before).await;
    one.kill();
    producing.await.unwrap();
    one.restart().await;
    let killed = have([&one, &other], 3 * PART).await;
    // The broker is killed while records come.
    let own = address.clone();
    let producing = tokio::spawn(async move { produce(&own, "shared", 3 * PART..4 * PART).await });
    broker.kill();
    broker.start().await;
    producing.await.unwrap();
    let both = have([&one, &other], 4 * PART).await;
    runs(&one).await;
    runs(&other).await;
    eprintln!(
        "{killed} records with both after a killed member, {both} after a killed broker, of {}",
        4 * PART
    );
    // What the killed one had not told the group, a second's records, may be with both.
    assert!(both < PART, "{both} records were read by both");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_credentials_are_mended_without_a_restart() {
    let Some(plain) = kafka::broker("credentials are mended without a restart") else {
        return;
    };
    let sasl = std::env::var("TIDEMILL_TEST_KAFKA_SASL").expect("the broker's SASL listener");
    let topic = kafka::topic(&plain, "rotate").await;
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let change = async |password: &str| {
        secret(&server, "login", json!({"username": "scram", "password": password})).await;
    };
    let security =
        ", security: {protocol: sasl_plaintext, mechanism: SCRAM-SHA-512, credentials: {secret: login}}";
    apply(&server, &set(&sasl, &topic, security)).await;
    let told = async |expected: &str| {
        until(&format!("{expected} is told"), LIMIT, async || state(&server).await.1 == expected).await;
    };
    told("secret-absent").await;
    change("wrong").await;
    told("kafka-auth").await;
    change("scram-secret").await;
    runs(&server).await;
    produce(&plain, &topic, 0..10).await;
    until("all is taken", LIMIT, async || count(&server).await == 10).await;
    // A secret that is replaced while the source runs counts at once.
    change("wrong").await;
    until("the new one is refused", LIMIT, async || state(&server).await.0 != "running").await;
    change("scram-secret").await;
    runs(&server).await;
    produce(&plain, &topic, 10..20).await;
    until("all is taken", LIMIT, async || count(&server).await == 20).await;
    assert_eq!(records(&server).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo nextest run --workspace --run-ignored all -E 'test(a_hundred_thousand_records_over_kills)'"]
async fn heavy_a_hundred_thousand_records_over_kills() {
    const COUNT: usize = 100_000;
    let Some(broker) = kafka::broker("a hundred thousand records over kills") else {
        return;
    };
    let topic = kafka::topic(&broker, "many").await;
    produce(&broker, &topic, 0..COUNT).await;
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, &set(&broker, &topic, "")).await;
    for least in [COUNT / 10, COUNT / 2] {
        let limit = Duration::from_mins(10);
        until("records are read", limit, async || count(&server).await >= least as u64).await;
        server.kill();
        server.restart().await;
    }
    until("all is taken and done", Duration::from_mins(20), async || {
        count(&server).await >= COUNT as u64 && crate::support::open(&server).await == 0
    })
    .await;
    assert_eq!(records(&server).await.len(), COUNT);
    assert_eq!(count(&server).await, COUNT as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_pause_holds_and_poison_is_set_aside() {
    let Some(broker) = kafka::broker("a pause holds and poison is set aside") else {
        return;
    };
    let topic = kafka::topic(&broker, "pause").await;
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, &set(&broker, &topic, "")).await;
    runs(&server).await;
    produce(&broker, &topic, 0..10).await;
    until("all is taken", LIMIT, async || count(&server).await == 10).await;
    assert_eq!(post(&server, "/sources/records/pause").await.status, 200);
    until("it is paused", LIMIT, async || state(&server).await.0 == "paused").await;
    produce(&broker, &topic, 10..20).await;
    // Over a kill too: a source that is paused begins paused.
    server.kill();
    server.restart().await;
    assert_eq!((state(&server).await.0.as_str(), count(&server).await), ("paused", 10));
    assert_eq!(post(&server, "/sources/records/resume").await.status, 200);
    until("the rest is taken", LIMIT, async || count(&server).await == 20).await;
    // Plain records are poison to a source of events: told with their place, and passed.
    assert_eq!(post(&server, "/sources/records/pause").await.status, 200);
    apply(&server, &set(&broker, &topic, ", format: cloudevents")).await;
    assert_eq!(post(&server, "/sources/records/resume").await.status, 200);
    runs(&server).await;
    produce(&broker, &topic, 20..25).await;
    until("the poison is passed", LIMIT, async || {
        let status = get(&server, "/sources/records").await["status"].clone();
        let ends = status["position"].as_object().into_iter().flatten();
        ends.map(|(_, end)| end.as_str().unwrap().parse::<u64>().unwrap()).sum::<u64>() == 25
    })
    .await;
    let trouble = get(&server, "/sources/records").await["status"]["lastError"].clone();
    assert_eq!(trouble["code"], "poison-record");
    assert!(trouble["message"].as_str().is_some_and(|told| told.contains(&topic)), "{trouble}");
    assert_eq!((state(&server).await.0.as_str(), count(&server).await), ("running", 20));
}

/// A CloudEvent has an id of the producer's own: sent twice, or read again after a seek, it is one event. A plain record
/// is known by its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_what_a_producer_sends_twice_is_one_event() {
    let Some(broker) = kafka::broker("what a producer sends twice") else {
        return;
    };
    let topic = kafka::topic(&broker, "twice").await;
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    apply(&server, &set(&broker, &topic, "")).await;
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", &broker).create().unwrap();
    let event = r#"{"specversion":"1.0","id":"o-1","source":"/shop","type":"order","data":{"n":1}}"#;
    let header = |key, value| Header { key, value: Some(value) };
    let structured = || OwnedHeaders::new().insert(header("content-type", "application/cloudevents+json"));
    for (value, headers) in
        [(event, structured()), (event, structured()), (r#"{"n":2}"#, OwnedHeaders::new())]
    {
        let record = FutureRecord::to(&topic).partition(0).key("k").payload(value).headers(headers);
        producer.send(record, LIMIT).await.unwrap();
    }
    until("both are taken, one twice", LIMIT, async || {
        let status = get(&server, "/sources/records").await["status"].clone();
        count(&server).await == 2 && status["duplicates"] == 1
    })
    .await;
    let body = json!({"positions": {format!("{topic}/0"): "0"}}).to_string();
    assert_eq!(ask(&server, "POST", "/sources/records/seek", &body).await.status, 200);
    until("the plain record is read again", LIMIT, async || count(&server).await == 3).await;
    assert_eq!(all(&server, "/events", "&type=order").await.len(), 1);
}
