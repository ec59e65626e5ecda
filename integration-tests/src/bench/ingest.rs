//! I1 ingest: CloudEvents over HTTP, single and in batches of 100, durable before 202.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Options;
use super::figures::{Reading, print};
use crate::http::{Client, request};
use crate::server::Server;

const PATH: &str = "/v1/namespaces/default/events";

/// Both forms.
pub(super) async fn run(options: &Options) {
    for (batch, connections) in [(1, 256), (100, 32)] {
        let dir = options.dir.join("i1");
        let _ = std::fs::remove_dir_all(&dir);
        let server = Server::start(&dir, &[]).await;
        flood(server.address, batch, connections, Duration::from_secs(2), "warm").await;
        let before = Reading::take(&server, &options.dir).await;
        let (events, mut latencies) =
            flood(server.address, batch, connections, options.round(), "round").await;
        let after = Reading::take(&server, &options.dir).await;
        let name = format!("I1 batches of {batch}, C={connections}");
        print(&name, (events, "event"), &mut latencies, &before, &after);
    }
}

async fn flood(
    address: SocketAddr,
    batch: u64,
    connections: usize,
    length: Duration,
    round: &'static str,
) -> (u64, Vec<Duration>) {
    let over = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (over, number) = (over.clone(), number.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = Client::new(address);
            let mut own = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let first = number.fetch_add(batch, Ordering::Relaxed);
                let bytes = offer(round, first, batch);
                let began = Instant::now();
                match client.send(&bytes).await {
                    Ok(a) if a.status == 202 => own.push(began.elapsed()),
                    Ok(a) => panic!("{} {}", a.status, String::from_utf8_lossy(&a.body)),
                    Err(e) => panic!("{e}"),
                }
            }
            own
        }));
    }
    tokio::time::sleep(length).await;
    over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap_or_default());
    }
    (latencies.len() as u64 * batch, latencies)
}

fn offer(round: &str, first: u64, batch: u64) -> Vec<u8> {
    let one = |n: u64| {
        format!(
            r#"{{"specversion":"1.0","id":"{round}-{n}","source":"/bench","type":"bench.event","subject":"s{}","data":{{"n":{n},"text":"{}"}}}}"#,
            n % 100,
            "x".repeat(64)
        )
    };
    if batch == 1 {
        return request(
            "POST",
            PATH,
            &[("content-type", "application/cloudevents+json")],
            one(first).as_bytes(),
        );
    }
    let all: Vec<String> = (first..first + batch).map(one).collect();
    let body = format!("[{}]", all.join(","));
    request("POST", PATH, &[("content-type", "application/cloudevents-batch+json")], body.as_bytes())
}
