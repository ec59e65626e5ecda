//! The shard driver: input -> decide -> batch -> commit -> effects, on one lane's thread.
//!
//! Owns the executions of its shards in memory (D1). Decides nothing itself; effects leave only after their batch is
//! durable (invariant 2), decisions go on before (D5).

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tidemill_dsl::fault::{Fault, Standard};
use tidemill_dsl::ids::{ExecutionId, Namespace, Shard, Time, Visit};
use tidemill_dsl::order::Outcome;
use tidemill_dsl::program::Program;
use tidemill_engine as engine;
use tidemill_engine::record::{Birth, Due, DueChange, Ended, Parent, Status, SubscriptionChange};
use tidemill_engine::{Decision, Effect, Execution, Verdict};
use tidemill_store::{Create, InboxKey, Part};
use tokio::sync::oneshot;

use crate::costs::{Meter, Work};
use crate::error::Error;
use crate::inbox;
use crate::lanes::{Command, Input, Start, Verb};
use crate::rooms::Rooms;
use crate::view::ExecutionView;

mod command;
mod release;
mod snapshots;
mod turn;

use snapshots::Snapshots;
pub use turn::{Released, create_pending};
use turn::{Turn, child_ended, tell_parent, tell_trigger};

/// Inputs handled in one turn, at most: bounds the batch and the time to the next commit.
const TURN_INPUTS: usize = 4096;
/// Log bytes of one turn, at most.
const TURN_BYTES: usize = 4 * 1024 * 1024;
/// Waiting executions kept in memory per lane (limit `resident-executions`); beyond, idle ones are evicted.
const RESIDENT: usize = 20_000;

/// One execution in memory.
struct Slot {
    program: Arc<Program>,
    execution: Execution,
    /// Turns that hold records of it and are not durable yet.
    undurable: u32,
    /// Its creation is durable.
    born: bool,
    snapshots: Snapshots,
    /// Inputs that wait for its birth, or until what it has decided is durable.
    deferred: Vec<Input>,
}

/// One lane's driver.
pub struct Driver {
    lane: usize,
    rooms: Arc<Rooms>,
    slots: HashMap<ExecutionId, Slot>,
    /// The execution being decided on: what a panic leaves behind half-folded.
    deciding: Option<ExecutionId>,
    /// Executions whose decision panicked: left as the store has them until a restart, so that a poison execution
    /// cannot stop its neighbours.
    poisoned: HashSet<ExecutionId>,
    meter: Meter,
}

impl Driver {
    /// A driver without executions.
    pub fn new(lane: usize, rooms: Arc<Rooms>) -> Driver {
        let (slots, deciding, poisoned) = (HashMap::new(), None, HashSet::new());
        Driver { lane, rooms, slots, deciding, poisoned, meter: Meter::default() }
    }

    /// Runs until the lanes are closed and the queue is empty.
    pub fn run(mut self) {
        while let Some(inputs) = self.rooms.lanes.take(self.lane, TURN_INPUTS) {
            let mut turn = Turn::default();
            self.meter.begin();
            for input in inputs {
                let handled = catch_unwind(AssertUnwindSafe(|| self.handle(input, &mut turn)));
                if handled.is_err() {
                    tracing::error!(lane = self.lane, execution = ?self.deciding, "a decision panicked; it is left as the store has it");
                    metrics::counter!("tidemill_decision_panics_total").increment(1);
                    if let Some(id) = self.deciding.take() {
                        self.slots.remove(&id);
                        self.poisoned.insert(id);
                    }
                }
                if turn.bytes > TURN_BYTES {
                    self.submit(std::mem::take(&mut turn));
                }
            }
            self.submit(turn);
            if self.slots.len() > RESIDENT {
                self.evict();
            }
        }
    }

    /// What was done since the last mark was this work.
    fn lap(&mut self, work: Work) {
        self.meter.lap(&self.rooms.costs, work);
    }

    fn now(&self) -> Time {
        (self.rooms.clock)()
    }

    fn around(&self, now: Time) -> engine::Around {
        engine::Around { now, hops: self.rooms.hops }
    }

    fn handle(&mut self, input: Input, turn: &mut Turn) {
        match input {
            Input::Start(start) => self.start(*start),
            Input::Begin(id, birth) => self.begin(id, birth, turn),
            Input::Outcome(id, visit, attempt, outcome) => {
                self.step(id, engine::Input::Outcome { visit, attempt, outcome }, turn);
            }
            Input::Timer(due) => self.timer(due, turn),
            Input::Event(id, visit, event) => {
                self.step(id, engine::Input::Event { visit, event }, turn);
            }
            Input::ChildEnded(end) => {
                turn.part.inbox_done.extend(end.key);
                let input =
                    engine::Input::ChildEnded { visit: end.visit, child: end.child, ended: end.ended };
                self.step(end.parent, input, turn);
            }
            Input::Command(command) => self.command(*command, turn),
            Input::Continue(id) => {
                self.step(id, engine::Input::Continue, turn);
            }
            Input::Committed(released) => self.release(*released),
            Input::Unborn(id) => self.unborn(id),
            Input::Recover(id) => {
                self.load(id, turn);
            }
            Input::Forget(namespace, told) => self.forget(&namespace, told, turn),
            Input::Query(id, reply) => match self.slots.get_mut(&id) {
                // What is shown is durable: a question in between waits for the commit.
                Some(slot) if !slot.born || slot.undurable > 0 => slot.deferred.push(Input::Query(id, reply)),
                found => {
                    let full = found.map(|slot| ExecutionView::in_full(&slot.program, &slot.execution));
                    let _ = reply.send(full);
                }
            },
        }
    }

    /// An API start: created and begun in one transition, in a batch of its own class.
    fn start(&mut self, start: Start) {
        let birth = start.birth;
        let id = birth.id;
        let removing = self.rooms.catalog.removing(&birth.namespace);
        let found = self.rooms.catalog.revision(&birth.namespace, &birth.workflow, &birth.digest);
        let Some(program) = found.filter(|_| !removing) else {
            let _ = start.reply.send(Err(Error::not_found("workflow", &*birth.workflow)));
            return;
        };
        let now = self.now();
        self.lap(Work::Route);
        let mut execution = engine::create(&program, birth.clone());
        let mut decision = engine::decide(&program, &mut execution, engine::Input::Begin, self.around(now));
        self.lap(Work::Decide);
        decision.summary = None; // the creation carries it
        let first = engine::transition(&execution, &decision);
        self.lap(Work::Encode);
        let summary = engine::summary(&execution);
        let slot = Slot {
            program,
            execution,
            undurable: 1,
            born: false,
            snapshots: Snapshots::default(),
            deferred: Vec::new(),
        };
        let view = view(&slot);
        self.slots.insert(id, slot);
        let mut own = Turn::default();
        own.creates.push(Part::Create(Box::new(Create { birth, first, summary, key: start.key })));
        self.effects(id, decision, &mut own);
        own.released.touched.push(id);
        self.submit_start(own, id, start.reply, view);
    }

    fn begin(&mut self, id: ExecutionId, birth: Option<Arc<Birth>>, turn: &mut Turn) {
        if birth.as_ref().is_some_and(|birth| self.rooms.catalog.removing(&birth.namespace)) {
            return;
        }
        if !self.slots.contains_key(&id)
            && !self.poisoned.contains(&id)
            && let Some(birth) = birth
        {
            let Some(program) = self.rooms.catalog.revision(&birth.namespace, &birth.workflow, &birth.digest)
            else {
                tracing::error!(execution = %id, workflow = %birth.workflow, "the pinned workflow revision is missing");
                return;
            };
            let mut execution = engine::create(&program, birth);
            engine::created(&mut execution);
            let slot = Slot {
                program,
                execution,
                undurable: 0,
                born: true,
                snapshots: Snapshots::default(),
                deferred: Vec::new(),
            };
            self.slots.insert(id, slot);
        }
        self.step(id, engine::Input::Begin, turn);
    }

    /// A timer whose execution is gone or that decides nothing is cleared all the same.
    fn timer(&mut self, due: Due, turn: &mut Turn) {
        let before = turn.part.due.len();
        self.step(due.execution, engine::Input::Timer(due), turn);
        if !turn.part.due[before..].contains(&DueChange::Clear(due)) {
            turn.part.due.push(DueChange::Clear(due));
        }
    }

    /// One decision; none if the execution does not exist.
    fn step(&mut self, id: ExecutionId, input: engine::Input, turn: &mut Turn) -> Option<Verdict> {
        let now = self.now();
        self.load(id, turn)?;
        self.deciding = Some(id);
        self.meter.lap(&self.rooms.costs, Work::Route);
        let around = self.around(now);
        let slot = self.slots.get_mut(&id)?;
        let mut decision = engine::decide(&slot.program, &mut slot.execution, input, around);
        self.meter.lap(&self.rooms.costs, Work::Decide);
        let verdict = std::mem::replace(&mut decision.verdict, Verdict::Stale);
        if !decision.records.is_empty() {
            let transition = engine::transition(&slot.execution, &decision);
            self.meter.lap(&self.rooms.costs, Work::Encode);
            turn.bytes += transition.body.len();
            turn.part.states.extend(slot.snapshots.after(&slot.execution, transition.body.len()));
            turn.part.transitions.push(transition);
            slot.undurable += 1;
            turn.released.touched.push(id);
        }
        self.effects(id, decision, turn);
        self.deciding = None;
        // A late input for an execution that had ended: it was folded for nothing and leaves memory again.
        if self.slots.get(&id).is_some_and(|s| s.undurable == 0 && s.execution.status().ended()) {
            self.slots.remove(&id);
        }
        Some(verdict)
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
            turn.released.pushes.push((id, Input::Continue(id)));
        }
        for effect in effects {
            self.effect(id, effect, turn);
        }
    }

    fn effect(&mut self, id: ExecutionId, effect: Effect, turn: &mut Turn) {
        let Some(slot) = self.slots.get(&id) else { return };
        match effect {
            Effect::Call { visit, attempt } => {
                let secrets = self.rooms.secrets.of(&slot.execution.birth().namespace);
                self.meter.lap(&self.rooms.costs, Work::Route);
                let prepared = engine::prepare(&slot.program, &slot.execution, visit, &secrets);
                self.meter.lap(&self.rooms.costs, Work::Arguments);
                match prepared {
                    Ok(mut order) => {
                        if let Some(version) = self.rooms.dispatch.choose(&mut order) {
                            self.step(id, engine::Input::Chosen { visit, version }, turn);
                        }
                        turn.released.orders.push(order);
                    }
                    Err(fault) => {
                        turn.released
                            .pushes
                            .push((id, Input::Outcome(id, visit, attempt, Outcome::Failed(fault))));
                    }
                }
            }
            Effect::Abort { visit } => {
                // A call ordered earlier in this very turn need not go out at all.
                turn.released.orders.retain(|o| (o.execution, o.visit) != (id, visit));
                turn.released.aborts.push((id, visit));
            }
            Effect::StartChild { visit, child, namespace, workflow, version, input, awaited } => {
                let wanted = Child { visit, id: child, namespace, workflow, version, input, awaited };
                self.start_child(id, wanted, turn);
            }
            Effect::CancelChild { child } => {
                let key = InboxKey { shard: Shard::of(child), from: child, number: inbox::CANCEL };
                turn.inbox.push(inbox::cancel(key, child));
                let command = Command {
                    execution: child,
                    verb: Verb::Cancel,
                    reason: None,
                    key: Some(key),
                    reply: None,
                };
                turn.released.pushes.push((child, Input::Command(Box::new(command))));
            }
            Effect::Emit(event) => {
                let birth = slot.execution.birth().clone();
                // A listen takes what was accepted after its execution began: also what that emits in its first instant.
                let began = slot.execution.started().map_or(0, |at| at.0);
                let at = self.now().max(Time(began + 1));
                let (part, planned) = self.rooms.ingress.plan_emitted(&self.rooms, &birth, event, at);
                turn.emitted.push(part);
                turn.released.emitted.push(planned);
            }
            Effect::Ended(ended) => {
                let birth = slot.execution.birth().clone();
                turn.released.ended.push(view(slot));
                tell_parent(&birth, &ended, turn);
                tell_trigger(&birth, ended, self.now(), turn);
            }
            Effect::LimitMet(limit) => {
                metrics::counter!("tidemill_limit_met_total", "limit" => limit).increment(1);
            }
        }
    }

    fn start_child(&mut self, id: ExecutionId, wanted: Child, turn: &mut Turn) {
        let Child { visit, id: child, namespace, workflow, version, input, awaited } = wanted;
        let found = self.rooms.catalog.workflow(&namespace, &workflow, Some(&version));
        let Some(program) = found else {
            let detail =
                format!("cannot find workflow `{workflow}` version `{version}` in namespace `{namespace}`");
            let ended = Ended::Faulted(Fault::new(Standard::Configuration, detail));
            child_ended(Parent { execution: id, visit, awaited }, child, &ended, turn);
            return;
        };
        let path = self.slots.get(&id).map(|slot| slot.execution.birth().path.clone()).unwrap_or_default();
        let birth = Arc::new(Birth {
            id: child,
            namespace,
            workflow: program.document.name.clone(),
            version: program.document.version.clone(),
            digest: program.digest,
            created: self.now(),
            input,
            cause: None,
            parent: Some(Parent { execution: id, visit, awaited }),
            tags: Vec::new(),
            path,
        });
        turn.creates.push(Part::Create(Box::new(create_pending(&program, &birth))));
        turn.released.pushes.push((child, Input::Begin(child, Some(birth))));
    }

    /// The execution from memory, else folded from the store, and then what is open in it is asked for again with the
    /// same identities: after a restart nothing else does. None if it does not exist there.
    fn load(&mut self, id: ExecutionId, turn: &mut Turn) -> Option<()> {
        if self.slots.contains_key(&id) {
            return Some(());
        }
        if self.poisoned.contains(&id) {
            return None;
        }
        let (program, execution) = match self.rooms.fold(id) {
            Ok(found) => found?,
            Err(error) => {
                tracing::error!(execution = %id, %error, "cannot fold an execution; it is left alone");
                return None;
            }
        };
        let resumed = engine::resume(&program, &execution);
        let pending = execution.status() == Status::Pending;
        let snapshots = Snapshots::from(execution.transitions());
        let slot = Slot { program, execution, undurable: 0, born: true, snapshots, deferred: Vec::new() };
        self.slots.insert(id, slot);
        turn.released.due.extend(resumed.due.into_iter().map(DueChange::Set));
        turn.released.subscriptions.extend(resumed.subscriptions.into_iter().map(SubscriptionChange::Add));
        for effect in resumed.effects {
            // A child was created, or its end told, in its parent's commit; its end comes through the inbox.
            if !matches!(effect, Effect::StartChild { .. }) {
                self.effect(id, effect, turn);
            }
        }
        if resumed.more {
            turn.released.pushes.push((id, Input::Continue(id)));
        }
        if pending && !self.buffered(id) {
            turn.released.pushes.push((id, Input::Begin(id, None)));
        }
        Some(())
    }

    /// Drops the executions of a namespace that is being removed: their calls are cut off, their timers cleared. Their
    /// inputs find nothing any more.
    fn forget(&mut self, namespace: &Namespace, told: oneshot::Sender<()>, turn: &mut Turn) {
        let own = self.slots.iter().filter(|(_, slot)| slot.execution.birth().namespace == *namespace);
        for id in own.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(slot) = self.slots.remove(&id) else { continue };
            let open = engine::resume(&slot.program, &slot.execution);
            let clear: Vec<_> = open.due.into_iter().map(DueChange::Clear).collect();
            turn.released.due.extend(clear.iter().copied());
            turn.part.due.extend(clear);
            for effect in open.effects {
                if let Effect::Call { visit, .. } = effect {
                    turn.released.aborts.push((id, visit));
                }
            }
        }
        self.submit(std::mem::take(turn));
        let _ = told.send(());
    }

    /// Whether a pending execution waits in a buffer, which alone may let it begin.
    fn buffered(&self, id: ExecutionId) -> bool {
        let cause = self.slots.get(&id).and_then(|s| s.execution.birth().cause.as_ref());
        cause.is_some_and(|c| c.buffered)
    }

    /// Drops executions that wait and have nothing undurable; their state is in the store.
    fn evict(&mut self) {
        let before = self.slots.len();
        self.slots.retain(|_, s| s.undurable > 0 || !s.born || !idle(s.execution.status()));
        metrics::counter!("tidemill_evicted_executions_total").increment((before - self.slots.len()) as u64);
    }
}

/// Code of the conflict that a repeated signal is.
pub(crate) const DUPLICATE: &str = "duplicate-signal";

struct Child {
    visit: Visit,
    id: ExecutionId,
    namespace: Namespace,
    workflow: Arc<str>,
    version: Arc<str>,
    input: tidemill_dsl::value::Value,
    awaited: bool,
}

fn idle(status: Status) -> bool {
    matches!(status, Status::Waiting | Status::Suspended) || status.ended()
}

fn view(slot: &Slot) -> ExecutionView {
    ExecutionView::of_execution(&slot.program, &slot.execution)
}
