//! Functions as programs: one-shot starts per second and the latency that a resident process adds, by the workers
//! alone; W2 light40 through the whole service.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::order::{Call, Masks, Order, Outcome};
use tidemill_dsl::value::Value;
use tidemill_workers::process::{Groups, OneShot, ProcessConfig, Resident};
use tidemill_workers::{Clock, Function};
use tokio_util::sync::CancellationToken;

use super::seq10::{put, serve};
use super::{Options, player};
use crate::http::request;
use crate::server::Server;

/// Calls of the resident function each second.
const RATE: u64 = 1000;
/// Runs of W2 for each kind of function.
const RUNS: usize = 20;

/// All of it.
pub(super) async fn run(options: &Options) {
    for abreast in [1, 16] {
        one_shot(options, abreast).await;
    }
    resident(options).await;
    light40(options).await;
}

fn config(command: Vec<String>) -> ProcessConfig {
    ProcessConfig::new(command, Arc::new(BTreeMap::<String, Value>::new()))
}

/// This binary as one of the programs it can play.
fn played(name: &str) -> Vec<String> {
    let own = std::env::current_exe().unwrap_or_default();
    vec![own.to_string_lossy().into_owned(), "--play".into(), name.into()]
}

async fn call(function: &impl Function, visit: u32, input: Value) {
    let order = Order {
        namespace: "default".into(),
        execution: ExecutionId::new(Time(1), [0; 10]),
        visit,
        attempt: 1,
        key: u64::from(visit),
        task: "/do/0/a".into(),
        deadline: None,
        what: Call::Function { name: "f".into(), version: "latest".into(), input },
        masks: Masks::default(),
    };
    if let Outcome::Failed(fault) = function.call(order, CancellationToken::new()).await {
        panic!("a call failed: {fault}");
    }
}

/// `/bin/true` again and again, so many at one time.
async fn one_shot(options: &Options, abreast: usize) {
    let mut config = config(vec!["/bin/true".into()]);
    config.concurrency = abreast;
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    config.groups = Groups::kept_in(folder.path().to_owned()).unwrap_or_else(|error| panic!("{error}"));
    let function = Arc::new(OneShot::new(config));
    let began = Instant::now();
    let end = began + options.round();
    let mut tasks = Vec::new();
    for _ in 0..abreast {
        let function = function.clone();
        tasks.push(tokio::spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                call(&*function, calls, Value::Null).await;
                calls += 1;
            }
            calls
        }));
    }
    let mut calls = 0;
    for task in tasks {
        calls += task.await.unwrap_or_else(|error| panic!("{error}"));
    }
    let rate = f64::from(calls) / began.elapsed().as_secs_f64();
    println!("one-shot /bin/true, {abreast:>2} abreast {rate:>10.0} /s");
}

/// A resident function that does next to nothing, at a fixed rate: from the call to its answer.
async fn resident(options: &Options) {
    let mut config = config(played("resident"));
    config.concurrency = 8;
    config.min_instances = 1;
    let function = Arc::new(Resident::new(config, "default".into(), Clock::system()));
    call(&*function, 0, Value::from(0u32)).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut tasks = Vec::new();
    for visit in 0..(RATE * options.seconds) as u32 {
        ticks.tick().await;
        let function = function.clone();
        tasks.push(tokio::spawn(async move {
            let began = Instant::now();
            call(&*function, visit, Value::from(0u32)).await;
            began.elapsed()
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.push(task.await.unwrap_or_else(|error| panic!("{error}")));
    }
    latencies.sort_unstable();
    let at = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize].as_secs_f64() * 1000.0;
    println!("resident call at {RATE}/s       p50 {:.3} ms  p99 {:.3} ms", at(0.50), at(0.99));
}

/// W2: forty times `fibo(10)` in sequence.
async fn light40(options: &Options) {
    let server = serve(options, "w2").await;
    for (kind, name, lifecycle, command) in [
        ("one-shot process", "once", "oneShot", Some(played("fibo"))),
        ("resident Python", "python", "resident", python()),
        ("resident Rust", "rust", "resident", Some(played("resident"))),
    ] {
        let Some(command) = command else {
            println!("W2 light40, {kind:16} SKIPPED: there is no python3");
            continue;
        };
        let command = serde_json::to_string(&command).unwrap_or_default();
        let function = format!(
            "kind: Function\nmetadata: {{name: {name}}}\nspec: {{process: {{command: {command}, lifecycle: {lifecycle}}}}}\n"
        );
        put(&server, &format!("/v1/namespaces/default/functions/{name}"), &function).await;
        put(&server, &format!("/v1/namespaces/default/workflows/{name}"), &light(name)).await;
        let mut times = Vec::new();
        for _ in 0..=RUNS {
            times.push(once(&server, name).await);
        }
        let first = times.remove(0);
        times.sort_unstable();
        let (first, p50) = (first.as_secs_f64(), times[RUNS / 2].as_secs_f64());
        println!("W2 light40, {kind:16} p50 {p50:.3} s a run, the first one {first:.3} s");
    }
}

/// Forty calls in sequence, each with 10.
fn light(name: &str) -> String {
    let mut text =
        format!("document: {{dsl: '1.0.3', namespace: default, name: {name}, version: '1.0.0'}}\ndo:\n");
    for step in 0..40 {
        let _ = writeln!(text, "  - s{step}: {{input: {{from: '${{ 10 }}'}}, call: '{name}:1@default'}}");
    }
    text
}

async fn once(server: &Server, workflow: &str) -> Duration {
    let headers = [("content-type", "application/json"), ("prefer", "wait=60")];
    let path = format!("/v1/namespaces/default/workflows/{workflow}/executions");
    let bytes = request("POST", &path, &headers, b"10");
    let began = Instant::now();
    let answer = server.client().send(&bytes).await;
    let took = began.elapsed();
    match answer {
        Ok(answer) if answer.status == 200 && answer.json()["output"] == 55 => took,
        Ok(answer) => panic!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(error) => panic!("{error}"),
    }
}

/// The resident function in Python, if there is one: the interpreter itself, not a script that looks for it.
fn python() -> Option<Vec<String>> {
    let asked = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .ok()?;
    let interpreter = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    asked.status.success().then(|| vec![interpreter, "-c".into(), player::PYTHON.into()])
}
