//! The simulated process commits: turns go to the store, and what they caused leaves once they are durable.
//!
//! Owns the way from a turn to its effects, and what is done when the store refuses or does not know.

use std::sync::PoisonError;

use tidemill_dsl::ids::ExecutionId;
use tidemill_engine::record::DueChange;
use tidemill_store::{Arrival, Batch, Class, Committed, Part, Refusal, ShardPart, Store as _};

use super::driver::arrivals;
use super::lane::{Input, Released, Turn};
use super::world::{Broken, World};

impl World {
    /// Hands a turn's batch to the store. One without parts has its effects at once.
    pub(super) fn submit(&mut self, turn: Turn, class: Class) -> Result<(), Broken> {
        let Turn { part, creates, inbox, emitted, released } = turn;
        let mut parts = creates;
        parts.extend(emitted);
        if !inbox.is_empty() {
            parts.push(Part::Inbox(inbox));
        }
        if part != ShardPart::default() {
            parts.push(Part::Shard(part));
        }
        if parts.is_empty() {
            return self.release(released, &Committed::default());
        }
        self.hand_over(Batch { class, parts }, released);
        Ok(())
    }

    /// Posts events of a client: a batch of its own.
    pub(super) fn post(&mut self, number: usize, arrival: Arrival) {
        let started = arrival.starts.iter().map(|create| create.birth.id).collect();
        let batch = Batch { class: Class::New, parts: vec![Part::Ingress(arrivals(vec![arrival.clone()]))] };
        let released =
            Released { emitted: vec![arrival], post: Some((number, started)), ..Released::default() };
        self.hand_over(batch, released);
    }

    fn hand_over(&mut self, batch: Batch, released: Released) {
        let number = self.lane.next_turn;
        self.lane.next_turn += 1;
        self.lane.turns.insert(number, released);
        let done = self.lane.done.clone();
        self.store.submit(
            batch,
            Box::new(move |result| {
                done.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, result));
            }),
        );
    }

    /// Handles the next completion.
    pub(super) fn complete(&mut self) -> Result<(), Broken> {
        let next = self.lane.done.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((number, result)) = next else {
            return Ok(());
        };
        let released = self.lane.turns.remove(&number).ok_or("a completion came twice")?;
        self.tell(|| format!("turn {number} of {:?}: {result:?}", released.touched));
        match result {
            Ok(committed) => self.release(released, &committed),
            Err(refusal) => self.refused(released, &refusal),
        }
    }

    /// The process has died: what its completions would have told is durable all the same.
    pub(super) fn note_durable(&mut self) -> Result<(), Broken> {
        let done = std::mem::take(&mut *self.lane.done.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, result) in done {
            let released = self.lane.turns.remove(&number).ok_or("a completion came twice")?;
            if result.is_ok() || released.applied {
                self.account.settled(&released.settled)?;
                self.account.told(&released.told)?;
            }
        }
        Ok(())
    }

    /// The batch is durable: everything it caused may leave.
    fn release(&mut self, released: Released, committed: &Committed) -> Result<(), Broken> {
        if let Some((number, id)) = released.start {
            self.acknowledge_start(number, id);
        }
        self.account.settled(&released.settled)?;
        self.account.told(&released.told)?;
        released.signals.iter().for_each(|number| self.signal_taken(*number));
        released.callbacks.iter().for_each(|promise| self.outside.keep(*promise));
        for change in released.due {
            match change {
                DueChange::Set(due) => drop(self.lane.near.insert(due)),
                DueChange::Clear(due) => drop(self.lane.near.remove(&due)),
            }
        }
        self.subscribe(released.subscriptions)?;
        for (id, visit) in released.aborts {
            self.abort(id, visit);
        }
        for (order, needed) in released.orders {
            self.dispatch(&order, needed)?;
        }
        self.lane.queue.extend(released.pushes);
        if let Some((number, started)) = released.post {
            let new = self.acknowledge_post(number, committed);
            self.lane.queue.extend(started.into_iter().filter(|_| new).map(Input::Begin));
        }
        for (arrival, outcome) in released.emitted.into_iter().zip(&committed.arrivals) {
            self.wake(&arrival, *outcome);
        }
        self.settle(&released.touched);
        Ok(())
    }

    fn settle(&mut self, touched: &[ExecutionId]) {
        for id in touched {
            let Some(slot) = self.lane.slots.get_mut(id) else {
                continue;
            };
            slot.undurable = slot.undurable.saturating_sub(1);
            slot.born = true;
            if slot.undurable > 0 {
                continue;
            }
            let (refold, ended) = (slot.refold, slot.execution.status().ended());
            self.lane.queue.extend(std::mem::take(&mut slot.deferred));
            if refold {
                self.lane.queue.push_back(Input::Recover(*id));
            }
            if refold || ended {
                self.lane.slots.remove(id);
            }
        }
    }

    /// A refusal, or an outcome nobody knows: what the batch touched is folded again from what is durable, as soon as
    /// nothing of it is on its way; what its effects would have told is read from the store.
    fn refused(&mut self, released: Released, refusal: &Refusal) -> Result<(), Broken> {
        let unknown = matches!(refusal, Refusal::Failed(_));
        if released.applied {
            self.account.settled(&released.settled)?;
            self.account.told(&released.told)?;
        }
        if let Some((number, id)) = released.start {
            if let Some(slot) = self.lane.slots.remove(&id) {
                self.lane.queue.extend(slot.deferred);
            }
            if unknown {
                self.lane.queue.push_back(Input::Recover(id));
            }
            self.start_refused(number, refusal)?;
        } else if let Some((number, _)) = released.post {
            self.post_refused(number);
        } else if !unknown {
            return Err(format!("a batch of running work was refused: {refusal}"));
        } else {
            for id in &released.touched {
                if let Some(slot) = self.lane.slots.get_mut(id) {
                    slot.refold = true;
                }
            }
            self.settle(&released.touched);
            self.lane.queue.extend(released.resumed.into_iter().map(Input::Recover));
        }
        if unknown { self.read_again() } else { Ok(()) }
    }
}
