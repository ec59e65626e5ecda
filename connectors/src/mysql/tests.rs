//! The MySQL source against real servers: MariaDB named by `TIDEMILL_TEST_MARIADB=host:port`, MySQL 8 by
//! `TIDEMILL_TEST_MYSQL=host:port`; root has no password there. Every test runs on both.

mod gaps;
mod log;
mod odd;
mod snapshots;
mod types;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use mysql_async::prelude::Queryable;
use tidemill_dsl::event::Data;
use tidemill_dsl::manifest::TablePattern;
use tidemill_dsl::value::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::auth::Secret;
use crate::testing::{Board, Recorder, context, now, until};

/// The variables that name the servers.
const SERVERS: [&str; 2] = ["TIDEMILL_TEST_MARIADB", "TIDEMILL_TEST_MYSQL"];

static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// A database of its own on one of the servers.
struct Bench {
    address: String,
    database: String,
    conn: Conn,
    ingress: Arc<Recorder>,
    health: Arc<Board>,
    is_mariadb: bool,
}

/// A source that runs.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), SourceError>>,
}

impl Running {
    async fn end(self) -> Result<(), SourceError> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

/// The benches on the servers that are there; those that are not are told.
async fn benches(test: &str) -> Vec<Bench> {
    let mut found = Vec::new();
    for variable in SERVERS {
        match std::env::var(variable).ok().filter(|address| !address.is_empty()) {
            Some(address) => found.push(Bench::new(&address, variable == SERVERS[0]).await),
            None => {
                assert!(std::env::var_os("CI").is_none(), "{variable}=host:port is not set");
                eprintln!("SKIPPED {variable}: {test}");
            }
        }
    }
    found
}

impl Bench {
    async fn new(address: &str, is_mariadb: bool) -> Bench {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let database = format!("t{}_{}_{number}", std::process::id(), now().0);
        let mut conn = server::connect(&place(address, "root", "")).await.unwrap();
        conn.query_drop(format!("CREATE DATABASE {database} CHARACTER SET utf8mb4")).await.unwrap();
        conn.query_drop(format!("USE {database}")).await.unwrap();
        let (ingress, health) = (Recorder::new(), Board::new());
        Bench { address: address.to_owned(), database, conn, ingress, health, is_mariadb }
    }

    async fn run_sql(&mut self, statements: &[&str]) {
        for statement in statements {
            self.conn.query_drop(*statement).await.unwrap_or_else(|why| panic!("{statement}: {why}"));
        }
    }

    /// A second connection in the same database.
    async fn second(&self) -> Conn {
        let mut conn = server::connect(&place(&self.address, "root", "")).await.unwrap();
        conn.query_drop(format!("USE {}", self.database)).await.unwrap();
        conn
    }

    /// One table of the database, or all.
    fn tables(&self, table: Option<&str>) -> TablePattern {
        TablePattern { database: self.database.as_str().into(), table: table.map(Into::into) }
    }

    fn spec(&self) -> Spec {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Spec {
            place: place(&self.address, "root", ""),
            mapping: Mapping { authority: "db:3306".into(), ..Mapping::default() },
            tables: TableFilter { include: vec![self.tables(None)], exclude: Vec::new() },
            operations: Operations::ALL,
            snapshot: false,
            on_gap: OnGap::Stop,
            server_id: 0x4000_0000 + (std::process::id() % 0x1_0000) * 1000 + number,
            heartbeat: Duration::from_secs(1),
        }
    }

    fn run(&self, spec: Spec) -> Running {
        let context = context(&self.ingress, &self.health, "rows");
        let stop = context.stop.clone();
        Running { stop, task: tokio::spawn(Box::new(Mysql(spec)).run(context)) }
    }

    /// Runs and waits until it reads.
    async fn start(&self, spec: Spec) -> Running {
        let running = self.run(spec);
        until("the source runs", || self.health.state() == "running" || running.task.is_finished()).await;
        running
    }

    async fn count(&self, events: usize) {
        until(&format!("{events} events on {}", self.address), || self.ingress.count() >= events).await;
        assert_eq!(self.ingress.count(), events);
    }

    /// The events' types without their common head.
    fn kinds(&self) -> Vec<String> {
        let events = self.ingress.events();
        events.iter().map(|event| event.kind.rsplit('.').next().unwrap().to_owned()).collect()
    }

    fn data(&self) -> Vec<Value> {
        self.ingress.events().iter().map(data).collect()
    }

    fn position(&self) -> Position {
        Position::parse(&self.ingress.position(BINLOG).unwrap()).unwrap()
    }
}

fn data(event: &Event) -> Value {
    match &event.data {
        Data::Json(data) => data.clone(),
        other => panic!("{other:?}"),
    }
}

fn place(address: &str, username: &str, password: &str) -> Place {
    let (host, port) = address.rsplit_once(':').unwrap();
    Place {
        host: host.into(),
        port: port.parse().unwrap(),
        username: username.into(),
        password: Secret(password.into()),
        tls: None,
    }
}

/// What events say a table holds, by key, whatever was told more than once.
fn replayed(events: &[Event]) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for event in events {
        let data = data(event);
        let key = |row: &Value| row.get("id").unwrap().to_string();
        match (data.get("before").unwrap(), data.get("after").unwrap()) {
            (before, Value::Null) => {
                rows.remove(&key(before));
            }
            (before, after) => {
                if !before.is_null() {
                    rows.remove(&key(before));
                }
                rows.insert(key(after), after.to_string());
            }
        }
    }
    rows
}
