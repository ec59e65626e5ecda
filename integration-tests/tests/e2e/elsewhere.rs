//! What a workflow has from elsewhere, and what it sends there: fetched functions and schemas over a rewrite and a
//! kill; credentials that come back from nowhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::responder::Responder;
use super::support::{BASE, LOOPBACK, apply, folder, get, post, secret, until};

/// Longest wait for an execution.
const LIMIT: Duration = Duration::from_secs(30);

/// A public host: texts by path; `/echo` tells the request that came.
struct Host {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Host {
    async fn start(texts: &'static [(&'static str, &'static str)]) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Host { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = host.heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, texts, heads.clone()));
            }
        });
        host
    }

    /// The requests that came for a path.
    fn requests(&self, path: &str) -> usize {
        let start = format!("GET {path}");
        self.heads.lock().unwrap().iter().filter(|head| head.starts_with(&start)).count()
    }

    fn rewrite(&self) -> String {
        json!({"outside.test": format!("http://{}", self.address)}).to_string()
    }
}

async fn answer(mut stream: TcpStream, texts: &[(&str, &str)], heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(n) if n > 0) {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split_whitespace().nth(1).unwrap_or("/").to_owned();
    heads.lock().unwrap().push(head.clone());
    let found = texts.iter().find(|(known, _)| *known == path).map(|(_, text)| (*text).to_owned());
    let echo = || path.starts_with("/echo").then(|| json!({"came": head}).to_string());
    let (status, body) = found.or_else(echo).map_or((404, "{}".to_owned()), |body| (200, body));
    let kind = if path.starts_with("/echo") { "application/json" } else { "text/plain" };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

fn workflow(name: &str, rest: &str) -> String {
    format!("document: {{dsl: '1.0.3', namespace: default, name: {name}, version: '1.0.0'}}\n{rest}")
}

/// Starts an execution and waits for its end.
async fn run(server: &Server, name: &str, input: &str) -> Value {
    let id = begin(server, name, input).await;
    ended(server, &id).await
}

async fn begin(server: &Server, name: &str, input: &str) -> String {
    let path = format!("{BASE}/workflows/{name}/executions");
    let headers = [("content-type", "application/json")];
    let answer = server.client().call("POST", &path, &headers, input.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn ended(server: &Server, id: &str) -> Value {
    let mut found = Value::Null;
    until("the end of an execution", LIMIT, async || {
        found = get(server, &format!("/executions/{id}")).await;
        !found["endedAt"].is_null()
    })
    .await;
    found
}

const FUNCTION: &str =
    "do:\n- ask: {call: 'hold:1@default', with: '${ . }'}\n- out: {set: {sum: '${ $context }'}}\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_is_kept_over_a_kill() {
    let texts = &[
        ("/cat/functions/ask/1.0.0/function.yaml", FUNCTION),
        ("/schema.json", "{\"required\": [\"n\"]}"),
        ("/broken.yaml", "{set: {a: 1}, wait: PT1S}"),
    ];
    let (host, held) = (Host::start(texts).await, Responder::start());
    let dir = folder();
    let rewrite = host.rewrite();
    let mut server =
        Server::start(dir.path(), &[LOOPBACK, ("TIDEMILL_EGRESS__REWRITE", rewrite.as_str())]).await;
    let text = "use: {catalogs: {cat: {endpoint: 'https://outside.test/cat'}}}
do:
- a:
    call: ask:1.0.0@cat
    with: {n: '${ .n }'}
    output: {schema: {resource: {endpoint: 'https://outside.test/schema.json'}}, as: '{n: 1}'}
- b: {call: 'ask:1.0.0@cat'}
";
    apply(&server, &format!("{}{}", held.function("hold"), workflow("kept", text))).await;
    held.hold();
    let id = begin(&server, "kept", "{\"n\":1}").await;
    until("the call inside", LIMIT, async || held.calls() == 1).await;
    server.kill();
    server.restart().await;
    held.release();
    assert_eq!(ended(&server, &id).await["output"], json!({"sum": {}}));
    assert_eq!(host.requests("/cat/functions/ask/1.0.0/function.yaml"), 1);
    assert_eq!(host.requests("/schema.json"), 1);
    let history = get(&server, &format!("/executions/{id}/history")).await;
    let names = |entry: &Value| entry["task"]["name"].as_str().map(str::to_owned);
    let tasks: Vec<String> = history["items"].as_array().unwrap().iter().filter_map(names).collect();
    assert_eq!(tasks, ["a", "a", "a", "b", "b", "b"]);

    let lost = "do: [{a: {call: 'https://outside.test/none.yaml'}}]\n";
    let broken = "do: [{a: {call: 'https://outside.test/broken.yaml'}}]\n";
    apply(&server, &format!("{}---\n{}", workflow("lost", lost), workflow("broken", broken))).await;
    let error = run(&server, "lost", "{}").await["error"].clone();
    assert_eq!((&error["status"], &error["instance"]), (&json!(404), &json!("/do/0/a")), "{error}");
    assert!(error["type"].as_str().unwrap().ends_with("/communication"), "{error}");
    let error = run(&server, "broken", "{}").await["error"].clone();
    assert!(error["type"].as_str().unwrap().ends_with("/configuration"), "{error}");
    assert!(error["detail"].as_str().unwrap().contains("two kinds"), "{error}");
}

const SECRET: &str = "s3cr3t/to ken";

/// Every text that the service shows of an execution, its log included.
async fn shown(server: &Server, id: &str) -> String {
    let mut texts = vec![server.log()];
    for path in [format!("/executions/{id}"), format!("/executions/{id}/history"), "/events?type=told".into()]
    {
        texts.push(get(server, &path).await.to_string());
    }
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {BASE}/stream?topics=execution:{id} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    until("the terminal frame", LIMIT, async || {
        let _ = stream.read_buf(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes);
        text.contains("workflow.completed") || text.contains("workflow.faulted")
    })
    .await;
    texts.push(String::from_utf8_lossy(&bytes).into_owned());
    texts.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_back_from_nowhere() {
    let host = Host::start(&[]).await;
    let dir = folder();
    let rewrite = host.rewrite();
    let server = Server::start(dir.path(), &[LOOPBACK, ("TIDEMILL_EGRESS__REWRITE", rewrite.as_str())]).await;
    secret(&server, "login", &json!({"username": "ann", "password": SECRET})).await;
    secret(&server, "token", &json!({"token": SECRET})).await;
    let used = "use:
  secrets: [login, token, absent]
  authentications:
    named: {basic: {use: login}}
    spoken: {bearer: {token: '${ $secrets.token.token }'}}
do:
- a:
    call: http
    with:
      method: get
      output: response
      endpoint: {uri: 'http://outside.test/echo', authentication: AUTH}
      query: {q: '${ $secrets.token.token }'}
      headers: {x-key: '${ $secrets.login.password }'}
- b: {emit: {event: {with: {type: told, data: '${ . }'}}}}
";
    for (name, auth, scheme) in [
        ("basic", "{use: named}", "Basic "),
        ("bearer", "{use: spoken}", "Bearer "),
        ("direct", "{bearer: {use: token}}", "Bearer "),
    ] {
        apply(&server, &workflow(name, &used.replace("AUTH", auth))).await;
        let id = begin(&server, name, "{}").await;
        let found = ended(&server, &id).await;
        assert_eq!(found["status"], "completed", "{found}");
        let came = host.heads.lock().unwrap().last().cloned().unwrap();
        assert!(
            came.contains(scheme) && came.contains(SECRET) && came.contains("s3cr3t%2Fto%20ken"),
            "{came}"
        );
        let shown = shown(&server, &id).await;
        assert!(shown.contains("***"), "{shown}");
        for part in [SECRET, "s3cr3t%2Fto%20ken", "YW5uOnMzY3IzdC90byBrZW4"] {
            assert!(!shown.contains(part), "{name} shows {part}: {shown}");
        }
    }
    let before = host.heads.lock().unwrap().len();
    apply(&server, &workflow("none", &used.replace("AUTH", "{bearer: {use: absent}}"))).await;
    let faulted = run(&server, "none", "{}").await;
    assert_eq!(faulted["error"]["status"], 403, "{faulted}");
    assert!(faulted["error"]["type"].as_str().unwrap().ends_with("/authorization"));
    // What is written later is used by the next call: the retry goes on.
    secret(&server, "absent", &json!("later-token")).await;
    assert_eq!(host.heads.lock().unwrap().len(), before);
    let id = faulted["id"].as_str().unwrap();
    assert!(post(&server, &format!("/executions/{id}/retry")).await.status < 300);
    assert_eq!(ended(&server, id).await["status"], "completed");
    assert!(host.heads.lock().unwrap().last().unwrap().contains("Bearer later-token"));
}
