//! The sentences of the API's contract about executions, asked of the real binary.
//!
//! Where they come from, which verb goes with which state, what a retry and a start key do, large values.

use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;

use crate::contract::{ask, call, problem, served};
use crate::support::{BASE, apply, get};

const STATES: &str = "
document: {dsl: '1.0.3', namespace: default, name: breaks, version: '1.0.0'}
do:
  - first: {set: {n: '${ .n }'}}
  - second: {if: '${ .n == 0 }', raise: {error: {type: 'https://example.com/zero', status: 400}}}
---
document: {dsl: '1.0.3', namespace: default, name: parent, version: '1.0.0'}
do: [{child: {run: {workflow: {namespace: default, name: hello, version: '1.0.0', input: {from: parent}}}}}]
---
kind: Trigger
metadata: {name: direct}
spec: {filters: [{exact: {type: direct}}], target: {workflow: hello}, input: '${ .data }', tags: {order: '${ .data.order }'}}
";

/// Starts and waits for the end, or for what it waits for.
async fn run(server: &Server, workflow: &str, input: &str) -> Value {
    let path = format!("{BASE}/workflows/{workflow}/executions");
    let wait = if workflow == "waits" { "wait=0" } else { "wait=20" };
    call(server, "POST", &path, &[("prefer", wait)], input).await.json()
}

#[tokio::test]
async fn verbs_go_by_the_state() {
    let (server, _folder) = served().await;
    apply(&server, STATES).await;
    // What each verb is answered with: cancel, suspend, resume, retry.
    let table: [(&str, [u16; 4]); 5] = [
        ("waiting", [200, 200, 409, 409]),
        ("suspended", [200, 409, 200, 409]),
        ("completed", [409, 409, 409, 409]),
        ("faulted", [409, 409, 409, 200]),
        ("cancelled", [409, 409, 409, 200]),
    ];
    for (state, expected) in table {
        for (verb, status) in ["cancel", "suspend", "resume", "retry"].into_iter().zip(expected) {
            let begun = match state {
                "completed" => run(&server, "hello", "{}").await,
                "faulted" => run(&server, "breaks", r#"{"n":0}"#).await,
                _ => run(&server, "waits", "{}").await,
            };
            let id = begun["id"].as_str().unwrap();
            match state {
                "suspended" => drop(ask(&server, "POST", &format!("/executions/{id}/suspend"), "").await),
                "cancelled" => drop(ask(&server, "POST", &format!("/executions/{id}/cancel"), "").await),
                _ => {}
            }
            assert_eq!(get(&server, &format!("/executions/{id}")).await["status"], state);
            let dry = ask(&server, "POST", &format!("/executions/{id}/{verb}?dryRun=true"), "").await;
            assert_eq!(dry.status, status, "{verb} on {state}, dry: {}", dry.json());
            let answer = ask(&server, "POST", &format!("/executions/{id}/{verb}"), "").await;
            assert_eq!(answer.status, status, "{verb} on {state}: {}", answer.json());
            if status == 409 {
                problem(&answer, 409, verb);
            }
        }
    }
}

#[tokio::test]
async fn a_retry_may_name_its_task_and_a_read_behind_it_shows_it_begun() {
    let (server, _folder) = served().await;
    apply(&server, STATES).await;
    let id = run(&server, "breaks", r#"{"n":0}"#).await["id"].as_str().unwrap().to_owned();
    let path = format!("/executions/{id}/retry");
    problem(&ask(&server, "POST", &path, r#"{"fromTask":"/do/9/none"}"#).await, 409, "no such task");
    let body = r#"{"fromTask":"/do/0/first","input":{"n":5},"reason":"mended"}"#;
    let retried = ask(&server, "POST", &path, body).await;
    assert_eq!(retried.status, 200, "{}", retried.json());
    let entries = get(&server, &format!("/executions/{id}/history")).await;
    let entries = entries["items"].as_array().unwrap();
    let again = entries.iter().position(|entry| entry["type"] == "workflow.retried").unwrap();
    assert_eq!(entries[again]["reason"], "mended");
    let ended = get(&server, &format!("/executions/{id}?wait=20s")).await;
    assert_eq!((&ended["status"], &ended["output"]), (&json!("completed"), &json!({"n": 5})));
    let entries = get(&server, &format!("/executions/{id}/history?count=true")).await;
    let items = entries["items"].as_array().unwrap();
    assert_eq!(entries["total"], items.len());
    let types: Vec<_> = items.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    let ends = types.iter().filter(|kind| matches!(**kind, "workflow.completed" | "workflow.faulted"));
    assert_eq!((ends.count(), types.last()), (2, Some(&"workflow.completed")), "{types:?}");
    for (index, entry) in items.iter().enumerate() {
        assert_eq!(entry["sequence"], index + 1);
        assert!(index == 0 || items[index - 1]["time"].as_str() <= entry["time"].as_str(), "{entry}");
    }
}

#[tokio::test]
async fn executions_tell_where_they_come_from() {
    let (server, _folder) = served().await;
    apply(&server, STATES).await;
    let parent = run(&server, "parent", "{}").await;
    assert_eq!(parent["output"], json!({"from": "parent"}));
    let children = get(&server, "/executions?workflow=hello").await;
    let child = &children["items"][0];
    assert_eq!((&child["parent"], &child["trigger"]), (&parent["id"], &Value::Null));
    let shown = get(&server, &format!("/executions/{}", child["id"].as_str().unwrap())).await;
    assert_eq!((&shown["parent"], &shown["input"]), (&parent["id"], &json!({"from": "parent"})));

    let headers = [("content-type", "application/cloudevents+json")];
    let event = r#"{"specversion":"1.0","id":"o1","source":"/shop","type":"direct","data":{"order":4711}}"#;
    let posted = call(&server, "POST", &format!("{BASE}/events"), &headers, event).await;
    assert_eq!(posted.status, 202);
    let tagged = get(&server, "/executions?tag=order:4711").await;
    let item = &tagged["items"][0];
    assert_eq!((&item["trigger"], &item["tags"]["order"]), (&json!("direct"), &json!("4711")));
    let shown = get(&server, &format!("/executions/{}?wait=20s", item["id"].as_str().unwrap())).await;
    assert_eq!((&shown["event"]["source"], &shown["event"]["id"]), (&json!("/shop"), &json!("o1")));
    let trace = ask(&server, "GET", "/events/%2Fshop/o1/trace", "").await;
    assert!(String::from_utf8_lossy(&trace.body).contains(item["id"].as_str().unwrap()));
}

#[tokio::test]
async fn a_start_key_is_of_its_workflow_and_outlives_the_process() {
    let (mut server, _folder) = served().await;
    apply(&server, STATES).await;
    let start = async |server: &Server, workflow: &str, body: &str| {
        let path = format!("{BASE}/workflows/{workflow}/executions");
        call(server, "POST", &path, &[("idempotency-key", "k"), ("prefer", "wait=20")], body).await
    };
    let first = start(&server, "hello", "{}").await;
    assert_eq!(first.json()["status"], "completed");
    let other = start(&server, "parent", "{}").await;
    assert_ne!(other.json()["id"], first.json()["id"]);
    server.kill();
    server.restart().await;
    let again = start(&server, "hello", "{}").await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]));
    assert_eq!(again.header("location"), first.header("location"));
    problem(&start(&server, "hello", r#"{"n":1}"#).await, 409, "another body");
}

#[tokio::test]
async fn large_values_come_back_byte_for_byte_and_are_stored_once() {
    let (mut server, folder) = served().await;
    let large = "0123456789 äß\u{1f600}\\n".repeat(60_000);
    let input = json!({ "large": large }).to_string();
    assert!(input.len() > 1_000_000);
    let ended = run(&server, "hello", &input).await;
    let id = ended["id"].as_str().unwrap();
    let asked = async |server: &Server| {
        let shown = ask(server, "GET", &format!("/executions/{id}"), "").await.body;
        let history = ask(server, "GET", &format!("/executions/{id}/history"), "").await.body;
        (shown, history)
    };
    let before = asked(&server).await;
    let shown: Value = serde_json::from_slice(&before.0).unwrap();
    assert_eq!((&shown["input"]["large"], &shown["output"]["large"]), (&json!(large), &json!(large)));
    // Tasks before and after: input, output, result. The file has the value once.
    assert_eq!(server.terminate(), Some(0));
    let size = std::fs::metadata(folder.path().join("tidemill.db")).unwrap().len();
    assert!(size < 2 * input.len() as u64, "{size} bytes for a value of {}", input.len());
    server.restart().await;
    assert!(asked(&server).await == before);
}
