//! I1 ingest: CloudEvents over HTTP, single and in batches of 100, durable before 202.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Options;
use super::figures::{Reading, print};
use super::load::closed_loop;
use crate::http::request;
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
    let number = Arc::new(AtomicU64::new(0));
    let next = move || offer(round, number.fetch_add(batch, Ordering::Relaxed), batch);
    let latencies = closed_loop(address, connections, length, 202, next).await;
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
