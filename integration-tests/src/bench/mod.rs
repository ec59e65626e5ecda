//! The benchmark workloads: W1 (a, b), W2 and the workers alone, W6, W9, I1, K1, B1, W12 in small, backlog, lists, many
//! sources, start-up and size.
#![allow(clippy::print_stdout, reason = "the figures are this module's output")]

mod backlog;
mod binlog;
mod fanout;
mod figures;
mod ingest;
mod kafka;
mod lists;
mod load;
mod player;
mod replay;
mod responder;
mod retention;
mod seq10;
mod sources;
mod startup;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

pub use player::play;

/// Entries when nothing is said.
const ENTRIES: u64 = 1_000_000;

/// What to run and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names of workloads; empty: all.
    pub workloads: Vec<String>,
    /// Length of a measured round.
    pub seconds: u64,
    /// Deliveries of the backlog workload, executions of the lists, sources.
    pub entries: u64,
    /// Connections of W1(a), a round for each number.
    pub connections: Vec<usize>,
    /// Where the data folders are made: a real disk.
    pub dir: PathBuf,
}

impl Options {
    /// Reads the command line.
    pub fn parse(args: impl Iterator<Item = String>) -> Options {
        let mut options = Options {
            workloads: Vec::new(),
            seconds: 10,
            entries: ENTRIES,
            connections: vec![1, 10, 100, 1000],
            dir: PathBuf::from("target/bench"),
        };
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seconds" => options.seconds = args.next().and_then(|n| n.parse().ok()).unwrap_or(10),
                "--entries" => {
                    options.entries = args.next().and_then(|n| n.parse().ok()).unwrap_or(ENTRIES);
                }
                "--connections" => {
                    let list = args.next().unwrap_or_default();
                    options.connections = list.split(',').filter_map(|n| n.parse().ok()).collect();
                }
                "--dir" => options.dir = args.next().map_or(options.dir, PathBuf::from),
                "--" => {}
                name => options.workloads.push(name.to_ascii_lowercase()),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|w| w == name)
    }

    fn round(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Runs the chosen workloads.
pub async fn run(options: &Options) {
    if let Err(error) = std::fs::create_dir_all(&options.dir) {
        println!("cannot make {}: {error}", options.dir.display());
        return;
    }
    if options.wants("start") {
        startup::run(options).await;
    }
    if options.wants("w1a") {
        for &connections in &options.connections {
            seq10::builtin(options, connections).await;
        }
    }
    if options.wants("w1b") {
        seq10::over_http(options, 100).await;
    }
    if options.wants("workers") {
        workers::run(options).await;
    }
    if options.wants("w6") {
        seq10::open_loop(options).await;
    }
    if options.wants("w9") {
        fanout::run(options).await;
    }
    if options.wants("i1") {
        ingest::run(options).await;
    }
    if options.wants("b1") {
        binlog::run(options).await;
    }
    if options.wants("k1") {
        kafka::run(options).await;
    }
    if options.wants("sources") {
        sources::run(options).await;
    }
    if options.wants("backlog") {
        backlog::run(options).await;
    }
    if options.wants("lists") {
        lists::run(options).await;
    }
    if options.wants("w12") {
        seq10::retained(options).await;
    }
}
