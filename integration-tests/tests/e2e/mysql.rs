//! Rows of MySQL and MariaDB to executions: over SIGKILL of Tidemill and of the server, with a full buffer, after a
//! seek, over TLS, beside a server that falls silent. Against real servers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;

use crate::mysql_server::{Database, Kind, connect, run, shared};
use crate::responder::Responder;
use crate::support::{BASE, LOOPBACK, all, apply, folder, get, open, secret, until};

const LONG: Duration = Duration::from_mins(2);

/// Definitions: the rows of `database.t` start a workflow each.
fn set(address: SocketAddr, database: &str, more: &str, buffer: &str) -> String {
    format!(
        r"
kind: Secret
metadata: {{name: login}}
spec: {{value: {{username: root, password: ''}}}}
---
document: {{dsl: '1.0.3', namespace: default, name: take, version: '1.0.0'}}
do:
  - ask: {{call: 'held:1@default'}}
---
kind: Source
metadata: {{name: rows}}
spec:
  mysql: {{url: 'mysql://{address}', credentials: {{secret: login}}, tables: ['{database}.t'], heartbeat: 1s{more}}}
---
kind: Trigger
metadata: {{name: taken}}
spec:
  source: rows
  target: {{workflow: take}}
  tags: {{row: '${{ .id }}', n: '${{ .data.after.n }}'}}
{buffer}
"
    )
}

async fn status(server: &Server) -> Value {
    get(server, "/sources/rows").await["status"].clone()
}

async fn runs(server: &Server) {
    until("the source runs", LONG, async || status(server).await["state"] == "running").await;
}

async fn executions(server: &Server) -> usize {
    all(server, "/executions", "&trigger=taken").await.len()
}

/// Each row has one execution.
async fn check(server: &Server, count: usize) {
    until("all is taken", LONG, async || executions(server).await >= count && open(server).await == 0).await;
    let executions = all(server, "/executions", "&trigger=taken").await;
    let tags = |name: &str| -> BTreeSet<String> {
        executions.iter().map(|e| e["tags"][name].as_str().unwrap().to_owned()).collect()
    };
    let numbers: BTreeSet<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(tags("n"), numbers, "a row has no execution");
    assert_eq!((tags("row").len(), executions.len()), (count, count), "a row has two executions");
}

/// A table of its own.
async fn table(address: SocketAddr, name: &str) -> String {
    let at = jiff::Timestamp::now().as_millisecond();
    let database = format!("e2e_{name}_{}_{at}", std::process::id());
    run(
        address,
        &[
            format!("CREATE DATABASE {database}"),
            format!("CREATE TABLE {database}.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT, x TEXT)"),
        ],
    )
    .await;
    database
}

/// Inserts rows of these numbers, so many in a transaction. Where the server is away it is tried again.
async fn insert(address: SocketAddr, database: &str, numbers: std::ops::Range<usize>, at_once: usize) {
    let all: Vec<usize> = numbers.collect();
    for part in all.chunks(at_once) {
        let rows: Vec<String> = part.iter().map(|n| format!("({n}, REPEAT('x', 100))")).collect();
        run(address, &[format!("INSERT INTO {database}.t (n, x) VALUES {}", rows.join(", "))]).await;
    }
}

async fn each_row_once_over_kills(kind: Kind) {
    const COUNT: usize = 1500;
    const ROUNDS: usize = 3;
    let Some(address) = shared(kind, "each row once over kills") else { return };
    let database = table(address, "once").await;
    let (responder, folder) = (Responder::start(), folder());
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    apply(&server, &format!("{}{}", responder.function("held"), set(address, &database, "", ""))).await;
    runs(&server).await;
    for round in 0..ROUNDS {
        let part = COUNT / ROUNDS;
        let own = database.clone();
        // One part is one transaction, larger than a batch is; the others are many small ones.
        let at_once = if round == 1 { part } else { 7 };
        let writing =
            tokio::spawn(
                async move { insert(address, &own, round * part..(round + 1) * part, at_once).await },
            );
        let least = round * part + 1 + part * round / 8;
        until("rows are taken", LONG, async || executions(&server).await >= least).await;
        server.kill();
        writing.await.unwrap();
        server.restart().await;
    }
    check(&server, COUNT).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart().await;
    insert(address, &database, COUNT..COUNT + 1, 1).await;
    check(&server, COUNT + 1).await;
    let status = status(&server).await;
    assert_eq!((&status["eventsAccepted"], &status["duplicates"]), (&1.into(), &0.into()), "{status}");

    // Paused: nothing comes. Back to the beginning: all comes again, and is known.
    let answer = crate::support::post(&server, "/sources/rows/pause").await;
    assert_eq!(answer.status, 200);
    let before = status["position"]["binlog"].as_str().unwrap().to_owned();
    insert(address, &database, COUNT + 1..COUNT + 2, 1).await;
    assert_eq!(get(&server, "/sources/rows").await["status"]["position"]["binlog"], before);
    let logs = first_log(address).await;
    let body = serde_json::json!({"positions": {"binlog": format!("{logs}:4")}}).to_string();
    let headers = [("content-type", "application/json")];
    let path = format!("{BASE}/sources/rows/seek");
    let answer = server.client().call("POST", &path, &headers, body.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(crate::support::post(&server, "/sources/rows/resume").await.status, 200);
    check(&server, COUNT + 2).await;
    until("all is read again", LONG, async || {
        crate::mysql::status(&server).await["duplicates"].as_u64() >= Some(COUNT as u64 + 1)
    })
    .await;
    check(&server, COUNT + 2).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

async fn first_log(address: SocketAddr) -> String {
    let mut conn = connect(address).await.unwrap();
    let row: mysql_async::Row = conn.query_first("SHOW BINARY LOGS").await.unwrap().unwrap();
    row.get(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_mariadb_each_row_once_over_kills() {
    each_row_once_over_kills(Kind::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_mysql_each_row_once_over_kills() {
    each_row_once_over_kills(Kind::Mysql).await;
}

/// A server of its own: over TLS, killed in mid-stream, absent at the start, silent.
async fn over_the_end_of_the_server(kind: Kind) {
    let Some(mut database) = Database::new(kind, "over the end of the server") else { return };
    let (responder, folder) = (Responder::start(), folder());
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    let tls = format!(", tls: {{ca: {{file: '{}'}}}}", database.authority().display());
    let address = database.address;
    apply(&server, &format!("{}{}", responder.function("held"), set(address, "d", &tls, ""))).await;
    let trouble = async |code: &str| {
        until(code, LONG, async || {
            let status = status(&server).await;
            status["state"] == "degraded" && status["lastError"]["code"] == code
        })
        .await;
    };
    trouble("mysql-unreachable").await;
    database.start().await;
    run(
        address,
        &[
            "CREATE DATABASE d".into(),
            "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT, x TEXT)".into(),
        ],
    )
    .await;
    runs(&server).await;
    insert(address, "d", 0..100, 10).await;
    until("rows are taken", LONG, async || executions(&server).await > 10).await;
    database.kill();
    trouble("mysql-unreachable").await;
    database.start().await;
    insert(address, "d", 100..200, 10).await;
    check(&server, 200).await;

    // The password is changed: the source goes on when the secret is.
    run(
        address,
        &["CREATE USER 'reader'@'%' IDENTIFIED BY 'new'".into(), "GRANT ALL ON *.* TO 'reader'@'%'".into()],
    )
    .await;
    let login = |password: &str| json!({"username": "reader", "password": password});
    secret(&server, "login", login("old")).await;
    database.kill();
    database.start().await;
    trouble("mysql-auth").await;
    secret(&server, "login", login("new")).await;
    insert(address, "d", 200..201, 1).await;
    check(&server, 201).await;

    // It is there and says nothing.
    runs(&server).await;
    database.signal("STOP");
    trouble("mysql-silent").await;
    database.signal("CONT");
    insert(address, "d", 201..300, 10).await;
    check(&server, 300).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_mariadb_over_the_end_of_the_server() {
    over_the_end_of_the_server(Kind::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_mysql_over_the_end_of_the_server() {
    over_the_end_of_the_server(Kind::Mysql).await;
}

/// The server goes on sending the log that was thrown away, and nobody writes to that.
async fn a_log_begun_anew(kind: Kind) {
    let Some(mut database) = Database::new(kind, "a log begun anew") else { return };
    database.start().await;
    let address = database.address;
    let (responder, folder) = (Responder::start(), folder());
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    let create = "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT, x TEXT)";
    // So that both logs are called the same.
    run(address, &["RESET MASTER".into(), "CREATE DATABASE d".into(), create.into()]).await;
    let definitions = set(address, "d", ", onGap: snapshot", "");
    apply(&server, &format!("{}{definitions}", responder.function("held"))).await;
    runs(&server).await;
    insert(address, "d", 0..20, 1).await;
    check(&server, 20).await;
    run(address, &["RESET MASTER".into()]).await;
    insert(address, "d", 20..21, 1).await;
    until("it is seen, and the rows are read anew", LONG, async || {
        !all(&server, "/executions", "&trigger=taken&tag=n:20").await.is_empty()
    })
    .await;
    let trouble = status(&server).await["lastError"].clone();
    assert_eq!(trouble["code"], "mysql-log", "{trouble}");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_mariadb_a_log_begun_anew() {
    a_log_begun_anew(Kind::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_mysql_a_log_begun_anew() {
    a_log_begun_anew(Kind::Mysql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_full_buffer_holds_the_binlog() {
    const COUNT: usize = 1200;
    const CAPACITY: usize = 20;
    let Some(address) = shared(Kind::Mariadb, "a full buffer holds the binlog") else { return };
    let database = table(address, "full").await;
    let (responder, folder) = (Responder::start(), folder());
    responder.hold();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    let buffer = format!("  buffer: {{concurrency: 5, capacity: {CAPACITY}, whenFull: wait}}");
    apply(&server, &format!("{}{}", responder.function("held"), set(address, &database, "", &buffer))).await;
    runs(&server).await;
    insert(address, &database, 0..COUNT, 100).await;
    for _ in 0..2 {
        until("the buffer is full", LONG, async || {
            let depth = get(&server, "/buffers/taken").await["depth"].as_u64().unwrap() as usize;
            assert!(depth <= CAPACITY, "the buffer holds more than it may: {depth}");
            depth == CAPACITY
        })
        .await;
        assert!(executions(&server).await < COUNT / 2, "nothing is held");
        server.kill();
        server.restart().await;
    }
    responder.release();
    check(&server, COUNT).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

/// The example as its README tells it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_orders_example() {
    let Some(address) = shared(Kind::Mysql, "examples/11-mysql-orders") else { return };
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/11-mysql-orders");
    let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    // The user and the table come from what happens; the source waits for them.
    let definitions = [read("workflow.yaml"), read("source.yaml"), read("trigger.yaml")].join("---\n");
    apply(&server, &definitions.replace("127.0.0.1:13308", &address.to_string())).await;
    let happened = std::process::Command::new("sh")
        .arg(example.join("happening.sh"))
        .env("MYSQL", address.to_string())
        .output()
        .unwrap();
    assert!(happened.status.success(), "{}", String::from_utf8_lossy(&happened.stderr));
    let subject = String::from_utf8(happened.stdout).unwrap().trim().to_owned();
    let expected: Value = serde_json::from_str(&read("expected-output.json")).unwrap();
    until("the order is billed", LONG, async || {
        let found = all(&server, "/executions", &format!("&trigger=bill-order&tag=order:{subject}")).await;
        assert!(found.len() <= 1, "{found:?}");
        let Some(execution) = found.first() else { return false };
        let path = format!("/executions/{}", execution["id"].as_str().unwrap());
        get(&server, &path).await["output"] == expected
    })
    .await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}
