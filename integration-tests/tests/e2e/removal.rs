//! A namespace is removed slice by slice, over SIGKILL: it is hidden with the first commit, goes to its last row, and the
//! others stay.

use std::time::Duration;

use tidemill_integration_tests::server::Server;

use crate::support::{folder, until};

const SET: &str = r"
document: {dsl: '1.0.3', namespace: NS, name: sleeps, version: '1.0.0'}
do: [{nap: {wait: {hours: 1}}}]
---
kind: Trigger
metadata: {name: taken, namespace: NS}
spec: {filters: [{exact: {type: removal.event}}], target: {workflow: sleeps}}
";
const COUNT: usize = 6000;

async fn call(server: &Server, method: &str, path: &str, kind: &str, body: &str) -> u16 {
    let headers = [("content-type", kind)];
    let path = format!("/v1/namespaces/{path}");
    server.client().call(method, &path, &headers, body.as_bytes()).await.map_or(0, |answer| answer.status)
}

async fn fill(server: &Server, namespace: &str, count: usize) {
    let set = SET.replace("NS", namespace);
    assert_eq!(call(server, "POST", &format!("{namespace}/apply"), "application/yaml", &set).await, 200);
    for first in (0..count).step_by(100) {
        let one =
            |n| format!(r#"{{"specversion":"1.0","id":"e{n}","source":"/e2e","type":"removal.event"}}"#);
        let events: Vec<String> = (first..count.min(first + 100)).map(one).collect();
        let body = format!("[{}]", events.join(","));
        let kind = "application/cloudevents-batch+json";
        assert_eq!(call(server, "POST", &format!("{namespace}/events"), kind, &body).await, 202);
    }
}

async fn counted(server: &Server, namespace: &str) -> Option<u64> {
    let path = format!("/v1/namespaces/{namespace}/executions?pageSize=1&count=true&status=waiting");
    let (status, body) = server.client().get(&path).await.unwrap();
    (status == 200).then(|| body["total"].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_namespace_goes_over_kills() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    fill(&server, "gone", COUNT).await;
    fill(&server, "kept", 50).await;
    until("all wait", Duration::from_mins(1), async || counted(&server, "kept").await == Some(50)).await;
    let removing = tokio::spawn({
        let client = server.client();
        async move {
            let mut client = client;
            let _ = client.call("DELETE", "/v1/namespaces/gone", &[], b"").await;
        }
    });
    until("it is hidden", Duration::from_secs(30), async || counted(&server, "gone").await.is_none()).await;
    for _ in 0..3 {
        server.kill();
        server.restart().await;
        assert_eq!(counted(&server, "gone").await, None, "it stays hidden over a kill");
    }
    let _ = removing.await;
    assert_eq!(counted(&server, "kept").await, Some(50));
    // Made anew once the last row is gone: it is empty.
    until("it can be made anew", Duration::from_mins(1), async || {
        matches!(call(&server, "PUT", "gone", "application/yaml", "").await, 200 | 201)
    })
    .await;
    fill(&server, "gone", 100).await;
    until("its own wait", Duration::from_secs(30), async || counted(&server, "gone").await == Some(100))
        .await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart().await;
    assert_eq!((counted(&server, "gone").await, counted(&server, "kept").await), (Some(100), Some(50)));
}
