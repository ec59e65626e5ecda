//! What a hook and a source take of one caller and at one time: guessed credentials, events in flight, events per time; and
//! whose answer a caller gets.

use serde_json::json;
use tidemill_integration_tests::http::Answer;
use tidemill_integration_tests::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::contract::{ask, problem};
use crate::hooks::{SOON, send, source};
use crate::support::{apply, folder, get, secret, until};

/// One request from a loopback address of one's own: the status, and the answer's text.
async fn from(address: &str, server: &Server, hook: &str, token: &str) -> (u16, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let head = format!(
        "POST /hooks/default/{hook} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{token}content-length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_guessed_a_few_times_only() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("TIDEMILL_LIMITS__HOOK_GUESSES", "3")]).await;
    secret(&server, "token", json!("t0ken")).await;
    apply(&server, &["one", "two"].map(|name| source(name, "auth: {bearer: {secret: token}}")).concat())
        .await;
    let (wrong, right) = ("authorization: Bearer x\r\n", "authorization: Bearer t0ken\r\n");
    let status = async |address: &str, hook: &str, token: &str| from(address, &server, hook, token).await.0;
    for _ in 0..3 {
        assert_eq!(status("127.0.0.2", "one", wrong).await, 401);
    }
    let (held, answer) = from("127.0.0.2", &server, "one", wrong).await;
    assert_eq!(held, 429);
    assert!(answer.contains("retry-after: ") && answer.contains(r#""code":"hook-guesses""#), "{answer}");
    // The right credentials pass, also from there; who sends none guesses nothing.
    assert_eq!(status("127.0.0.2", "one", right).await, 202);
    assert_eq!(status("127.0.0.2", "one", "").await, 401);
    assert_eq!(status("127.0.0.2", "one", wrong).await, 429);
    for (address, hook) in [("127.0.0.3", "one"), ("127.0.0.2", "two")] {
        assert_eq!(status(address, hook, wrong).await, 401, "{address} {hook}");
        assert_eq!(status(address, hook, right).await, 202, "{address} {hook}");
    }
    assert_eq!(server.metric(r#"tidemill_limit_met_total{limit="hook-guesses"}"#).await as u64, 2);
}

const CROWDED: &str = r"
document: {dsl: '1.0.3', namespace: default, name: slow, version: '1.0.0'}
do: [{rest: {wait: {hours: 1}}}]
---
kind: Source
metadata: {name: narrow}
spec: {limits: {maxInFlight: 1}, http: {path: narrow, auth: {none: {}}}}
---
kind: Trigger
metadata: {name: slow}
spec: {source: narrow, target: {workflow: slow}, buffer: {concurrency: 1, capacity: 1}}
---
kind: Source
metadata: {name: clock}
spec: {limits: {rate: 1/m}, cron: {schedule: '* * * * * ?', dialect: quartz}}
---
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_takes_no_more_than_it_should() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    apply(&server, CROWDED).await;
    assert_eq!(send(&server, "narrow", &[], "1").await.status, 202);
    let waiting =
        async || get(&server, "/executions?status=waiting").await["items"].as_array().unwrap().len();
    until("the first has begun", SOON, async || waiting().await == 1).await;
    assert_eq!(send(&server, "narrow", &[], "2").await.status, 202);
    // The buffer is full: one call waits a second for room, and whoever comes meanwhile is held at the source.
    let both = tokio::join!(send(&server, "narrow", &[], "3"), send(&server, "narrow", &[], "4"));
    let told = |answer: &Answer| answer.json()["code"].as_str().unwrap().to_owned();
    for held in [&both.0, &both.1] {
        problem(held, 429, "no room");
        assert!(held.header("retry-after").is_some());
    }
    let mut codes = [told(&both.0), told(&both.1)];
    codes.sort();
    assert_eq!(codes, ["buffer-full", "source-limit"]);
    assert_eq!(
        server.metric(r#"tidemill_limit_met_total{limit="source.limits.maxInFlight"}"#).await as u64,
        1
    );
    // What was counted outlives a pause.
    for verb in ["pause", "resume"] {
        let answer = ask(&server, "POST", &format!("/sources/narrow/{verb}"), "").await;
        assert_eq!((answer.status, &answer.json()["status"]["eventsAccepted"]), (200, &json!(2)), "{verb}");
    }
    // Where nobody can be answered 429 the source is held.
    let met = r#"tidemill_limit_met_total{limit="source.limits.rate"}"#;
    until("the clock is held", SOON, async || server.metric(met).await as u64 == 1).await;
    assert_eq!(get(&server, "/sources/clock").await["status"]["eventsAccepted"], 1);
}

const SEVERAL: &str = r"
document: {dsl: '1.0.3', namespace: default, name: who, version: '1.0.0'}
do: [{who: {set: {who: '${ $workflow.input }'}}}]
---
kind: Source
metadata: {name: asked}
spec: {http: {path: asked, auth: {none: {}}, respond: output}}
---
kind: Source
metadata: {name: locked}
spec: {http: {path: locked, auth: {bearer: {secret: not-there-yet}}}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_triggers_the_first_by_name_answers() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let trigger = |name: &str| {
        format!(
            "---\nkind: Trigger\nmetadata: {{name: {name}}}\n\
             spec: {{source: asked, target: {{workflow: who}}, input: {name}}}\n"
        )
    };
    apply(&server, &(SEVERAL.to_owned() + &["m", "b", "z"].map(trigger).concat())).await;
    for _ in 0..8 {
        let answer = send(&server, "asked", &[], "1").await;
        assert_eq!((answer.status, answer.json()), (200, json!({"who": "b"})));
    }
    // What a source lacks is the operator's to know.
    let answer = send(&server, "locked", &[("authorization", "Bearer x")], "1").await;
    problem(&answer, 503, "no secret");
    assert!(!String::from_utf8_lossy(&answer.body).contains("not-there-yet"), "{}", answer.json());
    let told = get(&server, "/sources/locked").await["status"]["lastError"]["message"].clone();
    assert!(told.as_str().unwrap().contains("not-there-yet"), "{told}");
}
