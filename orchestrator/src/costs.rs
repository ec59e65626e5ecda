//! What the lanes spend their CPU time on: one turn in [`ONE_IN`] is measured, section by section.
//!
//! Owns the kinds of work and their sums. It may not decide anything by them: they are read by /metrics alone.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::thread_cpu;

/// One turn in so many is measured; what it took counts for all of them.
const ONE_IN: u64 = 128;

/// Kinds of work of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// `decide` of the engine, with the expressions of its tasks.
    Decide,
    /// Expressions of a call's arguments.
    Arguments,
    /// Records to a log row.
    Encode,
    /// Batches to the store, orders to the workers, replies.
    HandOver,
    /// The rest: queues, the executions in memory, effects.
    Route,
}

impl Work {
    /// All of them.
    pub const ALL: [Work; 5] = [Work::Decide, Work::Arguments, Work::Encode, Work::HandOver, Work::Route];

    /// Its name in /metrics.
    pub fn name(self) -> &'static str {
        match self {
            Work::Decide => "decide",
            Work::Arguments => "arguments",
            Work::Encode => "encode",
            Work::HandOver => "hand_over",
            Work::Route => "route",
        }
    }
}

/// Sums over all lanes since the start, nanoseconds.
#[derive(Debug, Default)]
pub struct Costs([AtomicU64; Work::ALL.len()]);

impl Costs {
    /// CPU time spent on a kind of work, microseconds, as far as the measured turns tell.
    pub fn micros(&self, work: Work) -> u64 {
        self.0[work as usize].load(Ordering::Relaxed) / 1000
    }
}

/// The meter of one lane.
#[derive(Debug, Default)]
pub struct Meter {
    turns: u64,
    /// In a measured turn: CPU time of the thread when the last section ended.
    since: Option<u64>,
    /// What a reading itself takes, so that it is not told as work.
    reading: u64,
}

impl Meter {
    /// Begins a turn.
    pub fn begin(&mut self) {
        self.turns += 1;
        self.since = None;
        if self.turns % ONE_IN == 1 {
            let before = thread_cpu();
            let now = thread_cpu();
            self.reading = now - before;
            self.since = Some(now);
        }
    }

    /// Ends a section: what passed since the last one was this work.
    pub fn lap(&mut self, costs: &Costs, work: Work) {
        if let Some(since) = self.since {
            let now = thread_cpu();
            let spent = (now - since).saturating_sub(self.reading);
            costs.0[work as usize].fetch_add(spent * ONE_IN, Ordering::Relaxed);
            self.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_in_many_counts_for_all() {
        let costs = Costs::default();
        let mut meter = Meter::default();
        let mut spin = 0_u64;
        for _ in 0..2 * ONE_IN {
            meter.begin();
            let measured = meter.since.is_some();
            if measured {
                while thread_cpu() < meter.since.unwrap_or(0) + 1_000_000 {
                    spin += 1;
                }
            }
            meter.lap(&costs, Work::Decide);
            meter.lap(&costs, Work::Encode);
        }
        assert!(spin > 0);
        let (decide, encode) = (costs.micros(Work::Decide), costs.micros(Work::Encode));
        assert!(decide >= 2 * ONE_IN * 900, "{decide} us");
        assert!(encode < decide / 10, "{encode} us of encoding beside {decide} us of deciding");
        assert_eq!(costs.micros(Work::Route), 0);
    }
}
