//! SIGKILL under load: nothing acknowledged is lost, nothing is doubled, nothing is stuck, no timer is early.
//!
//! The real binary on a real disk; load from many connections; kills are counted off acknowledgements, so they fall
//! into commits, checkpoints, recovery and retention alike.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy sees only functions marked as tests"
)]

mod kill {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use tidemill_integration_tests::http::Client;
    use tidemill_integration_tests::server::Server;

    const BASE: &str = "/v1/namespaces/default";
    const SET: &str = r"
kind: Function
metadata: {name: noop}
spec: {builtin: echo}
---
document: {dsl: '1.0.3', namespace: default, name: load, version: '1.0.0'}
do:
  - first: {call: 'noop:1@default'}
  - pause: {wait: {milliseconds: 150}}
  - both:
      fork:
        branches:
          - left: {call: 'noop:1@default'}
          - right: {call: 'noop:1@default'}
  - last: {set: {done: true}}
---
document: {dsl: '1.0.3', namespace: default, name: fired, version: '1.0.0'}
do:
  - only: {call: 'noop:1@default'}
---
kind: Trigger
metadata: {name: direct}
spec:
  filters: [{exact: {type: kill.direct}}]
  target: {workflow: fired}
---
kind: Trigger
metadata: {name: shaved}
spec:
  filters: [{exact: {type: kill.shaved}}]
  target: {workflow: fired}
  buffer: {concurrency: 50, capacity: 1000000, orderBy: '${ .subject }'}
";

    #[derive(Default)]
    struct Acknowledged {
        starts: BTreeMap<String, String>,
        direct: BTreeSet<String>,
        shaved: BTreeSet<String>,
    }

    struct Load {
        acknowledged: Mutex<Acknowledged>,
        count: AtomicU64,
        number: AtomicU64,
        over: AtomicBool,
    }

    /// One connection's load: starts and events in turn; what is not acknowledged is sent again under the same key.
    async fn work(load: Arc<Load>, address: SocketAddr) {
        let mut client = Client::new(address);
        while !load.over.load(Ordering::Relaxed) {
            let n = load.number.fetch_add(1, Ordering::Relaxed);
            let key = format!("k{n}");
            while !load.over.load(Ordering::Relaxed) {
                match offer(&mut client, n, &key).await {
                    Ok(id) => {
                        let mut known = load.acknowledged.lock().unwrap();
                        match n % 3 {
                            0 => drop(known.starts.insert(key.clone(), id)),
                            1 => drop(known.direct.insert(key.clone())),
                            _ => drop(known.shaved.insert(key.clone())),
                        }
                        load.count.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    // Dead or busy: the same request again, as a careful client does.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        }
    }

    async fn offer(client: &mut Client, n: u64, key: &str) -> Result<String, String> {
        let answer = if n.is_multiple_of(3) {
            let headers = [("content-type", "application/json"), ("idempotency-key", key)];
            client.call("POST", &format!("{BASE}/workflows/load/executions"), &headers, b"{}").await
        } else {
            let kind = if n % 3 == 1 { "direct" } else { "shaved" };
            let body = format!(
                r#"{{"specversion":"1.0","id":"{key}","source":"/kill","type":"kill.{kind}","subject":"s{}","data":{{"n":{n}}}}}"#,
                n % 7
            );
            let headers = [("content-type", "application/cloudevents+json")];
            client.call("POST", &format!("{BASE}/events"), &headers, body.as_bytes()).await
        };
        let answer = answer.map_err(|e| e.to_string())?;
        if answer.status != 202 {
            return Err(format!("{}", answer.status));
        }
        Ok(answer.json()["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !holds().await {
            assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn all_executions(server: &Server) -> Vec<serde_json::Value> {
        let mut client = server.client();
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let path = format!("{BASE}/executions?pageSize=1000{token}");
            let (status, page) = client.get(&path).await.unwrap();
            assert_eq!(status, 200, "{page}");
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["nextPageToken"].as_str() {
                Some(next) => token = format!("&pageToken={next}"),
                None => return items,
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_acknowledged_is_lost_or_doubled() {
        let dir = tempfile::Builder::new().prefix("kill").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut server = Server::start(dir.path(), &[]).await;
        let headers = [("content-type", "application/yaml")];
        let answer =
            server.client().call("POST", &format!("{BASE}/apply"), &headers, SET.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));

        let load = Arc::new(Load {
            acknowledged: Mutex::default(),
            count: AtomicU64::new(0),
            number: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(work(load.clone(), server.address))).collect();
        let mut slowest = Duration::ZERO;
        for round in 0..24u64 {
            let target = load.count.load(Ordering::Relaxed) + 40 + (round * 97) % 400;
            until("load is acknowledged", Duration::from_mins(1), async || {
                load.count.load(Ordering::Relaxed) >= target
            })
            .await;
            server.kill();
            slowest = slowest.max(server.restart().await);
            if round % 4 == 3 {
                // Again at once: in the middle of taking up what was under way.
                server.kill();
                slowest = slowest.max(server.restart().await);
            }
        }
        load.over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        assert!(slowest < Duration::from_secs(5), "/readyz took {slowest:?} after a kill");

        until("everything ends", Duration::from_mins(2), async || {
            let mut client = server.client();
            for status in ["pending", "running", "waiting"] {
                let path = format!("{BASE}/executions?pageSize=1&status={status}");
                let Ok((200, page)) = client.get(&path).await else {
                    return false;
                };
                if page["items"].as_array().is_none_or(|items| !items.is_empty()) {
                    return false;
                }
            }
            true
        })
        .await;
        check(&server, &load).await;
        assert_eq!(server.terminate(), Some(0), "{}", server.log());
    }

    async fn check(server: &Server, load: &Load) {
        let executions = all_executions(server).await;
        let mut started = BTreeSet::new();
        let mut fired: BTreeMap<(String, String), u32> = BTreeMap::new();
        for execution in &executions {
            assert_eq!(execution["status"], "completed", "{execution}");
            let id = execution["id"].as_str().unwrap().to_owned();
            assert!(started.insert(id), "listed twice: {execution}");
            if let Some(trigger) = execution["trigger"].as_str() {
                let (_, shown) = server
                    .client()
                    .get(&format!("{BASE}/executions/{}", execution["id"].as_str().unwrap()))
                    .await
                    .unwrap();
                let event = shown["event"]["id"].as_str().unwrap().to_owned();
                *fired.entry((trigger.to_owned(), event)).or_default() += 1;
            }
        }
        let known = std::mem::take(&mut *load.acknowledged.lock().unwrap());
        assert!(known.starts.len() > 500, "too little load to prove anything: {}", known.starts.len());
        for (key, id) in &known.starts {
            assert!(started.contains(id), "acknowledged start {key} = {id} is lost");
        }
        let distinct: BTreeSet<&String> = known.starts.values().collect();
        assert_eq!(distinct.len(), known.starts.len(), "one execution was given to two keys");
        for (trigger, keys) in [("direct", &known.direct), ("shaved", &known.shaved)] {
            for key in keys {
                let times = fired.get(&(trigger.to_owned(), key.clone())).copied().unwrap_or(0);
                assert_eq!(times, 1, "event {key} fired {trigger} {times} times");
            }
        }
        assert!(fired.values().all(|n| *n == 1), "an event fired a trigger twice");
        timers(server, &known).await;
    }

    /// Every wait of a sample lasted at least as long as it says; histories are gap-free and end once.
    async fn timers(server: &Server, known: &Acknowledged) {
        let mut client = server.client();
        for id in known.starts.values().step_by(known.starts.len() / 200 + 1) {
            let (_, page) =
                client.get(&format!("{BASE}/executions/{id}/history?pageSize=1000")).await.unwrap();
            let entries = page["items"].as_array().unwrap();
            let mut waited = (None, None);
            for (index, entry) in entries.iter().enumerate() {
                assert_eq!(entry["sequence"].as_u64(), Some(index as u64 + 1), "a gap in {id}: {entry}");
                if entry["task"]["name"] == "pause" {
                    let at: jiff::Timestamp = entry["time"].as_str().unwrap().parse().unwrap();
                    match entry["type"].as_str().unwrap() {
                        "task.started" => waited.0 = Some(at),
                        "task.completed" => waited.1 = Some(at),
                        _ => {}
                    }
                }
            }
            let (Some(from), Some(to)) = waited else { panic!("no wait in the history of {id}") };
            assert!(
                (to - from).get_milliseconds() + (to - from).get_seconds() * 1000 >= 150,
                "a timer was early in {id}"
            );
            let ends = entries.iter().filter(|e| {
                matches!(
                    e["type"].as_str(),
                    Some("workflow.completed" | "workflow.faulted" | "workflow.cancelled")
                )
            });
            assert_eq!(ends.count(), 1, "{id} ended more than once");
        }
    }
}
