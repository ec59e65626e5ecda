//! Buffers, dead letters, redrive, batches.

use serde_json::json;

use crate::service::Service;

const BASE: &str = "/v1/namespaces/default";

#[tokio::test]
async fn buffers_show_their_depth_and_refuse_when_full() {
    let service = Service::new().await;
    for n in 0..4 {
        service.event(&format!("s{n}"), "shaved", &json!(n)).await.is(202);
        service.until(&format!("{BASE}/buffers/shaved"), |b| b["inFlight"] == 1).await;
    }
    let full = service.event("s9", "shaved", &json!(9)).await.problem(429, "buffer-full");
    assert!(!full.header("retry-after").is_empty());
    let shown = service.get(&format!("{BASE}/buffers/shaved")).await.is(200).json();
    assert_eq!(
        (&shown["depth"], &shown["capacity"], &shown["whenFull"]),
        (&json!(3), &json!(3), &json!("reject"))
    );
    assert!(shown["oldestAge"].as_str().unwrap().starts_with("PT"), "{shown}");
    assert_eq!(shown["forecastDrain"], "PT0.003S");
    assert_eq!(service.get(&format!("{BASE}/buffers")).await.is(200).json()["items"][0]["trigger"], "shaved");
    service.get(&format!("{BASE}/buffers/direct")).await.problem(404, "not-found");
    let pending = service.get(&format!("{BASE}/executions?status=pending")).await.is(200).json();
    assert_eq!(pending["items"].as_array().unwrap().len(), 3);
    assert!(pending["items"][0]["startedAt"].is_null());
    let trace = service.get(&format!("{BASE}/events/%2Ftest/s3/trace")).await.is(200).json();
    assert_eq!(
        (&trace["executions"][0]["status"], &trace["executions"][0]["delivery"]["state"]),
        (&json!("pending"), &json!("ready"))
    );
    service.stop().await;
}

#[tokio::test]
async fn dead_letters_are_redriven_once_by_a_batch() {
    let service = Service::new().await;
    for n in 0..3 {
        service.event(&format!("b{n}"), "bad", &json!(n)).await.is(202);
    }
    let list = format!("{BASE}/dead-letters");
    let letters = service.until(&list, |b| b["items"].as_array().unwrap().len() == 3).await;
    let letter = &letters["items"][0];
    assert_eq!(
        (&letter["trigger"], &letter["cause"], &letter["state"]),
        (&json!("bad"), &json!("faulted"), &json!("open"))
    );
    assert_eq!(letter["attempts"][0]["error"]["status"], 400);
    let id = letter["id"].as_str().unwrap();
    assert_eq!(&service.get(&format!("{list}/{id}")).await.is(200).json(), letter);
    service.get(&format!("{list}/x")).await.problem(404, "not-found");
    let dry = service
        .post(&format!("{list}/redrive"), r#"{"filter":{"trigger":"bad"},"dryRun":true}"#)
        .await
        .is(200)
        .json();
    assert_eq!((&dry["matched"], &dry["dryRun"]), (&json!(3), &json!(true)));
    let filter = json!({"filter": {"ids": [id]}, "rate": "100/s"});
    let begun = service.post(&format!("{list}/redrive"), filter.to_string()).await.is(202);
    let place = begun.header("location").to_owned();
    let done = service.until(&place, |b| b["state"] == "completed").await;
    assert_eq!((&done["total"], &done["done"], &done["failed"]), (&json!(1), &json!(1), &json!(0)), "{done}");
    assert_eq!(service.get(&format!("{list}/{id}")).await.json()["state"], "redriven");
    service.post(&format!("{place}/cancel"), "").await.problem(409, "state");
    service.get(&format!("{BASE}/batches/none")).await.problem(404, "not-found");
    // Its new execution faults again and is dead once more; the first letter stays redriven.
    service.until(&list, |b| b["items"].as_array().unwrap().len() == 3).await;
    for bad in ["{\"filtr\":{}}", "{\"rate\":\"fast\"}", "{\"filter\":{\"since\":\"x\"}}"] {
        service.post(&format!("{list}/redrive"), bad).await.problem(400, "bad-body");
    }
    assert_eq!(service.delete(&format!("{list}?trigger=bad&dryRun=true")).await.is(200).json()["matched"], 3);
    assert_eq!(service.delete(&format!("{list}?trigger=bad")).await.is(200).json()["matched"], 3);
    assert_eq!(service.get(&list).await.json()["items"], json!([]));
    assert_eq!(
        service.get(&format!("{list}?state=purged")).await.json()["items"].as_array().unwrap().len(),
        3
    );
    service.stop().await;
}

#[tokio::test]
async fn batches_pause_and_end() {
    let store = std::sync::Arc::new(tidemill_store::MemoryStore::new());
    let service = Service::over(store.clone()).await;
    service.post(&format!("{BASE}/apply"), crate::service::SET).await.is(200);
    for n in 0..4 {
        service.event(&format!("b{n}"), "bad", &json!(n)).await.is(202);
    }
    let list = format!("{BASE}/dead-letters");
    service.until(&list, |b| b["items"].as_array().unwrap().len() == 4).await;
    // One at once, the next after an hour.
    let begun = service.post(&format!("{list}/redrive"), r#"{"rate":"1/h"}"#).await.is(202);
    let place = begun.header("location").to_owned();
    service.until(&place, |b| b["handled"] == 1).await;
    assert_eq!(service.post(&format!("{place}/pause"), "").await.is(200).json()["state"], "paused");
    let batches = service.get(&format!("{BASE}/batches")).await.is(200).json();
    assert_eq!(batches["items"][0]["state"], "paused");
    let before = service.get(&place).await.is(200).json();
    assert_eq!((&before["total"], &before["handled"], &before["done"]), (&json!(4), &json!(1), &json!(1)));
    let ended = service.post(&format!("{place}/cancel"), "").await.is(200).json();
    assert_eq!(ended["state"], "cancelled");
    service.stop().await;
}

#[tokio::test]
async fn executions_are_cancelled_in_bulk() {
    let service = Service::new().await;
    for _ in 0..3 {
        service.post(&format!("{BASE}/workflows/waits/executions?tag=bulk:yes"), "{}").await.is(202);
    }
    let kept =
        service.post(&format!("{BASE}/workflows/waits/executions"), "{}").await.is(202).json()["id"].clone();
    service.run("hello", "{}").await;
    let preview = async |body: &str| {
        let dry = service.post(&format!("{BASE}/batches?dryRun=true"), body).await.is(200).json();
        (dry["matched"].clone(), dry["states"].clone())
    };
    let all = json!({"completed": 1, "waiting": 4});
    assert_eq!(preview(r#"{"action":"cancel"}"#).await, (json!(4), all.clone()));
    assert_eq!(preview(r#"{"action":"cancel","limit":2}"#).await, (json!(2), all.clone()));
    assert_eq!(preview(r#"{"action":"retry"}"#).await, (json!(0), all));
    let one = json!({"action": "cancel", "filter": {"status": "waiting", "tag": "bulk:yes"}, "rate": 10});
    assert_eq!(preview(&one.to_string()).await, (json!(3), json!({"waiting": 3})));
    let named = json!({"action": "cancel", "filter": {"ids": [kept], "status": ["waiting", "faulted"]}});
    assert_eq!(preview(&named.to_string()).await, (json!(1), json!({"waiting": 1})));
    let body = r#"{"action":"cancel","filter":{"tags":["bulk:yes"]},"reason":"too many"}"#;
    let place = service.post(&format!("{BASE}/batches"), body).await.is(202).header("location").to_owned();
    let done = service.until(&place, |b| b["state"] == "completed").await;
    assert_eq!((&done["total"], &done["done"]), (&json!(3), &json!(3)), "{done}");
    let gone = service.get(&format!("{BASE}/executions?status=cancelled&pageSize=1")).await.json();
    let history = format!("{BASE}/executions/{}/history", gone["items"][0]["id"].as_str().unwrap());
    let history = service.get(&history).await.json()["items"].clone();
    let told = history.as_array().unwrap().last().unwrap()["reason"].clone();
    assert_eq!(told, format!("batch {}: too many", done["id"].as_str().unwrap()));
    let open = service.get(&format!("{BASE}/executions?status=waiting")).await.json();
    assert_eq!((open["items"].as_array().unwrap().len(), &open["items"][0]["id"]), (1, &kept));
    service.post(&format!("{BASE}/batches"), r#"{"action":"explode"}"#).await.problem(400, "bad-body");
    service.stop().await;
}

#[tokio::test]
async fn batches_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options =
            tidemill_store::sqlite::Options { durability: tidemill_store::sqlite::Durability::Process };
        let store = tidemill_store::SqliteStore::open(dir.path().join("t.db"), options).unwrap();
        Service::within(std::sync::Arc::new(store), dir.path())
    };
    let service = open().await;
    service.post(&format!("{BASE}/apply"), crate::service::SET).await.is(200);
    for n in 0..3 {
        service.event(&format!("b{n}"), "bad", &json!(n)).await.is(202);
    }
    let list = format!("{BASE}/dead-letters");
    service.until(&list, |b| b["items"].as_array().unwrap().len() == 3).await;
    // The first at once, the next an hour later.
    let begun = service.post(&format!("{list}/redrive"), r#"{"rate":"1/h"}"#).await.is(202);
    let place = begun.header("location").to_owned();
    service.until(&place, |b| b["handled"] == 1).await;
    service.stop().await;
    let service = open().await;
    // It goes on with the second letter, at once because a rate speaks of one process's time.
    let there = service.until(&place, |b| b["handled"] == 2).await;
    assert_eq!(
        (&there["state"], &there["total"], &there["done"]),
        (&json!("running"), &json!(3), &json!(2)),
        "{there}"
    );
    assert_eq!(
        service.get(&format!("{list}?state=redriven")).await.json()["items"].as_array().unwrap().len(),
        2
    );
    service.stop().await;
}

#[tokio::test]
async fn a_redrive_may_edit_the_event() {
    const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: picky, version: '1.0.0'}
do:
  - no: {raise: {error: {type: https://example.com/no, status: 400}}, if: '${ .amount < 0 }'}
  - yes: {set: {amount: '${ .amount }'}}
---
kind: Trigger
metadata: {name: picky}
spec: {filters: [{exact: {type: pick}}], target: {workflow: picky}, input: '${ .data }'}
";
    let service = Service::new().await;
    service.post(&format!("{BASE}/apply"), SET).await.is(200);
    service.event("p", "pick", &json!({"amount": -1})).await.is(202);
    let list = format!("{BASE}/dead-letters");
    let letter =
        service.until(&list, |b| b["items"].as_array().unwrap().len() == 1).await["items"][0].clone();
    for bad in ["${ .data", ".data.amount = 1"] {
        let body = json!({"edit": bad}).to_string();
        service.post(&format!("{list}/redrive"), body).await.problem(400, "bad-body");
    }
    let body = json!({"edit": "${ .data.amount |= -. }"}).to_string();
    let place = service.post(&format!("{list}/redrive"), body).await.is(202).header("location").to_owned();
    assert_eq!(service.until(&place, |b| b["state"] == "completed").await["done"], 1);
    let path = format!("{BASE}/executions?workflow=picky&status=completed");
    let found = service.until(&path, |b| b["items"].as_array().unwrap().len() == 1).await;
    let id = found["items"][0]["id"].as_str().unwrap();
    assert_eq!(service.get(&format!("{BASE}/executions/{id}")).await.json()["output"], json!({"amount": 1}));
    let after = service.get(&format!("{list}/{}", letter["id"].as_str().unwrap())).await.json();
    assert_eq!((&after["state"], &after["event"]), (&json!("redriven"), &letter["event"]));
    service.stop().await;
}
