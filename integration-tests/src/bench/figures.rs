//! What is measured around a round: the disk, CPU, the store's counters.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::probe;
use crate::server::Server;

/// A reading before or after a round.
pub(super) struct Reading {
    at: Instant,
    fdatasync: f64,
    server_cpu: f64,
    own_cpu: f64,
    threads: Vec<(String, f64)>,
    commits: f64,
    transitions: f64,
    rows: f64,
    bytes: f64,
    writer_cpu: f64,
    sqlite_cpu: f64,
    flush: f64,
    lanes: Vec<f64>,
    calls: f64,
}

/// Kinds of work of the lanes, as `/metrics` names them.
const LANE_WORK: [&str; 5] = ["decide", "arguments", "encode", "hand_over", "route"];

impl Reading {
    /// Reads everything.
    pub(super) async fn take(server: &Server, dir: &Path) -> Reading {
        Reading {
            fdatasync: probe::fdatasync_rate(dir),
            commits: server.metric("tidemill_store_commits_total").await,
            transitions: server.metric("tidemill_store_transitions_total").await,
            rows: server.metric("tidemill_store_rows_total").await,
            bytes: server.metric("tidemill_store_bytes_total").await,
            writer_cpu: server.metric("tidemill_store_writer_cpu_microseconds_total").await,
            sqlite_cpu: server.metric("tidemill_store_sqlite_cpu_microseconds_total").await,
            flush: server.metric("tidemill_store_flush_microseconds_total").await,
            lanes: lanes(server).await,
            calls: server.metric("tidemill_calls_cpu_microseconds_total").await,
            server_cpu: probe::cpu_seconds(server.pid()),
            own_cpu: probe::own_cpu_seconds(),
            threads: probe::cpu_by_thread(server.pid()),
            at: Instant::now(),
        }
    }
}

async fn lanes(server: &Server) -> Vec<f64> {
    let mut all = Vec::new();
    for work in LANE_WORK {
        let name = format!("tidemill_lane_cpu_microseconds_total{{work=\"{work}\"}}");
        all.push(server.metric(&name).await);
    }
    all
}

/// The CPU of a unit by kind of work. Sampled, but for the writer and the whole.
fn table(n: f64, before: &Reading, after: &Reading) {
    let per = |a: f64, b: f64| (b - a) / n;
    let mut rows: Vec<(&str, f64)> =
        LANE_WORK.into_iter().zip(before.lanes.iter().zip(&after.lanes).map(|(a, b)| per(*a, *b))).collect();
    let (writer, sqlite) =
        (per(before.writer_cpu, after.writer_cpu), per(before.sqlite_cpu, after.sqlite_cpu));
    rows.push(("calls", per(before.calls, after.calls)));
    rows.push(("SQLite", sqlite));
    rows.push(("writer besides", writer - sqlite));
    let told: f64 = rows.iter().map(|(_, share)| share).sum();
    rows.push(("HTTP and the runtime", (after.server_cpu - before.server_cpu) * 1e6 / n - told));
    let rows: Vec<String> = rows.into_iter().map(|(work, share)| format!("{work} {share:.2}")).collect();
    println!("{:28} CPU by work, us: {}", "", rows.join(", "));
}

/// Prints one round.
pub(super) fn print(
    name: &str,
    (units, unit): (u64, &str),
    latencies: &mut [Duration],
    before: &Reading,
    after: &Reading,
) {
    latencies.sort_unstable();
    let at = |q: f64| {
        let index = ((latencies.len() as f64 * q) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
    };
    let seconds = (after.at - before.at).as_secs_f64() - 0.2;
    let n = (units as f64).max(1.0);
    let per = |a: f64, b: f64| (b - a) * 1e6 / n;
    println!(
        "{name:28} {:>10.0} {unit}/s   p50 {:.2} ms  p99 {:.2} ms   fdatasync/s {:.0} .. {:.0}",
        n / seconds,
        at(0.50),
        at(0.99),
        before.fdatasync,
        after.fdatasync
    );
    println!(
        "{:28} per {unit}: server CPU {:.2} us (writer {:.2}, flush wait {:.2}), client CPU {:.2} us, {:.0} bytes, {:.2} rows, {:.3} transitions, {:.4} commits",
        "",
        per(before.server_cpu, after.server_cpu),
        (after.writer_cpu - before.writer_cpu) / n,
        (after.flush - before.flush) / n,
        per(before.own_cpu, after.own_cpu),
        (after.bytes - before.bytes) / n,
        (after.rows - before.rows) / n,
        (after.transitions - before.transitions) / n,
        (after.commits - before.commits) / n,
    );
    table(n, before, after);
    let mut shares = Vec::new();
    for (thread, cpu) in &after.threads {
        let was = before.threads.iter().find(|(t, _)| t == thread).map_or(0.0, |(_, c)| *c);
        let share = per(was, *cpu);
        if share >= 0.05 {
            shares.push(format!("{thread} {share:.2}"));
        }
    }
    println!("{:28} CPU by thread, us per {unit}: {}", "", shares.join(", "));
}
