//! Where an operator sends a Kafka source: words for places, a topic that was made anew, and what is no place. And the lag
//! of a topic whose end holds no records. Against a real broker.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tidemill_integration_tests::server::Server;

use crate::contract::ask;
use crate::kafka::{self, make_topic, produce};
use crate::kafka_group::{LIMIT, count, runs, set, state};
use crate::support::{apply, folder, get, until};

async fn seek(server: &Server, body: &str) -> (u16, String) {
    let answer = ask(server, "POST", "/sources/records/seek", body).await;
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

async fn counts(server: &Server, wanted: u64) {
    until(&format!("there are {wanted} executions"), LIMIT, async || count(server).await == wanted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_an_operator_sends_the_source_somewhere() {
    let Some(broker) = kafka::broker("an operator sends the source somewhere") else {
        return;
    };
    let topic = kafka::topic(&broker, "sent").await;
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    produce(&broker, &topic, 0..10).await;
    apply(&server, &set(&broker, &topic, "")).await;
    counts(&server, 10).await;
    let refused = (400, "bad-position".to_owned());
    for body in [
        r#"{"positions": {"TOPIC/0": "soon"}}"#,
        r#"{"positions": {"TOPIC/0": -1}}"#,
        r#"{"positions": {"other/0": "0"}}"#,
        r#"{"position": "newest"}"#,
        "{}",
    ] {
        assert_eq!(seek(&server, &body.replace("TOPIC", &topic)).await, refused, "{body}");
    }
    assert_eq!(seek(&server, r#"{"position": "latest"}"#).await.0, 200);
    runs(&server).await;
    assert_eq!(seek(&server, r#"{"position": "2020-01-01T00:00:00Z"}"#).await.0, 200);
    counts(&server, 20).await;

    // Made anew with fewer records: told, and mended as the help says.
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker).create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    admin.delete_topics(&[&topic], &options).await.unwrap();
    until("the source misses its topic", LIMIT, async || state(&server).await.1 == "kafka-topic").await;
    make_topic(&broker, &topic).await;
    produce(&broker, &topic, 0..4).await;
    until("it is told", LIMIT, async || {
        state(&server).await == ("failed".to_owned(), "kafka-position".to_owned())
    })
    .await;
    assert_eq!(seek(&server, r#"{"position": "earliest"}"#).await.0, 200);
    counts(&server, 24).await;
    runs(&server).await;
    // It counts on, wherever it was sent.
    let accepted = async || get(&server, "/sources/records").await["status"]["eventsAccepted"] == 24;
    until("all are counted", LIMIT, accepted).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

/// Five records in a transaction that is kept or taken back.
fn transact(producer: &ThreadedProducer<rdkafka::producer::DefaultProducerContext>, topic: &str, keep: bool) {
    let most = Duration::from_secs(20);
    producer.begin_transaction().unwrap();
    for n in 0..5 {
        let payload = n.to_string();
        producer.send(BaseRecord::<str, str>::to(topic).partition(0).payload(&payload)).unwrap();
    }
    producer.flush(most).unwrap();
    let ended = if keep { producer.commit_transaction(most) } else { producer.abort_transaction(most) };
    ended.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_what_was_taken_back_is_neither_read_nor_behind() {
    let Some(broker) = kafka::broker("what was taken back is neither read nor behind") else {
        return;
    };
    let topic = kafka::topic(&broker, "taken-back").await;
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    apply(&server, &set(&broker, &topic, "")).await;
    runs(&server).await;
    let own = topic.clone();
    let writing = move || {
        let producer: ThreadedProducer<_> = ClientConfig::new()
            .set("bootstrap.servers", &broker)
            .set("transactional.id", &own)
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(20)).unwrap();
        for keep in [true, false, true, false] {
            transact(&producer, &own, keep);
        }
    };
    tokio::task::spawn_blocking(writing).await.unwrap();
    counts(&server, 10).await;
    until("it is at the end", LIMIT, async || {
        get(&server, "/sources/records").await["status"]["lagRecords"] == 0
    })
    .await;
    assert_eq!(count(&server).await, 10);
}
