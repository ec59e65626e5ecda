//! Signals: events for the listens of one execution alone; answers that come later are in the end-to-end tests.

use reqwest::Method;
use serde_json::json;

use crate::service::{Answer, Service, send};

const BASE: &str = "/v1/namespaces/default";
const LISTENS: &str = r"
document: {dsl: '1.0.3', namespace: default, name: listens, version: '1.0.0'}
do:
  - first: {listen: {to: {one: {with: {type: first}}}}}
  - second: {listen: {to: {one: {with: {type: second}}}}}
";

async fn signal(service: &Service, id: &str, (event, kind): (&str, &str)) -> Answer {
    let body =
        json!({"specversion": "1.0", "id": event, "source": "/test", "type": kind, "data": {"n": event}});
    let request = service.request(Method::POST, &format!("{BASE}/executions/{id}/events"));
    send(request.header("content-type", "application/cloudevents+json").body(body.to_string())).await
}

#[tokio::test]
async fn a_signal_reaches_one_execution_once() {
    let service = Service::new().await;
    service.post(&format!("{BASE}/apply"), LISTENS).await.is(200);
    let start = async || {
        let begun = service.post(&format!("{BASE}/workflows/listens/executions"), "{}").await.is(202).json();
        begun["id"].as_str().unwrap().to_owned()
    };
    let (one, other) = (start().await, start().await);
    // The later listen's signal may come first; a repeat is told.
    let taken = signal(&service, &one, ("b", "second")).await.is(202).json();
    assert_eq!((&taken["accepted"], &taken["duplicates"]), (&json!(1), &json!(0)), "{taken}");
    let again = signal(&service, &one, ("b", "second")).await.is(202).json();
    assert_eq!((&again["accepted"], &again["events"][0]["duplicate"]), (&json!(0), &json!(true)), "{again}");
    signal(&service, &one, ("a", "first")).await.is(202);
    let ended = service.get(&format!("{BASE}/executions/{one}?wait=20s")).await.is(200).json();
    assert_eq!((&ended["status"], &ended["output"]), (&json!("completed"), &json!([{"n": "b"}])));
    // No other execution and no trigger has seen them, and they are no events of the namespace.
    assert_eq!(service.get(&format!("{BASE}/executions/{other}")).await.json()["status"], "waiting");
    assert_eq!(service.get(&format!("{BASE}/events?type=first")).await.json()["items"], json!([]));
    signal(&service, &one, ("c", "first")).await.problem(409, "state");
    signal(&service, "00000000000000000000000000", ("c", "first")).await.problem(404, "not-found");
    let path = format!("{BASE}/executions/{other}/events");
    let batch =
        service.request(Method::POST, &path).header("content-type", "application/cloudevents-batch+json");
    send(batch.body("[]")).await.problem(400, "bad-event");
    service.post(&path, "{}").await.problem(415, "unsupported-event-format");
    service.stop().await;
}

#[tokio::test]
async fn only_what_waits_for_a_callback_takes_one() {
    let service = Service::new().await;
    let begun = service.post(&format!("{BASE}/workflows/waits/executions"), "{}").await.is(202).json();
    let path = format!("{BASE}/executions/{}/tasks", begun["id"].as_str().unwrap());
    service.post(&format!("{path}/1/complete"), "{}").await.problem(409, "state");
    service.post(&format!("{path}/1/fail"), "{}").await.problem(409, "state");
    service.post(&format!("{path}/9/complete"), "{}").await.problem(409, "state");
    service.post(&format!("{path}/x/complete"), "{}").await.problem(404, "not-found");
    service.post(&format!("{path}/1/complete"), "{").await.problem(400, "bad-body");
    service.post(&format!("{path}/1/fail"), r#"{"typ":"x"}"#).await.problem(400, "bad-body");
    service.stop().await;
}

/// A call that stays open until it is answered from outside, by the alias `prod`.
const ALIASED: &str = r"
kind: Function
metadata: {name: slow}
spec: {builtin: sleep, timeout: 1h, output: {schema: {type: integer}}}
---
document: {dsl: '1.0.3', namespace: default, name: aliased, version: '1.0.0'}
do:
  - c: {call: 'slow:prod@default', with: {duration: PT1H}}
";

#[tokio::test]
async fn a_later_answer_is_judged_by_the_version_that_was_called() {
    let service = Service::new().await;
    service.post(&format!("{BASE}/apply"), ALIASED).await.is(200);
    let alias = format!("{BASE}/functions/slow/aliases/prod");
    service.put(&alias, r#"{"weights":{"1":100}}"#).await.is(201);
    let start = async || {
        let begun = service.post(&format!("{BASE}/workflows/aliased/executions"), "{}").await.is(202).json();
        format!("{BASE}/executions/{}", begun["id"].as_str().unwrap())
    };
    let (one, two) = (start().await, start().await);
    for execution in [&one, &two] {
        service.until(execution, |body| body["waitingFor"][0]["what"] == "call").await;
    }
    // The newest version takes texts, and the alias leads there meanwhile.
    service.post(&format!("{BASE}/apply"), ALIASED.replace("integer", "string")).await.is(200);
    service.put(&alias, r#"{"weights":{"2":100}}"#).await.is(200);
    let end = async |execution: &str, answer: &str| {
        service.post(&format!("{execution}/tasks/1/complete"), answer).await.is(200);
        service.get(&format!("{execution}?wait=20s")).await.is(200).json()
    };
    let (taken, refused) = (end(&one, "7").await, end(&two, "\"seven\"").await);
    assert_eq!((&taken["status"], &taken["output"]), (&json!("completed"), &json!(7)), "{taken}");
    assert_eq!(
        (&refused["status"], &refused["error"]["status"]),
        (&json!("faulted"), &json!(400)),
        "{refused}"
    );
    service.stop().await;
}
