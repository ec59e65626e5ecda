//! What calls take of the CPU: one in [`ONE_IN`] is measured, poll by poll.
//!
//! Owns the sum. It may not decide anything by it.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::thread_cpu;

/// One call in so many is measured; what it took counts for all of them.
const ONE_IN: u64 = 128;

/// The sum since the start.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    calls: AtomicU64,
    nanos: AtomicU64,
}

impl Costs {
    /// The call, measured if it is its turn.
    pub(crate) async fn metered<F: Future>(&self, call: F) -> F::Output {
        if !self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(ONE_IN) {
            return call.await;
        }
        let mut call = pin!(call);
        std::future::poll_fn(|cx| {
            // What a reading itself takes is not told as work.
            let ahead = thread_cpu();
            let before = thread_cpu();
            let poll = call.as_mut().poll(cx);
            let spent = (thread_cpu() - before).saturating_sub(before - ahead);
            self.nanos.fetch_add(spent * ONE_IN, Ordering::Relaxed);
            poll
        })
        .await
    }

    /// CPU time of all calls so far, microseconds.
    pub(crate) fn micros(&self) -> u64 {
        self.nanos.load(Ordering::Relaxed) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_call_in_many_counts_for_all() {
        let costs = Costs::default();
        let spin = async |nanos: u64| {
            let end = thread_cpu() + nanos;
            while thread_cpu() < end {}
        };
        costs.metered(spin(2_000_000)).await;
        for _ in 1..ONE_IN {
            costs.metered(spin(0)).await;
        }
        assert!(costs.micros() >= 1900 * ONE_IN, "{}", costs.micros());
    }
}
