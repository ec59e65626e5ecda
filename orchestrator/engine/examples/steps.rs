//! Cost of a step: CPU time of deciding and encoding per task, on one thread, without a store (Linux).
//!
//! `cargo run --release -p tidemill-engine --example steps`
#![allow(clippy::print_stdout, reason = "its output is a table for people")]

use std::sync::Arc;

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::order::Outcome;
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;
use tidemill_engine::{Birth, Execution, Input, create, decide, fold};

const RUNS: u32 = 20_000;

fn main() {
    let calls = body((0..10).map(|n| format!("- c{n}: {{call: 'noop:1@default'}}\n")));
    let sets = body((0..100).map(|n| format!("- s{n}: {{set: {{n: {n}, x: '${{ .x }}'}}}}\n")));
    println!("{:<34}{:>10}{:>12}", "workload", "us/step", "bytes/step");
    outside("10 calls, output shared", &calls, false);
    outside("10 calls, output new, 0.5 KB", &calls, true);
    inside("100 sets with one path", &sets);
    folding("fold of 10 calls, 0.5 KB", &calls);
}

fn body(tasks: impl Iterator<Item = String>) -> Arc<Program> {
    let tasks: String = tasks.collect();
    let head = "document: {dsl: '1.0.3', namespace: t, name: t, version: '1.0.0'}\ndo:\n";
    let checked = tidemill_dsl::workflow::check(&format!("{head}{tasks}"));
    checked.program.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
}

/// About half a kilobyte of JSON.
fn payload() -> Vec<u8> {
    let members: Vec<String> = (0..20).map(|n| format!("\"member{n}\":\"value number {n}\"")).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn start(program: &Program, run: u32, input: &Value) -> Execution {
    let birth = Birth {
        id: ExecutionId::derived(Time(i64::from(run)), &[]),
        namespace: "t".into(),
        workflow: "t".into(),
        version: "1.0.0".into(),
        digest: program.digest,
        created: Time(0),
        input: input.clone(),
        cause: None,
        parent: None,
        tags: Vec::new(),
        path: Vec::new(),
    };
    create(program, Arc::new(birth))
}

/// One run: every decision is encoded; gives the number of bytes.
fn run(program: &Program, x: &mut Execution, answer: &mut dyn FnMut() -> Value) -> usize {
    let mut bytes = 0;
    let mut input = Input::Begin;
    for now in 0.. {
        let decision = decide(program, x, input, Time(now));
        bytes += decision.transition(x).body.len();
        let Some(call) = x.open_calls().next() else { break };
        let outcome = Outcome::Done(answer());
        input = Input::Outcome { visit: call.visit, attempt: call.attempt, outcome };
    }
    bytes
}

fn outside(name: &str, program: &Program, fresh: bool) {
    let text = payload();
    let shared = Value::parse(&text).unwrap_or_default();
    // Answers are parsed outside the measured time.
    let mut answers: Vec<Value> = Vec::new();
    let (mut micros, mut bytes) = (0.0, 0);
    for chunk in 0..RUNS / 100 {
        answers.extend((0..1000).map(
            |n| {
                if fresh { distinct(&text, chunk * 1000 + n) } else { shared.clone() }
            },
        ));
        let mut executions: Vec<Execution> = (0..100).map(|run| start(program, run, &shared)).collect();
        let begun = cpu();
        for x in &mut executions {
            bytes += run(program, x, &mut || answers.pop().unwrap_or_default());
        }
        micros += cpu() - begun;
    }
    row(name, micros, bytes, RUNS * 10);
}

/// A payload of its own for each number.
fn distinct(text: &[u8], number: u32) -> Value {
    let text = String::from_utf8_lossy(text).replacen("number 7", &format!("number {number:06}"), 1);
    Value::parse(text.as_bytes()).unwrap_or_default()
}

/// CPU time of this thread in microseconds.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default() / 1000.0
}

fn inside(name: &str, program: &Program) {
    let input = Value::object([("x", Value::text("value"))]);
    let mut executions: Vec<Execution> = (0..RUNS / 10).map(|run| start(program, run, &input)).collect();
    let begun = cpu();
    let bytes: usize = executions.iter_mut().map(|x| run(program, x, &mut Value::default)).sum();
    row(name, cpu() - begun, bytes, RUNS / 10 * 100);
}

fn folding(name: &str, program: &Program) {
    let text = payload();
    let mut x = start(program, 0, &Value::parse(&text).unwrap_or_default());
    let mut log = Vec::new();
    let mut input = Input::Begin;
    for now in 0.. {
        let decision = decide(program, &mut x, input, Time(now));
        log.push(decision.transition(&x));
        let Some(call) = x.open_calls().next() else { break };
        let outcome = Outcome::Done(distinct(&text, now as u32));
        input = Input::Outcome { visit: call.visit, attempt: call.attempt, outcome };
    }
    let bytes: usize = log.iter().map(|transition| transition.body.len()).sum();
    let begun = cpu();
    for _ in 0..RUNS / 10 {
        let folded = fold(program, &log);
        assert!(folded.is_ok_and(|folded| folded.ended().is_some()));
    }
    row(name, cpu() - begun, bytes * (RUNS / 10) as usize, RUNS);
}

fn row(name: &str, micros: f64, bytes: usize, steps: u32) {
    println!("{name:<34}{:>10.2}{:>12.0}", micros / f64::from(steps), bytes as f64 / f64::from(steps));
}
