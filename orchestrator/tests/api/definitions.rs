//! Workflows and manifests: write, read, refuse, remove.

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Service, send};

const BASE: &str = "/v1/namespaces/default";

fn workflow(version: &str, text: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: default, name: w, version: '{version}'}}\ndo:\n  - a: {{set: {{x: {text}}}}} # kept\n"
    )
}

#[tokio::test]
async fn workflows_are_given_back_as_sent() {
    let service = Service::empty().await;
    let path = format!("{BASE}/workflows/w");
    let text = workflow("1.0.0", "1");
    let created = service.put(&path, text.clone()).await.is(201);
    assert_eq!(created.json()["change"], "created");
    assert_eq!(service.put(&path, text.clone()).await.is(200).json()["change"], "unchanged");
    service.put(&path, workflow("1.0.0", "2")).await.problem(409, "version-exists");
    service.put(&path, workflow("1.10.0", "2")).await.is(201);
    service.put(&path, workflow("1.9.0", "3")).await.is(201);
    let yaml = send(
        service.request(Method::GET, &format!("{path}?version=1.0.0")).header("accept", "application/yaml"),
    )
    .await
    .is(200);
    assert_eq!((yaml.header("content-type"), &*yaml.text), ("application/yaml", &*text));
    assert_eq!(yaml.header("etag"), created.header("etag"));
    let newest = service.get(&path).await.is(200).json();
    assert_eq!((&newest["name"], &newest["version"]), (&json!("w"), &json!("1.10.0")));
    assert_eq!(newest["versions"], json!(["1.0.0", "1.9.0", "1.10.0"]));
    assert_eq!(newest["definition"]["do"][0]["a"]["set"]["x"], 2);
    assert_eq!(service.get(&format!("{BASE}/workflows")).await.is(200).json()["items"][0]["name"], "w");
    let graph = service.get(&format!("{path}/graph")).await.is(200).json();
    assert_eq!(graph["tasks"][0]["reference"], "/do/0/a");
    service.get(&format!("{path}?version=3.0.0")).await.problem(404, "not-found");
    service.delete(&format!("{path}?version=1.10.0&dryRun=true")).await.is(204);
    service.delete(&format!("{path}?version=1.10.0")).await.is(204);
    assert_eq!(service.get(&path).await.json()["version"], "1.9.0");
    service.delete(&path).await.is(204);
    service.get(&path).await.problem(404, "not-found");
    service.delete(&path).await.problem(404, "not-found");
    service.stop().await;
}

#[tokio::test]
async fn json_definitions_are_taken_too() {
    let service = Service::empty().await;
    let body = json!({
        "document": {"dsl": "1.0.3", "namespace": "default", "name": "w", "version": "1.0.0"},
        "do": [{"a": {"set": {"x": 1}}}],
    });
    let request = service
        .request(Method::PUT, &format!("{BASE}/workflows/w"))
        .header("content-type", "application/json");
    send(request.body(body.to_string())).await.is(201);
    service.stop().await;
}

#[tokio::test]
async fn refused_definitions_tell_every_mistake_and_leave_nothing() {
    let service = Service::empty().await;
    let path = format!("{BASE}/workflows/w");
    let check = async |text: &str, line: u64| {
        let put = service.put(&path, text).await.problem(422, "definition-refused").json();
        let errors = put["errors"].as_array().unwrap();
        assert!(errors.iter().all(|e| e["column"].as_u64() >= Some(1) && e["message"].is_string()), "{put}");
        assert_eq!(errors[0]["line"], line, "{put}");
        put
    };
    let two = check("document: {dsl: '1.0.3', namespace: default, name: w, version: '1.0.0'}\ndo:\n  - a: {sett: {x: 1}}\n  - b: {wait: 1, set: {}}\n", 3).await;
    assert!(two["errors"].as_array().unwrap().len() >= 2, "{two}");
    check(
        "document: {dsl: '1.0.3', namespace: other, name: w, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n",
        1,
    )
    .await;
    check(
        "document: {dsl: '1.0.3', namespace: default, name: v, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n",
        1,
    )
    .await;
    check("a: [1\nb: 2\n", 2).await;
    check("", 1).await;
    service.get(&path).await.problem(404, "not-found");
    // An apply of the one document refuses it the same way.
    for text in [
        "document: {dsl: '1.0.3', namespace: default, version: '1.0.0'}\ndo:\n  - a: {sett: {}}\n",
        "document: {dsl: '1.0.3', namespace: default, name: 'A b', version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n",
    ] {
        let put = service.put(&path, text).await;
        let apply = service.post(&format!("{BASE}/apply"), text).await;
        assert_eq!((put.status, &put.json()["errors"]), (apply.status, &apply.json()["errors"]));
    }
    service.stop().await;
}

#[tokio::test]
async fn an_apply_is_all_or_nothing() {
    let service = Service::empty().await;
    let good = workflow("1.0.0", "1");
    let bad =
        format!("{good}---\nkind: Trigger\nmetadata: {{name: t}}\nspec: {{target: {{workflow: nothing}}}}\n");
    service.post(&format!("{BASE}/apply"), bad).await.problem(422, "definition-refused");
    service.get(&format!("{BASE}/workflows/w")).await.problem(404, "not-found");
    let set = format!("{good}---\nkind: Trigger\nmetadata: {{name: t}}\nspec: {{target: {{workflow: w}}}}\n");
    let dry = service.post(&format!("{BASE}/apply?dryRun=true"), set.clone()).await.is(200).json();
    assert_eq!(dry["results"][0]["change"], "created");
    service.get(&format!("{BASE}/workflows")).await.problem(404, "not-found");
    let applied = service.post(&format!("{BASE}/apply"), set.clone()).await.is(200).json();
    assert!(applied["revision"].is_u64());
    let kinds: Vec<_> =
        applied["results"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Workflow", "Trigger"]);
    let again = service.post(&format!("{BASE}/apply"), set).await.is(200).json();
    assert!(again["results"].as_array().unwrap().iter().all(|r| r["change"] == "unchanged"), "{again}");
    service.stop().await;
}

#[tokio::test]
async fn manifests_have_a_status_and_an_etag() {
    let service = Service::new().await;
    let path = format!("{BASE}/triggers/direct");
    let shown = service.get(&path).await.is(200);
    let body = shown.json();
    assert_eq!((&body["kind"], &body["metadata"]["name"]), (&json!("Trigger"), &json!("direct")));
    assert_eq!(body["spec"]["target"]["workflow"], "hello");
    for (member, expected) in
        [("integration", "oneWay"), ("ruleHome", "engine"), ("firesFrom", "engine"), ("syncState", "inSync")]
    {
        assert_eq!(body["status"][member], expected, "{body}");
    }
    for member in ["generation", "observedGeneration", "matched", "buffered", "running", "deadLetters"] {
        assert!(body["status"][member].is_u64(), "{member}: {body}");
    }
    let changed = "{kind: Trigger, metadata: {name: direct}, spec: {target: {workflow: hello}}}";
    let put =
        |tag: &str| service.request(Method::PUT, &path).header("if-match", tag.to_owned()).body(changed);
    send(put("\"00\"")).await.problem(412, "etag");
    send(put(shown.header("etag"))).await.is(200);
    send(put(shown.header("etag"))).await.problem(412, "etag");
    let unknown = service
        .put(&path, "{kind: Trigger, metadata: {name: direct}, spec: {targt: {workflow: hello}}}")
        .await;
    assert!(unknown.problem(422, "definition-refused").text.contains("targt"));
    service
        .put(&path, "{kind: Source, metadata: {name: direct}, spec: {http: {path: x, auth: {none: {}}}}}")
        .await
        .is(422);
    service.post(&format!("{path}/pause"), "").await.is(200);
    let quiet = service.event("p1", "direct", &json!(1)).await.is(202).json();
    assert_eq!(quiet["events"][0]["triggers"], json!([]));
    service.post(&format!("{path}/resume"), "").await.is(200);
    assert_eq!(service.get(&format!("{BASE}/functions/noop")).await.is(200).json()["status"]["version"], 1);
    assert_eq!(
        service.get(&format!("{BASE}/functions/noop/instances")).await.is(200).json()["items"],
        json!([])
    );
    let names: Vec<Value> = service.get(&format!("{BASE}/triggers?pageSize=2")).await.is(200).json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, ["bad", "direct"]);
    service.delete(&path).await.is(204);
    service.get(&path).await.problem(404, "not-found");
    // A workflow's triggers go with it.
    service.delete(&format!("{BASE}/workflows/broken")).await.is(204);
    service.get(&format!("{BASE}/triggers/bad")).await.problem(404, "not-found");
    service.stop().await;
}

#[tokio::test]
async fn secrets_are_never_told() {
    let service = Service::new().await;
    let canary = "c4n4ry-value";
    service.put(&format!("{BASE}/secrets/api"), format!("{{\"token\":\"{canary}\"}}")).await.is(204);
    let refused =
        service.put(&format!("{BASE}/secrets/other"), format!("{{{canary}")).await.problem(400, "bad-body");
    let listed = service.get(&format!("{BASE}/secrets")).await.is(200);
    assert!(!refused.text.contains(canary) && !listed.text.contains(canary));
    let item = &listed.json()["items"][0];
    assert_eq!(item["name"], "api");
    assert!(item["updatedAt"].is_string());
    service.get(&format!("{BASE}/secrets/api")).await.problem(405, "method-not-allowed");
    service.delete(&format!("{BASE}/secrets/api")).await.is(204);
    service.delete(&format!("{BASE}/secrets/api")).await.problem(404, "not-found");
    service.stop().await;
}

#[tokio::test]
async fn lint_tells_what_the_command_line_tells() {
    let service = Service::empty().await;
    let found = service
        .post("/v1/lint", "kind: Trigger\nmetadata: {name: t}\nspec: {targt: {}}\n")
        .await
        .is(200)
        .json();
    assert_eq!(found["valid"], false);
    assert!(
        found["diagnostics"].as_array().unwrap().iter().any(|d| d["severity"] == "error" && d["line"] == 3),
        "{found}"
    );
    assert_eq!(service.post("/v1/lint", workflow("1.0.0", "1")).await.is(200).json()["valid"], true);
    service.stop().await;
}
