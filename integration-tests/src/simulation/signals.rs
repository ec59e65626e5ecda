//! What reaches one execution alone: events of clients, and answers of partners who had taken a call.
//!
//! A client or partner asks again until the answer is durable. Owns the wishes for signals and their account.

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::fault::Fault as Error;
use tidemill_dsl::ids::{ExecutionId, Visit};
use tidemill_dsl::value::Value;
use tidemill_engine as engine;
use tidemill_engine::Verdict;
use tidemill_engine::history::Record;
use tidemill_store::Read as _;

use super::coverage::{Fault, Row, Rows, bit};
use super::lane::{Input, Turn};
use super::world::{Broken, Happening, World};

/// An event that a client wants one execution to hear.
pub(super) struct Signal {
    event: Arc<Event>,
    /// The execution, chosen when it is sent first.
    to: Option<ExecutionId>,
    asked: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Wanted,
    /// Acknowledged: it is in the history for good.
    Taken,
    /// The execution had ended, or there was none.
    Gone,
}

impl Signal {
    /// Whether the client has its answer.
    pub(super) fn is_over(&self) -> bool {
        self.state != State::Wanted
    }
}

impl World {
    pub(super) fn plan_signal(&mut self) {
        let number = self.signals.len();
        let event = self.event(number, "https://sim.test/signal");
        self.signals.push(Signal { event, to: None, asked: 0, state: State::Wanted });
        self.schedule(0, 30_000, Happening::Signal(number));
    }

    /// A client sends its signal, again and again until it is told what became of it.
    pub(super) fn ask_signal(&mut self, number: usize) -> Result<(), Broken> {
        if self.signals[number].is_over() {
            return Ok(());
        }
        let id = match self.signals[number].to {
            Some(id) => id,
            None => {
                let open = self.unfinished()?;
                if open.is_empty() {
                    self.signals[number].state = State::Gone;
                    return Ok(());
                }
                let id = self.dice.pick(&open).id;
                self.signals[number].to = Some(id);
                id
            }
        };
        let signal = &mut self.signals[number];
        signal.asked += 1;
        let (event, again) = (signal.event.clone(), signal.asked > 1);
        if again {
            self.strike(Fault::EventRepeated, id, bit(Row::Signalled));
        }
        self.lane.queue.push_back(Input::Signal(id, event, number));
        self.schedule(1_500, 5_000, Happening::Signal(number));
        if self.dice.permille(250) {
            self.schedule(0, 900, Happening::Signal(number));
        }
        Ok(())
    }

    /// Notes a fault that hits an execution by way of this kind of input.
    fn strike(&mut self, fault: Fault, id: ExecutionId, way: Rows) {
        let rows = self.rows(id) | way;
        self.matrix.note(fault, rows);
    }

    /// Whether everything that an execution has decided is durable.
    fn is_durable(&self, id: ExecutionId) -> bool {
        self.lane.slots.get(&id).is_none_or(|slot| slot.undurable == 0)
    }

    pub(super) fn signal(
        &mut self,
        id: ExecutionId,
        (event, number): (Arc<Event>, usize),
        turn: &mut Turn,
    ) -> Result<(), Broken> {
        let verdict = self.step(id, engine::Input::Signal(event), turn)?;
        match verdict {
            Some(Verdict::Applied) => turn.released.signals.push(number),
            // What the answer rests on must be durable.
            Some(Verdict::Stale) if self.is_durable(id) => self.signal_taken(number),
            Some(Verdict::Refused(_)) if self.is_durable(id) => self.signals[number].state = State::Gone,
            _ => {}
        }
        Ok(())
    }

    /// A client is told that its signal was taken.
    pub(super) fn signal_taken(&mut self, number: usize) {
        self.signals[number].state = State::Taken;
    }

    pub(super) fn callback(
        &mut self,
        (id, visit): (ExecutionId, Visit),
        answer: Result<Value, Error>,
        turn: &mut Turn,
    ) -> Result<(), Broken> {
        let way = bit(Row::Callback);
        match self.step(id, engine::Input::Callback { visit, answer }, turn)? {
            Some(Verdict::Applied) => {
                self.strike(Fault::OutcomeDelayed, id, way);
                turn.released.callbacks.push((id, visit));
                turn.released.settled.push((id, visit, 0));
            }
            Some(Verdict::Refused(_)) => {
                self.strike(Fault::OutcomeRepeated, id, way);
                self.strike(Fault::OutcomeLate, id, way);
                if self.is_durable(id) {
                    self.outside.keep((id, visit));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What was acknowledged is in the history of its execution, once.
    pub(super) fn signals_kept(&self) -> Result<(), Broken> {
        for signal in &self.signals {
            let Some(id) = signal.to else { continue };
            let history = self.store.transitions(id, 0, usize::MAX).map_err(|error| error.to_string())?;
            let records =
                history.iter().flat_map(|transition| engine::decode(&transition.body).unwrap_or_default());
            let same = |record: &Record| {
                matches!(record, Record::Signalled(event)
                    if (&event.source, &event.id) == (&signal.event.source, &signal.event.id))
            };
            let count = records.filter(same).count();
            if count > 1 || signal.state == State::Taken && count == 0 {
                return Err(format!("the signal {} of {id} is stored {count} times", signal.event.id));
            }
        }
        Ok(())
    }
}
