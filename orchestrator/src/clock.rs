//! The one clock of the process. Every other file is handed the time.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidemill_dsl::ids::Time;

/// Reads the time now.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// The system's wall clock, made monotonic: it never goes back within the process.
pub fn system() -> Clock {
    let latest = std::sync::atomic::AtomicI64::new(0);
    Arc::new(move || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        Time(latest.fetch_max(now, std::sync::atomic::Ordering::Relaxed).max(now))
    })
}

/// CPU time of the calling thread, nanoseconds.
pub fn thread_cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// An instant for measuring durations of the process's own work (metrics, back-off); never stored.
pub fn tick() -> std::time::Instant {
    std::time::Instant::now()
}
