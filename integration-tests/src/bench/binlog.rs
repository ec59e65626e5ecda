//! B1 binlog: rows of a table that wait in the log of a server, read into committed events. Each on the server that
//! `TIDEMILL_TEST_MARIADB` and `TIDEMILL_TEST_MYSQL` name.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use super::Options;
use super::figures::{Reading, print};
use crate::server::Server;

/// Rows of an insert.
const AT_ONCE: u64 = 1000;
/// Most rows of a round, whatever is asked for.
const MOST: u64 = 200_000;
const BASE: &str = "/v1/namespaces/default";

/// On each server that is named.
pub(super) async fn run(options: &Options) {
    for variable in ["TIDEMILL_TEST_MARIADB", "TIDEMILL_TEST_MYSQL"] {
        match std::env::var(variable).ok().filter(|address| !address.is_empty()) {
            Some(address) => round(options, variable.trim_start_matches("TIDEMILL_TEST_"), &address).await,
            None => println!("B1 needs {variable}=host:port: cargo xtask services up mariadb mysql"),
        }
    }
}

async fn round(options: &Options, name: &str, address: &str) {
    let rows = options.entries.min(MOST);
    let mut conn = connect(address).await;
    let database = format!("bench_{}", std::process::id());
    let make = [
        format!("CREATE DATABASE {database}"),
        format!(
            "CREATE TABLE {database}.t (id INT PRIMARY KEY AUTO_INCREMENT, at DATETIME(3) NOT NULL, \
             total DECIMAL(10,2) NOT NULL, customer VARCHAR(40) NOT NULL, note TEXT)"
        ),
    ];
    for statement in make {
        query(&mut conn, &statement).await;
    }
    let dir = options.dir.join("b1");
    let _ = std::fs::remove_dir_all(&dir);
    let server = Server::start(&dir, &[]).await;
    let secret = "kind: Secret\nmetadata: {name: login}\nspec: {value: {username: root, password: ''}}\n";
    let source = format!(
        "kind: Source\nmetadata: {{name: rows}}\nspec: {{mysql: {{url: 'mysql://{address}', credentials: \
         {{secret: login}}, tables: ['{database}.t']}}}}\n"
    );
    let both = format!("{secret}---\n{source}");
    let headers = [("content-type", "application/yaml")];
    let applied = server.client().call("POST", &format!("{BASE}/apply"), &headers, both.as_bytes()).await;
    assert!(applied.is_ok_and(|answer| answer.status == 200), "the source is not taken");
    reached(&server, "state", |value| value == "running").await;
    put_paused(&server, "pause").await;
    for first in (0..rows).step_by(AT_ONCE as usize) {
        let row = |n: u64| format!("(NOW(3), {n}.25, 'customer {}', REPEAT('x', 64))", n % 1000);
        let values: Vec<String> = (first..(first + AT_ONCE).min(rows)).map(row).collect();
        let values = values.join(", ");
        query(&mut conn, &format!("INSERT INTO {database}.t (at, total, customer, note) VALUES {values}"))
            .await;
    }
    let before = Reading::take(&server, &options.dir).await;
    put_paused(&server, "resume").await;
    reached(&server, "eventsAccepted", |value| value.as_u64() >= Some(rows)).await;
    let after = Reading::take(&server, &options.dir).await;
    print(&format!("B1 binlog {name}"), (rows, "row"), &mut [], &before, &after);
    query(&mut conn, &format!("DROP DATABASE {database}")).await;
}

pub(super) async fn connect(address: &str) -> Conn {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "3306"));
    let options = OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port.parse().unwrap_or(3306))
        .user(Some("root"))
        .prefer_socket(false);
    Conn::new(options).await.unwrap_or_else(|why| panic!("connect to {address}: {why}"))
}

pub(super) async fn query(conn: &mut Conn, statement: &str) {
    if let Err(why) = conn.query_drop(statement).await {
        panic!("{}: {why}", statement.chars().take(80).collect::<String>());
    }
}

async fn put_paused(server: &Server, verb: &str) {
    let path = format!("{BASE}/sources/rows/{verb}");
    let answer = server.client().call("POST", &path, &[], b"").await;
    assert!(answer.is_ok_and(|answer| answer.status == 200), "{verb} is not taken");
}

/// Waits until a member of the source's status is as wanted.
async fn reached(server: &Server, member: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
    let (began, mut client) = (Instant::now(), server.client());
    loop {
        let status = client.get(&format!("{BASE}/sources/rows")).await;
        if status.is_ok_and(|(_, body)| wanted(&body["status"][member])) {
            return;
        }
        assert!(began.elapsed() < Duration::from_mins(10), "{member} is not reached");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
