//! The live stream: topics, ids, replay byte for byte.

use std::time::Duration;

use serde_json::{Value, json};

use crate::service::{Service, send};

const BASE: &str = "/v1/namespaces/default";

/// An open stream.
struct Stream {
    response: reqwest::Response,
    buffer: String,
}

impl Stream {
    async fn open(service: &Service, topics: &str, last: Option<u64>) -> Stream {
        let mut request = service.request(reqwest::Method::GET, &format!("{BASE}/stream?topics={topics}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { response, buffer: String::new() }
    }

    /// The next frame that is no comment: its id, its data, its text.
    async fn next(&mut self) -> (u64, Value, String) {
        loop {
            if let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.buffer = rest;
                if frame.starts_with(':') {
                    continue;
                }
                let id = frame.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().parse().unwrap();
                let data = frame.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                return (id, serde_json::from_str(data).unwrap(), frame);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk()).await.unwrap();
            self.buffer.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
    }

    /// Waits for the opening comment, so that what follows is live.
    async fn opened(mut self) -> Stream {
        while !self.buffer.contains(": open") {
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk()).await.unwrap();
            self.buffer.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
        self
    }
}

#[tokio::test]
async fn executions_are_told_live_and_replayed_byte_for_byte() {
    let service = Service::new().await;
    service.run("hello", "{}").await;
    let mut live = Stream::open(&service, "executions", None).await.opened().await;
    let first = service.run("hello", r#"{"name":"x"}"#).await["id"].clone();
    let second = service.run("broken", "{}").await["id"].clone();
    let mut frames = Vec::new();
    for _ in 0..4 {
        frames.push(live.next().await);
    }
    let told: Vec<_> =
        frames.iter().map(|(_, data, _)| (data["execution"].clone(), data["type"].clone())).collect();
    assert_eq!(
        told,
        [
            (first.clone(), json!("workflow.started")),
            (first, json!("workflow.completed")),
            (second.clone(), json!("workflow.started")),
            (second, json!("workflow.faulted")),
        ]
    );
    assert!(frames.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let mut replayed = Stream::open(&service, "executions", Some(frames[0].0)).await;
    for (id, _, text) in &frames[1..] {
        let (own, _, replay) = replayed.next().await;
        assert_eq!((own, &replay), (*id, text));
    }
    let mut all = Stream::open(&service, "executions", Some(0)).await;
    assert!(all.next().await.0 < frames[0].0);
    service.stop().await;
}

#[tokio::test]
async fn one_execution_is_told_from_its_first_entry() {
    let service = Service::new().await;
    let id = service.run("hello", r#"{"name":"x"}"#).await["id"].as_str().unwrap().to_owned();
    let mut whole = Stream::open(&service, &format!("execution:{id}"), None).await;
    let history = service.get(&format!("{BASE}/executions/{id}/history")).await.json();
    let mut ids = Vec::new();
    for entry in history["items"].as_array().unwrap() {
        let (own, data, _) = whole.next().await;
        ids.push(own);
        for (member, value) in entry.as_object().unwrap() {
            assert_eq!(&data[member], value, "{member}");
        }
        assert_eq!(data["execution"], id.as_str());
    }
    let mut rest = Stream::open(&service, &format!("execution:{id}"), Some(ids[2])).await;
    assert_eq!(rest.next().await.0, ids[3]);
    // One that goes on is told on.
    let waiting =
        service.post(&format!("{BASE}/workflows/waits/executions"), "{}").await.is(202).json()["id"].clone();
    let waiting = waiting.as_str().unwrap();
    let mut live = Stream::open(&service, &format!("execution:{waiting},executions"), None).await;
    for expected in ["workflow.started", "task.created", "task.started"] {
        assert_eq!(live.next().await.1["type"], expected);
    }
    service.post(&format!("{BASE}/executions/{waiting}/cancel"), "").await.is(200);
    for expected in ["task.cancelled", "workflow.cancelled"] {
        assert_eq!(live.next().await.1["type"], expected);
    }
    service.stop().await;
}

#[tokio::test]
async fn events_and_dead_letters_have_topics() {
    let service = Service::new().await;
    let mut live = Stream::open(&service, "events,dead-letters", None).await.opened().await;
    service.event("e1", "bad", &json!(1)).await.is(202);
    let (first, event, _) = live.next().await;
    assert_eq!((&event["type"], &event["event"]["id"]), (&json!("event.accepted"), &json!("e1")));
    let (second, letter, _) = live.next().await;
    assert_eq!((&letter["type"], &letter["trigger"]), (&json!("dead-letter.added"), &json!("bad")));
    assert!(letter["execution"].is_string() && first < second);
    service.stop().await;
}

#[tokio::test]
async fn streams_refuse_what_they_cannot_give() {
    let service = Service::new().await;
    let stream = format!("{BASE}/stream");
    service.get(&format!("{stream}?topics=odd")).await.problem(400, "bad-parameter");
    service
        .get(&format!("{stream}?topics=execution:00000000000000000000000000"))
        .await
        .problem(404, "not-found");
    let request = service.request(reqwest::Method::GET, &stream).header("last-event-id", "x");
    send(request).await.problem(400, "bad-last-event-id");
    service.stop().await;
}
