//! Time that is moved: retention by namespace, keys of events, gaps of streams. And quotas, egress and the removal of
//! namespaces.

use serde_json::{Value, json};

use crate::service::{Moved, Service, send};

const DAY: i64 = 24 * 3600 * 1000;

const SET: &str = r"
document: {dsl: '1.0.3', namespace: NS, name: quick, version: '1.0.0'}
do: [{last: {set: {done: true}}}]
---
document: {dsl: '1.0.3', namespace: NS, name: sleeps, version: '1.0.0'}
do: [{nap: {wait: {hours: 1000}}}]
---
kind: Trigger
metadata: {name: direct, namespace: NS}
spec: {filters: [{exact: {type: direct}}], target: {workflow: sleeps}}
---
kind: Trigger
metadata: {name: shaved, namespace: NS}
spec: {filters: [{exact: {type: shaved}}], target: {workflow: sleeps}, buffer: {concurrency: 100}}
";

fn base(namespace: &str) -> String {
    format!("/v1/namespaces/{namespace}")
}

async fn declare(service: &Service, namespace: &str, spec: &str) {
    let text = format!("{{kind: Namespace, metadata: {{name: {namespace}}}, spec: {spec}}}");
    let answer = service.put(&base(namespace), text).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    service.post(&format!("{}/apply", base(namespace)), SET.replace("NS", namespace)).await.is(200);
}

async fn event(service: &Service, namespace: &str, kind: &str, id: &str) -> crate::service::Answer {
    let body = json!({"specversion": "1.0", "id": id, "source": "/t", "type": kind});
    let request = service.request(reqwest::Method::POST, &format!("{}/events", base(namespace)));
    send(request.header("content-type", "application/cloudevents+json").body(body.to_string())).await
}

async fn run(service: &Service, namespace: &str, workflow: &str) -> crate::service::Answer {
    service.post(&format!("{}/workflows/{workflow}/executions", base(namespace)), "{}").await
}

async fn count(service: &Service, namespace: &str) -> usize {
    let page = service.get(&format!("{}/executions?pageSize=1000", base(namespace))).await.is(200).json();
    page["items"].as_array().unwrap().len()
}

async fn until_count(service: &Service, namespace: &str, expected: usize) {
    let path = format!("{}/executions?pageSize=1000", base(namespace));
    service.until(&path, |page| page["items"].as_array().unwrap().len() == expected).await;
}

#[tokio::test]
async fn keys_of_events_live_for_a_day_at_least() {
    let (service, clock) =
        Moved::service(|config| config.retain_events = tidemill::config::MIN_RETAIN_EVENTS).await;
    declare(&service, "default", "{}").await;
    let duplicates = async |expected: i64| {
        let answer = event(&service, "default", "none", "e1").await.is(202).json();
        assert_eq!(answer["duplicates"], expected, "{answer}");
    };
    duplicates(0).await;
    duplicates(1).await;
    clock.pass(DAY - 60_000);
    duplicates(1).await;
    clock.pass(120_000);
    service.until_gone(&format!("{}/events/%2Ft/e1", base("default"))).await;
    duplicates(0).await;
    clock.pass(DAY / 2);
    duplicates(1).await;
    service.stop().await;
}

#[tokio::test]
async fn namespaces_keep_as_long_as_they_say_and_streams_tell_their_gap() {
    let (service, clock) = Moved::service(|_| ()).await;
    for (namespace, spec) in [("brief", "{retention: {executions: 24h, events: 48h}}"), ("usual", "{}")] {
        declare(&service, namespace, spec).await;
        run(&service, namespace, "quick").await.is(202);
        event(&service, namespace, "none", "e1").await.is(202);
        service
            .until(&format!("{}/executions?status=completed", base(namespace)), |page| {
                page["items"].as_array().unwrap().len() == 1
            })
            .await;
    }
    let resume = async |namespace: &str, topics: &str| {
        let path = format!("{}/stream?topics={topics}", base(namespace));
        let request = service.request(reqwest::Method::GET, &path).header("last-event-id", "1");
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        if status == 410 {
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["code"], "stream-gap", "{problem}");
        }
        status
    };
    assert_eq!((resume("brief", "executions").await, resume("brief", "events").await), (200, 200));
    clock.pass(DAY + 60_000);
    until_count(&service, "brief", 0).await;
    assert_eq!((resume("brief", "executions").await, resume("brief", "events").await), (410, 200));
    service.get(&format!("{}/events/%2Ft/e1", base("brief"))).await.is(200);
    clock.pass(DAY);
    service.until_gone(&format!("{}/events/%2Ft/e1", base("brief"))).await;
    assert_eq!(resume("brief", "events").await, 410);
    assert_eq!(count(&service, "usual").await, 1);
    assert_eq!((resume("usual", "executions").await, resume("usual", "events").await), (200, 200));
    clock.pass(6 * DAY);
    until_count(&service, "usual", 0).await;
    assert_eq!(resume("usual", "executions,events").await, 410);
    service.stop().await;
}

#[tokio::test]
async fn quotas_refuse_by_name() {
    let (service, clock) = Moved::service(|_| ()).await;
    declare(&service, "paced", "{quotas: {executionsPerSecond: 2}}").await;
    let refused = |answer: crate::service::Answer, status: u16, code: &str| {
        let after: u64 = answer.header("retry-after").parse().unwrap();
        assert!(after >= 1);
        answer.problem(status, code);
    };
    for _ in 0..2 {
        run(&service, "paced", "sleeps").await.is(202);
    }
    refused(run(&service, "paced", "sleeps").await, 429, "quota-executions-per-second");
    refused(event(&service, "paced", "direct", "e1").await, 429, "quota-executions-per-second");
    // What fires nothing costs nothing, and what was refused left nothing behind.
    event(&service, "paced", "none", "e2").await.is(202);
    clock.pass(1000);
    assert_eq!(event(&service, "paced", "direct", "e1").await.is(202).json()["duplicates"], 0);
    clock.pass(10_000);

    declare(&service, "few", "{quotas: {running: 3}}").await;
    let first = run(&service, "few", "sleeps").await.is(202).json()["id"].as_str().unwrap().to_owned();
    event(&service, "few", "direct", "e1").await.is(202);
    run(&service, "few", "sleeps").await.is(202);
    refused(run(&service, "few", "sleeps").await, 429, "quota-running");
    refused(event(&service, "few", "direct", "e2").await, 429, "quota-running");
    // A buffer waits until there is a place.
    event(&service, "few", "shaved", "e3").await.is(202);
    service.until(&format!("{}/buffers/shaved", base("few")), |b| b["depth"] == 1).await;
    service.post(&format!("{}/executions/{first}/cancel", base("few")), "").await.is(200);
    service.until(&format!("{}/buffers/shaved", base("few")), |b| b["inFlight"] == 1).await;
    refused(run(&service, "few", "sleeps").await, 429, "quota-running");

    declare(&service, "small", "{quotas: {storedBytes: 1KiB}}").await;
    event(&service, "small", "none", "e1").await.is(202);
    event(&service, "small", "none", "e2").await.is(202);
    let path = format!("{}/events?type=none", base("small"));
    let began = std::time::Instant::now();
    loop {
        let answer = event(&service, "small", "none", &format!("x{}", began.elapsed().as_millis())).await;
        if answer.status != 202 {
            refused(answer, 507, "quota-stored-bytes");
            break;
        }
        assert!(began.elapsed().as_secs() < 10, "the bytes are never counted");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    refused(run(&service, "small", "quick").await, 507, "quota-stored-bytes");
    service.get(&path).await.is(200);
    service.stop().await;
}

#[tokio::test]
async fn a_namespace_states_what_it_may_call() {
    let (service, _) = Moved::service(|_| ()).await;
    let probe = format!(
        "document: {{dsl: '1.0.3', namespace: NS, name: probe, version: '1.0.0'}}\ndo: [{{ask: {{call: http, with: {{method: get, endpoint: '{}/livez'}}}}}}]\n",
        service.url
    );
    for (namespace, spec) in [("open", "{egress: {allow: ['127.0.0.1/32']}}"), ("shut", "{}")] {
        declare(&service, namespace, spec).await;
        service.post(&format!("{}/apply", base(namespace)), probe.replace("NS", namespace)).await.is(200);
    }
    let outcome = async |namespace: &str| {
        let path = format!("{}/workflows/probe/executions", base(namespace));
        let request = service.request(reqwest::Method::POST, &path).header("prefer", "wait=20");
        send(request.body("{}")).await.is(200).json()
    };
    assert_eq!(outcome("open").await["status"], "completed");
    let refused = outcome("shut").await;
    assert!(refused["error"]["detail"].as_str().is_some_and(|d| d.contains("egress.allow")), "{refused}");
    // A change counts from the next call on.
    declare(&service, "open", "{}").await;
    assert_eq!(outcome("open").await["status"], "faulted");
    service.stop().await;
}

#[tokio::test]
async fn a_removed_namespace_leaves_nothing_behind() {
    let (service, _) = Moved::service(|_| ()).await;
    for namespace in ["gone", "kept"] {
        declare(&service, namespace, "{}").await;
        for n in 0..300 {
            event(&service, namespace, if n % 3 == 0 { "shaved" } else { "direct" }, &format!("e{n}"))
                .await
                .is(202);
        }
        service.put(&format!("{}/secrets/token", base(namespace)), "\"t0p\"").await.is(204);
        service.until(&format!("{}/buffers/shaved", base(namespace)), |b| b["depth"] == 0).await;
    }
    service.delete(&base("gone")).await.is(204);
    service.get(&format!("{}/executions", base("gone"))).await.problem(404, "not-found");
    assert_eq!(count(&service, "kept").await, 300);
    // Made anew it is empty, and works.
    declare(&service, "gone", "{}").await;
    assert_eq!(count(&service, "gone").await, 0);
    assert_eq!(service.get(&format!("{}/secrets", base("gone"))).await.json()["items"], json!([]));
    assert_eq!(event(&service, "gone", "shaved", "e0").await.is(202).json()["duplicates"], 0);
    service.until(&format!("{}/buffers/shaved", base("gone")), |b| b["inFlight"] == 1).await;
    assert!(service.hall.rooms.store.works().unwrap().is_empty());
    service.stop().await;
}
