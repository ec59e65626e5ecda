//! What a slice of retention takes of the writer: the stored executions of the lists are removed, slice by slice.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use tidemill_dsl::ids::Time;
use tidemill_store::sqlite::Options;
use tidemill_store::{Batch, Class, OperatorChange, Part, Span, SqliteStore, Store};

/// Rows of a slice, as the service asks for them.
const ROWS: u32 = 32;
/// Slices that are measured at most.
const SLICES: usize = 1000;

/// Removes from the store in `dir` and prints CPU and time of the slices.
pub(super) fn run(dir: &Path) {
    let store = SqliteStore::open(dir.join("tidemill.db"), Options::default()).expect("a store");
    let (tell, told) = sync_channel(1);
    let (mut cpu, mut whole) = (Vec::new(), Vec::new());
    let mut more = true;
    while more && cpu.len() < SLICES {
        let all = Time(i64::MAX);
        let spans = vec![Span { namespace: "default".into(), executions: all, events: all }];
        let parts = vec![Part::Operator(vec![OperatorChange::Retain { spans, rows: ROWS }])];
        let (tell, before, began) = (tell.clone(), store.counters(), Instant::now());
        store.submit(Batch { class: Class::New, parts }, Box::new(move |outcome| drop(tell.send(outcome))));
        more = told.recv().expect("the store answers").expect("a slice").more;
        whole.push(began.elapsed().as_secs_f64() * 1000.0);
        cpu.push((store.counters().sqlite_cpu_us - before.sqlite_cpu_us) as f64 / 1000.0);
    }
    store.close();
    let at = |list: &mut Vec<f64>, q: f64| {
        list.sort_by(f64::total_cmp);
        list[((list.len() as f64 * q) as usize).min(list.len() - 1)]
    };
    println!(
        "retention: {} slices of {ROWS} rows: writer's CPU p50 {:.2} ms  p99 {:.2} ms, with the flush p50 {:.2} ms  p99 {:.2} ms",
        cpu.len(),
        at(&mut cpu, 0.5),
        at(&mut cpu, 0.99),
        at(&mut whole, 0.5),
        at(&mut whole, 0.99)
    );
}
