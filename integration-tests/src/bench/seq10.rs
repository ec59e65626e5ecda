//! W1 seq10: ten no-op durable steps in sequence, closed loop; W6: one task, open loop at fixed rates; W12: W1 again
//! over many retained executions.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::figures::{Reading, print};
use super::load::closed_loop;
use super::{Options, replay, responder};
use crate::http::{Client, request};
use crate::server::Server;

pub(super) const NOOP: &str = "kind: Function\nmetadata: {name: noop}\nspec: {builtin: echo}\n";

pub(super) fn workflow(name: &str, steps: usize) -> String {
    let mut text =
        format!("document: {{dsl: '1.0.3', namespace: default, name: {name}, version: '1.0.0'}}\ndo:\n");
    for step in 0..steps {
        let _ = writeln!(text, "  - s{step}: {{call: 'noop:1@default'}}");
    }
    text
}

pub(super) async fn put(server: &Server, path: &str, body: &str) {
    let headers = [("content-type", "application/yaml")];
    let answer = server.client().call("PUT", path, &headers, body.as_bytes()).await;
    match answer {
        Ok(a) if a.status < 300 => {}
        Ok(a) => panic!("PUT {path}: {} {}", a.status, String::from_utf8_lossy(&a.body)),
        Err(e) => panic!("PUT {path}: {e}"),
    }
}

pub(super) async fn serve(options: &Options, name: &str) -> Server {
    let dir = options.dir.join(name);
    let _ = std::fs::remove_dir_all(&dir);
    let allow = ("TIDEMILL_EGRESS__ALLOW", r#"["127.0.0.1/32"]"#);
    Server::start(&dir, &[allow]).await
}

/// Starts one execution after another on each of `connections` until the time is over; waits for each end.
pub(super) async fn runs(
    address: SocketAddr,
    workflow: &str,
    connections: usize,
    length: Duration,
) -> Vec<Duration> {
    let path = format!("/v1/namespaces/default/workflows/{workflow}/executions");
    let headers = [("content-type", "application/json"), ("prefer", "wait=60")];
    let bytes: Arc<[u8]> = request("POST", &path, &headers, b"{\"n\":1}").into();
    closed_loop(address, connections, length, 200, move || bytes.clone()).await
}

/// One round of W1 over a workflow of ten steps; gives steps per second.
pub(super) async fn measured(
    options: &Options,
    server: &Server,
    name: &str,
    workflow: &str,
    connections: usize,
) -> f64 {
    runs(server.address, workflow, connections, Duration::from_secs(2)).await;
    let before = Reading::take(server, &options.dir).await;
    let began = Instant::now();
    let mut latencies = runs(server.address, workflow, connections, options.round()).await;
    let steps = latencies.len() as u64 * 10;
    let rate = steps as f64 / began.elapsed().as_secs_f64();
    let after = Reading::take(server, &options.dir).await;
    for latency in &mut latencies {
        *latency /= if connections == 1 { 10 } else { 1 };
    }
    print(name, (steps, "step"), &mut latencies, &before, &after);
    rate
}

/// W1(a): functions builtin in the process.
pub(super) async fn builtin(options: &Options, connections: usize) {
    let mut server = serve(options, "w1a").await;
    put(&server, "/v1/namespaces/default/functions/noop", NOOP).await;
    put(&server, "/v1/namespaces/default/workflows/seq10", &workflow("seq10", 10)).await;
    let name = format!("W1(a) seq10 C={connections}");
    measured(options, &server, &name, "seq10", connections).await;
    replay::of(&mut server, &name).await;
}

/// W1(b): functions over loopback HTTP.
pub(super) async fn over_http(options: &Options, connections: usize) {
    let address = responder::start();
    let server = serve(options, "w1b").await;
    let function =
        format!("kind: Function\nmetadata: {{name: noop}}\nspec: {{http: {{url: 'http://{address}/'}}}}\n");
    put(&server, "/v1/namespaces/default/functions/noop", &function).await;
    put(&server, "/v1/namespaces/default/workflows/seq10", &workflow("seq10", 10)).await;
    measured(options, &server, &format!("W1(b) http seq10 C={connections}"), "seq10", connections).await;
}

/// W12 in small: W1(a) before and after many completed executions are retained; their number is printed.
pub(super) async fn retained(options: &Options) {
    let server = serve(options, "w12").await;
    put(&server, "/v1/namespaces/default/functions/noop", NOOP).await;
    put(&server, "/v1/namespaces/default/workflows/seq10", &workflow("seq10", 10)).await;
    put(&server, "/v1/namespaces/default/workflows/one", &workflow("one", 1)).await;
    let first = measured(options, &server, "W12 seq10 C=100, empty", "seq10", 100).await;
    let kept = runs(server.address, "one", 500, options.round() * 6).await.len();
    let name = format!("W12 C=100, +{kept} retained");
    let second = measured(options, &server, &name, "seq10", 100).await;
    println!("{:28} loss {:.1} %", "", (1.0 - second / first) * 100.0);
}

/// W6: one task with half a kilobyte, at fixed rates until it saturates.
pub(super) async fn open_loop(options: &Options) {
    let server = serve(options, "w6").await;
    put(&server, "/v1/namespaces/default/functions/noop", NOOP).await;
    put(&server, "/v1/namespaces/default/workflows/one", &workflow("one", 1)).await;
    let body = format!("{{\"payload\":\"{}\"}}", "x".repeat(500));
    let path = "/v1/namespaces/default/workflows/one/executions";
    let headers = [("content-type", "application/json"), ("prefer", "wait=60")];
    let bytes: Arc<[u8]> = request("POST", path, &headers, body.as_bytes()).into();
    for rate in [1_000u64, 2_000, 4_000, 8_000, 12_000, 16_000] {
        let before = Reading::take(&server, &options.dir).await;
        let (done, mut latencies) = paced(server.address, &bytes, rate, options.round()).await;
        let after = Reading::take(&server, &options.dir).await;
        print(&format!("W6 one task at {rate}/s"), (done, "run"), &mut latencies, &before, &after);
        if done < rate * options.seconds * 9 / 10 {
            println!("{:28} saturated", "");
            break;
        }
    }
}

/// Sends at a fixed rate over 256 connections; latency counts from the planned instant.
async fn paced(address: SocketAddr, bytes: &Arc<[u8]>, rate: u64, length: Duration) -> (u64, Vec<Duration>) {
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let total = rate * length.as_secs();
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for _ in 0..256 {
        let (bytes, next, latencies) = (bytes.clone(), next.clone(), latencies.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = Client::new(address);
            let mut own = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let planned = began + Duration::from_secs_f64(number as f64 / rate as f64);
                if number >= total || Instant::now() > began + length {
                    break;
                }
                tokio::time::sleep_until(planned.into()).await;
                if client.send(&bytes).await.is_ok_and(|a| a.status == 200) {
                    own.push(planned.elapsed());
                }
            }
            latencies.lock().await.extend(own);
        }));
    }
    for task in tasks {
        let _ = task.await;
    }
    let list = std::mem::take(&mut *latencies.lock().await);
    (list.len() as u64, list)
}
