//! The hall over the memory store: an event and a start walk door to door.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy sees only functions marked as tests"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tidemill::apply;
use tidemill::clock::Clock;
use tidemill::config::Config;
use tidemill::hall::Hall;
use tidemill::ingress::Offer;
use tidemill::operations::{self, StartRequest};
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Ended, Status};
use tidemill_store::sqlite::Options;
use tidemill_store::{DeadQuery, ExecutionQuery, MemoryStore, Read, SqliteStore, Store};

const SET: &str = r"
kind: Function
metadata: {name: noop}
spec: {builtin: echo}
---
document: {dsl: '1.0.3', namespace: default, name: ten, version: '1.0.0'}
do:
  - a: {call: 'noop:1@default'}
  - b: {call: 'noop:1@default'}
  - c: {call: 'noop:1@default'}
  - d: {call: 'noop:1@default'}
  - e: {call: 'noop:1@default'}
  - f: {call: 'noop:1@default'}
  - g: {call: 'noop:1@default'}
  - h: {call: 'noop:1@default'}
  - i: {call: 'noop:1@default'}
  - j: {call: 'noop:1@default'}
---
document: {dsl: '1.0.3', namespace: default, name: fired, version: '1.0.0'}
do:
  - one: {call: 'noop:1@default'}
---
document: {dsl: '1.0.3', namespace: default, name: pure, version: '1.0.0'}
do:
  - count: {for: {each: n, in: '${ [range(100)] }'}, do: [{add: {set: '${ $n }'}}]}
---
document: {dsl: '1.0.3', namespace: default, name: echoing, version: '1.0.0'}
do:
  - tell: {emit: {event: {with: {type: own, data: 5}}}}
  - hear: {listen: {to: {one: {with: {type: own}}}}}
---
document: {dsl: '1.0.3', namespace: default, name: broken, version: '1.0.0'}
do:
  - one: {raise: {error: {type: https://example.com/broken, status: 400, title: Broken}}}
---
kind: Trigger
metadata: {name: direct}
spec: {filters: [{exact: {type: direct}}], target: {workflow: fired}, input: '${ .data }'}
---
kind: Trigger
metadata: {name: shaved}
spec:
  filters: [{exact: {type: shaved}}]
  target: {workflow: fired}
  buffer: {rate: 1000/s, concurrency: 2, orderBy: '${ .subject }'}
---
kind: Trigger
metadata: {name: bad}
spec: {filters: [{exact: {type: bad}}], target: {workflow: broken}}
";

async fn prepared(store: Arc<dyn Store>, dir: &Path) -> Hall {
    prepared_at(store, dir, tidemill::clock::system()).await
}

async fn prepared_at(store: Arc<dyn Store>, dir: &Path, clock: Clock) -> Hall {
    let config = Config::new(dir.to_owned());
    let hall = Hall::open(&config, store, clock).await.unwrap();
    let namespace = "default".into();
    let request =
        apply::Request { namespace: &namespace, text: SET, dry_run: false, expected: None, matching: None };
    let outcome = apply::apply(&hall.rooms, request).await.unwrap();
    assert_eq!(outcome.results.len(), 9);
    hall
}

fn start(workflow: &str, input: Value) -> StartRequest {
    StartRequest {
        namespace: "default".into(),
        workflow: workflow.into(),
        version: None,
        input,
        tags: vec![],
        key: None,
        wait: Some(Duration::from_secs(20)),
    }
}

/// Runs one workflow; gives its output and the transitions it took.
async fn check_transitions(workflow: &str, input: Value, output: Value, transitions: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let hall = prepared(store.clone(), dir.path()).await;
    let before = store.counters().transitions;
    let view = operations::start(&hall.rooms, start(workflow, input)).await.unwrap();
    assert_eq!(view.result, Some(Ended::Completed(output)), "{workflow}");
    assert_eq!(store.counters().transitions - before, transitions, "{workflow}");
    hall.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_calls_are_eleven_transitions_and_a_hundred_pure_tasks_are_one() {
    check_transitions("ten", Value::from(7), Value::from(7), 11).await;
    check_transitions("pure", Value::Null, Value::from(99), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_hears_what_it_emits_in_its_first_millisecond() {
    let dir = tempfile::tempdir().unwrap();
    let still: Clock = Arc::new(|| Time(1_764_000_000_000));
    let hall = prepared_at(Arc::new(MemoryStore::new()), dir.path(), still).await;
    let view = operations::start(&hall.rooms, start("echoing", Value::Null)).await.unwrap();
    assert_eq!(view.result, Some(Ended::Completed(Value::array([Value::from(5)]))));
    hall.stop().await;
}

fn event(id: u32, kind: &str) -> Event {
    let text = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"{kind}","subject":"s{}","data":{{"n":{id}}}}}"#,
        id % 3
    );
    Event::parse(text.as_bytes()).unwrap()
}

fn offer(events: Vec<Event>) -> Offer {
    Offer {
        namespace: "default".into(),
        binding: "".into(),
        events,
        checkpoints: vec![],
        marks: vec![],
        placed: Vec::new(),
        patient: true,
    }
}

/// Executions that have completed.
fn completed(store: &dyn Store) -> usize {
    let query = ExecutionQuery {
        namespace: "default".into(),
        status: vec![Status::Completed],
        limit: 1000,
        ..ExecutionQuery::default()
    };
    store.executions(&query).unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_offered_begins_although_nobody_waits_for_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(dir.path().join("t.db"), Options::default()).unwrap());
    let hall = prepared(store.clone(), dir.path()).await;
    for n in 0..40 {
        // Asked once and dropped, as the request of a caller is who hangs up.
        let events = vec![event(n, if n % 2 == 0 { "direct" } else { "shaved" })];
        let _ = hall.rooms.ingress.accept(&hall.rooms, offer(events)).now_or_never();
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while completed(&*store) != 40 {
        assert!(tokio::time::Instant::now() < deadline, "{}", completed(&*store));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hall.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_start_executions_with_and_without_a_buffer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let hall = prepared(store.clone(), dir.path()).await;
    let mut events: Vec<Event> =
        (0..40).map(|n| event(n, if n % 2 == 0 { "direct" } else { "shaved" })).collect();
    events.push(event(0, "direct"));
    events.push(event(99, "bad"));
    let receipts = hall.rooms.ingress.accept(&hall.rooms, offer(events)).await.unwrap();
    assert_eq!(receipts.iter().filter(|r| r.duplicate).count(), 1);
    let reached = || {
        let dead = DeadQuery { namespace: "default".into(), limit: 10, ..DeadQuery::default() };
        (completed(&*store), store.dead_letters(&dead).unwrap().len())
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while reached() != (40, 1) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", reached());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hall.stop().await;
}
