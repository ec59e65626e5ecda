//! MySQL and MariaDB at full size, over SIGKILL: one transaction of very many rows, a table that is read while others
//! write, events counted by their ids. Each has a small size that always runs and a full one that is asked for:
//! `cargo nextest run --workspace --run-ignored only -E 'binary(e2e) and test(at_full_size)'`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tidemill_integration_tests::probe;
use tidemill_integration_tests::server::Server;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::mysql_server::{Database, Kind, connect, run, shared};
use crate::support::{apply, folder, get, until};

const LONG: Duration = Duration::from_hours(1);

/// A source of the rows of `database.t`, and nobody who takes its events.
fn source(address: SocketAddr, database: &str, more: &str) -> String {
    format!(
        r"
kind: Secret
metadata: {{name: login}}
spec: {{value: {{username: root, password: ''}}}}
---
kind: Source
metadata: {{name: rows}}
spec:
  mysql: {{url: 'mysql://{address}', credentials: {{secret: login}}, tables: ['{database}.t'], heartbeat: 1s{more}}}
"
    )
}

async fn database(address: SocketAddr, name: &str, columns: &str) -> String {
    let at = jiff::Timestamp::now().as_millisecond();
    let database = format!("large_{name}_{}_{at}", std::process::id());
    run(address, &[format!("CREATE DATABASE {database}"), format!("CREATE TABLE {database}.t ({columns})")])
        .await;
    database
}

async fn status(server: &Server) -> Value {
    get(server, "/sources/rows").await["status"].clone()
}

async fn runs(server: &Server) {
    until("the source runs", LONG, async || status(server).await["state"] == "running").await;
}

async fn position(server: &Server, partition: &str) -> String {
    status(server).await["position"][partition].as_str().unwrap_or_default().to_owned()
}

/// Every stored event, the newest first.
async fn each(server: &Server, mut take: impl FnMut(&Value)) {
    let mut token = String::new();
    loop {
        let page = get(server, &format!("/events?pageSize=1000{token}")).await;
        page["items"].as_array().unwrap().iter().for_each(|item| take(&item["event"]));
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&pageToken={next}"),
            None => return,
        }
    }
}

/// Each of the numbers in `column` is told by exactly one event, and no two events share an id.
async fn check_numbers(server: &Server, column: &str, count: usize) {
    let (mut seen, mut ids, hasher) = (vec![0_u8; count], HashSet::new(), RandomState::new());
    each(server, |event| {
        let number = event["data"]["after"][column].as_u64().unwrap() as usize;
        seen[number] += 1;
        ids.insert(hasher.hash_one(event["id"].as_str().unwrap()));
    })
    .await;
    let other = seen.iter().enumerate().find(|(_, times)| **times != 1);
    assert_eq!(other, None, "a row and how often it is told");
    assert_eq!(ids.len(), count, "events share an id");
}

/// Kills it, starts it again; gives the most memory that it had.
async fn kill(server: &mut Server) -> u64 {
    let peak = probe::peak(server.pid());
    server.kill();
    server.restart().await;
    peak
}

/// Inserts the numbers below `rows`, in one transaction.
async fn fill(address: SocketAddr, database: &str, rows: usize, session: &str) {
    let thousand: Vec<String> = (0..1000).map(|n| format!("({n})")).collect();
    let number = "a.n * 1000000 + b.n * 1000 + c.n";
    let of = format!("{database}.d a, {database}.d b, {database}.d c");
    run(
        address,
        &[
            format!("CREATE TABLE {database}.d (n INT PRIMARY KEY)"),
            format!("INSERT INTO {database}.d VALUES {}", thousand.join(", ")),
            session.to_owned(),
            format!(
                "INSERT INTO {database}.t SELECT {number} FROM {of} WHERE {number} < {rows} \
                 AND a.n <= {rows} DIV 1000000"
            ),
        ],
    )
    .await;
}

/// One transaction, with kills within it; the transaction is resumed where it was left, in bounded memory.
async fn a_large_transaction(kind: Kind, rows: usize, session: &str) {
    const KILLS: usize = 3;
    const MEMORY: u64 = 200 << 20;
    let Some(address) = shared(kind, "a large transaction") else { return };
    let database = database(address, "transaction", "n INT PRIMARY KEY").await;
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, &source(address, &database, "")).await;
    runs(&server).await;
    let began = Instant::now();
    fill(address, &database, rows, session).await;
    eprintln!("{kind:?}: {rows} rows in one transaction after {:.1} s", began.elapsed().as_secs_f64());
    let (began, mut peak) = (Instant::now(), 0);
    for _ in 0..KILLS {
        until("rows are taken", LONG, async || {
            status(&server).await["eventsAccepted"].as_u64() >= Some((rows / (KILLS + 1)) as u64)
        })
        .await;
        let within = position(&server, "binlog").await;
        assert!(within.contains(r#""in":"#), "it is not within the transaction: {within}");
        peak = peak.max(kill(&mut server).await);
    }
    until("the transaction is read", LONG, async || {
        let position = position(&server, "binlog").await;
        !position.is_empty() && !position.contains(r#""in":"#)
    })
    .await;
    peak = peak.max(probe::peak(server.pid()));
    eprintln!(
        "{kind:?}: {rows} rows read in {:.1} s over {KILLS} kills, at most {} MiB",
        began.elapsed().as_secs_f64(),
        peak >> 20
    );
    let status = status(&server).await;
    assert_eq!((&status["duplicates"], &status["errors"]), (&0.into(), &0.into()), "{status}");
    check_numbers(&server, "n", rows).await;
    assert!(peak < MEMORY, "{peak} bytes were resident");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    run(address, &[format!("DROP DATABASE {database}")]).await;
}

const FEW: usize = 12_000;
const MANY: usize = 5_000_000;
const COMPRESSED: &str = "SET SESSION binlog_transaction_compression = ON";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_large_transaction() {
    for (kind, session) in [(Kind::Mariadb, "DO 1"), (Kind::Mysql, "DO 1"), (Kind::Mysql, COMPRESSED)] {
        a_large_transaction(kind, FEW, session).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour and 6 GB of disk"]
async fn heavy_mariadb_a_transaction_at_full_size() {
    a_large_transaction(Kind::Mariadb, MANY, "DO 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour and 6 GB of disk"]
async fn heavy_mysql_a_transaction_at_full_size() {
    a_large_transaction(Kind::Mysql, MANY, "DO 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and 3 GB of disk"]
async fn heavy_mysql_a_compressed_transaction_at_full_size() {
    a_large_transaction(Kind::Mysql, MANY / 2, COMPRESSED).await;
}

/// Writes until it is stopped: inserts, updates, deletes, changes of keys and replacements.
async fn write(mut conn: Conn, rows: usize, stop: CancellationToken) -> usize {
    let mut step = 0_usize;
    while !stop.is_cancelled() {
        let at = step * 7919 % (rows * 3);
        let statement = match step % 5 {
            0 => format!("UPDATE t SET n = n + 1 WHERE id BETWEEN {at} AND {at} + 9"),
            1 => format!("INSERT INTO t VALUES ({at} + 1, -1) ON DUPLICATE KEY UPDATE n = n - 1"),
            2 => format!("DELETE FROM t WHERE id = {at} - {at} % 3"),
            3 => format!("UPDATE IGNORE t SET id = {} WHERE id = {at} - {at} % 3", rows * 3 + step),
            _ => format!("REPLACE INTO t VALUES ({at}, -2)"),
        };
        conn.query_drop(statement).await.unwrap();
        step += 1;
    }
    step
}

async fn writers(
    address: SocketAddr,
    database: &str,
    rows: usize,
) -> (CancellationToken, Vec<JoinHandle<usize>>) {
    let (stop, mut tasks) = (CancellationToken::new(), Vec::new());
    for _ in 0..2 {
        let mut conn = connect(address).await.unwrap();
        conn.query_drop(format!("USE {database}")).await.unwrap();
        tasks.push(tokio::spawn(write(conn, rows, stop.clone())));
    }
    (stop, tasks)
}

/// What the last event of each key says.
async fn replayed(server: &Server) -> (usize, BTreeMap<i64, i64>) {
    let (mut rows, mut events) = (HashMap::<i64, Option<i64>>::new(), 0);
    each(server, |event| {
        events += 1;
        let (before, after) = (&event["data"]["before"], &event["data"]["after"]);
        if let Some(id) = after["id"].as_i64() {
            rows.entry(id).or_insert_with(|| after["n"].as_i64());
        }
        if let Some(id) = before["id"].as_i64() {
            rows.entry(id).or_insert(None);
        }
    })
    .await;
    (events, rows.into_iter().filter_map(|(id, n)| Some((id, n?))).collect())
}

/// A table is read while others write; what was told last is what there is.
async fn a_table_beside_writers(kind: Kind, rows: usize, kills: usize) {
    let Some(address) = shared(kind, "a table beside writers") else { return };
    let database = database(address, "table", "id INT PRIMARY KEY, n INT NOT NULL").await;
    let all: Vec<String> = (0..rows).map(|n| format!("({}, {n})", n * 3)).collect();
    for part in all.chunks(5000) {
        run(address, &[format!("INSERT INTO {database}.t VALUES {}", part.join(", "))]).await;
    }
    let (stop, tasks) = writers(address, &database, rows).await;
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    let began = Instant::now();
    apply(&server, &source(address, &database, ", snapshot: initial")).await;
    let mut peak = 0;
    for _ in 0..kills {
        until("rows are read", LONG, async || {
            status(&server).await["eventsAccepted"].as_u64() >= Some((rows / (kills + 2)) as u64)
        })
        .await;
        assert!(
            !position(&server, "snapshot").await.contains(r#""left":[]"#),
            "the snapshot is over already"
        );
        peak = peak.max(kill(&mut server).await);
    }
    until("the snapshot is whole", LONG, async || {
        position(&server, "snapshot").await.contains(r#""left":[]"#)
    })
    .await;
    stop.cancel();
    let mut statements = 0;
    for task in tasks {
        statements += task.await.unwrap();
    }
    // The last of all is told by the log.
    run(address, &[format!("INSERT INTO {database}.t VALUES (-7, 0)")]).await;
    until("all is read", LONG, async || {
        let page = get(&server, "/events?pageSize=1").await;
        page["items"][0]["event"]["data"]["after"]["id"] == -7
    })
    .await;
    peak = peak.max(probe::peak(server.pid()));
    let read = began.elapsed().as_secs_f64();
    let (events, told) = replayed(&server).await;
    let mut conn = connect(address).await.unwrap();
    let there: Vec<(i64, i64)> = conn.query(format!("SELECT id, n FROM {database}.t")).await.unwrap();
    eprintln!(
        "{kind:?}: {} rows, {events} events, {statements} statements in {read:.1} s over {kills} kills, at most {} MiB",
        there.len(),
        peak >> 20
    );
    let there: BTreeMap<i64, i64> = there.into_iter().collect();
    let differ: Vec<_> = there.iter().filter(|(id, n)| told.get(*id) != Some(*n)).take(5).collect();
    assert!(differ.is_empty(), "told otherwise: {differ:?}");
    assert_eq!(told.len(), there.len());
    assert_eq!(status(&server).await["errors"], 0);
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    run(address, &[format!("DROP DATABASE {database}")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_table_beside_writers() {
    for kind in [Kind::Mariadb, Kind::Mysql] {
        a_table_beside_writers(kind, 10_000, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and 3 GB of disk"]
async fn heavy_mariadb_a_table_at_full_size() {
    a_table_beside_writers(Kind::Mariadb, 1_000_000, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and 3 GB of disk"]
async fn heavy_mysql_a_table_at_full_size() {
    a_table_beside_writers(Kind::Mysql, 1_000_000, 6).await;
}

/// Inserts a row, again until the server says so; it may have it already.
async fn insert(address: SocketAddr, numbers: std::ops::Range<usize>) {
    let mut conn = None;
    for first in numbers.clone().step_by(10) {
        let rows: Vec<String> = (first..(first + 10).min(numbers.end)).map(|n| format!("({n})")).collect();
        let statement = format!("INSERT IGNORE INTO d.t VALUES {}", rows.join(", "));
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_mins(2), "the server does not come back");
            if conn.is_none() {
                conn = connect(address).await;
            }
            let done = match &mut conn {
                Some(open) => open.query_drop(&statement).await.is_ok(),
                None => false,
            };
            if done {
                break;
            }
            conn = None;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Both sides are killed in turn while rows are written; each row is one event.
async fn events_over_kills_of_both(kind: Kind, count: usize, kills: usize) {
    let Some(mut database) = Database::new(kind, "events over kills of both") else { return };
    database.start().await;
    let address = database.address;
    run(address, &["CREATE DATABASE d".into(), "CREATE TABLE d.t (n INT PRIMARY KEY)".into()]).await;
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, &source(address, "d", "")).await;
    runs(&server).await;
    let writing = tokio::spawn(insert(address, 0..count));
    let began = Instant::now();
    for round in 0..kills {
        let part = count / (kills + 1) / 2;
        for killed in ["tidemill", "the database"] {
            let from = status(&server).await["eventsAccepted"].as_u64().unwrap();
            let what = format!("rows are read before {killed} is killed in round {round}");
            until(&what, LONG, async || {
                status(&server).await["eventsAccepted"].as_u64() >= Some(from + part as u64)
            })
            .await;
            if killed == "tidemill" {
                kill(&mut server).await;
            } else {
                database.kill();
                database.start().await;
            }
        }
    }
    writing.await.unwrap();
    until("all is read", LONG, async || {
        let page = get(&server, "/events?pageSize=1").await;
        page["items"][0]["event"]["data"]["after"]["n"] == count - 1
    })
    .await;
    eprintln!(
        "{kind:?}: {count} events in {:.1} s over {kills} kills of each side",
        began.elapsed().as_secs_f64()
    );
    check_numbers(&server, "n", count).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; heavy_mariadb_each_row_once_over_kills does the same with fewer rows"]
async fn heavy_mariadb_events_at_full_size() {
    events_over_kills_of_both(Kind::Mariadb, 100_000, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; heavy_mysql_each_row_once_over_kills does the same with fewer rows"]
async fn heavy_mysql_events_at_full_size() {
    events_over_kills_of_both(Kind::Mysql, 100_000, 5).await;
}

/// The log is thrown away while the service is dead in the middle of a snapshot.
async fn a_purge_in_mid_snapshot(kind: Kind, rows: usize, on_gap: &str) {
    let Some(mut database) = Database::new(kind, "a purge in mid-snapshot") else { return };
    database.start().await;
    let address = database.address;
    run(address, &["CREATE DATABASE d".into(), "CREATE TABLE d.t (n INT PRIMARY KEY)".into()]).await;
    fill(address, "d", rows, "DO 1").await;
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, &source(address, "d", &format!(", snapshot: initial, onGap: {on_gap}"))).await;
    until("a part is read", LONG, async || {
        status(&server).await["eventsAccepted"].as_u64() >= Some(rows as u64 / 4)
    })
    .await;
    assert!(!position(&server, "snapshot").await.contains(r#""left":[]"#), "the snapshot is over already");
    server.kill();
    let lost =
        ["UPDATE d.t SET n = -1 WHERE n = 0".into(), format!("DELETE FROM d.t WHERE n = {}", rows - 1)];
    run(address, &lost).await;
    run(address, &["FLUSH BINARY LOGS".into(), format!("INSERT INTO d.t VALUES ({rows})")]).await;
    let mut conn = connect(address).await.unwrap();
    let logs: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await.unwrap();
    let last: String = logs.last().unwrap().get(0).unwrap();
    run(address, &[format!("PURGE BINARY LOGS TO '{last}'")]).await;
    server.restart().await;
    if on_gap == "stop" {
        until("it fails", LONG, async || status(&server).await["state"] == "failed").await;
        assert_eq!(status(&server).await["lastError"]["code"], "mysql-gap");
        return;
    }
    until("the snapshot is whole", LONG, async || {
        position(&server, "snapshot").await.contains(r#""left":[]"#)
    })
    .await;
    let (mut told, mut gaps, mut ids) = (HashSet::new(), 0, 0);
    each(&server, |event| match event["data"]["after"]["n"].as_i64() {
        Some(n) => {
            told.insert(n);
            ids += 1;
        }
        None => gaps += usize::from(event["type"] == "mysql.gap"),
    })
    .await;
    // What was read before the gap stays told; what was lost in it is read anew, or told of by the gap.
    let mut expected: HashSet<i64> = (0..rows as i64 - 1).collect();
    expected.insert(rows as i64);
    if on_gap == "snapshot" {
        expected.insert(-1);
    }
    eprintln!("{kind:?}: {} of {rows} rows told by {ids} events, {gaps} gaps, onGap: {on_gap}", told.len());
    let differ: Vec<_> = told.symmetric_difference(&expected).take(5).collect();
    assert!(differ.is_empty(), "told or not told: {differ:?}");
    assert_eq!(gaps, usize::from(on_gap == "skip"));
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; heavy_a_log_purged_during_a_snapshot does the same with fewer rows"]
async fn heavy_a_purge_at_full_size() {
    for kind in [Kind::Mariadb, Kind::Mysql] {
        for on_gap in ["stop", "snapshot", "skip"] {
            a_purge_in_mid_snapshot(kind, 200_000, on_gap).await;
        }
    }
}
