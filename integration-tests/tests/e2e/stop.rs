//! SIGTERM: readiness off, calls in flight drained, exit 0, a clean next start. One process to a folder.

use std::process::Command;
use std::time::Duration;

use tidemill_integration_tests::server::{self, Server};

use crate::responder::Responder;
use crate::support::{LOOPBACK, apply, event, folder, get, start, until};

const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: outside, version: '1.0.0'}
do:
  - ask: {call: 'held:1@default'}
  - again: {call: 'held:1@default'}
---
document: {dsl: '1.0.3', namespace: default, name: sleeper, version: '1.0.0'}
do:
  - pause: {wait: {seconds: 2}}
---
kind: Trigger
metadata: {name: shaved}
spec:
  filters: [{exact: {type: stop.shaved}}]
  target: {workflow: outside}
  buffer: {concurrency: 1, capacity: 100}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_calls_finish_and_the_next_start_goes_on() {
    let responder = Responder::start();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    apply(&server, &format!("{}{SET}", responder.function("held"))).await;
    responder.hold();
    let mut client = server.client();
    let held =
        start(&mut client, "outside", "held", "{}").await.unwrap().json()["id"].as_str().unwrap().to_owned();
    let asleep = start(&mut client, "sleeper", "asleep", "{}").await.unwrap().json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for id in ["e1", "e2", "e3"] {
        assert_eq!(event(&mut client, "stop.shaved", id, "s", 0).await.unwrap().status, 202);
    }
    until("the calls are in flight", Duration::from_secs(20), async || responder.calls() == 2).await;

    server.ask_to_end();
    let mut fresh = server.client();
    until(
        "readiness is off",
        Duration::from_secs(10),
        async || !matches!(fresh.call("GET", "/readyz", &[], b"").await, Ok(answer) if answer.status == 200),
    )
    .await;
    assert!(server.ended().is_none(), "it ended with calls in flight: {}", server.log());
    responder.release();
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    let calls = responder.calls();
    assert!(calls <= 4, "calls begun while draining: {calls}");

    server.restart().await;
    until("everything ends", Duration::from_secs(30), async || crate::support::open(&server).await == 0)
        .await;
    for id in [&held, &asleep] {
        assert_eq!(get(&server, &format!("/executions/{id}")).await["status"], "completed");
    }
    // A finished call is never made again: two calls for each of the four executions of `outside`, no more.
    assert_eq!(responder.calls(), 8, "a call that had finished was made again");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_stops_are_clean() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, "kind: Function\nmetadata: {name: noop}\nspec: {builtin: echo}\n").await;
    // A kept connection and a stream must not hold the stop.
    let mut kept = server.client();
    kept.get("/livez").await.unwrap();
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    let ask =
        format!("GET {}/stream?topics=executions HTTP/1.1\r\nhost: localhost\r\n\r\n", crate::support::BASE);
    std::io::Write::write_all(&mut stream, ask.as_bytes()).unwrap();
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let began = std::time::Instant::now();
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    assert!(began.elapsed() < Duration::from_secs(10), "an idle stop took {:?}", began.elapsed());
    assert!(
        !folder.path().join("tidemill.db-wal").metadata().is_ok_and(|m| m.len() > 0),
        "the log was not moved"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_folder_exits_7() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    let output = Command::new(server::binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{told}");
    assert!(told.contains("--data-dir"), "{told}");
    assert_eq!(server.client().get("/readyz").await.unwrap().0, 200, "the first one goes on");
    // The lock goes with the process, however it ends.
    server.kill();
    server.restart().await;
}
