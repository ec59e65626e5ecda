//! CloudEvents on their way: posted over HTTP in every mode, to a topic by a sink, read by a Source, posted on unsigned
//! (binary) and signed (structured): what arrives is what was sent.

use std::time::Duration;

use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;

use crate::kafka;
use crate::sinks::{SECRET, events};
use crate::support::{BASE, LOOPBACK, apply, folder, until};

const KIND: &str = "round.trip";

/// Posts events to `/events`; they must be taken.
async fn post(server: &Server, headers: &[(&str, &str)], body: &[u8]) {
    let answer = server.client().call("POST", &format!("{BASE}/events"), headers, body).await.unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
}

/// Every mode and every kind of payload.
async fn send_all(server: &Server) -> usize {
    let binary = async |id: &str, kind: Option<&str>, body: &[u8]| {
        let own = [
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "/shop/%E2%82%AC"),
            ("ce-type", KIND),
            ("ce-subject", "a%20b%25%22"),
            ("ce-time", "2026-11-24T06:37:45.5+01:00"),
            ("ce-region", "eu"),
        ];
        let kind = kind.map(|kind| ("content-type", kind));
        let headers: Vec<_> = own.into_iter().chain(kind).collect();
        post(server, &headers, body).await;
    };
    binary("json", Some("application/json"), br#"{"n":1.50,"text":"\u20ac"}"#).await;
    binary("text", Some("text/plain"), "gr\u{fc}n".as_bytes()).await;
    binary("bytes", Some("image/png"), b"\x00\xff\x89PNG").await;
    binary("vendor", Some("application/vnd.shop+json"), b"[true,null]").await;
    binary("nothing", None, b"").await;
    let whole = |id: &str, rest: Value| {
        let mut event = json!({"specversion": "1.0", "id": id, "source": "/shop", "type": KIND});
        let more = rest.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(more);
        event
    };
    let structured = whole(
        "structured",
        json!({"datacontenttype": "application/json", "dataschema": "urn:shop:1", "partitionkey": "k-1", "data": {"a": [1]}}),
    );
    let kind = [("content-type", "Application/CloudEvents+JSON; charset=utf-8")];
    post(server, &kind, structured.to_string().as_bytes()).await;
    let batch = json!([
        whole("one", json!({"datacontenttype": "text/csv", "data": "a,b"})),
        whole("two", json!({"datacontenttype": "application/octet-stream", "data_base64": "AP8="})),
    ]);
    post(server, &[("content-type", "application/cloudevents-batch+json")], batch.to_string().as_bytes())
        .await;
    8
}

/// The events of a server by id, with what the way adds left out.
async fn known(server: &Server) -> Vec<Value> {
    let mut found = events(server, KIND).await;
    found.sort_by_key(|event| event["id"].to_string());
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_events_arrive_as_they_were_sent_in_every_mode() {
    let Some(broker) = kafka::broker("events arrive as they were sent") else {
        return;
    };
    let topic = kafka::topic(&broker, "trip").await;
    let folders = [folder(), folder(), folder()];
    let first = Server::start(folders[0].path(), &[]).await;
    let bus = format!("brokers: ['{broker}']");
    let out = format!(
        "kind: Trigger\nmetadata: {{name: out}}\nspec: {{target: {{sink: {{kafka: {{{bus}, topic: '{topic}'}}}}}}}}\n"
    );
    apply(&first, &out).await;
    let second = Server::start(folders[1].path(), &[LOOPBACK]).await;
    let third = Server::start(folders[2].path(), &[]).await;
    let secret = format!("kind: Secret\nmetadata: {{name: sign}}\nspec: {{value: {SECRET}}}\n");
    let receive = "
---
kind: Source
metadata: {name: plain}
spec: {http: {path: plain, auth: {none: {}}}}
---
kind: Source
metadata: {name: signed}
spec: {http: {path: signed, auth: {hmac: {scheme: standardWebhooks, secrets: [sign]}}}}
";
    apply(&third, &format!("{secret}{receive}")).await;
    let pass_on = |name: &str, sign: &str| {
        let url = format!("http://{}/hooks/default/{name}", third.address);
        format!(
            "---\nkind: Trigger\nmetadata: {{name: {name}}}\nspec: {{source: records, target: {{sink: {{http: {{url: '{url}'{sign}}}}}}}}}\n"
        )
    };
    let source = format!(
        "---\nkind: Source\nmetadata: {{name: records}}\nspec: {{kafka: {{{bus}, topics: ['{topic}'], start: earliest, format: cloudevents}}}}\n"
    );
    let triggers = pass_on("plain", "") + &pass_on("signed", ", sign: {secret: sign}");
    apply(&second, &format!("{secret}{source}{triggers}")).await;
    let count = send_all(&first).await;
    let sent = known(&first).await;
    assert_eq!(sent.len(), count);
    until("all have come both ways", Duration::from_mins(1), async || known(&third).await.len() == 2 * count)
        .await;
    let both: Vec<Value> = sent.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
    assert_eq!(known(&third).await, both);
    assert_eq!(known(&second).await, sent);
}
