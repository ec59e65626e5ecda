//! `orderBy`: one in flight per key, in order, over a kill; a failing key is parked while the others go on, and redrive
//! releases it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tidemill_integration_tests::server::Server;

use crate::responder::Responder;
use crate::support::{BASE, LOOPBACK, all, apply, event_taken, folder, get, millis, until};

const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: outside, version: '1.0.0'}
do:
  - ask:
      call: held:1@default
      with: {id: '${ .id }', subject: '${ .subject }'}
---
kind: Trigger
metadata: {name: ordered}
spec:
  filters: [{exact: {type: order.event}}]
  target: {workflow: outside}
  tags: {event: '${ .id }', key: '${ .subject }'}
  buffer: {concurrency: 8, orderBy: '${ .subject }'}
  retry: {attempts: 2, backoff: {constant: 100ms}}
";
const KEYS: usize = 5;
const PER_KEY: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_order_over_a_kill() {
    let responder = Responder::start();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    apply(&server, &format!("{}{SET}", responder.function("held"))).await;
    responder.fail(&["\"bad\""]);
    let mut client = server.client();
    for n in 0..PER_KEY {
        for key in 0..KEYS {
            event_taken(&mut client, "order.event", &format!("k{key}-{n:03}"), &format!("k{key}")).await;
        }
        if n < 3 {
            event_taken(&mut client, "order.event", &format!("bad-{n:03}"), "bad").await;
        }
    }
    until("some have ended", Duration::from_secs(30), async || completed(&server).await.len() > 20).await;
    server.kill();
    server.restart().await;
    let all_good = KEYS * PER_KEY;
    until("the good keys end", Duration::from_mins(1), async || completed(&server).await.len() >= all_good)
        .await;

    until("the bad key is parked", Duration::from_secs(30), async || {
        get(&server, "/buffers/ordered").await["parked"] == 1
    })
    .await;
    // It stays parked over a restart, and so do those behind it.
    server.kill();
    server.restart().await;
    let buffer = get(&server, "/buffers/ordered").await;
    assert_eq!(
        (&buffer["parked"], &buffer["depth"], &buffer["inFlight"]),
        (&1.into(), &2.into(), &0.into()),
        "{buffer}"
    );
    assert_eq!(completed(&server).await.len(), all_good);
    let letters = all(&server, "/dead-letters", "").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((&letter["orderKey"], &letter["event"]["id"]), (&"bad".into(), &"bad-000".into()), "{letter}");
    assert_eq!(letter["attempts"].as_array().unwrap().len(), 2, "{letter}");

    responder.fail(&[]);
    let body = br#"{"filter": {"trigger": "ordered"}}"#;
    let headers = [("content-type", "application/json")];
    let answer =
        server.client().call("POST", &format!("{BASE}/dead-letters/redrive"), &headers, body).await.unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let batch = answer.header("location").unwrap().to_owned();
    until("the key goes on", Duration::from_secs(30), async || {
        completed(&server).await.len() == all_good + 3
    })
    .await;
    until("the batch ends", Duration::from_secs(10), async || {
        server
            .client()
            .get(&batch)
            .await
            .is_ok_and(|(status, body)| status == 200 && body["state"] == "completed")
    })
    .await;
    assert!(all(&server, "/dead-letters", "").await.is_empty());
    check(&server).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

async fn completed(server: &Server) -> Vec<Value> {
    all(server, "/executions", "&trigger=ordered&status=completed").await
}

/// Per key: in the order of arrival, each begun after the one before it had ended.
async fn check(server: &Server) {
    let mut keys: BTreeMap<String, Vec<(String, i64, i64)>> = BTreeMap::new();
    for execution in completed(server).await {
        let tag = |name: &str| execution["tags"][name].as_str().unwrap().to_owned();
        let times = (millis(&execution["startedAt"]), millis(&execution["endedAt"]));
        keys.entry(tag("key")).or_default().push((tag("event"), times.0, times.1));
    }
    assert_eq!(keys.len(), KEYS + 1);
    for (key, mut list) in keys {
        list.sort();
        let expected = if key == "bad" { 3 } else { PER_KEY };
        assert_eq!(list.len(), expected, "each event of {key} completed once");
        for pair in list.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            assert!(
                after.1 >= before.2,
                "{} of {key} began before {} had ended: {pair:?}",
                after.0,
                before.0
            );
        }
    }
}
