//! What the tests share: applying definitions, posting events, reading lists, waiting for a condition.

use std::fmt::Display;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tidemill_integration_tests::http::{Answer, Client};
use tidemill_integration_tests::server::Server;

/// The namespace of the tests.
pub(crate) const BASE: &str = "/v1/namespaces/default";
/// Lets calls reach loopback.
pub(crate) const LOOPBACK: (&str, &str) = ("TIDEMILL_EGRESS__ALLOW", r#"["127.0.0.1/32"]"#);

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(40);

/// A data folder of its own on the build's disk.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("e2e").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Applies definitions; they must be taken.
pub(crate) async fn apply(server: &Server, text: &str) {
    let answer = try_apply(server, text).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

/// Applies definitions.
pub(crate) async fn try_apply(server: &Server, text: &str) -> Answer {
    let headers = [("content-type", "application/yaml")];
    server.client().call("POST", &format!("{BASE}/apply"), &headers, text.as_bytes()).await.unwrap()
}

/// Offers one event.
pub(crate) async fn event(
    client: &mut Client,
    kind: &str,
    id: &str,
    subject: &str,
    pad: usize,
) -> std::io::Result<Answer> {
    let body = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/e2e","type":"{kind}","subject":"{subject}","data":{{"pad":"{}"}}}}"#,
        "x".repeat(pad)
    );
    let headers = [("content-type", "application/cloudevents+json")];
    let path = format!("{BASE}/events");
    let call = client.call("POST", &path, &headers, body.as_bytes());
    // No answer at all is a finding, not a reason to wait for ever.
    tokio::time::timeout(ANSWER, call)
        .await
        .unwrap_or_else(|_| panic!("event {id} of {kind} is not answered"))
}

/// Offers one event again until it is accepted.
pub(crate) async fn event_taken(client: &mut Client, kind: &str, id: &str, subject: &str) {
    let began = Instant::now();
    while !matches!(event(client, kind, id, subject, 0).await, Ok(answer) if answer.status == 202) {
        assert!(began.elapsed() < Duration::from_mins(1), "event {id} is not accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts an execution; `body` is its input.
pub(crate) async fn start(
    client: &mut Client,
    workflow: &str,
    key: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.call("POST", &format!("{BASE}/workflows/{workflow}/executions"), &headers, body.as_bytes()).await
}

/// A POST without a body.
pub(crate) async fn post(server: &Server, path: &str) -> Answer {
    server.client().call("POST", &format!("{BASE}{path}"), &[], b"").await.unwrap()
}

/// A GET that must succeed.
pub(crate) async fn get(server: &Server, path: &str) -> Value {
    let (status, body) = server.client().get(&format!("{BASE}{path}")).await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Every entry of a list; `query` is empty or begins with `&`.
pub(crate) async fn all(server: &Server, path: &str, query: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let page = get(server, &format!("{path}?pageSize=1000{query}{token}")).await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&pageToken={next}"),
            None => return items,
        }
    }
}

/// Executions that have not ended, of one trigger or of all.
pub(crate) async fn open(server: &Server) -> usize {
    let mut count = 0;
    for status in ["pending", "running", "waiting"] {
        let page = get(server, &format!("/executions?pageSize=1&count=true&status={status}")).await;
        count += page["total"].as_u64().unwrap() as usize;
    }
    count
}

/// Whether a refusal for want of space is told as api.md wants it.
pub(crate) fn refused_for_space(answer: &Answer) -> bool {
    matches!(answer.status, 503 | 507)
        && answer.header("retry-after").is_some_and(|v| v.parse::<u64>().is_ok_and(|n| n > 0))
        && answer.json()["code"].is_string()
}

/// An instant of the API as milliseconds.
pub(crate) fn millis(value: &Value) -> i64 {
    let at: jiff::Timestamp =
        value.as_str().unwrap_or_else(|| panic!("no instant: {value}")).parse().unwrap();
    at.as_millisecond()
}

/// Writes a secret, as JSON.
pub(crate) async fn secret(server: &Server, name: &str, value: impl Display) {
    let (path, headers) = (format!("{BASE}/secrets/{name}"), [("content-type", "application/json")]);
    let answer = server.client().call("PUT", &path, &headers, value.to_string().as_bytes()).await.unwrap();
    assert_eq!(answer.status, 204, "{name}: {}", String::from_utf8_lossy(&answer.body));
}
