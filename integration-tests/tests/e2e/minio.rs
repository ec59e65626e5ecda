//! MinIO three ways against a real server: every created version has one event over kills of both sides, and trouble is
//! told with what helps.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;

use crate::kafka;
use crate::minio_server::{Hand, KEYS, Minio, TOKEN};
use crate::responder::Responder;
use crate::support::{BASE, LOOPBACK, all, apply, event, folder, get, open, post, secret, until};

pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// Entries are looked at each second.
pub(crate) const RECONCILE: (&str, &str) = ("TIDEMILL_SOURCES__RECONCILE", "1s");

/// Secrets and a workflow that ends at once.
pub(crate) fn base() -> String {
    format!(
        r"
document: {{dsl: '1.0.3', namespace: default, name: take, version: '1.0.0'}}
do:
  - done: {{set: {{ok: true}}}}
---
kind: Secret
metadata: {{name: keys}}
spec: {{value: {{accessKey: {}, secretKey: {}}}}}
---
kind: Secret
metadata: {{name: hook}}
spec: {{value: {TOKEN}}}
",
        KEYS.0, KEYS.1
    )
}

/// A Source called `name` over the bucket `photos`.
pub(crate) fn source(minio: &Minio, name: &str, via: &str) -> String {
    source_at(minio.address, name, via)
}

/// A Source called `name` over the bucket `photos` of a server.
pub(crate) fn source_at(address: SocketAddr, name: &str, via: &str) -> String {
    format!(
        r"
---
kind: Source
metadata: {{name: {name}}}
spec:
  minio:
    endpoint: 'http://{address}'
    bucket: photos
    credentials: {{secret: keys}}
    via: {{{via}}}
"
    )
}

pub(crate) const WEBHOOK: &str = "webhook: {arn: 'arn:minio:sqs::W:webhook', token: {secret: hook}}";

/// A trigger called `name` on a Source.
pub(crate) fn trigger(name: &str, source: &str, rest: &str) -> String {
    format!(
        r"
---
kind: Trigger
metadata: {{name: {name}}}
spec:
  source: {source}
  target: {{workflow: take}}
  tags:
    event: '${{ .id }}'
    key: '${{ .subject }}'
    object: '${{ .data.s3.object.key + `:` + (.data.s3.object.versionId // ``) }}'
{rest}
"
    )
    .replace('`', "\"")
}

/// A hook of a server under test.
pub(crate) fn hook(server: &Server, name: &str) -> String {
    format!("http://{}/hooks/default/{name}", server.address)
}

pub(crate) async fn status(server: &Server, path: &str) -> Value {
    get(server, path).await["status"].clone()
}

pub(crate) async fn reaches(server: &Server, path: &str, member: &str, expected: &str) {
    let what = format!("{path} {member} {expected}");
    until(&what, LIMIT, async || status(server, path).await[member] == expected).await;
}

/// The tags of a trigger's executions.
pub(crate) async fn tags(server: &Server, trigger: &str, tag: &str) -> Vec<String> {
    let executions = all(server, "/executions", &format!("&trigger={trigger}")).await;
    let mut tags: Vec<_> = executions.iter().map(|e| e["tags"][tag].as_str().unwrap().to_owned()).collect();
    tags.sort();
    tags
}

/// Uploads numbered objects, seven keys in turns, each until it is taken; every fifth key is then deleted.
fn upload(hand: Hand, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let key = format!("photos/in/{}", n % 7);
        let taken = |method: &str, body: &str| (0..3000).any(|_| hand.call(method, &key, body).is_some());
        assert!(taken("PUT", &n.to_string()), "{key} is not taken");
        if n.is_multiple_of(5) {
            assert!(taken("DELETE", ""), "{key} is not deleted");
        }
    }
}

/// A service with two sources of the bucket `photos`, called and heard, each with a trigger, on a bucket that was prepared.
pub(crate) async fn called_and_heard(
    minio: Minio,
    folder: &Path,
    prepare: impl FnOnce(Hand),
) -> (Server, Minio) {
    let server = Server::start(folder, &[LOOPBACK, RECONCILE]).await;
    let mut minio = minio.webhook("W", &hook(&server, "called"));
    minio.start().await;
    minio.hand().bucket("photos");
    prepare(minio.hand());
    let set = [
        base(),
        source(&minio, "called", WEBHOOK),
        source(&minio, "heard", "listen: {}"),
        trigger("by-call", "called", ""),
        trigger("by-ear", "heard", ""),
    ];
    apply(&server, &set.concat()).await;
    reaches(&server, "/triggers/by-call", "syncState", "inSync").await;
    reaches(&server, "/sources/heard", "state", "running").await;
    (server, minio)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_each_version_once_over_kills_of_both_sides() {
    const ROUNDS: usize = 4;
    const PART: usize = 20;
    let Some(minio) = Minio::new("each version once over kills") else { return };
    let folder = folder();
    let prepare = |hand: Hand| drop(hand.must("PUT", "photos/before", "older than the sources"));
    let (mut server, mut minio) = called_and_heard(minio, folder.path(), prepare).await;
    let hand = minio.hand();
    for round in 0..ROUNDS {
        let uploading = tokio::task::spawn_blocking(move || upload(hand, round * PART..(round + 1) * PART));
        let least = 1 + round * PART + PART / 3;
        until("some are uploaded", LIMIT, async || hand.versions("photos").len() >= least).await;
        if round % 2 == 0 {
            server.kill();
            uploading.await.unwrap();
            server.restart().await;
        } else {
            minio.kill();
            reaches(&server, "/sources/called", "state", "degraded").await;
            minio.start().await;
            uploading.await.unwrap();
        }
    }
    let versions: BTreeSet<String> =
        hand.versions("photos").into_iter().filter(|version| !version.starts_with("before:")).collect();
    assert!(versions.len() >= ROUNDS * PART, "{}", versions.len());
    for again in [false, true] {
        if again {
            // One more start lists everything again and takes none of it.
            assert_eq!(server.terminate(), Some(0), "{}", server.log());
            server.restart().await;
            for path in ["/sources/called", "/sources/heard"] {
                until(path, LIMIT, async || status(&server, path).await["duplicates"].as_u64() > Some(0))
                    .await;
            }
        }
        for trigger in ["by-call", "by-ear"] {
            let at_least = async || tags(&server, trigger, "object").await.len() >= versions.len();
            until(trigger, LIMIT, at_least).await;
            let found = tags(&server, trigger, "object").await;
            assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), versions, "{trigger}");
            assert_eq!(found.len(), versions.len(), "{trigger} took a version twice");
        }
    }
    // Told, heard or found: one event has one id.
    assert_eq!(tags(&server, "by-call", "event").await, tags(&server, "by-ear", "event").await);
}

/// A restart between two looks at the server: its end is heard, and what was lost is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_short_restart_is_noticed_and_keys_keep_their_order() {
    const WRITES: usize = 12;
    let Some(minio) = Minio::new("a short restart is noticed") else { return };
    let folder = folder();
    let rarely = ("TIDEMILL_SOURCES__RECONCILE", "1h");
    let server = Server::start(folder.path(), &[LOOPBACK, rarely]).await;
    // The target leads nowhere: every event is one that the server lost.
    let mut minio = minio.webhook("W", "http://127.0.0.1:9/");
    minio.start().await;
    let hand = minio.hand();
    hand.bucket("photos");
    let ordered = "  buffer: {concurrency: 10, orderBy: '${ .partitionkey }'}";
    apply(&server, &(base() + &source(&minio, "called", WEBHOOK) + &trigger("a", "called", ordered))).await;
    reaches(&server, "/triggers/a", "syncState", "inSync").await;
    for n in 0..WRITES {
        hand.must("PUT", &format!("photos/in/{}", n % 2), &n.to_string());
    }
    minio.kill();
    minio.start().await;
    until("all is found", LIMIT, async || {
        tags(&server, "a", "object").await.len() == WRITES && open(&server).await == 0
    })
    .await;
    // One after another for each key, in the order of the writes.
    let versions = |key: &str| -> Vec<String> {
        let newest_first = hand.versions("photos").into_iter().filter(|version| version.starts_with(key));
        newest_first.rev().collect()
    };
    let mut executions = all(&server, "/executions", "&trigger=a").await;
    executions.sort_by_key(|execution| execution["startedAt"].as_str().map(str::to_owned));
    for key in ["in/0", "in/1"] {
        let own: Vec<&Value> = executions.iter().filter(|e| e["tags"]["key"] == key).collect();
        let objects: Vec<String> =
            own.iter().map(|e| e["tags"]["object"].as_str().unwrap().to_owned()).collect();
        assert_eq!(objects, versions(&format!("{key}:")), "{key}");
        for pair in own.windows(2) {
            let (ended, next) = (pair[0]["endedAt"].as_str(), pair[1]["startedAt"].as_str());
            assert!(ended <= next, "two of {key} ran at once: {pair:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_trouble_is_told_and_mended() {
    let Some(minio) = Minio::new("trouble is told and mended") else { return };
    let folder = folder();
    let server = Server::start(folder.path(), &[LOOPBACK, RECONCILE]).await;
    let mut minio = minio.webhook("W", &hook(&server, "called"));
    let nope = WEBHOOK.replace(":W:", ":NOPE:");
    let set = [
        base().replace(KEYS.1, "wrong-secret"),
        source(&minio, "heard", "listen: {}"),
        source(&minio, "called", &nope),
        trigger("by-ear", "heard", ""),
        trigger("by-call", "called", ""),
    ];
    apply(&server, &set.concat()).await;
    let trouble = async |path: &str, code: &str| {
        let what = format!("{path}: {code}");
        until(&what, LIMIT, async || status(&server, path).await["lastError"]["code"] == code).await;
    };
    trouble("/sources/heard", "minio-unreachable").await;
    minio.start().await;
    trouble("/sources/heard", "minio-auth").await;
    secret(&server, "keys", json!({"accessKey": KEYS.0, "secretKey": KEYS.1})).await;
    trouble("/sources/heard", "minio-bucket").await;
    minio.hand().bucket("photos");
    reaches(&server, "/sources/heard", "state", "running").await;
    trouble("/sources/called", "minio-arn").await;
    let help = status(&server, "/sources/called").await["lastError"]["help"].to_string();
    assert!(
        help.contains("MINIO_NOTIFY_WEBHOOK_ENABLE_NOPE=on") && help.contains("/hooks/default/called"),
        "{help}"
    );
    assert_eq!(status(&server, "/triggers/by-call").await["syncState"], "drifted");
    // The source that was in trouble takes what comes now.
    minio.hand().must("PUT", "photos/late", "1");
    until("it is taken", LIMIT, async || tags(&server, "by-ear", "key").await == ["late"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_pause_seek_and_a_full_buffer() {
    const COUNT: usize = 12;
    let Some(mut minio) = Minio::new("pause, seek and a full buffer") else { return };
    let responder = Responder::start();
    responder.hold();
    let folder = folder();
    let server = Server::start(folder.path(), &[LOOPBACK, RECONCILE]).await;
    minio.start().await;
    let hand = minio.hand();
    hand.bucket("photos");
    hand.must("PUT", "photos/before", "older than the source");
    let buffer = "  buffer: {concurrency: 1, capacity: 2, whenFull: wait}";
    let asking = base().replace("- done: {set: {ok: true}}", "- ask: {call: 'held:1@default'}");
    let set = [
        responder.function("held"),
        asking,
        source(&minio, "heard", "listen: {}"),
        trigger("by-ear", "heard", buffer),
    ];
    apply(&server, &set.concat()).await;
    reaches(&server, "/sources/heard", "state", "running").await;
    post(&server, "/sources/heard/pause").await;
    for n in 0..COUNT {
        hand.must("PUT", &format!("photos/{n}"), "x");
    }
    post(&server, "/sources/heard/resume").await;
    // One is asked for, two fill the buffer; what comes after them is held at the source.
    let taken = async || all(&server, "/executions", "&trigger=by-ear").await.len();
    let is_held = async || server.metric("tidemill_source_holds_total").await >= 1.0;
    until("the source is held", LIMIT, is_held).await;
    until("one is asked for", LIMIT, async || responder.calls() == 1).await;
    for n in COUNT..2 * COUNT {
        hand.must("PUT", &format!("photos/{n}"), "x");
    }
    let within = taken().await;
    assert!((1..=3).contains(&within), "{within}");
    assert_eq!(responder.calls(), 1);
    responder.release();
    until("all are taken", LIMIT, async || taken().await == 2 * COUNT && open(&server).await == 0).await;
    let events = all(&server, "/events", "").await;
    let recovered = events.iter().filter(|event| event.to_string().contains(r#""recovered":true"#)).count();
    assert!((COUNT..=2 * COUNT).contains(&recovered), "{recovered}");
    // Back to before the source began: the object that is older than it is taken too, and no other again.
    let path = format!("{BASE}/sources/heard/seek");
    let headers = [("content-type", "application/json")];
    let answer =
        server.client().call("POST", &path, &headers, br#"{"position":"2020-01-01T00:00:00Z"}"#).await;
    assert_eq!(answer.unwrap().status, 200);
    until("the older one is taken", LIMIT, async || taken().await == 2 * COUNT + 1).await;
    assert!(tags(&server, "by-ear", "key").await.contains(&"before".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_bus_carries_the_same_events() {
    let Some(minio) = Minio::new("a bus carries the same events") else { return };
    let Some(broker) = kafka::broker("a bus carries the events of a bucket") else { return };
    let topic = kafka::topic(&broker, "minio").await;
    let folder = folder();
    let server = Server::start(folder.path(), &[LOOPBACK, RECONCILE]).await;
    let mut minio = minio.kafka(&broker, &topic).webhook("W", &hook(&server, "called"));
    minio.start().await;
    let hand = minio.hand();
    hand.bucket("photos");
    let to_bus = "<QueueConfiguration><Id>bus</Id><Queue>arn:minio:sqs::K:kafka</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>";
    hand.write_document("photos", to_bus);
    let records = format!(
        "\n---\nkind: Source\nmetadata: {{name: records}}\nspec: {{kafka: {{brokers: ['{broker}'], topics: ['{topic}'], group: '{topic}', start: earliest}}}}\n"
    );
    let set = [
        base(),
        records,
        source(&minio, "carried", "kafka: {source: records}"),
        source(&minio, "heard", "listen: {}"),
        source(&minio, "called", WEBHOOK),
        trigger("by-bus", "carried", ""),
        trigger("by-ear", "heard", ""),
        trigger("by-call", "called", ""),
    ];
    apply(&server, &set.concat()).await;
    reaches(&server, "/triggers/by-call", "syncState", "inSync").await;
    for path in ["/sources/heard", "/sources/records"] {
        reaches(&server, path, "state", "running").await;
    }
    let facts = status(&server, "/triggers/by-bus").await;
    let facts =
        ["integration", "ruleHome", "firesFrom", "syncState"].map(|name| facts[name].as_str().unwrap());
    assert_eq!(facts, ["proxy", "broker", "broker", "inSync"]);
    // `dir a/x y+z%41é.txt`, encoded.
    for key in ["dir%20a/x%20y%2Bz%2541%C3%A9.txt", "plain", "plain"] {
        hand.must("PUT", &format!("photos/{key}"), "x");
    }
    for trigger in ["by-bus", "by-ear", "by-call"] {
        until(trigger, LIMIT, async || tags(&server, trigger, "key").await.len() == 3).await;
        assert_eq!(
            tags(&server, trigger, "key").await,
            ["dir a/x y+z%41é.txt", "plain", "plain"],
            "{trigger}"
        );
        assert_eq!(
            tags(&server, trigger, "event").await,
            tags(&server, "by-ear", "event").await,
            "{trigger}"
        );
    }
    // A pause of the Source that is carried holds the one that carries.
    post(&server, "/sources/carried/pause").await;
    hand.must("PUT", "photos/later", "x");
    let is_held = async || status(&server, "/sources/records").await["lastError"]["code"] == "source-held";
    until("the carrier is held", LIMIT, is_held).await;
    assert_eq!(tags(&server, "by-bus", "key").await.len(), 3);
    post(&server, "/sources/carried/resume").await;
    until("it is taken", LIMIT, async || tags(&server, "by-bus", "key").await.len() == 4).await;
    // What the topic holds beside notifications is no concern of the bucket's.
    kafka::produce(&broker, &topic, 0..3).await;
    let all_read = async || status(&server, "/sources/records").await["eventsAccepted"] == 7;
    until("the topic is read", LIMIT, all_read).await;
    assert_eq!(tags(&server, "by-bus", "key").await.len(), 4);
    assert_eq!(event(&mut server.client(), "other", "1", "s", 0).await.unwrap().status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_example_10_runs_as_its_readme_tells() {
    let Some(mut minio) = Minio::new("examples/10-minio-upload") else { return };
    let folder = folder();
    let server = Server::start(folder.path(), &[LOOPBACK]).await;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/10-minio-upload");
    let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
    let documents = ["workflow.yaml", "source.yaml", "trigger.yaml"].map(read).join("\n---\n");
    apply(&server, &documents.replace("127.0.0.1:19000", &minio.address.to_string())).await;
    minio.start().await;
    let script = std::process::Command::new("sh")
        .arg(example.join("happening.sh"))
        .env("MINIO", minio.address.to_string())
        .output()
        .unwrap();
    assert!(script.status.success(), "{script:?}");
    let key = String::from_utf8(script.stdout).unwrap();
    let is_filed =
        async || tags(&server, "file-upload", "key").await == [key.trim()] && open(&server).await == 0;
    until("it is filed", LIMIT, is_filed).await;
    let execution = all(&server, "/executions", "&status=completed").await.pop();
    let id = execution.unwrap_or_else(|| panic!("{}", server.log()))["id"].as_str().unwrap().to_owned();
    let output = get(&server, &format!("/executions/{id}")).await["output"].clone();
    let expected: Value = serde_json::from_str(&read("expected-output.json")).unwrap();
    assert_eq!(output, expected);
}
