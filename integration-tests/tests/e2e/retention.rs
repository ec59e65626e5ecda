//! Retention under load and kills: what is younger than the retention stays, what has not ended stays, the rest goes,
//! and the file does not grow with all that ever ran.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidemill_integration_tests::http::Client;
use tidemill_integration_tests::server::Server;

use crate::support::{BASE, all, apply, folder, get, start, until};

const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: short, version: '1.0.0'}
do:
  - first: {set: {pad: '${ .pad }'}}
  - pause: {wait: {milliseconds: 50}}
  - last: {set: {done: true}}
---
document: {dsl: '1.0.3', namespace: default, name: long, version: '1.0.0'}
do:
  - pause: {wait: {minutes: 10}}
";
/// How long ended executions are kept here.
const KEPT: Duration = Duration::from_secs(3);
/// Executions that run to the end in all.
const TOTAL: usize = 6000;

#[derive(Default)]
struct Load {
    over: AtomicBool,
    number: AtomicU64,
    /// Acknowledged executions and when they were acknowledged.
    begun: Mutex<BTreeMap<String, Instant>>,
    judged: AtomicU64,
}

async fn work(load: Arc<Load>, address: std::net::SocketAddr) {
    let mut client = Client::new(address);
    let input = format!(r#"{{"pad":"{}"}}"#, "x".repeat(4000));
    while !load.over.load(Ordering::Relaxed) {
        let key = format!("k{}", load.number.fetch_add(1, Ordering::Relaxed));
        match start(&mut client, "short", &key, &input).await {
            Ok(answer) if answer.status == 202 => {
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                load.begun.lock().unwrap().insert(id, Instant::now());
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Reads executions that cannot be beyond retention: each must be there.
async fn judge(load: Arc<Load>, address: std::net::SocketAddr) {
    let mut client = Client::new(address);
    let mut n = 0usize;
    while !load.over.load(Ordering::Relaxed) {
        n += 7;
        let chosen = {
            let begun = load.begun.lock().unwrap();
            let young = begun.iter().filter(|(_, at)| at.elapsed() < KEPT);
            let young: Vec<_> = young.map(|(id, at)| (id.clone(), *at)).collect();
            young.get(n % young.len().max(1)).cloned()
        };
        if let Some((id, at)) = chosen {
            let answer = client.get(&format!("{BASE}/executions/{id}/history")).await;
            // The answer may have come late: only a young one must be there.
            if let Ok((status, body)) = answer
                && at.elapsed() < KEPT
            {
                assert_eq!(status, 200, "{id} is gone {:?} after its start: {body}", at.elapsed());
                load.judged.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn file_size(server: &Server) -> u64 {
    server.dir.join("tidemill.db").metadata().map_or(0, |m| m.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_retention_under_kills() {
    let folder = folder();
    let kept = format!("{}s", KEPT.as_secs());
    let settings = [("TIDEMILL_RETENTION__EXECUTIONS", &*kept), ("TIDEMILL_RETENTION__EVERY", "1s")];
    let mut server = Server::start(folder.path(), &settings).await;
    apply(&server, SET).await;
    let long = start(&mut server.client(), "long", "long", "{}").await.unwrap().json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let load = Arc::new(Load::default());
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(work(load.clone(), server.address))).collect();
    let judges: Vec<_> = (0..2).map(|_| tokio::spawn(judge(load.clone(), server.address))).collect();
    let count = || load.begun.lock().unwrap().len();
    let mut largest = 0;
    for round in 1..=6 {
        let next = round * TOTAL / 6;
        until("load is acknowledged", Duration::from_mins(2), async || count() >= next).await;
        largest = largest.max(file_size(&server));
        // Removal runs every second of this load; the kill falls where it falls.
        server.kill();
        server.restart().await;
    }
    load.over.store(true, Ordering::Relaxed);
    for task in tasks.into_iter().chain(judges) {
        task.await.unwrap();
    }
    let judged = load.judged.load(Ordering::Relaxed);
    assert!(judged > 200, "too few reads to prove anything: {judged}");

    until("what ended is removed", Duration::from_mins(1), async || {
        all(&server, "/executions", "").await.len() == 1
    })
    .await;
    assert_eq!(get(&server, &format!("/executions/{long}")).await["status"], "waiting");
    // The file gives its pages back while it runs.
    until("the file shrinks", Duration::from_mins(1), async || file_size(&server) < largest.max(8 << 20) / 2)
        .await;
    eprintln!(
        "{} executions, largest file {} KiB, now {} KiB",
        count(),
        largest >> 10,
        file_size(&server) >> 10
    );
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    let size = file_size(&server);
    assert!(size < 4 << 20, "{size} bytes for one execution");
    server.restart().await;
    assert_eq!(get(&server, &format!("/executions/{long}")).await["status"], "waiting");
}
