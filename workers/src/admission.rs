//! Admission to a function: how many calls at one time, how many wait, and for how long.
//!
//! Owns the limits `function-concurrency`, `function-queue` and `function-queue-age` (workers.md). May not know what
//! is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemill_dsl::fault::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `limits` of a function manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls at one time; none: no limit of its own.
    pub concurrency: Option<usize>,
    /// Calls that wait for one of these; one more is refused with 429 (limit `function-queue`).
    pub queue: usize,
    /// How long a call may wait; then it is refused with 429 (limit `function-queue-age`).
    pub queue_age: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { concurrency: None, queue: 10_000, queue_age: None }
    }
}

/// The gate in front of a function.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    running: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Admission {
        let places =
            limits.concurrency.map(|most| Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))));
        Admission { limits, running: places, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a place; keep the permit as long as the call lasts.
    pub(crate) async fn enter(&self) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        let Some(places) = &self.running else {
            return Ok(None);
        };
        if let Ok(permit) = places.clone().try_acquire_owned() {
            return Ok(Some(permit));
        }
        let most = self.limits.queue;
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= most {
            return Err(full(format!("{most} calls of the function wait already (limit `function-queue`)")));
        }
        let place = places.clone().acquire_owned();
        let permit = match self.limits.queue_age {
            None => place.await,
            Some(age) => tokio::time::timeout(age, place).await.map_err(|_| {
                let waited = age.as_millis();
                full(format!("the call waited {waited} ms for its turn (limit `function-queue-age`)"))
            })?,
        };
        permit.map(Some).map_err(|_| Fault::runtime("the function is being stopped"))
    }
}

fn full(detail: String) -> Fault {
    Fault::communication(429, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_exceeds_the_queue_is_refused_by_name() {
        let limits = Limits { concurrency: Some(1), queue: 0, queue_age: None };
        let gate = Admission::new(limits);
        let held = gate.enter().await.unwrap();
        let refused = gate.enter().await.unwrap_err();
        assert_eq!(refused.status, 429);
        assert!(refused.to_string().contains("`function-queue`"), "{refused}");
        drop(held);
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test]
    async fn what_waits_too_long_is_refused_by_name() {
        let limits = Limits { concurrency: Some(1), queue: 5, queue_age: Some(Duration::from_millis(1)) };
        let gate = Admission::new(limits);
        let _held = gate.enter().await.unwrap();
        let refused = gate.enter().await.unwrap_err();
        assert!(refused.to_string().contains("`function-queue-age`"), "{refused}");
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}
