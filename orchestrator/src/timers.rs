//! Stored timers (promise 4): rows in the store, read ahead in pages; those of the next minute wait in memory.
//!
//! Never a sleeping task per timer. A timer fires into its execution's lane; its row goes with the transition that
//! it caused, so a restart fires it again.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_engine::record::{Due, DueChange, TimerKind};

use crate::lanes::Input;
use crate::rooms::Rooms;

/// How far ahead rows are read into memory.
const HORIZON: Duration = Duration::from_mins(1);
/// Rows read at once.
const PAGE: usize = 4096;

/// The timers of the next minute.
#[derive(Default)]
pub struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    near: BTreeSet<Due>,
    /// Rows up to this instant are all in `near`.
    read_to: Time,
    closed: bool,
}

impl Timers {
    /// Takes over durable changes.
    pub fn change(&self, changes: Vec<DueChange>) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let first = state.near.first().copied();
        for change in changes {
            match change {
                DueChange::Set(due) if due.at <= state.read_to => {
                    state.near.insert(due);
                }
                DueChange::Set(_) => {}
                DueChange::Clear(due) => {
                    state.near.remove(&due);
                }
            }
        }
        if state.near.first().copied() != first {
            self.changed.notify_one();
        }
    }

    /// Timers in memory.
    pub fn near(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).near.len()
    }

    /// Ends [`run`].
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

/// Fires timers until closed. Runs on a thread of its own.
pub fn run(rooms: &Arc<Rooms>) {
    let timers = &rooms.timers;
    loop {
        let now = (rooms.clock)();
        read_ahead(rooms, now);
        let mut state = timers.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return;
        }
        let mut fired = Vec::new();
        while let Some(due) = state.near.first().copied().filter(|d| d.at <= now) {
            state.near.remove(&due);
            fired.push(due);
        }
        if fired.is_empty() {
            let next = state.near.first().map_or(state.read_to, |d| d.at).min(state.read_to);
            let wait = Duration::from_millis((next.0 - now.0).clamp(1, 1000) as u64);
            drop(timers.changed.wait_timeout(state, wait));
            continue;
        }
        drop(state);
        for due in fired {
            metrics::histogram!("tidemill_timer_lateness_seconds").record((now.0 - due.at.0) as f64 / 1000.0);
            rooms.lanes.send(due.execution, Input::Timer(due));
        }
    }
}

/// Reads the rows up to the horizon once the last reading is half used up.
fn read_ahead(rooms: &Arc<Rooms>, now: Time) {
    let timers = &rooms.timers;
    let horizon = now.plus(HORIZON);
    let from = {
        let mut state = timers.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.read_to > now.plus(HORIZON / 2) {
            return;
        }
        // From here on new rows up to the horizon come in by `change`; older ones are read below. What is in memory
        // already is the same row: a set.
        std::mem::replace(&mut state.read_to, horizon)
    };
    let edge =
        Due { at: from, execution: ExecutionId([255; 16]), visit: u32::MAX, kind: TimerKind::Workflow };
    let mut after = (from > Time(0)).then_some(edge);
    loop {
        match rooms.store.due(after, horizon, PAGE) {
            Ok(page) => {
                let full = page.len() == PAGE;
                after = page.last().copied();
                timers.state.lock().unwrap_or_else(PoisonError::into_inner).near.extend(page);
                if !full {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot read timers; trying again");
                timers.state.lock().unwrap_or_else(PoisonError::into_inner).read_to = from;
                return;
            }
        }
    }
}
