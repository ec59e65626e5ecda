//! The clock of the workers: deadlines against the wall clock, measured time against the monotonic one.
//!
//! Owns every clock read of this crate. Decides nothing: the caller may hand in a clock of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidemill_dsl::ids::Time;
use tokio::time::Instant;

/// Where the workers read the time of day from. It is compared with the deadlines of orders.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Time + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    /// The system's clock.
    pub fn system() -> Clock {
        Clock::new(|| {
            let since = system_time().duration_since(UNIX_EPOCH);
            Time(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
        })
    }

    /// The time of day.
    pub fn now(&self) -> Time {
        (self.0)()
    }

    /// How long it is until `deadline`; zero when it has passed.
    pub fn until(&self, deadline: Time) -> Duration {
        let left = deadline.0.saturating_sub(self.now().0);
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The time of day.
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now() // tidy: clock, the default of a port
}

/// CPU time of the calling thread, nanoseconds.
pub(crate) fn thread_cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A point in measured time; moves with tokio's clock, so that tests can move it.
pub(crate) fn mark() -> Instant {
    Instant::now() // tidy: clock, measures durations only
}
