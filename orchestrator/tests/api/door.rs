//! What every request passes: names, sizes, hosts, probes, problems.

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::service::{Service, send};

#[tokio::test]
async fn probes_answer_at_their_exact_paths_only() {
    let service = Service::empty().await;
    service.get("/livez").await.is(200);
    let ready = service.get("/readyz").await.is(200).json();
    assert_eq!((&ready["status"], &ready["durability"]), (&"ready".into(), &"power".into()));
    for path in [
        "/livez/",
        "/LIVEZ",
        "//livez",
        "/./x/livez",
        "/livez;x",
        "/livez%2f",
        "/v1/livez",
        "/nothing/readyz",
    ] {
        service.get(path).await.problem(404, "no-such-path");
    }
    // A probe may come under any host name.
    send(service.request(Method::GET, "/livez").header("host", "example.com")).await.is(200);
    service.stop().await;
}

#[tokio::test]
async fn open_mode_serves_loopback_names_only() {
    let service = Service::new().await;
    let check = async |name: &'static str, value: &'static str, allowed: bool| {
        for path in ["/v1/namespaces", "/nothing", "/hooks/default/x"] {
            let answer = send(service.request(Method::GET, path).header(name, value)).await;
            assert_eq!(answer.status != 403, allowed, "{name}: {value} {path}");
            if !allowed {
                answer.problem(403, "not-loopback");
            }
        }
    };
    check("host", "evil.example", false).await;
    check("host", "127.0.0.1.nip.io:80", false).await;
    check("host", "localhost:1", true).await;
    check("host", "[::1]:8484", true).await;
    check("origin", "http://evil.example", false).await;
    check("origin", "null", false).await;
    check("origin", "http://localhost:3000", true).await;
    check("origin", "https://127.0.0.1", true).await;
    service.stop().await;
}

#[tokio::test]
async fn sizes_are_limited_by_name() {
    let service = Service::new().await;
    let long = "x".repeat(40 * 1024);
    let answer = send(service.request(Method::GET, "/v1/namespaces").header("x-long", &long)).await;
    answer.problem(431, "headers-too-large");
    let path = "/v1/namespaces/default/workflows/hello/executions";
    let large = format!("\"{}\"", "x".repeat(10 * 1024 * 1024));
    service.post(path, large).await.problem(413, "body-too-large");
    let document = format!("# {}", "x".repeat(1024 * 1024));
    service.put("/v1/namespaces/default/workflows/hello", document).await.problem(413, "body-too-large");
    let event = serde_json::json!("x".repeat(1024 * 1024 + 1));
    service.event("big", "direct", &event).await.problem(413, "event-too-large");
    let coded = service.request(Method::POST, path).header("content-encoding", "gzip").body("x");
    send(coded).await.problem(415, "content-encoding");
    service.stop().await;
}

#[tokio::test]
async fn namespaces_come_by_their_first_write() {
    let service = Service::empty().await;
    for path in ["/executions", "/workflows", "/events", "/triggers", "", "/stream", "/secrets", "/buffers"] {
        service.get(&format!("/v1/namespaces/default{path}")).await.problem(404, "not-found");
    }
    for name in ["Bad", "a_b", "-a", "a%2fb", "%00", &"a".repeat(64)] {
        service.get(&format!("/v1/namespaces/{name}/executions")).await.problem(404, "not-found");
    }
    service.put("/v1/namespaces/default/secrets/token", "\"t0p\"").await.is(204);
    assert_eq!(
        service.get("/v1/namespaces/default/executions").await.is(200).json()["items"],
        serde_json::json!([])
    );
    service.put("/v1/namespaces/other", "").await.is(201);
    service.put("/v1/namespaces/other", "{kind: Namespace, metadata: {name: other}, spec: {}}").await.is(200);
    service.put("/v1/namespaces/other", "{kind: Namespace, metadata: {name: else}, spec: {}}").await.is(422);
    let all = service.get("/v1/namespaces").await.is(200).json();
    let names: Vec<_> =
        all["items"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "other"]);
    assert_eq!(service.get("/v1/namespaces/other").await.is(200).json()["metadata"]["name"], "other");
    service.delete("/v1/namespaces/other").await.is(204);
    service.get("/v1/namespaces/other").await.problem(404, "not-found");
    service.delete("/v1/namespaces/other").await.problem(404, "not-found");
    service.stop().await;
}

#[tokio::test]
async fn nothing_of_one_namespace_is_seen_in_another() {
    let service = Service::new().await;
    service.put("/v1/namespaces/other", "").await.is(201);
    let id = service.run("hello", r#"{"name":"x"}"#).await["id"].as_str().unwrap().to_owned();
    service.event("e1", "direct", &serde_json::json!({"orderId": 1})).await.is(202);
    for path in [
        format!("/executions/{id}"),
        format!("/executions/{id}/history"),
        "/workflows/hello".into(),
        "/triggers/direct".into(),
        "/events/%2Ftest/e1".into(),
        "/events/%2Ftest/e1/trace".into(),
        format!("/stream?topics=execution:{id}"),
    ] {
        service.get(&format!("/v1/namespaces/other{path}")).await.problem(404, "not-found");
    }
    for verb in ["cancel", "suspend", "resume", "retry"] {
        service
            .post(&format!("/v1/namespaces/other/executions/{id}/{verb}"), "")
            .await
            .problem(404, "not-found");
    }
    for path in ["/executions", "/events", "/workflows", "/triggers"] {
        let items = service.get(&format!("/v1/namespaces/other{path}")).await.is(200).json()["items"].clone();
        assert_eq!(items, serde_json::json!([]), "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn every_answer_names_its_trace() {
    let service = Service::empty().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = send(service.request(Method::GET, "/v1/namespaces/x").header("traceparent", parent)).await;
    assert_eq!((answer.header("x-request-id"), &answer.json()["traceId"]), (trace, &trace.into()));
    assert_eq!(answer.json()["instance"], "/v1/namespaces/x");
    service.stop().await;
}

/// What the server answers to raw bytes on a connection of its own; empty if it just closes.
async fn raw(service: &Service, bytes: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn bodies_that_end_early_start_nothing() {
    let service = Service::new().await;
    let head = "POST /v1/namespaces/default/workflows/hello/executions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{\"na";
    let mut stream = tokio::net::TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    assert!(!String::from_utf8_lossy(&text).contains(" 202 "));
    let rejected = raw(&service, b"GET /livez HTTP/1.1\r\nhost: a b\r\nbad\r\n\r\n").await;
    assert!(rejected.starts_with("HTTP/1.1 400"), "{rejected}");
    assert_eq!(service.get("/v1/namespaces/default/executions").await.json()["items"], serde_json::json!([]));
    service.stop().await;
}
