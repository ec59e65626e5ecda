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
    flush: f64,
}

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
            flush: server.metric("tidemill_store_flush_microseconds_total").await,
            server_cpu: probe::cpu_seconds(server.pid()),
            own_cpu: probe::own_cpu_seconds(),
            threads: probe::cpu_by_thread(server.pid()),
            at: Instant::now(),
        }
    }
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
