//! Run tasks through the service: what is allowed, what they output, how they fail.

use serde_json::{Value, json};

use crate::service::Service;

const BASE: &str = "/v1/namespaces/default";

/// A workflow whose only task `a` is this one.
async fn outcome(service: &Service, name: &str, task: &str, input: &str) -> Value {
    let text = format!(
        "document: {{dsl: '1.0.3', namespace: default, name: {name}, version: '1.0.0'}}\n\
         use: {{secrets: [key]}}\ndo:\n- a: {task}\n"
    );
    service.put(&format!("{BASE}/workflows/{name}"), text).await.is(201);
    service.run(name, input).await
}

#[tokio::test]
async fn nothing_may_run_until_it_is_allowed() {
    let service = Service::new().await;
    for (name, task, setting) in [
        ("shell", "{run: {shell: {command: 'true'}}}", r#"["shell"]"#),
        ("script", "{run: {script: {language: python, code: ''}}}", r#"["script"]"#),
        ("detached", "{run: {shell: {command: 'true'}, await: false}}", r#"["shell"]"#),
    ] {
        let ended = outcome(&service, name, task, "{}").await;
        let error = &ended["error"];
        assert_eq!((&ended["status"], &error["status"]), (&json!("faulted"), &json!(403)), "{ended}");
        assert_eq!(error["type"], "https://open-workflow-specification.org/spec/1.0.0/errors/authorization");
        assert_eq!(error["instance"], "/do/0/a");
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains("run.allow") && detail.contains(setting), "{detail}");
    }
    service.stop().await;
}

#[tokio::test]
async fn outputs_and_faults() {
    let service = Service::allowing(&["shell", "script"]).await;
    service.put(&format!("{BASE}/secrets/key"), r#""s3cret""#).await.is(204);
    let check = async |name: &str, task: &str, expected: Value| {
        let ended = outcome(&service, name, task, r#"{"n":1}"#).await;
        assert_eq!(ended["output"], expected, "{task}: {ended}");
    };
    check("out", "{run: {shell: {command: 'echo ${ .n } $1', arguments: ['${ .n + 1 }']}}}", json!("1 2\n"))
        .await;
    check(
        "all",
        "{run: {shell: {command: 'echo x >&2'}, return: all}}",
        json!({"code": 0, "stdout": "", "stderr": "x\n"}),
    )
    .await;
    check("none", "{run: {shell: {command: echo x}, return: none}}", Value::Null).await;
    check(
        "python",
        "{run: {script: {language: python, stdin: '${ . }', code: \"import json, sys\\nprint(json.load(sys.stdin)['n'] + 1)\"}}}",
        json!("2\n"),
    )
    .await;
    check(
        "detached",
        "{input: {from: '${ {m: .n} }'}, run: {shell: {command: sleep 3600}, await: false}, output: {as: '${ {was: .} }'}}",
        json!({"was": {"m": 1}}),
    )
    .await;
    let caught = "catch: {as: e, do: [{c: {set: '${ {s: $e.status, i: $e.instance, t: $e.title} }'}}]}";
    check(
        "exit",
        &format!("{{try: [{{b: {{run: {{shell: {{command: exit 4}}, return: code}}}}}}], {caught}}}"),
        json!({"s": 500, "i": "/do/0/a/try/0/b", "t": "Exit Code 4"}),
    )
    .await;
    check(
        "late",
        &format!("{{try: [{{b: {{run: {{shell: {{command: sleep 3600}}}}, timeout: {{after: PT0.2S}}}}}}], {caught}}}"),
        json!({"s": 408, "i": "/do/0/a/try/0/b", "t": "Timeout"}),
    )
    .await;
    check(
        "secret",
        "{run: {shell: {command: 'printf \"%s %s\" \"$KEY\" \"$(printf %s \"$KEY\" | wc -c)\"', environment: {KEY: '${ $secrets.key }'}}}}",
        json!("*** 6"),
    )
    .await;
    service.stop().await;
}
