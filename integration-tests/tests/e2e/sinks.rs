//! Sinks as targets of triggers: signed posts that a receiver checks, records on a real broker over kills, dead letters
//! that are sent on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use tidemill_integration_tests::server::Server;

use crate::kafka;
use crate::support::{LOOPBACK, all, apply, event_taken, folder, get, until};

const LIMIT: Duration = Duration::from_mins(1);
/// A signing secret.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A server whose hook `in` takes events that are signed with [`SECRET`] alone.
async fn receiver(folder: &std::path::Path) -> Server {
    let server = Server::start(folder, &[]).await;
    let definitions = format!(
        r"
kind: Secret
metadata: {{name: sign}}
spec: {{value: {SECRET}}}
---
kind: Source
metadata: {{name: in}}
spec: {{http: {{path: in, auth: {{hmac: {{scheme: standardWebhooks, secrets: [sign]}}}}}}}}
"
    );
    apply(&server, &definitions).await;
    server
}

/// Events of a type that a server has.
pub(crate) async fn events(server: &Server, kind: &str) -> Vec<Value> {
    let items = all(server, "/events", &format!("&type={kind}")).await;
    items.into_iter().map(|item| item.get("event").cloned().unwrap_or(item)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_events_are_taken_and_dead_letters_are_sent_on() {
    let (here, there) = (folder(), folder());
    let receiver = receiver(there.path()).await;
    let sender = Server::start(here.path(), &[LOOPBACK]).await;
    let hook = format!("http://{}/hooks/default/in", receiver.address);
    let definitions = format!(
        r"
kind: Secret
metadata: {{name: sign}}
spec: {{value: {SECRET}}}
---
kind: Trigger
metadata: {{name: whole}}
spec:
  filters: [{{exact: {{type: paid}}}}]
  target: {{sink: {{http: {{url: '{hook}', sign: {{secret: sign}}}}}}}}
---
kind: Trigger
metadata: {{name: made}}
spec:
  filters: [{{exact: {{type: made}}}}]
  input: '${{ {{short: .subject}} }}'
  target: {{sink: {{http: {{url: '${{ `{hook}` }}', sign: {{secret: sign}}}}}}}}
  buffer: {{concurrency: 2}}
---
kind: Trigger
metadata: {{name: lost}}
spec:
  filters: [{{exact: {{type: lost}}}}]
  target: {{sink: {{http: {{url: '{hook}-absent'}}}}}}
  deadLetter: {{sink: {{http: {{url: '{hook}', sign: {{secret: sign}}}}}}}}
"
    )
    .replace('`', "\"");
    apply(&sender, &definitions).await;
    let mut client = sender.client();
    event_taken(&mut client, "paid", "1", "one").await;
    event_taken(&mut client, "made", "2", "two").await;
    event_taken(&mut client, "lost", "3", "three").await;
    for kind in ["paid", "made", "tidemill.dead-letter"] {
        until(&format!("the receiver has {kind}"), LIMIT, async || events(&receiver, kind).await.len() == 1)
            .await;
    }
    let paid = events(&receiver, "paid").await.remove(0);
    assert_eq!(
        (&paid["id"], &paid["source"], &paid["data"]["pad"]),
        (&"1".into(), &"/e2e".into(), &"".into())
    );
    let made = events(&receiver, "made").await.remove(0);
    assert_eq!((&made["id"], &made["data"]), (&"2".into(), &serde_json::json!({"short": "two"})));
    let told = events(&receiver, "tidemill.dead-letter").await.remove(0);
    assert_eq!(told["source"], "/triggers/default/lost");
    assert_eq!((&told["data"]["event"]["id"], &told["data"]["trigger"]), (&"3".into(), &"lost".into()));
    assert_eq!(told["data"]["attempts"][0]["error"]["status"], 404, "{told}");
    // What no repetition mends is a dead letter at once, and is stored too.
    let letters = all(&sender, "/dead-letters", "").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let executions = all(&sender, "/executions", "&trigger=whole").await;
    assert_eq!(executions[0]["status"], "completed");
    let execution = get(&sender, &format!("/executions/{}", executions[0]["id"].as_str().unwrap())).await;
    assert_eq!(execution["output"], serde_json::json!({"status": 202}), "{execution}");
}

/// A record as read back: its key, and its headers by name.
struct Record {
    key: Option<String>,
    headers: BTreeMap<String, String>,
    value: Option<Vec<u8>>,
}

/// Reads a topic from its beginning to its end.
fn records(broker: &str, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", broker).set("group.id", topic).create().unwrap();
    let patience = Duration::from_secs(10);
    let partitions = consumer.fetch_metadata(Some(topic), patience).unwrap().topics()[0].partitions().len();
    let mut records = Vec::new();
    for partition in 0..i32::try_from(partitions).unwrap() {
        let (low, high) = consumer.fetch_watermarks(topic, partition, patience).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut next = low;
        let began = std::time::Instant::now();
        while next < high {
            assert!(began.elapsed() < LIMIT, "{topic}/{partition} ends at {next}");
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message.unwrap();
            next = message.offset() + 1;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            records.push(Record {
                key: message.key().map(text),
                headers: headers.map(|h| (h.key.to_owned(), text(h.value.unwrap()))).collect(),
                value: message.payload().map(<[u8]>::to_vec),
            });
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_every_event_reaches_the_topic_over_kills() {
    const COUNT: usize = 300;
    let Some(broker) = kafka::broker("every event reaches the topic over kills") else {
        return;
    };
    let topic = kafka::topic(&broker, "sink").await;
    let here = folder();
    let mut server = Server::start(here.path(), &[]).await;
    let definitions = format!(
        r"
kind: Connection
metadata: {{name: bus}}
spec: {{kafka: {{brokers: ['{broker}']}}}}
---
kind: Trigger
metadata: {{name: out}}
spec:
  target: {{sink: {{kafka: {{topic: '{topic}', key: '${{ .subject }}'}}, connection: bus}}}}
  buffer: {{concurrency: 20}}
---
kind: Trigger
metadata: {{name: nowhere}}
spec:
  filters: [{{exact: {{type: astray}}}}]
  target: {{sink: {{kafka: {{brokers: ['{broker}'], topic: '${{ .subject }}'}}}}}}
"
    );
    apply(&server, &definitions).await;
    let mut client = server.client();
    // A topic that no broker may make: no repetition mends that.
    event_taken(&mut client, "astray", "astray", "no topic at all").await;
    until("what goes nowhere is a dead letter", LIMIT, async || {
        all(&server, "/dead-letters", "").await.len() == 1
    })
    .await;
    for n in 0..COUNT {
        event_taken(&mut client, "paid", &n.to_string(), &format!("key{}", n % 7)).await;
        if n % 100 == 50 {
            server.kill();
            server.restart().await;
        }
    }
    until("all is sent", LIMIT, async || crate::support::open(&server).await == 0).await;
    let read = tokio::task::spawn_blocking(move || records(&broker, &topic)).await.unwrap();
    let paid: Vec<&Record> = read.iter().filter(|record| record.headers["ce_type"] == "paid").collect();
    let ids: BTreeSet<&str> = paid.iter().map(|record| &*record.headers["ce_id"]).collect();
    assert_eq!(ids.len(), COUNT, "an event is not on the topic");
    eprintln!("{} records for {COUNT} events over 3 kills", paid.len());
    for record in &paid {
        let n: usize = record.headers["ce_id"].parse().unwrap();
        assert_eq!(record.key, Some(format!("key{}", n % 7)));
        assert_eq!(record.headers["content-type"], "application/json");
        assert_eq!(record.value.as_deref(), Some(br#"{"pad":""}"#.as_slice()));
    }
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_example_12_runs_as_its_readme_tells() {
    let Some(broker) = kafka::broker("examples/12-kafka-orders") else {
        return;
    };
    // Topics of its own: the broker is shared.
    let orders = kafka::topic(&broker, "orders").await;
    let priced = kafka::topic(&broker, "priced").await;
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/12-kafka-orders");
    let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
    let documents = ["workflow.yaml", "source.yaml", "triggers.yaml"].map(read).join("\n---\n");
    let documents = documents.replace("127.0.0.1:9092", &broker).replace("priced-orders", &priced);
    apply(&server, &documents.replace("topics: [orders]", &format!("topics: [{orders}]"))).await;
    let script = read("happening.sh").replace("-t orders", &format!("-t {orders}"));
    let output =
        std::process::Command::new("sh").arg("-c").arg(script).env("KAFKA", &broker).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let key = String::from_utf8(output.stdout).unwrap();
    until("the order is priced and published", LIMIT, async || {
        all(&server, "/executions", "&status=completed").await.len() == 2
    })
    .await;
    let id = all(&server, "/executions", "&trigger=price-order").await[0]["id"].as_str().unwrap().to_owned();
    let execution = get(&server, &format!("/executions/{id}")).await;
    let expected: Value = serde_json::from_str(&read("expected-output.json")).unwrap();
    assert_eq!(execution["output"], expected, "{execution}");
    let event = get(&server, "/events?type=kafka.record").await["items"][0].clone();
    let event = event.get("event").cloned().unwrap_or(event);
    assert_eq!(event["subject"], key.trim(), "{event}");
    let written = tokio::task::spawn_blocking(move || records(&broker, &priced)).await.unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!((&*written[0].headers["ce_type"], written[0].key.as_deref()), ("order.priced", Some("A-17")));
}
