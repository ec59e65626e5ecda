//! Calls as a user meets them: real processes, real sockets, a real HTTP server.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy sees only functions marked as tests"
)]

mod http;
mod one_shot;
mod plain;
mod pool;
mod programs;
mod resident;
mod sink;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::order::{Call, Masks, Order, Outcome};
use tidemill_dsl::value::Value;
use tidemill_workers::secret::SecretSource;
use tokio_util::sync::CancellationToken;

/// JSON text as a value.
fn json(text: &str) -> Value {
    Value::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// An order of one visit that calls the function `f`.
fn order(visit: u32, input: Value) -> Order {
    Order {
        namespace: "default".into(),
        execution: ExecutionId::new(Time(1_764_000_000_000), [7; 10]),
        visit,
        attempt: 1,
        key: u64::from(visit),
        task: "/do/0/a".into(),
        deadline: None,
        what: Call::Function { name: "f".into(), version: "latest".into(), input },
        masks: Masks::default(),
    }
}

fn done(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Done(value) => value,
        other => panic!("not done: {other:?}"),
    }
}

fn fault(outcome: Outcome) -> Fault {
    match outcome {
        Outcome::Failed(fault) => fault,
        other => panic!("not failed: {other:?}"),
    }
}

fn secrets() -> Arc<dyn SecretSource> {
    let all = [("token", json("\"s3cret-token\"")), ("pair", json(r#"{"username":"ann","password":"pw"}"#))];
    Arc::new(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

/// Waits until a condition holds; fails after ten seconds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waiting).await.is_ok(), "not within 10 s: {what}");
}

/// Whether a process is there and not a zombie.
fn is_alive(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

async fn grandchild(folder: &std::path::Path) -> i64 {
    let path = folder.join("pid");
    eventually("the grandchild is started", || path.exists()).await;
    let pid = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
    assert!(is_alive(pid));
    pid
}

/// Cuts a call off once its program has a grandchild: the call fails, and the grandchild is killed.
async fn cut_off(calling: impl Future<Output = Outcome>, stop: &CancellationToken, folder: &std::path::Path) {
    let watching = async {
        let pid = grandchild(folder).await;
        stop.cancel();
        pid
    };
    let (outcome, pid) = tokio::join!(calling, watching);
    assert!(matches!(outcome, Outcome::Failed(_)));
    eventually("the grandchild is killed", || !is_alive(pid)).await;
}
