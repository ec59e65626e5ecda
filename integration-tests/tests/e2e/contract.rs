//! The sentences of the API's contract, asked of the real binary: one table a subject.
//!
//! What the API's own tests assert over the memory store is not repeated; here the store is the real one.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidemill_integration_tests::http::Answer;
use tidemill_integration_tests::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{BASE, apply, folder, get, until};

/// How long a head or a body that does not come may hold a connection.
const HALF_SENT: Duration = Duration::from_secs(40);

const SET: &str = "
kind: Function
metadata: {name: noop}
spec: {builtin: echo}
---
kind: Connection
metadata: {name: cluster}
spec: {kafka: {brokers: ['127.0.0.1:1']}}
---
kind: Queue
metadata: {name: later}
spec: {via: {embedded: {}}}
---
kind: Source
metadata: {name: hook}
spec: {http: {path: in, auth: {none: {}}}}
---
document: {dsl: '1.0.3', namespace: default, name: hello, version: '1.0.0'}
do: [{greet: {call: 'noop:1@default'}}]
---
document: {dsl: '1.0.3', namespace: default, name: waits, version: '1.0.0'}
do: [{nap: {wait: {hours: 1}}}]
---
document: {dsl: '1.0.3', namespace: default, name: strict, version: '1.0.0'}
input: {schema: {document: {type: object, required: [n]}}}
do: [{greet: {set: {x: 1}}}]
---
document: {dsl: '1.0.3', namespace: default, name: aliased, version: '1.0.0'}
do: [{charge: {call: 'charge:prod@default', with: {n: 1}}}]
---
kind: Trigger
metadata: {name: held}
spec: {filters: [{exact: {type: held}}], target: {workflow: hello}, buffer: {concurrency: 1, rate: 1/h, burst: 1}}
";

pub(crate) async fn call(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    server.client().call(method, path, headers, body.as_bytes()).await.unwrap()
}

/// The same below the namespace.
pub(crate) async fn ask(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    call(server, method, &format!("{BASE}{path}"), &[], body).await
}

pub(crate) async fn served() -> (Server, tempfile::TempDir) {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    apply(&server, SET).await;
    (server, folder)
}

/// A refusal with all that a problem has.
#[track_caller]
pub(crate) fn problem(answer: &Answer, status: u16, what: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{what}: {body}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(body["status"], status, "{what}");
    for member in ["type", "title", "code", "detail", "instance", "traceId"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {member} of {body}");
    }
    if matches!(status, 429 | 503 | 507) {
        assert!(answer.header("retry-after").is_some(), "{what}");
    }
}

/// Every list below the namespace.
const LISTS: [&str; 13] = [
    "/workflows",
    "/executions",
    "/events",
    "/sources",
    "/triggers",
    "/functions",
    "/functions/noop/instances",
    "/functions/noop/aliases",
    "/connections",
    "/queues",
    "/secrets",
    "/buffers",
    "/dead-letters",
];

#[tokio::test]
async fn lists_page_count_and_refuse_alike() {
    let (server, _folder) = served().await;
    let all = LISTS.iter().map(|path| format!("{BASE}{path}")).chain(["/v1/namespaces".to_owned()]);
    for path in all.chain([format!("{BASE}/batches")]) {
        let answer = call(&server, "GET", &path, &[], "").await;
        let body = answer.json();
        assert_eq!(answer.status, 200, "{path}: {body}");
        assert!(body["items"].is_array() && body.get("nextPageToken").is_some(), "{path}: {body}");
        assert_eq!(body.get("total"), None, "{path}");
        let items = body["items"].as_array().unwrap().len();
        let counted = call(&server, "GET", &format!("{path}?count=true&pageSize=1"), &[], "").await.json();
        assert_eq!(counted["total"], items, "{path}: {counted}");
        for good in ["pageSize=1", "pageSize=1000"] {
            assert_eq!(call(&server, "GET", &format!("{path}?{good}"), &[], "").await.status, 200, "{path}");
        }
        for bad in ["pageSize=0", "pageSize=1001", "pageSize=x", "pageToken=zz", "count=2", "pagesize=1"] {
            let answer = call(&server, "GET", &format!("{path}?{bad}"), &[], "").await;
            problem(&answer, 400, &format!("{path}?{bad}"));
        }
    }
    // Pages of one entry give the whole list, in its order.
    let whole = get(&server, "/workflows").await;
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = get(&server, &format!("/workflows?pageSize=1{token}")).await;
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        let Some(next) = page["nextPageToken"].as_str() else { break };
        token = format!("&pageToken={next}");
    }
    assert_eq!(json!(names), json!(["aliased", "hello", "strict", "waits"]));
    assert_eq!(whole["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn reads_of_a_namespace_that_was_never_written_are_404() {
    let (server, _folder) = served().await;
    let things = ["", "/workflows/hello", "/workflows/hello/graph", "/sources/hook", "/triggers/held"];
    let things =
        things.iter().chain(&["/functions/noop", "/connections/cluster", "/queues/later", "/stream"]);
    for path in LISTS.iter().chain(things) {
        let answer = call(&server, "GET", &format!("/v1/namespaces/other{path}"), &[], "").await;
        problem(&answer, 404, path);
    }
    for name in ["A", "a_b", "-", "a%2fb"] {
        problem(&call(&server, "GET", &format!("/v1/namespaces/{name}/workflows"), &[], "").await, 404, name);
    }
}

/// Writes that take a dry run: method, path, body, the status of the dry run.
const DRY: [(&str, &str, &str, u16); 14] = [
    ("POST", "/apply", "kind: Queue\nmetadata: {name: dry}\nspec: {via: {embedded: {}}}\n", 200),
    (
        "PUT",
        "/workflows/dry",
        "document: {dsl: '1.0.3', namespace: default, name: dry, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]",
        201,
    ),
    ("DELETE", "/workflows/hello", "", 204),
    ("PUT", "/queues/dry", "{kind: Queue, metadata: {name: dry}, spec: {via: {embedded: {}}}}", 201),
    ("DELETE", "/queues/later", "", 204),
    ("DELETE", "/sources/hook", "", 204),
    ("POST", "/sources/hook/pause", "", 200),
    ("POST", "/triggers/held/pause", "", 200),
    ("PUT", "/functions/noop/aliases/dry", r#"{"weights":{"1":100}}"#, 201),
    ("PUT", "/secrets/dry", "1", 204),
    ("POST", "/workflows/hello/executions", "{}", 200),
    ("POST", "/events", r#"{"specversion":"1.0","id":"dry","source":"/dry","type":"held"}"#, 200),
    ("DELETE", "", "", 204),
    ("PUT", "", "{kind: Namespace, metadata: {name: default}, spec: {quotas: {running: 1}}}", 200),
];

#[tokio::test]
async fn dry_runs_judge_and_leave_nothing() {
    let (server, _folder) = served().await;
    let state = async || {
        let mut seen = Vec::new();
        for path in LISTS.iter().chain(&[""]) {
            let mut body = get(&server, path).await;
            // How often a trigger was looked at is no part of it.
            body["nextPageToken"] = Value::Null;
            seen.push(body);
        }
        seen
    };
    let before = state().await;
    let headers = [("content-type", "application/cloudevents+json")];
    for (method, path, body, status) in DRY {
        let target = format!("{BASE}{path}?dryRun=true");
        let headers = if path == "/events" { &headers[..] } else { &[] };
        let answer = call(&server, method, &target, headers, body).await;
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{method} {path}: {told}");
        problem(
            &call(&server, method, &format!("{BASE}{path}?dryRun=perhaps"), headers, body).await,
            400,
            path,
        );
    }
    assert_eq!(state().await, before);
    // A dry run refuses what the write would refuse.
    problem(&ask(&server, "POST", "/workflows/strict/executions?dryRun=true", "{}").await, 400, "input");
    problem(&ask(&server, "POST", "/workflows/none/executions?dryRun=true", "{}").await, 404, "workflow");
    problem(&ask(&server, "DELETE", "/queues/none?dryRun=true", "").await, 404, "queue");
    let id = ask(&server, "POST", "/workflows/waits/executions", "{}").await.json()["id"].clone();
    let verb = |verb: &str| format!("/executions/{}/{verb}?dryRun=true", id.as_str().unwrap());
    assert_eq!(ask(&server, "POST", &verb("cancel"), "").await.json()["status"], "waiting");
    assert_eq!(ask(&server, "POST", &verb("suspend"), "").await.status, 200);
    for refused in ["resume", "retry"] {
        problem(&ask(&server, "POST", &verb(refused), "").await, 409, refused);
    }
}

#[tokio::test]
async fn definitions_have_etags_and_heed_if_match() {
    let (server, _folder) = served().await;
    let workflow = |version: &str| {
        format!(
            "document: {{dsl: '1.0.3', namespace: default, name: hello, version: '{version}'}}\ndo: [{{a: {{set: {{x: 1}}}}}}]"
        )
    };
    let things: [(&str, String); 5] = [
        ("/workflows/hello", workflow("1.1.0")),
        (
            "/queues/later",
            "{kind: Queue, metadata: {name: later}, spec: {via: {embedded: {}}, retention: 1d}}".into(),
        ),
        (
            "/connections/cluster",
            "{kind: Connection, metadata: {name: cluster}, spec: {kafka: {brokers: ['127.0.0.1:2']}}}".into(),
        ),
        (
            "/functions/noop",
            "{kind: Function, metadata: {name: noop}, spec: {builtin: echo, timeout: 5s}}".into(),
        ),
        ("", "{kind: Namespace, metadata: {name: default}, spec: {quotas: {running: 100}}}".into()),
    ];
    for (path, changed) in things {
        let target = format!("{BASE}{path}");
        let matching = async |method: &str, tag: &str, body: &str| {
            call(&server, method, &target, &[("if-match", tag)], body).await
        };
        let shown = ask(&server, "GET", path, "").await;
        let old = shown.header("etag").unwrap_or_else(|| panic!("no ETag: {path}")).to_owned();
        problem(&matching("PUT", "\"0000\"", &changed).await, 412, path);
        problem(&matching("DELETE", "\"0000\"", "").await, 412, path);
        let put = matching("PUT", &format!("\"77\", {old}"), &changed).await;
        assert!(matches!(put.status, 200 | 201), "{path}: {}", put.json());
        let new = ask(&server, "GET", path, "").await.header("etag").unwrap().to_owned();
        assert_eq!(put.header("etag"), Some(new.as_str()), "{path}");
        assert_ne!(new, old, "{path}");
        problem(&matching("PUT", &old, &changed).await, 412, path);
        problem(&matching("DELETE", &old, "").await, 412, path);
        assert!(matches!(matching("PUT", "*", &changed).await.status, 200 | 201), "{path}");
        assert_eq!(matching("DELETE", &new, "").await.status, 204, "{path}");
        problem(&ask(&server, "GET", path, "").await, 404, path);
        let absent = matching("PUT", "*", &changed).await;
        problem(&absent, 412, path);
    }
}

#[tokio::test]
async fn aliases_split_calls_and_the_history_tells_which_version() {
    let (server, _folder) = served().await;
    let publish = async |limit: u32| {
        let text = format!(
            "{{kind: Function, metadata: {{name: charge}}, spec: {{builtin: echo, timeout: {limit}s}}}}"
        );
        ask(&server, "PUT", "/functions/charge", &text).await.json()["version"].clone()
    };
    problem(&ask(&server, "PUT", "/functions/charge/aliases/prod", r#"{"1":100}"#).await, 404, "no function");
    assert_eq!((publish(5).await, publish(6).await), (json!("1"), json!("2")));
    let path = "/functions/charge/aliases/prod";
    for bad in [
        r#"{"weights":{"1":50,"2":40}}"#,
        r#"{"weights":{"1":50,"3":50}}"#,
        r#"{"weights":{"one":100}}"#,
        r#"{"weights":{"1":-1,"2":101}}"#,
        r#"{"weights":{"1":100},"other":1}"#,
        "{}",
        "[",
    ] {
        let answer = ask(&server, "PUT", path, bad).await;
        problem(&answer, 422, bad);
        let mistake = &answer.json()["errors"][0];
        assert!(mistake["line"].as_u64() >= Some(1) && mistake["message"].is_string(), "{mistake}");
    }
    for name in ["latest", "2", "A"] {
        problem(
            &ask(&server, "PUT", &format!("/functions/charge/aliases/{name}"), r#"{"1":100}"#).await,
            422,
            name,
        );
    }
    // A trigger may name the alias once it is there.
    let trigger = "{kind: Trigger, metadata: {name: pay}, spec: {filters: [{exact: {type: pay}}], target: {function: 'charge:prod'}}}";
    problem(&ask(&server, "PUT", "/triggers/pay", trigger).await, 422, "no alias");
    assert_eq!(ask(&server, "PUT", path, r#"{"weights":{"1":0,"2":100}}"#).await.status, 201);
    assert_eq!(ask(&server, "PUT", "/triggers/pay", trigger).await.status, 201);
    assert_eq!(get(&server, path).await["weights"], json!({"1": 0, "2": 100}));
    assert_eq!(get(&server, "/functions/charge").await["status"]["aliases"]["prod"]["2"], 100);
    let versions = async |runs: usize| {
        let mut seen = Vec::new();
        for _ in 0..runs {
            let start = format!("{BASE}/workflows/aliased/executions");
            let ended = call(&server, "POST", &start, &[("prefer", "wait=20")], "{}").await.json();
            assert_eq!((&ended["status"], &ended["output"]), (&json!("completed"), &json!({"n": 1})));
            let history =
                get(&server, &format!("/executions/{}/history", ended["id"].as_str().unwrap())).await;
            let entries = history["items"].as_array().unwrap();
            let end = entries.iter().find(|entry| entry["type"] == "task.completed").unwrap();
            assert_eq!(
                (&end["function"]["name"], &end["function"]["alias"]),
                (&json!("charge"), &json!("prod"))
            );
            seen.push(end["function"]["version"].as_u64().unwrap());
        }
        seen
    };
    assert_eq!(versions(3).await, [2, 2, 2]);
    assert_eq!(ask(&server, "PUT", path, r#"{"weights":{"1":50,"2":50}}"#).await.status, 200);
    let split = versions(40).await;
    let first = split.iter().filter(|version| **version == 1).count();
    assert!((5..=35).contains(&first), "{first} of 40 on version 1");
    // It is still there, and still used, after a restart; the trigger goes with the alias it names.
    let mut server = server;
    server.kill();
    server.restart().await;
    assert_eq!(get(&server, path).await["weights"], json!({"1": 50, "2": 50}));
    assert_eq!(ask(&server, "DELETE", path, "").await.status, 204);
    problem(&ask(&server, "GET", path, "").await, 404, "gone");
    problem(&ask(&server, "GET", "/triggers/pay", "").await, 404, "its trigger");
}

#[tokio::test]
async fn schemas_are_served_by_name() {
    let (server, _folder) = served().await;
    let listed = call(&server, "GET", "/v1/schemas", &[], "").await.json();
    let items = listed["items"].as_array().unwrap();
    assert!(items.len() >= 9, "{listed}");
    for item in items {
        let answer = call(&server, "GET", item["path"].as_str().unwrap(), &[], "").await;
        assert_eq!(answer.status, 200, "{item}");
        assert_eq!(answer.json()["$schema"], "https://json-schema.org/draft/2020-12/schema", "{item}");
    }
    for name in ["nothing.json", "workflow", "workflow.yaml"] {
        problem(&call(&server, "GET", &format!("/v1/schemas/{name}"), &[], "").await, 404, name);
    }
}

#[tokio::test]
async fn an_encoded_slash_is_part_of_its_segment() {
    let (server, _folder) = served().await;
    let headers = [("content-type", "application/cloudevents+json")];
    let event = r#"{"specversion":"1.0","id":"a/b c","source":"https://x/y?z=1","type":"odd"}"#;
    let posted = call(&server, "POST", &format!("{BASE}/events"), &headers, event).await;
    assert_eq!(posted.status, 202);
    let path = "/events/https%3A%2F%2Fx%2Fy%3Fz%3D1/a%2Fb%20c";
    assert_eq!(get(&server, path).await["id"], "a/b c");
    assert_eq!(get(&server, &format!("{path}/trace")).await["event"]["id"], "a/b c");
    problem(&ask(&server, "GET", "/events/https%3A%2F%2Fx%2Fy/a%2Fb", "").await, 404, "another event");
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_what_runs_goes_on() {
    let (server, _folder) = served().await;
    let second = "document: {dsl: '1.0.3', namespace: default, name: waits, version: '1.2.0'}\ndo: [{nap: {wait: {hours: 1}}}]";
    assert_eq!(ask(&server, "PUT", "/workflows/waits", second).await.status, 201);
    let id =
        ask(&server, "POST", "/workflows/waits/executions?version=1.0.0", "{}").await.json()["id"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(ask(&server, "DELETE", "/workflows/waits", "").await.status, 204);
    for version in ["", "?version=1.0.0", "?version=1.2.0"] {
        problem(&ask(&server, "GET", &format!("/workflows/waits{version}"), "").await, 404, version);
    }
    problem(&ask(&server, "POST", "/workflows/waits/executions", "{}").await, 404, "a start");
    let shown = get(&server, &format!("/executions/{id}")).await;
    assert_eq!((&shown["status"], &shown["workflow"]["version"]), (&json!("waiting"), &json!("1.0.0")));
    assert_eq!(
        ask(&server, "POST", &format!("/executions/{id}/suspend"), "").await.json()["status"],
        "suspended"
    );
    // A definition in another namespace than the path's, for each kind.
    for (path, text) in [
        (
            "/workflows/x",
            "document: {dsl: '1.0.3', namespace: other, name: x, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]",
        ),
        ("/queues/x", "{kind: Queue, metadata: {name: x, namespace: other}, spec: {via: {embedded: {}}}}"),
    ] {
        let answer = ask(&server, "PUT", path, text).await;
        problem(&answer, 422, path);
        assert_eq!(answer.json()["errors"][0]["line"], 1, "{path}");
    }
}

#[tokio::test]
async fn lists_show_what_has_not_begun_and_instants_are_utc() {
    let (server, _folder) = served().await;
    let headers = [("content-type", "application/cloudevents+json")];
    for n in 0..3 {
        let event = format!(r#"{{"specversion":"1.0","id":"{n}","source":"/s","type":"held"}}"#);
        assert_eq!(call(&server, "POST", &format!("{BASE}/events"), &headers, &event).await.status, 202);
    }
    until("one has begun", Duration::from_secs(20), async || {
        get(&server, "/executions?trigger=held&status=completed").await["items"].as_array().unwrap().len()
            == 1
    })
    .await;
    let all = get(&server, "/executions?trigger=held").await;
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{all}");
    let pending: Vec<_> = items.iter().filter(|item| item["status"] == "pending").collect();
    assert_eq!(pending.len(), 2, "{all}");
    for item in &pending {
        assert!(item["startedAt"].is_null() && item["endedAt"].is_null(), "{item}");
        let id = item["id"].as_str().unwrap();
        assert_eq!(get(&server, &format!("/executions/{id}")).await["status"], "pending");
    }
    let begun = items.iter().find(|item| item["status"] == "completed").unwrap();
    for member in ["createdAt", "startedAt", "endedAt"] {
        let text = begun[member].as_str().unwrap();
        assert!(text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(), "{member}: {text}");
    }
    for item in items {
        for member in ["id", "workflow", "status", "startedAt", "endedAt", "trigger", "parent", "tags"] {
            assert!(item.get(member).is_some(), "{member}: {item}");
        }
    }
}

#[tokio::test]
async fn without_credentials_everything_but_the_probes_is_401() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("TIDEMILL_AUTH__REQUIRED", "true")]).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(call(&server, "GET", path, &[], "").await.status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/openapi.json"),
        ("GET", "/v1/namespaces"),
        ("GET", "/v1/schemas/workflow.json"),
        ("GET", "/v1/namespaces/default/executions"),
        ("GET", "/v1/namespaces/default/stream"),
        ("PUT", "/v1/namespaces/default/secrets/health"),
        ("POST", "/v1/namespaces/default/events"),
        ("POST", "/v1/namespaces/default/workflows/livez/executions"),
        ("DELETE", "/v1/namespaces/default"),
    ] {
        let answer = call(&server, method, path, &[], "").await;
        problem(&answer, 401, path);
        assert!(answer.header("www-authenticate").is_some(), "{path}");
    }
}

/// How a connection ends that sends this and then nothing more.
async fn half(server: &Server, sent: &str) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{sent}: {text}");
    began.elapsed()
}

#[tokio::test]
async fn heads_and_bodies_that_do_not_come_are_dropped_in_time() {
    let (server, _folder) = served().await;
    let start = format!("POST {BASE}/workflows/hello/executions HTTP/1.1\r\nhost: localhost\r\n");
    let (body, chunk) = (
        format!("{start}content-length: 50\r\n\r\n{{\"na"),
        format!("{start}transfer-encoding: chunked\r\n\r\n5\r\n{{\"na"),
    );
    let (nothing, head, body, chunk) = tokio::join!(
        half(&server, ""),
        half(&server, "GET /livez HTTP/1.1\r\nhost: loc"),
        half(&server, &body),
        half(&server, &chunk),
    );
    for (what, took) in [("nothing", nothing), ("head", head), ("body", body), ("chunk", chunk)] {
        assert!(took < HALF_SENT, "{what}: {took:?}");
    }
    assert_eq!(get(&server, "/executions").await["items"], json!([]));
}
