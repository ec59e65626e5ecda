//! W9 fan-out: a fork over 256 branches, a loop over 10,000 items; the same in small beside it, so that a cost per item
//! that grows with their number shows.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::Options;
use super::seq10::{NOOP, put, serve};
use crate::http::request;
use crate::server::Server;

/// Branches and items, small and large.
const BRANCHES: [usize; 2] = [16, 256];
const ITEMS: [usize; 2] = [1_000, 10_000];

fn fork(name: &str, branches: usize) -> String {
    let mut text = head(name);
    text.push_str("  - f:\n      fork:\n        branches:\n");
    for branch in 0..branches {
        let _ = writeln!(text, "          - b{branch}: {{call: 'noop:1@default'}}");
    }
    text
}

fn each(name: &str, items: usize, task: &str) -> String {
    let mut text = head(name);
    let _ = writeln!(text, "  - l: {{for: {{in: '${{ [range({items})] }}'}}, do: [{{a: {{{task}}}}}]}}");
    text
}

fn head(name: &str) -> String {
    format!("document: {{dsl: '1.0.3', namespace: default, name: {name}, version: '1.0.0'}}\ndo:\n")
}

/// All of it.
pub(super) async fn run(options: &Options) {
    let server = serve(options, "w9").await;
    put(&server, "/v1/namespaces/default/functions/noop", NOOP).await;
    for branches in BRANCHES {
        let name = format!("fork{branches}");
        measure(options, &server, &name, &fork(&name, branches), branches).await;
    }
    for items in ITEMS {
        let name = format!("for{items}");
        measure(options, &server, &name, &each(&name, items, "call: 'noop:1@default'"), items).await;
        let name = format!("set{items}");
        measure(options, &server, &name, &each(&name, items, "set: {n: '${ $item }'}"), items).await;
    }
}

/// Runs it one at a time for a while; prints the time of one run and of one item.
async fn measure(options: &Options, server: &Server, name: &str, text: &str, items: usize) {
    put(server, &format!("/v1/namespaces/default/workflows/{name}"), text).await;
    let path = format!("/v1/namespaces/default/workflows/{name}/executions");
    let headers = [("content-type", "application/json"), ("prefer", "wait=60")];
    let bytes = request("POST", &path, &headers, b"{}");
    let (mut client, began, mut runs) = (server.client(), Instant::now(), 0_u32);
    let length = options.round().min(Duration::from_secs(5));
    while runs < 2 || began.elapsed() < length {
        match client.send(&bytes).await {
            Ok(answer) if answer.status == 200 => runs += 1,
            Ok(answer) => panic!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(error) => panic!("{error}"),
        }
    }
    let one = began.elapsed() / runs;
    let each = one.as_secs_f64() * 1e6 / items as f64;
    println!(
        "W9 {name:<12} {items:>6} items {:>10.1} ms a run {each:>8.1} us an item",
        one.as_secs_f64() * 1e3
    );
}
