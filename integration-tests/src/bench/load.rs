//! The closed loop that every workload shares: each connection sends its next request when the last is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::http::Client;

/// Sends what `next` makes over each of `connections` until the time is over; every answer must have this status. The
/// latency of each request.
pub(super) async fn closed_loop<B: AsRef<[u8]> + Send>(
    address: SocketAddr,
    connections: usize,
    length: Duration,
    status: u16,
    next: impl Fn() -> B + Clone + Send + Sync + 'static,
) -> Vec<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (next, over) = (next.clone(), over.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = Client::new(address);
            let mut own = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let bytes = next();
                let began = Instant::now();
                match client.send(bytes.as_ref()).await {
                    Ok(answer) if answer.status == status => own.push(began.elapsed()),
                    Ok(answer) => panic!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
                    Err(error) => panic!("{error}"),
                }
            }
            own
        }));
    }
    tokio::time::sleep(length).await;
    over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies
            .extend(task.await.unwrap_or_else(|error| panic!("a connection of the load broke: {error}")));
    }
    latencies
}
