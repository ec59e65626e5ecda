//! The store alone under the load the lanes give it: executions of ten steps, closed loop, some of them at a time.
//!
//! `replay [FOLDER] [TRANSITIONS] [CONCURRENCY...]`: prints transitions per second, the writer's CPU time and what was
//! written per transition, with the speed of `fdatasync` on the same folder before and after. No tests, no verdict.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, Ended, Status, Summary, Transition};
use tidemill_store::sqlite::Options;
use tidemill_store::{
    Batch, Class, Counters, Create, OperatorChange, Part, ShardPart, Span, SqliteStore, Store,
};

/// Steps after the start.
const STEPS: u64 = 10;

/// Threads that hand over batches; each has its executions in two halves, one of which is always under way.
const LANES: u64 = 2;
const HALVES: u64 = 2;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let transitions: u64 = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let mut concurrency: Vec<u64> = arguments.map(|text| text.parse().unwrap()).collect();
    if concurrency.is_empty() {
        concurrency = vec![1000, 100, 1];
    }
    for c in concurrency {
        let most = transitions.min(c * 20_000);
        run(&folder, most, c);
    }
}

fn run(folder: &Path, transitions: u64, concurrency: u64) {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let before = syncs(folder.path());
    let store = SqliteStore::open(folder.path().join("tidemill.db"), Options::default()).unwrap();
    let written = written_bytes();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let cohorts = (LANES * HALVES).min(concurrency);
        for cohort in 0..cohorts {
            let store = &store;
            let size = concurrency / cohorts;
            scope.spawn(move || drive(store, cohort, size, transitions / cohorts));
        }
    });
    let elapsed = start.elapsed();
    let counters = store.counters();
    let written = written_bytes() - written;
    let retention = retain(&store);
    store.close();
    let after = syncs(folder.path());
    report(concurrency, elapsed.as_secs_f64(), counters, written);
    let size = std::fs::metadata(folder.path().join("tidemill.db")).unwrap().len();
    println!("        {retention}");
    println!(
        "        file {} bytes per transition; fdatasync/s {before:.0} before, {after:.0} after",
        size / counters.transitions
    );
}

fn report(concurrency: u64, seconds: f64, c: Counters, written: u64) {
    let per = |n: u64| n as f64 / c.transitions as f64;
    println!(
        "C={concurrency:<5} {:>8.0} transitions/s  writer {:.2} us CPU, {:.2} us flush, {:.0} bytes written, {:.2} rows \
         per transition  {} commits of {:.0}",
        c.transitions as f64 / seconds,
        per(c.writer_cpu_us),
        per(c.flush_us),
        per(written),
        per(c.rows),
        c.commits,
        c.transitions as f64 / c.commits as f64,
    );
}

/// Removes the first hundred thousand rows in slices of a thousand: the writer's time for a slice.
fn retain(store: &SqliteStore) -> String {
    let rows = 1000;
    let mut slices = Vec::new();
    while slices.len() < 100 {
        let before = store.counters();
        let (namespace, executions, events) = ("default".into(), Time(i64::MAX), Time(0));
        let retain = OperatorChange::Retain { spans: vec![Span { namespace, executions, events }], rows };
        let (told, tell) = sync_channel(1);
        let parts = vec![Part::Operator(vec![retain])];
        store.submit(
            Batch { class: Class::Running, parts },
            Box::new(move |outcome| told.send(outcome).unwrap()),
        );
        let more = tell.recv().unwrap().unwrap().more;
        slices.push(store.counters().writer_cpu_us - before.writer_cpu_us);
        if !more {
            break;
        }
    }
    slices.sort_unstable();
    let (middle, most) = (slices[slices.len() / 2], slices[slices.len() - 1]);
    format!(
        "retention: {} slices of {rows} rows, writer {middle} us CPU each, {most} us at most",
        slices.len()
    )
}

/// One cohort: all of its executions take a step, the batch becomes durable, and so on; ended ones are replaced.
fn drive(store: &SqliteStore, cohort: u64, size: u64, transitions: u64) {
    let namespace: Arc<str> = "default".into();
    let workflow: Arc<str> = "sequence-of-ten".into();
    let version: Arc<str> = "1.0.0".into();
    let (told, tell) = sync_channel(1);
    let mut made = 0;
    let mut live: Vec<(ExecutionId, u64)> = Vec::new();
    let mut done = 0;
    while done < transitions {
        let mut part = ShardPart::default();
        let mut parts = Vec::new();
        let now = Time(1_764_000_000_000 + (done / size) as i64);
        for (id, step) in &mut live {
            *step += 1;
            let end = *step > STEPS;
            part.transitions.push(transition(&namespace, *id, *step, now, end));
            if end {
                let result = Some(Ended::Completed(Value::text("the output of a sequence of ten")));
                let (started, ended) = (Some(id.time()), Some(now));
                let status = Status::Completed;
                part.summaries.push(Summary { execution: *id, status, started, ended, result });
            }
        }
        done += part.transitions.len() as u64;
        live.retain(|(_, step)| *step <= STEPS);
        // New executions enter a few at a time, so that ends are spread over the commits.
        let enter = (size - live.len() as u64).min(size.div_ceil(STEPS));
        for _ in 0..enter {
            made += 1;
            let id = ExecutionId::derived(now, &[&[cohort as u8], &u64::to_be_bytes(made)]);
            live.push((id, 1));
            parts.push(create(&namespace, &workflow, &version, id, now));
            done += 1;
        }
        parts.push(Part::Shard(part));
        let told = told.clone();
        store.submit(
            Batch { class: Class::Running, parts },
            Box::new(move |outcome| told.send(outcome).unwrap()),
        );
        tell.recv().unwrap().unwrap();
    }
}

fn transition(
    namespace: &Arc<str>,
    execution: ExecutionId,
    step: u64,
    time: Time,
    lifecycle: bool,
) -> Transition {
    let mut body = vec![b'x'; 120];
    body[..8].copy_from_slice(&step.to_be_bytes());
    let (first, namespace) = (step * 3, namespace.clone());
    Transition { execution, namespace, first, count: 3, time, lifecycle, body }
}

fn create(namespace: &Arc<str>, workflow: &Arc<str>, version: &Arc<str>, id: ExecutionId, now: Time) -> Part {
    let birth = Birth {
        id,
        namespace: namespace.clone(),
        workflow: workflow.clone(),
        version: version.clone(),
        digest: [1; 32],
        created: now,
        input: Value::Null,
        cause: None,
        parent: None,
        tags: Vec::new(),
        path: Vec::new(),
    };
    Part::Create(Box::new(Create {
        birth: Arc::new(birth),
        first: transition(namespace, id, 1, now, true),
        summary: Summary {
            execution: id,
            status: Status::Running,
            started: Some(now),
            ended: None,
            result: None,
        },
        key: None,
    }))
}

/// How often a second a small write can be made durable here.
fn syncs(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("sample")).unwrap();
    let start = Instant::now();
    let count = 100;
    for _ in 0..count {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Bytes this process sent to storage.
fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|n| n.parse().ok()).unwrap_or(0)
}
