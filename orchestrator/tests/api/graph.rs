//! Graphs of workflows: as data, as pictures, with an execution painted on.

use crate::service::Service;

const BASE: &str = "/v1/namespaces/default";
const GRAPH: &str = "/v1/namespaces/default/workflows/fixed/graph";

#[tokio::test]
async fn graphs_in_every_form() {
    let service = Service::new().await;
    let check = async |form: &str, media: &str, expected: &str| {
        let answer = service.get(&format!("{GRAPH}?format={form}")).await.is(200);
        assert_eq!(answer.header("content-type"), media, "{form}");
        assert!(answer.text.contains(expected), "{form}: {}", answer.text);
    };
    check("mermaid", "text/plain; charset=utf-8", "flowchart TD").await;
    check("dot", "text/vnd.graphviz; charset=utf-8", "digraph \"fixed 1.0.0\"").await;
    check("svg", "image/svg+xml", "<svg xmlns").await;
    check("ascii", "text/plain; charset=utf-8", "|- check (raise)").await;
    check("json", "application/json", "\"edges\"").await;
    service.get(&format!("{GRAPH}?format=png")).await.problem(400, "bad-parameter");
    service.stop().await;
}

#[tokio::test]
async fn an_execution_is_painted_on_its_own_revision() {
    let service = Service::new().await;
    let id = service.run("fixed", r#"{"bad":true}"#).await["id"].as_str().unwrap().to_owned();
    let shown = service.get(&format!("{GRAPH}?execution={id}")).await.is(200).json();
    assert_eq!((&shown["tasks"][0]["state"], &shown["tasks"][0]["runs"]), (&"faulted".into(), &1.into()));
    assert!(shown["tasks"][1].get("state").is_none(), "{shown}");
    let drawn = service.get(&format!("{GRAPH}?execution={id}&format=ascii")).await.is(200).text;
    assert!(drawn.contains("[!] check (raise)") && drawn.contains("[ ] done (set)"), "{drawn}");
    service.post(&format!("{BASE}/executions/{id}/retry"), r#"{"input":{"bad":false}}"#).await.is(200);
    service.get(&format!("{BASE}/executions/{id}?wait=20s")).await.is(200);
    let drawn = service.get(&format!("{GRAPH}?execution={id}&format=ascii")).await.is(200).text;
    assert!(drawn.contains("[x] done (set)"), "{drawn}");
    let other = format!("{BASE}/workflows/hello/graph?execution={id}");
    service.get(&other).await.problem(404, "not-found");
    service.get(&format!("{GRAPH}?execution=x")).await.problem(404, "not-found");
    service.stop().await;
}
