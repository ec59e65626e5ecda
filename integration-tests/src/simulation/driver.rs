//! The simulated process decides: inputs become turns, as on a lane of the real one (architecture.md, D1 to D6).
//!
//! Owns the way from an input to what commits with it and what leaves after. Submits nothing.

use std::sync::Arc;

use tidemill_dsl::expr::NoArguments;
use tidemill_dsl::fault::Fault as Error;
use tidemill_dsl::fault::Standard;
use tidemill_dsl::ids::{ExecutionId, Shard};
use tidemill_dsl::order::Outcome;
use tidemill_dsl::value::Value;
use tidemill_engine as engine;
use tidemill_engine::record::{Birth, Due, DueChange, Ended, Parent};
use tidemill_engine::{Decision, Effect, Verdict};
use tidemill_store::{Arrival, Class, Create, InboxKey, IngressPart, Part, StateSnapshot};

use super::author::NAMESPACE;
use super::clients::start_key;
use super::coverage::Sheet;
use super::inbox;
use super::lane::{Input, Slot, Turn, Verb};
use super::world::{Broken, World};

impl World {
    /// Handles some inputs as one turn; the caller submits or loses it.
    pub(super) fn decide(&mut self, most: usize) -> Result<Turn, Broken> {
        let mut turn = Turn::default();
        for _ in 0..most {
            let Some(input) = self.lane.queue.pop_front() else {
                break;
            };
            self.handle(input, &mut turn)?;
        }
        Ok(turn)
    }

    fn handle(&mut self, input: Input, turn: &mut Turn) -> Result<(), Broken> {
        if let Some(slot) = self.waits(&input) {
            slot.deferred.push(input);
            return Ok(());
        }
        self.tell(|| format!("handles {input:?}"));
        match input {
            Input::Start(number, birth) => self.start(number, birth)?,
            Input::Begin(id) => drop(self.step(id, engine::Input::Begin, turn)?),
            Input::Outcome(id, visit, attempt, outcome) => {
                let input = engine::Input::Outcome { visit, attempt, outcome };
                if self.step(id, input, turn)? == Some(Verdict::Applied) {
                    turn.forget_answered((id, visit, attempt));
                    turn.released.settled.push((id, visit, attempt));
                }
            }
            Input::Timer(due) => self.timer(due, turn)?,
            Input::Event(id, visit, event) => {
                drop(self.step(id, engine::Input::Event { visit, event }, turn)?);
            }
            Input::ChildEnded(end, key) => {
                turn.part.inbox_done.extend(key);
                let (parent, visit) = (end.parent, end.visit);
                let input = engine::Input::ChildEnded { visit, child: end.child, ended: end.ended };
                if self.step(parent, input, turn)? == Some(Verdict::Applied) {
                    turn.released.told.push((parent, visit));
                }
            }
            Input::Verb(id, verb, key) => {
                turn.part.inbox_done.extend(key);
                let input = match verb {
                    Verb::Cancel => engine::Input::Cancel { reason: None },
                    Verb::Suspend => engine::Input::Suspend { reason: None },
                    Verb::Resume => engine::Input::Resume { reason: None },
                    Verb::Retry { input, from } => engine::Input::Retry { input, from, reason: None },
                };
                self.step(id, input, turn)?;
            }
            Input::Signal(id, event, number) => self.signal(id, (event, number), turn)?,
            Input::Callback(id, visit, answer) => self.callback((id, visit), answer, turn)?,
            Input::Continue(id) => drop(self.step(id, engine::Input::Continue, turn)?),
            Input::Recover(id) => self.recover(id, turn)?,
        }
        Ok(())
    }

    /// The slot that an input must wait for: unborn, to be folded again, or not durable enough to be taken up.
    fn waits(&mut self, input: &Input) -> Option<&mut Slot> {
        let (id, verb, recover) = match input {
            Input::Start(..) => return None,
            Input::Begin(id) | Input::Continue(id) | Input::Outcome(id, ..) | Input::Event(id, ..) => {
                (*id, false, false)
            }
            Input::Timer(due) => (due.execution, false, false),
            Input::ChildEnded(end, _) => (end.parent, false, false),
            Input::Verb(id, ..) | Input::Signal(id, ..) | Input::Callback(id, ..) => (*id, true, false),
            Input::Recover(id) => (*id, false, true),
        };
        let slot = self.lane.slots.get_mut(&id)?;
        (slot.refold || (verb && !slot.born) || (recover && slot.undurable > 0)).then_some(slot)
    }

    /// Created and begun in one transition, in a batch of its own.
    fn start(&mut self, number: usize, birth: Arc<Birth>) -> Result<(), Broken> {
        let id = birth.id;
        let sheet = self.sheet(&birth.workflow).ok_or("a start names no workflow")?;
        let mut execution = engine::create(&sheet.program, birth.clone());
        let mut decision = engine::decide(&sheet.program, &mut execution, engine::Input::Begin, self.now);
        decision.summary = None;
        let first = engine::transition(&execution, &decision);
        let summary = engine::summary(&execution);
        let recent = sheet.begun(&decision.records);
        let slot = Slot {
            sheet,
            execution,
            undurable: 1,
            born: false,
            snapshot: 0,
            deferred: vec![],
            refold: false,
            recent,
        };
        self.lane.slots.insert(id, slot);
        let mut own = Turn::default();
        let key = Some(start_key(number));
        own.creates.push(Part::Create(Box::new(Create { birth, first, summary, key })));
        self.effects(id, decision, &mut own);
        own.released.touched.push(id);
        own.released.start = Some((number, id));
        self.submit(own, Class::New)
    }

    fn timer(&mut self, due: Due, turn: &mut Turn) -> Result<(), Broken> {
        let before = turn.part.due.len();
        let verdict = self.step(due.execution, engine::Input::Timer(due), turn)?;
        if verdict == Some(Verdict::Applied) && due.at > self.now {
            return Err(format!("{due:?} was accepted at {:?}, before its instant", self.now));
        }
        if due.at <= self.now && !turn.part.due[before..].contains(&DueChange::Clear(due)) {
            turn.part.due.push(DueChange::Clear(due));
        }
        Ok(())
    }

    /// One decision; none if the execution does not exist.
    pub(super) fn step(
        &mut self,
        id: ExecutionId,
        input: engine::Input,
        turn: &mut Turn,
    ) -> Result<Option<Verdict>, Broken> {
        if !self.load(id)? {
            return Ok(None);
        }
        let every = self.snapshot_every;
        let Some(slot) = self.lane.slots.get_mut(&id) else {
            return Ok(None);
        };
        let mut decision = engine::decide(&slot.sheet.program, &mut slot.execution, input, self.now);
        let verdict = std::mem::replace(&mut decision.verdict, Verdict::Stale);
        let nothing = decision.records.is_empty();
        if nothing
            && (verdict == Verdict::Applied || !decision.effects.is_empty() || !decision.due.is_empty())
        {
            return Err(format!("{verdict:?} without records, but with effects {:?}", decision.effects));
        }
        if !nothing {
            turn.part.transitions.push(engine::transition(&slot.execution, &decision));
            slot.undurable += 1;
            slot.recent = slot.sheet.begun(&decision.records);
            turn.released.touched.push(id);
            let folded = slot.execution.transitions();
            if folded >= slot.snapshot + every && !slot.execution.status().ended() {
                slot.snapshot = folded;
                turn.part.states.push(StateSnapshot {
                    execution: id,
                    next: slot.execution.next_sequence(),
                    transitions: folded,
                    body: slot.execution.snapshot(),
                });
            }
        }
        self.effects(id, decision, turn);
        Ok(Some(verdict))
    }

    /// Sorts a decision's effects into what commits with it and what leaves after.
    fn effects(&mut self, id: ExecutionId, decision: Decision, turn: &mut Turn) {
        let Decision { effects, due, subscriptions, summary, more, .. } = decision;
        turn.released.due.extend(due.iter().copied());
        turn.part.due.extend(due);
        turn.released.subscriptions.extend(subscriptions.iter().cloned());
        turn.part.subscriptions.extend(subscriptions);
        turn.part.summaries.extend(summary);
        if more {
            turn.released.pushes.push(Input::Continue(id));
        }
        for effect in effects {
            self.effect(id, effect, turn);
        }
    }

    pub(super) fn effect(&mut self, id: ExecutionId, effect: Effect, turn: &mut Turn) {
        let Some(slot) = self.lane.slots.get(&id) else {
            return;
        };
        match effect {
            Effect::Call { visit, attempt } => {
                match engine::prepare(&slot.sheet.program, &slot.execution, visit, &NoArguments) {
                    Ok(order) => turn.released.orders.push((order, slot.execution.transitions())),
                    Err(fault) => {
                        let outcome = Outcome::Failed(fault);
                        turn.released.pushes.push(Input::Outcome(id, visit, attempt, outcome));
                    }
                }
            }
            Effect::Abort { visit } => {
                turn.forget_call(id, visit);
                turn.released.aborts.push((id, visit));
            }
            Effect::StartChild { visit, child, workflow, input, awaited, .. } => {
                let parent = Parent { execution: id, visit, awaited };
                self.start_child(parent, child, (&workflow, input), turn);
            }
            Effect::CancelChild { child } => {
                let key = InboxKey { shard: Shard::of(child), from: child, number: inbox::CANCEL };
                turn.inbox.push(inbox::cancel(key, child));
                turn.released.pushes.push(Input::Verb(child, Verb::Cancel, Some(key)));
            }
            Effect::Emit(event) => {
                let arrival = Arrival {
                    event: Arc::new(event),
                    accepted: self.now,
                    placed: false,
                    starts: Vec::new(),
                    deliveries: Vec::new(),
                    dead: Vec::new(),
                    skips: Vec::new(),
                };
                turn.emitted.push(Part::Ingress(arrivals(vec![arrival.clone()])));
                turn.released.emitted.push(arrival);
            }
            Effect::Ended(ended) => {
                let birth = slot.execution.birth().clone();
                tell_parent(&birth, ended, turn);
            }
            Effect::LimitMet(_) => {}
        }
    }

    fn start_child(
        &mut self,
        parent: Parent,
        child: ExecutionId,
        (name, input): (&str, Value),
        turn: &mut Turn,
    ) {
        let Some(sheet) = self.sheet(name) else {
            let fault = Error::new(Standard::Configuration, format!("cannot find workflow `{name}`"));
            let (visit, ended) = (parent.visit, Ended::Faulted(fault));
            let end = inbox::ChildEnded { parent: parent.execution, visit, child, ended };
            turn.released.pushes.push(Input::ChildEnded(end, None));
            return;
        };
        let birth = self.birth(&sheet, child, input, Some(parent));
        turn.creates.push(Part::Create(Box::new(pending(&sheet, &birth))));
        turn.released.pushes.push(Input::Begin(child));
    }

    /// The facts of birth of an execution of a sheet.
    pub(super) fn birth(
        &self,
        sheet: &Sheet,
        id: ExecutionId,
        input: Value,
        parent: Option<Parent>,
    ) -> Arc<Birth> {
        Arc::new(Birth {
            id,
            namespace: NAMESPACE.into(),
            workflow: sheet.program.document.name.clone(),
            version: sheet.program.document.version.clone(),
            digest: sheet.program.digest,
            created: self.now,
            input,
            cause: None,
            parent,
            tags: Vec::new(),
            path: Vec::new(),
        })
    }
}

/// A creation whose execution is pending.
pub(super) fn pending(sheet: &Sheet, birth: &Arc<Birth>) -> Create {
    let mut execution = engine::create(&sheet.program, birth.clone());
    let first = engine::created(&mut execution);
    Create { birth: birth.clone(), first, summary: engine::summary(&execution), key: None }
}

pub(super) fn arrivals(arrivals: Vec<Arrival>) -> IngressPart {
    IngressPart { namespace: NAMESPACE.into(), binding: "".into(), arrivals, checkpoints: Vec::new() }
}

/// An awaited child has ended: its parent is told by an item of the same commit.
fn tell_parent(birth: &Birth, ended: Ended, turn: &mut Turn) {
    let Some(parent) = birth.parent.filter(|parent| parent.awaited) else {
        return;
    };
    let key = InboxKey { shard: Shard::of(parent.execution), from: birth.id, number: inbox::CHILD_ENDED };
    let end = inbox::ChildEnded { parent: parent.execution, visit: parent.visit, child: birth.id, ended };
    turn.inbox.push(inbox::child_ended(key, &end));
    turn.released.pushes.push(Input::ChildEnded(end, Some(key)));
}
