//! The memory store: the specification of every other store (invariant 10), and the disk of the simulation.
//!
//! Owns batches from submission to completion, and the faults a test may ask for. Nothing survives the process.
//!
//! Every batch is a commit of its own, made on the thread that submits it. Completions are called one after another in
//! the order of commit, outside of every lock, by the thread that submits, releases or closes; a completion may
//! submit again: what it submits commits at once and is completed after it returns. One thread therefore gives the
//! same order on every run.

mod apply;
mod buffer;
mod operator;
mod queries;
mod retention;
mod state;
mod table;
mod view;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::State;
use crate::batch::{Batch, Class, Committed, Refusal};
use crate::read::{ReadError, ReadResult};
use crate::{Completion, Counters, Store};

/// A store in memory.
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

/// The faults of a [`MemoryStore`]; may be kept and used while others use the store.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Mutex<Shared>>,
}

/// How much space the imagined disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// Enough.
    #[default]
    Plenty,
    /// Below the low mark: new work is refused, running work uses the reserve.
    Low,
    /// None at all: new work is refused, running work waits.
    None,
}

#[derive(Default)]
struct Shared {
    state: State,
    waiting: VecDeque<(Batch, Completion)>,
    finished: VecDeque<(Completion, Result<Committed, Refusal>)>,
    completing: bool,
    held: bool,
    space: Space,
    failures: VecDeque<bool>,
    closed: bool,
    crashed: bool,
    counters: Counters,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::over(State::new())
    }

    fn over(state: State) -> MemoryStore {
        MemoryStore { shared: Arc::new(Mutex::new(Shared { state, ..Shared::default() })) }
    }

    /// The handle on its faults.
    pub fn faults(&self) -> Faults {
        Faults { shared: self.shared.clone() }
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> ReadResult<T> {
        let shared = lock(&self.shared);
        if shared.crashed {
            return Err(ReadError("the store has crashed".into()));
        }
        Ok(read(&shared.state))
    }
}

impl Store for MemoryStore {
    fn submit(&self, batch: Batch, done: Completion) {
        let mut shared = lock(&self.shared);
        if shared.crashed {
            return;
        }
        if shared.closed {
            shared.finished.push_back((done, Err(Refusal::Closed)));
        } else if batch.class == Class::New && shared.space != Space::Plenty {
            shared.finished.push_back((done, Err(Refusal::Full)));
        } else {
            shared.waiting.push_back((batch, done));
        }
        let most = if shared.held { 0 } else { usize::MAX };
        shared.commit(most);
        complete(&self.shared, shared);
    }

    fn counters(&self) -> Counters {
        lock(&self.shared).counters
    }

    fn full(&self) -> bool {
        lock(&self.shared).space != Space::Plenty
    }

    fn close(&self) {
        let mut shared = lock(&self.shared);
        shared.commit(usize::MAX);
        shared.closed = true;
        while let Some((_, done)) = shared.waiting.pop_front() {
            shared.finished.push_back((done, Err(Refusal::Full)));
        }
        complete(&self.shared, shared);
    }
}

impl Faults {
    /// From now on nothing submitted is committed until it is released.
    pub fn hold(&self) {
        lock(&self.shared).held = true;
    }

    /// Commits at most this many of the batches held, in order; holding goes on. Tells how many.
    pub fn release(&self, most: usize) -> usize {
        let mut shared = lock(&self.shared);
        let count = shared.commit(most);
        complete(&self.shared, shared);
        count
    }

    /// Commits everything held and holds no longer.
    pub fn resume(&self) {
        let mut shared = lock(&self.shared);
        shared.held = false;
        shared.commit(usize::MAX);
        complete(&self.shared, shared);
    }

    /// How many batches are submitted and not committed.
    pub fn held(&self) -> usize {
        lock(&self.shared).waiting.len()
    }

    /// The process dies: what is not committed is gone, its completions are dropped without a call, reads of the old
    /// store fail. Gives a new store over what was durable.
    pub fn crash(&self) -> MemoryStore {
        let mut shared = lock(&self.shared);
        shared.crashed = true;
        let dropped = (std::mem::take(&mut shared.waiting), std::mem::take(&mut shared.finished));
        let state = std::mem::take(&mut shared.state);
        drop(shared);
        drop(dropped);
        MemoryStore::over(state)
    }

    /// Sets the space of the imagined disk. What waited for space is committed if nothing is held.
    pub fn space(&self, space: Space) {
        let mut shared = lock(&self.shared);
        shared.space = space;
        let most = if shared.held { 0 } else { usize::MAX };
        shared.commit(most);
        complete(&self.shared, shared);
    }

    /// The next batch to be committed is answered with [`Refusal::Failed`]: its outcome is unknown to the caller, and
    /// it was applied or not. Calls add up.
    pub fn fail_next(&self, applied: bool) {
        lock(&self.shared).failures.push_back(applied);
    }
}

impl Shared {
    /// Commits at most so many waiting batches, in order, up to the first that must wait for space.
    fn commit(&mut self, most: usize) -> usize {
        let mut count = 0;
        while count < most
            && let Some((batch, done)) = self.waiting.pop_front()
        {
            match (batch.class, self.space) {
                (Class::New, Space::Low | Space::None) => self.finished.push_back((done, Err(Refusal::Full))),
                (Class::Running, Space::None) => {
                    self.waiting.push_front((batch, done));
                    break;
                }
                _ => {
                    let outcome = self.commit_one(&batch);
                    self.finished.push_back((done, outcome));
                }
            }
            count += 1;
        }
        count
    }

    fn commit_one(&mut self, batch: &Batch) -> Result<Committed, Refusal> {
        let failure = self.failures.pop_front();
        let failed = Refusal::Failed("injected".into());
        if failure == Some(false) {
            return Err(failed);
        }
        let mut counters = self.counters;
        match apply::apply(&mut self.state, batch, &mut counters) {
            Ok(committed) => {
                counters.rows += self.state.commit();
                counters.commits += 1;
                counters.batches += 1;
                self.counters = counters;
                if failure.is_some() { Err(failed) } else { Ok(committed) }
            }
            Err(refusal) => {
                self.state.roll_back();
                Err(refusal)
            }
        }
    }
}

/// Calls the completions that are ready, in order, unless another call up the stack or another thread does already.
fn complete<'a>(shared: &'a Mutex<Shared>, mut guard: MutexGuard<'a, Shared>) {
    if guard.completing {
        return;
    }
    guard.completing = true;
    while let Some((done, outcome)) = guard.finished.pop_front() {
        drop(guard);
        done(outcome);
        guard = lock(shared);
    }
    guard.completing = false;
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
