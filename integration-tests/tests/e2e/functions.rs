//! Functions that are programs, through the whole service: results, errors, limits, and the same key after a kill.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;

use crate::support::{BASE, apply, folder, get, start, until};

const SOON: Duration = Duration::from_secs(20);

/// A shell function with further fields of its manifest, and a workflow of the same name that calls it once.
fn shell(name: &str, fields: &str, script: &str) -> String {
    let command = json!(["sh", "-c", script]);
    format!(
        "kind: Function\nmetadata: {{name: {name}}}\nspec: {{{fields}process: {{command: {command}}}}}\n---\n\
         document: {{dsl: '1.0.3', namespace: default, name: {name}, version: '1.0.0'}}\n\
         do:\n  - ask: {{call: '{name}:1@default'}}\n---\n"
    )
}

/// Runs a workflow to its end: its output, or status and detail of its error.
async fn ended(server: &Server, workflow: &str, input: &str) -> Result<Value, (i64, String)> {
    let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
    let path = format!("{BASE}/workflows/{workflow}/executions");
    let answer = server.client().call("POST", &path, &headers, input.as_bytes()).await.unwrap();
    let shown = answer.json();
    match shown["status"].as_str() {
        Some("completed") => Ok(shown["output"].clone()),
        Some("faulted") => {
            let error = &shown["error"];
            Err((error["status"].as_i64().unwrap(), error["detail"].as_str().unwrap_or("").to_owned()))
        }
        _ => panic!("{workflow}: {shown}"),
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_answer_fail_and_are_killed_as_groups() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let pid = folder.path().join("pid");
    let family = format!("sleep 3600 & echo $! > {}; wait", pid.display());
    let set = [
        shell("aside", "", "echo talk; cat >&3"),
        shell("poor", "", "echo 'no money' >&2; exit 3"),
        shell("chatty", "", "echo talk"),
        shell("late", "timeout: 1s, ", &family),
    ];
    apply(&server, &set.concat()).await;
    let check = async |name: &str, expected: Result<Value, (i64, &str)>| match (
        ended(&server, name, r#"{"n":1}"#).await,
        expected,
    ) {
        (Ok(said), Ok(expected)) => assert_eq!(said, expected, "{name}"),
        (Err((status, detail)), Err((expected, part))) => {
            assert!(status == expected && detail.contains(part), "{name}: {status} {detail}");
        }
        (said, expected) => panic!("{name}: {said:?}, expected {expected:?}"),
    };
    check("aside", Ok(json!({"n": 1}))).await;
    check("poor", Err((500, "no money"))).await;
    check("chatty", Err((500, "write exactly one JSON value to stdout"))).await;
    check("late", Err((408, "the timeout of the function"))).await;
    let pid = lines(&pid).remove(0);
    until("the grandchild is killed", SOON, async || !is_alive(&pid)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_the_limits_of_a_function_is_refused_by_name() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let held = format!(
        "echo $TIDEMILL_TASK >> {}; until [ -e {} ]; do sleep 0.05; done; echo 1",
        begun.display(),
        go.display()
    );
    let set = [
        shell("full", "limits: {concurrency: 1, queue: 0}, ", &held),
        shell("old", "limits: {concurrency: 1, queueAge: 100ms}, ", &held),
    ];
    apply(&server, &set.concat()).await;
    for (count, (name, limit)) in
        [("full", "`function-queue`"), ("old", "`function-queue-age`")].iter().enumerate()
    {
        let first = start(&mut server.client(), name, name, "{}").await.unwrap().json();
        until("the first runs", SOON, async || lines(&begun).len() == count + 1).await;
        let (status, detail) = ended(&server, name, "{}").await.unwrap_err();
        assert!(status == 429 && detail.contains(limit), "{name}: {status} {detail}");
        let path = format!("/executions/{}", first["id"].as_str().unwrap());
        assert_eq!(get(&server, &path).await["status"], "running", "{name}");
    }
    std::fs::write(go, "").unwrap();
    until("both end well", SOON, async || {
        get(&server, "/executions?status=completed").await["items"].as_array().unwrap().len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_asks_again_with_the_same_key_and_trace() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    let (keys, go) = (folder.path().join("keys"), folder.path().join("go"));
    let script = format!(
        "echo $TIDEMILL_IDEMPOTENCY_KEY $TRACEPARENT $TIDEMILL_ATTEMPT >> {}; until [ -e {} ]; do sleep 0.05; done; echo 7",
        keys.display(),
        go.display()
    );
    apply(&server, &shell("once", "", &script)).await;
    let started = start(&mut server.client(), "once", "once", "{}").await.unwrap().json();
    let path = format!("/executions/{}", started["id"].as_str().unwrap());
    until("it is called", SOON, async || lines(&keys).len() == 1).await;
    server.kill();
    server.restart().await;
    until("it is called again", SOON, async || lines(&keys).len() == 2).await;
    std::fs::write(go, "").unwrap();
    until("it ends", SOON, async || get(&server, &path).await["status"] == "completed").await;
    let keys = lines(&keys);
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].starts_with(started["id"].as_str().unwrap()), "{keys:?}");
    assert_eq!(get(&server, &path).await["output"], 7);
}
