//! What the machine gives and a process takes: fdatasync rate, CPU time, memory.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// fdatasync calls a second on 4 KiB appends in this folder, sampled for about a fifth of a second.
pub fn fdatasync_rate(dir: &Path) -> f64 {
    let path = dir.join("fdatasync.probe");
    let Ok(mut file) = std::fs::File::create(&path) else {
        return 0.0;
    };
    let block = [7u8; 4096];
    let began = Instant::now();
    let mut calls = 0u32;
    while began.elapsed() < Duration::from_millis(200) {
        if file.write_all(&block).and_then(|()| file.sync_data()).is_err() {
            break;
        }
        calls += 1;
    }
    let rate = f64::from(calls) / began.elapsed().as_secs_f64();
    let _ = std::fs::remove_file(path);
    rate
}

/// CPU time of a process in seconds (user and system, all threads).
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat) / 100.0
}

/// CPU time of this process in seconds.
pub fn own_cpu_seconds() -> f64 {
    ticks(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default()) / 100.0
}

fn ticks(stat: &str) -> f64 {
    let rest = stat.rsplit(')').next().unwrap_or("");
    let fields: Vec<f64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
    fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)
}

/// CPU seconds per thread name of a process, largest first.
pub fn cpu_by_thread(pid: u32) -> Vec<(String, f64)> {
    let mut by_name = std::collections::BTreeMap::<String, f64>::new();
    let folder = std::fs::read_dir(format!("/proc/{pid}/task"));
    for entry in folder.into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let name = stat.split('(').nth(1).and_then(|r| r.rsplit(')').nth(1)).unwrap_or("?").to_owned();
        *by_name.entry(name).or_default() += ticks(&stat) / 100.0;
    }
    let mut list: Vec<(String, f64)> = by_name.into_iter().collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    list
}

/// Resident memory of a process, bytes.
pub fn resident(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// The most resident memory that a process ever had, bytes.
pub fn peak(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}
