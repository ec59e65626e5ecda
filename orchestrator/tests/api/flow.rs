//! Overlap, repairs of dead letters, limits of sources, capacities of buffers.

use serde_json::{Value, json};

use crate::service::{Service, send};

const BASE: &str = "/v1/namespaces/default";

const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: sleeps, version: '1.0.0'}
do: [{nap: {wait: {hours: 1}}}]
---
document: {dsl: '1.0.3', namespace: default, name: broken, version: '1.0.0'}
do: [{one: {raise: {error: {type: https://example.com/broken, status: 400, title: Broken}}}}]
---
document: {dsl: '1.0.3', namespace: default, name: repair, version: '1.0.0'}
do: [{told: {set: {of: '${ .trigger }', why: '${ .cause }', event: '${ .event.id }', tried: '${ .attempts }'}}}]
---
kind: Function
metadata: {name: noop}
spec: {builtin: echo}
";

/// A trigger named like its type.
fn trigger(name: &str, rest: &str) -> String {
    format!(
        "---\nkind: Trigger\nmetadata: {{name: {name}}}\nspec:\n  filters: [{{exact: {{type: {name}}}}}]\n{rest}\n"
    )
}

async fn with(triggers: &[String]) -> Service {
    let service = Service::empty().await;
    service.post(&format!("{BASE}/apply"), format!("{SET}{}", triggers.concat())).await.is(200);
    service
}

async fn event(service: &Service, kind: &str, id: &str, subject: &str) -> Value {
    let body = json!({"specversion": "1.0", "id": id, "source": "/t", "type": kind, "subject": subject});
    let request = service.request(reqwest::Method::POST, &format!("{BASE}/events"));
    let request = request.header("content-type", "application/cloudevents+json").body(body.to_string());
    send(request).await.is(202).json()
}

async fn executions(service: &Service, query: &str) -> Vec<Value> {
    let page = service.get(&format!("{BASE}/executions?pageSize=1000{query}")).await.is(200).json();
    page["items"].as_array().unwrap().clone()
}

async fn until_count(service: &Service, query: &str, count: usize) {
    let path = format!("{BASE}/executions?pageSize=1000{query}");
    service.until(&path, |page| page["items"].as_array().unwrap().len() == count).await;
}

async fn outcome(service: &Service, id: &str) -> (Value, Value) {
    let trace = service.get(&format!("{BASE}/events/%2Ft/{id}/trace")).await.is(200).json();
    let judged = trace["triggers"].as_array().unwrap().iter().find(|t| t["matched"] == true).unwrap();
    (judged["outcome"].clone(), trace["executions"][0]["reason"].clone())
}

#[tokio::test]
async fn skip_leaves_out_what_comes_while_one_runs() {
    let set = [
        trigger("plain", "  target: {workflow: sleeps}\n  overlap: skip"),
        trigger(
            "keyed",
            "  target: {workflow: sleeps}\n  overlap: skip\n  buffer: {orderBy: '${ .subject }'}",
        ),
    ];
    let service = with(&set).await;
    for kind in ["plain", "keyed"] {
        for (n, subject) in ["a", "b", "a", "b"].into_iter().enumerate() {
            let fires = if kind == "plain" { n == 0 } else { n < 2 };
            let id = format!("{kind}{n}");
            let answer = event(&service, kind, &id, subject).await;
            assert_eq!(
                (&answer["accepted"], answer["events"][0]["triggers"] != json!([])),
                (&json!(1), fires),
                "{id}"
            );
            let expected = if fires { Value::Null } else { json!("skipped") };
            assert_eq!(outcome(&service, &id).await.0, expected, "{id}");
        }
        let started = if kind == "plain" { 1 } else { 2 };
        until_count(&service, &format!("&trigger={kind}&status=waiting"), started).await;
        assert_eq!(executions(&service, &format!("&trigger={kind}")).await.len(), started);
        let shown = service.get(&format!("{BASE}/buffers/{kind}")).await.json();
        assert_eq!((&shown["depth"], &shown["inFlight"]), (&json!(0), &json!(started)), "{shown}");
    }
    let running = executions(&service, "&trigger=plain").await[0]["id"].as_str().unwrap().to_owned();
    service.post(&format!("{BASE}/executions/{running}/cancel"), "").await.is(200);
    service.until(&format!("{BASE}/buffers/plain"), |b| b["inFlight"] == 0).await;
    let again = event(&service, "plain", "later", "a").await;
    assert_eq!(again["events"][0]["triggers"], json!(["plain"]));
    service.stop().await;
}

#[tokio::test]
async fn replace_cancels_what_runs_for_what_comes() {
    let set = [
        trigger("plain", "  target: {workflow: sleeps}\n  overlap: replace"),
        trigger(
            "keyed",
            "  target: {workflow: sleeps}\n  overlap: replace\n  buffer: {orderBy: '${ .subject }'}",
        ),
    ];
    let service = with(&set).await;
    for (kind, live) in [("plain", 1), ("keyed", 2)] {
        for n in 0..6 {
            let before = executions(&service, &format!("&trigger={kind}&status=waiting")).await.len();
            event(&service, kind, &format!("{kind}{n}"), if n % 2 == 0 { "a" } else { "b" }).await;
            let expected = (before + 1).min(live);
            until_count(&service, &format!("&trigger={kind}&status=waiting"), expected).await;
            until_count(&service, &format!("&trigger={kind}&status=cancelled"), n + 1 - expected).await;
        }
        let last: Vec<Value> = executions(&service, &format!("&trigger={kind}&status=waiting")).await;
        let ids: Vec<&str> = last.iter().map(|e| e["event"]["id"].as_str().unwrap_or_default()).collect();
        assert!(ids.iter().all(|id| id.is_empty() || id.ends_with(['4', '5'])), "{last:?}");
        let reason = outcome(&service, &format!("{kind}0")).await.1;
        assert_eq!(reason, json!("replaced by a later event (overlap: replace)"));
    }
    service.stop().await;
}

#[tokio::test]
async fn dead_letters_start_their_target() {
    let set = [
        trigger("to-workflow", "  target: {workflow: broken}\n  deadLetter: {workflow: repair}"),
        trigger(
            "to-function",
            "  target: {workflow: broken}\n  retry: {attempts: 2, backoff: {constant: 10ms}}\n  deadLetter: {function: noop}",
        ),
        trigger(
            "bad-input",
            "  target: {workflow: sleeps}\n  input: '${ error(\"no\") }'\n  deadLetter: {workflow: repair}",
        ),
        trigger(
            "diverted",
            "  target: {workflow: sleeps}\n  buffer: {concurrency: 1, capacity: 1, whenFull: divert}\n  deadLetter: {workflow: repair}",
        ),
        trigger("dropped", "  target: {workflow: broken}\n  deadLetter: {none: {}}"),
    ];
    let service = with(&set).await;
    let check = async |kind: &str, repairs: usize, letters: usize, cause: &str| {
        service
            .until(&format!("{BASE}/executions?tag=deadLetter:{kind}&status=completed"), |page| {
                page["items"].as_array().unwrap().len() == repairs
            })
            .await;
        let page = service.get(&format!("{BASE}/dead-letters?trigger={kind}")).await.json();
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), letters, "{kind}: {page}");
        assert!(items.iter().all(|letter| letter["cause"] == cause), "{kind}: {page}");
        let found = executions(&service, &format!("&tag=deadLetter:{kind}")).await;
        match found.first() {
            Some(row) => {
                service.get(&format!("{BASE}/executions/{}", row["id"].as_str().unwrap())).await.json()
            }
            None => Value::Null,
        }
    };
    for kind in ["to-workflow", "to-function", "bad-input", "dropped"] {
        event(&service, kind, &format!("{kind}-1"), "a").await;
    }
    let repaired = check("to-workflow", 1, 1, "faulted").await;
    assert_eq!(
        (&repaired["output"]["of"], &repaired["output"]["event"]),
        (&json!("to-workflow"), &json!("to-workflow-1"))
    );
    assert_eq!(repaired["output"]["tried"][0]["error"]["status"], 400);
    let echoed = check("to-function", 1, 1, "faulted").await;
    assert_eq!(
        (&echoed["output"]["trigger"], &echoed["output"]["event"]["id"]),
        (&json!("to-function"), &json!("to-function-1"))
    );
    let repaired = check("bad-input", 1, 1, "input-error").await;
    assert_eq!(repaired["output"]["why"], "input-error");
    event(&service, "diverted", "d0", "a").await;
    service.until(&format!("{BASE}/buffers/diverted"), |b| b["inFlight"] == 1).await;
    for id in ["d1", "d2", "d3"] {
        event(&service, "diverted", id, "a").await;
    }
    let repaired = check("diverted", 2, 2, "buffer-full").await;
    assert_eq!(repaired["output"]["why"], "buffer-full");
    until_count(&service, "&trigger=dropped&status=faulted", 1).await;
    check("dropped", 0, 0, "").await;
    service.stop().await;
}

#[tokio::test]
async fn a_capacity_is_never_overshot() {
    let full = |name: &str, how: &str| {
        trigger(
            name,
            &format!(
                "  target: {{workflow: sleeps}}\n  buffer: {{concurrency: 1, capacity: 3, whenFull: {how}}}"
            ),
        )
    };
    let service = with(&[full("wait", "wait"), full("reject", "reject"), full("divert", "divert")]).await;
    let batch = async |kind: &str, count: usize| {
        let one = |n| json!({"specversion": "1.0", "id": format!("{kind}-{count}-{n}"), "source": "/t", "type": kind});
        let body = serde_json::to_string(&(0..count).map(one).collect::<Vec<_>>()).unwrap();
        let request = service.request(reqwest::Method::POST, &format!("{BASE}/events"));
        send(request.header("content-type", "application/cloudevents-batch+json").body(body)).await
    };
    for kind in ["wait", "reject"] {
        batch(kind, 5).await.problem(422, "buffer-capacity");
        assert!(executions(&service, &format!("&trigger={kind}")).await.is_empty());
        batch(kind, 3).await.is(202);
        service.until(&format!("{BASE}/buffers/{kind}"), |b| b["depth"] == 2 && b["inFlight"] == 1).await;
        batch(kind, 2).await.problem(429, "buffer-full");
        let shown = service.get(&format!("{BASE}/buffers/{kind}")).await.json();
        assert_eq!(shown["depth"], 2);
    }
    // What has room is taken, the rest is diverted.
    batch("divert", 5).await.is(202);
    let letters = service.get(&format!("{BASE}/dead-letters?trigger=divert")).await.json();
    assert_eq!(letters["items"].as_array().unwrap().len(), 2, "{letters}");
    assert_eq!(executions(&service, "&trigger=divert").await.len(), 3);
    service.stop().await;
}

#[tokio::test]
async fn a_route_has_limits_of_its_own() {
    let source = |name: &str, limits: &str| {
        format!(
            "---\nkind: Source\nmetadata: {{name: {name}}}\nspec:\n  limits: {limits}\n  http: {{path: {name}, auth: {{none: {{}}}}}}\n"
        )
    };
    let service =
        with(&[source("hourly", "{rate: 3/h}"), source("free", "{rate: 1000/s, maxInFlight: 100}")]).await;
    let post = async |name: &str| service.post(&format!("/hooks/default/{name}"), "{}").await;
    for _ in 0..3 {
        post("hourly").await.is(202);
    }
    let refused = post("hourly").await.problem(429, "source-limit");
    assert!(refused.text.contains("source.limits.rate"), "{}", refused.text);
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((600..=1200).contains(&after), "a third of an hour: {after}");
    for _ in 0..20 {
        post("free").await.is(202);
    }
    service.stop().await;
}
