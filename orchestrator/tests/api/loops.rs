//! The loop guard, and what a refused start leaves behind.

use serde_json::{Value, json};

use crate::service::{Service, send};

const BASE: &str = "/v1/namespaces/default";

const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: ping, version: '1.0.0'}
do: [{say: {emit: {event: {with: {type: pong.wanted, source: /t, tidemillhop: 0}}}}}]
---
document: {dsl: '1.0.3', namespace: default, name: pong, version: '1.0.0'}
do: [{say: {emit: {event: {with: {type: ping.wanted, source: /t}}}}}]
---
kind: Trigger
metadata: {name: to-ping}
spec: {filters: [{exact: {type: ping.wanted}}], target: {workflow: ping}}
---
kind: Trigger
metadata: {name: to-pong}
spec: {filters: [{exact: {type: pong.wanted}}], target: {workflow: pong}}
";

async fn list(service: &Service, query: &str) -> Vec<Value> {
    let page = service.get(&format!("{BASE}/executions?pageSize=1000{query}")).await.is(200).json();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn workflows_that_start_one_another_end_with_the_cycles_name() {
    let service = Service::empty().await;
    service.post(&format!("{BASE}/apply"), SET).await.is(200);
    service.post(&format!("{BASE}/workflows/ping/executions"), "{}").await.is(202);
    let letters =
        service.until(&format!("{BASE}/dead-letters"), |b| b["items"].as_array().unwrap().len() == 1).await;
    let letter = &letters["items"][0];
    let error = &letter["attempts"][0]["error"];
    assert!(
        error["detail"].as_str().is_some_and(|d| d.ends_with("the cycle is ping -> pong -> ping")),
        "{letter}"
    );
    assert_eq!((list(&service, "").await.len(), list(&service, "&status=faulted").await.len()), (17, 1));
    // What is shown of an event is what its author wrote.
    let events = service.get(&format!("{BASE}/events?type=pong.wanted")).await.is(200).text;
    assert!(!events.contains("tidemill"), "{events}");
    // Redriven, it still knows where it comes from.
    service.post(&format!("{BASE}/dead-letters/redrive"), "{}").await.is(202);
    service
        .until(&format!("{BASE}/executions?status=faulted"), |b| b["items"].as_array().unwrap().len() == 2)
        .await;
    assert_eq!(list(&service, "").await.len(), 18);
    service.stop().await;
}

#[tokio::test]
async fn outsiders_set_no_hops() {
    let service = Service::empty().await;
    service.post(&format!("{BASE}/apply"), SET).await.is(200);
    let structured = |id: &str, name: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/o","type":"none","{name}":99}}"#)
    };
    let event = "application/cloudevents+json";
    let check = async |id: &str, kind: &str, headers: &[(&str, &str)], body: String, status: u16| {
        let mut request = service.request(reqwest::Method::POST, &format!("{BASE}/events")).body(body);
        request = request.header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{id}: {}", answer.text);
        if status == 202 {
            let stored = service.hall.rooms.store.event("default", "/o", id).unwrap();
            assert!(stored[0].event.extensions.is_empty(), "{id}: {:?}", stored[0].event.extensions);
        }
    };
    for (n, name) in ["tidemillhop", "tidemillpath", "tidemillanything", "recovered"].into_iter().enumerate()
    {
        check(&format!("s{n}"), event, &[], structured(&format!("s{n}"), name), 202).await;
        let batch = format!("[{}]", structured(&format!("b{n}"), name));
        check(&format!("b{n}"), "application/cloudevents-batch+json", &[], batch, 202).await;
        for (form, header) in [
            ("l", format!("ce-{name}")),
            ("u", format!("CE-{}", name.to_uppercase())),
            ("m", format!("Ce-T{}", &name[1..])),
        ] {
            let id = format!("{form}{n}");
            let header = header.replace("Ce-Tecovered", "Ce-Recovered");
            let headers = [
                ("ce-specversion", "1.0"),
                ("ce-id", &id),
                ("ce-source", "/o"),
                ("ce-type", "none"),
                (&header, "99"),
            ];
            check(&id, "application/json", &headers, "{}".into(), 202).await;
        }
    }
    // No name of an attribute has an upper-case letter.
    check("x", event, &[], structured("x", "TidemillHop"), 400).await;
    service.stop().await;
}

#[tokio::test]
async fn a_refused_start_gives_its_room_back() {
    let service = Service::empty().await;
    let trigger = "---\nkind: Trigger\nmetadata: {name: shaved}\nspec:\n  filters: [{exact: {type: pong.wanted}}]\n  \
                   target: {workflow: sleeps}\n  buffer: {rate: 1/h, capacity: 2, whenFull: reject}\n---\n\
                   document: {dsl: '1.0.3', namespace: default, name: sleeps, version: '1.0.0'}\n\
                   do: [{nap: {wait: {hours: 1}}}]\n";
    let ping = SET.split("---").next().unwrap();
    service.post(&format!("{BASE}/apply"), format!("{ping}{trigger}")).await.is(200);
    // The same key from many at once: one is written, the others are refused by the store.
    let path = format!("{BASE}/workflows/ping/executions");
    for round in 0..2 {
        let starts = (0..8).map(|_| {
            let request =
                service.request(reqwest::Method::POST, &path).header("idempotency-key", format!("k{round}"));
            tokio::spawn(send(request.body("{}")))
        });
        for start in starts.collect::<Vec<_>>() {
            start.await.unwrap().is(202);
        }
    }
    let shown = service.until(&format!("{BASE}/buffers/shaved"), |b| b["depth"] == 1).await;
    assert_eq!(shown["depth"], json!(1), "one start is let out at once, one waits: {shown}");
    service.stop().await;
}
