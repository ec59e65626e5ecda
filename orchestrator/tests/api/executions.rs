//! Executions: starts, lists, waits, verbs, history.

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Answer, Service, send};

const BASE: &str = "/v1/namespaces/default";
const START: &str = "/v1/namespaces/default/workflows/hello/executions";

#[tokio::test]
async fn a_start_answers_with_location_and_execution() {
    let service = Service::new().await;
    let answer = service.post(START, r#"{"name":"x"}"#).await.is(202);
    let body = answer.json();
    let id = body["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("{BASE}/executions/{id}"));
    assert_eq!(body["workflow"], json!({"namespace": "default", "name": "hello", "version": "1.0.0"}));
    assert_eq!(body["input"], json!({"name": "x"}));
    let ended = service.get(&format!("{BASE}/executions/{id}?wait=20s")).await.is(200).json();
    assert_eq!((&ended["status"], &ended["output"]), (&json!("completed"), &json!({"text": "x"})));
    assert!(
        ended["startedAt"].is_string() && ended["endedAt"].is_string() && ended["error"].is_null(),
        "{ended}"
    );
    service.stop().await;
}

#[tokio::test]
async fn prefer_wait_gives_the_end() {
    let service = Service::new().await;
    let ended = service.run("hello", "{}").await;
    assert_eq!(ended["status"], "completed");
    let faulted = service.run("broken", "null").await;
    assert_eq!((&faulted["status"], &faulted["error"]["status"]), (&json!("faulted"), &json!(400)));
    assert_eq!(faulted["error"]["type"], "https://example.com/broken");
    assert_eq!(faulted["input"], Value::Null);
    let path = format!("{BASE}/workflows/waits/executions");
    let request = service.request(Method::POST, &path).header("prefer", "respond-async, wait=1").body("{}");
    let waiting = send(request).await.is(202).json();
    assert_eq!(waiting["status"], "waiting");
    assert_eq!(waiting["waitingFor"][0]["what"], "timer");
    service.stop().await;
}

#[tokio::test]
async fn inputs() {
    let service = Service::new().await;
    let check = async |body: &str, expected: Result<Value, &str>| {
        let answer = service.post(START, body).await;
        match expected {
            Ok(input) => assert_eq!(answer.is(202).json()["input"], input, "{body}"),
            Err(code) => drop(answer.problem(400, code)),
        }
    };
    check("", Ok(json!({}))).await;
    check("null", Ok(Value::Null)).await;
    check("[1]", Ok(json!([1]))).await;
    check("\"x\"", Ok(json!("x"))).await;
    check("  \n", Err("bad-body")).await;
    check("{", Err("bad-body")).await;
    check("{} {}", Err("bad-body")).await;
    let big = service.post(START, r#"{"n":12345678901234567890123}"#).await.is(202);
    assert!(big.text.contains("12345678901234567890123"), "{}", big.text);
    for path in ["/workflows/nothing/executions", "/workflows/hello/executions?version=9.9.9"] {
        service.post(&format!("{BASE}{path}"), "{}").await.problem(404, "not-found");
    }
    service.post(&format!("{START}?versoin=1"), "{}").await.problem(400, "bad-parameter");
    service.stop().await;
}

#[tokio::test]
async fn idempotency_keys() {
    let service = Service::new().await;
    let start = async |key: &str, body: &str| -> Answer {
        send(service.request(Method::POST, START).header("idempotency-key", key).body(body.to_owned())).await
    };
    let first = start("k1", r#"{"name": "x"}"#).await.is(202);
    let id = first.json()["id"].clone();
    service.get(&format!("{BASE}/executions/{}?wait=20", id.as_str().unwrap())).await.is(200);
    let second = start("k1", r#"{"name":"x"}"#).await.is(202);
    assert_eq!((&second.json()["id"], second.header("location")), (&id, first.header("location")));
    start("k1", r#"{"name":"y"}"#).await.problem(409, "idempotency-key-reused");
    assert_ne!(start("k2", r#"{"name":"x"}"#).await.is(202).json()["id"], id);
    start(&"k".repeat(300), "{}").await.problem(400, "bad-idempotency-key");
    let waited =
        service.request(Method::POST, START).header("idempotency-key", "k1").header("prefer", "wait=5");
    assert_eq!(send(waited.body(r#"{"name":"x"}"#)).await.is(200).json()["id"], id);
    service.stop().await;
}

#[tokio::test]
async fn lists_page_by_keyset_and_refuse_what_they_do_not_know() {
    let service = Service::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let path = format!("{START}?tag=order:{n}&tag=all:yes");
        ids.push(service.post(&path, "{}").await.is(202).json()["id"].as_str().unwrap().to_owned());
    }
    service.run("broken", "{}").await;
    let list = async |query: &str| service.get(&format!("{BASE}/executions?{query}")).await.is(200).json();
    let page = |body: &Value| -> Vec<String> {
        body["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    };
    let tagged = list("tag=all:yes").await;
    let mut newest_first = page(&tagged);
    assert!(tagged["nextPageToken"].is_null() && tagged.get("total").is_none());
    let mut sorted = newest_first.clone();
    sorted.sort();
    newest_first.reverse();
    assert_eq!(newest_first.len(), 5);
    assert_eq!(list("tag=all:yes&count=true").await["total"], 5);
    assert_eq!(tagged["items"][0]["attempt"], 1);
    assert_eq!(page(&list("tag=order:3").await), [ids[3].clone()]);
    assert_eq!(page(&list("tag=order:3&tag=all:no").await), Vec::<String>::new());
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let body = list(&format!("tag=all:yes&pageSize=2&orderBy=startedAt{token}")).await;
        seen.extend(page(&body));
        let Some(next) = body["nextPageToken"].as_str() else {
            break;
        };
        token = format!("&pageToken={next}");
    }
    assert_eq!(seen, newest_first);
    assert_eq!(page(&list("status=faulted").await).len(), 1);
    assert_eq!(page(&list("workflow=broken").await).len(), 1);
    assert_eq!(page(&list("since=2100-01-01T00:00:00Z").await).len(), 0);
    assert_eq!(page(&list("until=2100-01-01T00:00:00Z").await).len(), 6);
    let entry = &list("workflow=broken").await["items"][0];
    for member in ["id", "workflow", "status", "startedAt", "endedAt", "trigger", "parent", "tags"] {
        assert!(entry.get(member).is_some(), "{member}: {entry}");
    }
    for bad in [
        "pageSize=0",
        "pageSize=1001",
        "pageSize=x",
        "pageToken=zz",
        "pageToken=",
        "status=odd",
        "orderBy=id",
        "since=now",
        "until=1",
        "unknown=1",
        "workflow=a&workflow=b",
        "tag=x",
    ] {
        service.get(&format!("{BASE}/executions?{bad}")).await.problem(400, "bad-parameter");
    }
    let token = list("pageSize=1").await["nextPageToken"].as_str().unwrap().to_owned();
    service
        .get(&format!("{BASE}/executions?status=faulted&pageToken={token}"))
        .await
        .problem(400, "bad-parameter");
    service.stop().await;
}

#[tokio::test]
async fn ids_are_parsed_at_the_edge() {
    let service = Service::new().await;
    for id in ["x", "00000000000000000000000000", &"0".repeat(300), "%00", "a%2fb"] {
        for path in [format!("{BASE}/executions/{id}"), format!("{BASE}/executions/{id}/history")] {
            service.get(&path).await.problem(404, "not-found");
        }
        service.post(&format!("{BASE}/executions/{id}/cancel"), "").await.problem(404, "not-found");
    }
    service.stop().await;
}

#[tokio::test]
async fn verbs_answer_after_their_commit() {
    let service = Service::new().await;
    let id =
        service.post(&format!("{BASE}/workflows/waits/executions"), "{}").await.is(202).json()["id"].clone();
    let at = |verb: &str| format!("{BASE}/executions/{}/{verb}", id.as_str().unwrap());
    let shown = async || {
        service.get(&format!("{BASE}/executions/{}", id.as_str().unwrap())).await.json()["status"].clone()
    };
    service.post(&at("suspend"), r#"{"reason":"look"}"#).await.is(200);
    assert_eq!(shown().await, "suspended");
    service.post(&at("resume"), "").await.is(200);
    assert_eq!(shown().await, "waiting");
    service.post(&at("cancel"), r#"{"reasn":"x"}"#).await.problem(400, "bad-body");
    assert_eq!(service.post(&at("cancel"), "{}").await.is(200).json()["status"], "cancelled");
    for verb in ["cancel", "resume"] {
        service.post(&at(verb), "").await.problem(409, "state");
    }
    let done = service.run("hello", "{}").await["id"].as_str().unwrap().to_owned();
    for verb in ["cancel", "suspend", "resume", "retry"] {
        service.post(&format!("{BASE}/executions/{done}/{verb}"), "").await.problem(409, "state");
    }
    let faulted = service.run("broken", "{}").await["id"].as_str().unwrap().to_owned();
    for verb in ["cancel", "suspend"] {
        service.post(&format!("{BASE}/executions/{faulted}/{verb}"), "").await.problem(409, "state");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_retry_goes_on_with_new_input() {
    let service = Service::new().await;
    let faulted = service.run("fixed", r#"{"bad":true}"#).await;
    let id = faulted["id"].as_str().unwrap();
    assert_eq!(faulted["status"], "faulted");
    service
        .post(&format!("{BASE}/executions/{id}/retry"), r#"{"input":{"bad":false},"reason":"mended"}"#)
        .await
        .is(200);
    let ended = service.get(&format!("{BASE}/executions/{id}?wait=20s")).await.is(200).json();
    assert_eq!((&ended["status"], &ended["output"]), (&json!("completed"), &json!({"fine": true})));
    let history = service.get(&format!("{BASE}/executions/{id}/history")).await.is(200).json();
    let retried =
        history["items"].as_array().unwrap().iter().find(|e| e["type"] == "workflow.retried").unwrap();
    assert_eq!(retried["reason"], "mended");
    service.stop().await;
}

#[tokio::test]
async fn history_is_gap_free_and_pages() {
    let service = Service::new().await;
    let id = service.run("hello", r#"{"name":"x"}"#).await["id"].as_str().unwrap().to_owned();
    let whole = service.get(&format!("{BASE}/executions/{id}/history")).await.is(200).json();
    let items = whole["items"].as_array().unwrap();
    let types: Vec<_> = items.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["workflow.started", "task.created", "task.started", "task.completed", "workflow.completed"]
    );
    for (index, entry) in items.iter().enumerate() {
        assert_eq!(entry["sequence"], index as u64 + 1);
    }
    assert_eq!(
        (&items[2]["task"]["name"], &items[2]["task"]["reference"]),
        (&json!("greet"), &json!("/do/0/greet"))
    );
    assert_eq!(items[3]["output"], json!({"text": "x"}));
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let body =
            service.get(&format!("{BASE}/executions/{id}/history?pageSize=2{token}")).await.is(200).json();
        seen.extend(body["items"].as_array().unwrap().clone());
        let Some(next) = body["nextPageToken"].as_str() else {
            break;
        };
        token = format!("&pageToken={next}");
    }
    assert_eq!(&seen, items);
    service.stop().await;
}

/// Every execution that has not ended says what it waits for (promise 7).
#[tokio::test]
async fn why() {
    const MORE: &str = r"
document: {dsl: '1.0.3', namespace: default, name: many, version: '1.0.0'}
do:
  - all:
      fork:
        branches:
          - slow: {call: 'sleepy:1@default', with: {duration: 1h}, timeout: {after: {hours: 2}}}
          - nap: {wait: {hours: 1}}
          - hear: {listen: {to: {one: {with: {type: paid}}}}}
          - child: {run: {workflow: {namespace: default, name: waits, version: '1.0.0'}}}
          - again:
              try: [{no: {raise: {error: {type: 'https://example.com/no', status: 503}}}}]
              catch: {retry: {delay: {hours: 1}, limit: {attempt: {count: 5}}}}
---
kind: Function
metadata: {name: sleepy}
spec: {builtin: sleep, timeout: 2h}
";
    let service = Service::new().await;
    service.post(&format!("{BASE}/apply"), MORE).await.is(200);
    let start = format!("{BASE}/workflows/many/executions");
    let id = service.post(&start, r#"{"name":"n"}"#).await.is(202).json()["id"].as_str().unwrap().to_owned();
    let path = format!("{BASE}/executions/{id}");
    let shown =
        service.until(&path, |body| body["waitingFor"].as_array().is_some_and(|w| w.len() == 5)).await;
    let wait = |task: &str| {
        let all = shown["waitingFor"].as_array().unwrap();
        all.iter().find(|wait| wait["task"] == task).unwrap_or_else(|| panic!("{task}: {shown}")).clone()
    };
    let check = |task: &str, what: &str, member: &str, expected: &str| {
        let wait = wait(task);
        assert_eq!(wait["what"], what, "{wait}");
        let found = wait[member].as_str().unwrap_or_default();
        assert!(found.contains(expected), "{member} of {wait}");
        assert!(wait["since"].is_string() && wait["visit"].is_u64() && wait["attempt"] == 1, "{wait}");
        assert!(shown["why"].as_str().unwrap().contains(wait["detail"].as_str().unwrap()), "{shown}");
    };
    check("slow", "call", "target", "sleepy:1");
    check("slow", "call", "timeoutAt", "T");
    check("nap", "timer", "until", "T");
    check("hear", "event", "eventType", "paid");
    check("child", "child", "detail", "runs execution ");
    check("again", "retry", "until", "T");
    let held = service.post(&format!("{path}/suspend"), r#"{"reason":"look"}"#).await.is(200).json();
    assert_eq!(
        (&held["waitingFor"][0]["what"], &held["waitingFor"][0]["by"], &held["waitingFor"][0]["reason"]),
        (&json!("suspended"), &json!("operator"), &json!("look"))
    );
    let why = held["why"].as_str().unwrap();
    assert!(why.starts_with("it is suspended since ") && why.contains(" by an operator: look"), "{held}");
    let ended = service.post(&format!("{path}/cancel"), "").await.is(200).json();
    assert!(ended.get("why").is_none() && ended.get("waitingFor").is_none(), "{ended}");
    service.stop().await;
}

#[tokio::test]
async fn why_in_a_buffer() {
    let service = Service::new().await;
    for id in ["1", "2", "3"] {
        service.event(id, "shaved", &Value::Null).await.is(202);
    }
    let list = format!("{BASE}/executions?trigger=shaved&status=pending&orderBy=startedAt");
    let pending = service.until(&list, |body| body["items"].as_array().unwrap().len() == 2).await;
    for (index, item) in pending["items"].as_array().unwrap().iter().enumerate() {
        let path = format!("{BASE}/executions/{}", item["id"].as_str().unwrap());
        let wait = &service.get(&path).await.is(200).json()["waitingFor"][0];
        let found = (&wait["what"], &wait["trigger"], &wait["position"]);
        assert_eq!(found, (&json!("buffer"), &json!("shaved"), &json!(index + 1)), "{wait}");
        assert!(wait["forecast"].as_str().unwrap().starts_with("PT0"), "{wait}");
    }
    service.post(&format!("{BASE}/triggers/shaved/pause"), "").await.is(200);
    let path = format!("{BASE}/executions/{}", pending["items"][0]["id"].as_str().unwrap());
    assert!(
        service.get(&path).await.is(200).json()["why"].as_str().unwrap().ends_with("the trigger is paused")
    );
    service.stop().await;
}
