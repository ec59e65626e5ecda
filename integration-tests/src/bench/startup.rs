//! Start-up and size: time to ready, resident memory when idle, size of the binary.

use std::time::{Duration, Instant};

use super::Options;
use crate::probe;
use crate::server::{Server, binary};

/// Three starts on one folder; the first one makes the store.
pub(super) async fn run(options: &Options) {
    let dir = options.dir.join("start");
    let _ = std::fs::remove_dir_all(&dir);
    let size = std::fs::metadata(binary()).map_or(0, |m| m.len());
    let mut times = Vec::new();
    let mut memory = 0;
    for _ in 0..3 {
        let began = Instant::now();
        let mut server = Server::start(&dir, &[]).await;
        times.push(format!("{:.0}", began.elapsed().as_secs_f64() * 1000.0));
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory = probe::resident(server.pid());
        server.terminate();
    }
    println!(
        "start                        ready after {} ms, idle RSS {:.1} MB, binary {:.1} MB",
        times.join(", "),
        memory as f64 / 1e6,
        size as f64 / 1e6
    );
}
