//! A buffer's backlog: how fast deliveries leave it when many wait, against how fast they pass an empty one.

use std::time::{Duration, Instant};

use super::Options;
use super::seq10::{put, serve, workflow};
use crate::http::request;
use crate::server::Server;

const EVENTS: &str = "/v1/namespaces/default/events";
const TRIGGER: &str = "/v1/namespaces/default/triggers/shaved";

fn trigger(rate: &str) -> String {
    format!(
        "kind: Trigger\nmetadata: {{name: shaved}}\nspec:\n  filters: [{{exact: {{type: bench.shaved}}}}]\n  target: {{workflow: one}}\n  buffer: {{{rate}concurrency: 2000, capacity: 4000000}}\n"
    )
}

/// `entries` deliveries through an empty buffer, then as many out of a full one.
pub(super) async fn run(options: &Options) {
    let server = serve(options, "backlog").await;
    put(&server, "/v1/namespaces/default/functions/noop", super::seq10::NOOP).await;
    put(&server, "/v1/namespaces/default/workflows/one", &workflow("one", 1)).await;
    put(&server, TRIGGER, &trigger("")).await;
    let sample = options.entries / 10;
    let began = Instant::now();
    offer(&server, 0, sample).await;
    drained(&server).await;
    let empty = sample as f64 / began.elapsed().as_secs_f64();
    println!("buffer, empty                {empty:>10.0} deliveries/s in and out ({sample})");

    put(&server, TRIGGER, &trigger("rate: 1/h, burst: 1, ")).await;
    let began = Instant::now();
    offer(&server, sample, options.entries).await;
    let rate = options.entries as f64 / began.elapsed().as_secs_f64();
    println!("buffer, filling              {rate:>10.0} deliveries/s in ({} waiting)", options.entries);

    put(&server, TRIGGER, &trigger("")).await;
    let began = Instant::now();
    drained(&server).await;
    let out = options.entries as f64 / began.elapsed().as_secs_f64();
    println!(
        "buffer, {:>8} waiting     {out:>10.0} deliveries/s out, {:.0} % of the empty one",
        options.entries,
        out / empty * 100.0
    );
}

async fn offer(server: &Server, first: u64, count: u64) {
    let mut tasks = Vec::new();
    let connections = 16;
    for connection in 0..connections {
        let mut client = server.client();
        tasks.push(tokio::spawn(async move {
            let mut at = first + connection * 100;
            while at < first + count {
                let events: Vec<String> = (at..(at + 100).min(first + count))
                    .map(|n| {
                        format!(r#"{{"specversion":"1.0","id":"b{n}","source":"/bench","type":"bench.shaved","data":{{"n":{n}}}}}"#)
                    })
                    .collect();
                let body = format!("[{}]", events.join(","));
                let bytes = request("POST", EVENTS, &[("content-type", "application/cloudevents-batch+json")], body.as_bytes());
                match client.send(&bytes).await {
                    Ok(a) if a.status == 202 => {}
                    Ok(a) => panic!("{} {}", a.status, String::from_utf8_lossy(&a.body)),
                    Err(e) => panic!("{e}"),
                }
                at += connections * 100;
            }
        }));
    }
    for task in tasks {
        if let Err(error) = task.await {
            panic!("{error}");
        }
    }
}

/// Waits until nothing waits and nothing runs.
async fn drained(server: &Server) {
    let mut client = server.client();
    loop {
        let (_, shown) = client.get("/v1/namespaces/default/buffers/shaved").await.unwrap_or_default();
        if shown["depth"] == 0 && shown["inFlight"] == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
