//! The simulated process: one lane that does the steps of the real one (architecture.md, D1 to D6) over the store
//! contract: input, decide, batch, commit, effects. Everything in [`Lane`] is lost when the process dies.
//!
//! Owns what happens within the process. What happens around it, and when, is the world's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::expr::NoArguments;
use tidemill_dsl::fault::Fault as Error;
use tidemill_dsl::fault::Standard;
use tidemill_dsl::ids::{ExecutionId, Shard, Visit};
use tidemill_dsl::order::{Order, Outcome};
use tidemill_dsl::value::Value;
use tidemill_engine as engine;
use tidemill_engine::record::{
    Birth, Due, DueChange, Ended, Parent, Status, Subscription, SubscriptionChange,
};
use tidemill_engine::{Decision, Effect, Execution, Verdict};
use tidemill_store::{
    Arrival, Batch, Class, Committed, Create, InboxItem, InboxKey, IngressPart, Part, Read as _, Refusal,
    ShardPart, StateSnapshot, Store as _,
};

use super::author::NAMESPACE;
use super::coverage::{Fault, Rows, Sheet};
use super::inbox;
use super::world::{Broken, World};

/// What a lane is handed.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// A start by hand, with the number of the client's start.
    Start(usize, Arc<Birth>),
    Begin(ExecutionId),
    Outcome(ExecutionId, Visit, u32, Outcome),
    Timer(Due),
    Event(ExecutionId, Visit, Arc<StoredEvent>),
    ChildEnded(inbox::ChildEnded, Option<InboxKey>),
    Verb(ExecutionId, Verb, Option<InboxKey>),
    Continue(ExecutionId),
    Recover(ExecutionId),
}

/// Operator verbs.
#[derive(Clone, Debug)]
pub(super) enum Verb {
    Cancel,
    Suspend,
    Resume,
    Retry { input: Option<Value>, from: Option<Arc<str>> },
}

/// One execution in memory.
pub(super) struct Slot {
    pub sheet: Arc<Sheet>,
    pub execution: Execution,
    /// Decisions that are submitted and not durable.
    pub undurable: u32,
    pub born: bool,
    snapshot: u64,
    /// Inputs that wait for its birth or for the fold.
    pub deferred: Vec<Input>,
    /// A batch of it failed: it is folded again once nothing of it is on its way.
    refold: bool,
    /// What its last decision began.
    pub recent: Rows,
}

/// What leaves the process once a batch is durable.
#[derive(Default)]
pub(super) struct Released {
    /// Orders, each with the number of transitions that must be durable before it leaves.
    orders: Vec<(Order, u64)>,
    aborts: Vec<(ExecutionId, Visit)>,
    pushes: Vec<Input>,
    due: Vec<DueChange>,
    subscriptions: Vec<SubscriptionChange>,
    /// Emitted events, in the order of their parts.
    emitted: Vec<Arrival>,
    /// The executions of its decisions, one entry each.
    pub touched: Vec<ExecutionId>,
    /// It is durable, though the store will say that it failed.
    pub applied: bool,
    /// Executions taken up in it.
    resumed: Vec<ExecutionId>,
    /// Outcomes used, children's ends used.
    settled: Vec<(ExecutionId, Visit, u32)>,
    told: Vec<(ExecutionId, Visit)>,
    /// The client's start that waits for it.
    start: Option<(usize, ExecutionId)>,
    /// The client's post that waits for it, with the executions it starts.
    post: Option<(usize, Vec<ExecutionId>)>,
}

/// One turn's work.
#[derive(Default)]
pub(super) struct Turn {
    part: ShardPart,
    creates: Vec<Part>,
    inbox: Vec<InboxItem>,
    emitted: Vec<Part>,
    pub released: Released,
}

impl Turn {
    /// A call that was to be made and is cut off or answered within the same turn.
    fn forget_call(&mut self, id: ExecutionId, visit: Visit) {
        self.released.orders.retain(|(order, _)| (order.execution, order.visit) != (id, visit));
    }
}

type Done = Arc<Mutex<VecDeque<(u64, Result<Committed, Refusal>)>>>;

/// The memory of the process.
#[derive(Default)]
pub(super) struct Lane {
    pub slots: BTreeMap<ExecutionId, Slot>,
    pub queue: VecDeque<Input>,
    /// Submitted, completion not handled.
    pub turns: BTreeMap<u64, Released>,
    pub next_turn: u64,
    /// Completions not handled.
    pub done: Done,
    /// Timers in memory.
    pub near: BTreeSet<Due>,
    pub listening: BTreeMap<(ExecutionId, Visit), Subscription>,
    /// What was open before the last crash is being taken up.
    pub recovering: bool,
}

impl Lane {
    /// Completions that wait to be handled.
    pub(super) fn completions(&self) -> usize {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn completed(&self) -> BTreeSet<u64> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(number, _)| *number).collect()
    }

    /// The next turn to be committed.
    pub(super) fn first_held(&mut self) -> Option<&mut Released> {
        let completed = self.completed();
        self.turns.iter_mut().find(|(number, _)| !completed.contains(number)).map(|(_, released)| released)
    }

    /// Executions of the turns whose completion waits, or of all turns submitted.
    pub(super) fn touched(&self, completed: bool) -> BTreeSet<ExecutionId> {
        let numbers = self.completed();
        let turns = self.turns.iter().filter(|(number, _)| !completed || numbers.contains(number));
        turns.flat_map(|(_, released)| released.touched.iter().copied()).collect()
    }
}

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
                    turn.forget_call(id, visit);
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
            Input::Continue(id) => drop(self.step(id, engine::Input::Continue, turn)?),
            Input::Recover(id) => self.recover(id, turn)?,
        }
        Ok(())
    }

    /// The slot that an input must wait for: unborn, to be folded again, or not durable enough to be taken up.
    fn waits(&mut self, input: &Input) -> Option<&mut Slot> {
        let (id, verb, recover) = match input {
            Input::Start(..) => return None,
            Input::Begin(id) | Input::Continue(id) => (*id, false, false),
            Input::Outcome(id, ..) | Input::Event(id, ..) => (*id, false, false),
            Input::Timer(due) => (due.execution, false, false),
            Input::ChildEnded(end, _) => (end.parent, false, false),
            Input::Verb(id, ..) => (*id, true, false),
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
        let key = Some(self.start_key(number));
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
    fn step(
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

    fn effect(&mut self, id: ExecutionId, effect: Effect, turn: &mut Turn) {
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
                    starts: Vec::new(),
                    deliveries: Vec::new(),
                    dead: Vec::new(),
                };
                turn.emitted.push(Part::Ingress(arrivals(vec![arrival.clone()])));
                turn.released.emitted.push(arrival);
            }
            Effect::Ended(ended) => {
                let birth = slot.execution.birth();
                let Some(parent) = birth.parent.filter(|parent| parent.awaited) else {
                    return;
                };
                let key = InboxKey {
                    shard: Shard::of(parent.execution),
                    from: birth.id,
                    number: inbox::CHILD_ENDED,
                };
                let end = inbox::ChildEnded {
                    parent: parent.execution,
                    visit: parent.visit,
                    child: birth.id,
                    ended,
                };
                turn.inbox.push(inbox::child_ended(key, &end));
                turn.released.pushes.push(Input::ChildEnded(end, Some(key)));
            }
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
        })
    }

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

    /// After a restart: what is open is asked for again, with the same identities.
    fn recover(&mut self, id: ExecutionId, turn: &mut Turn) -> Result<(), Broken> {
        if !self.load(id)? {
            return Ok(());
        }
        let Some(slot) = self.lane.slots.get(&id) else {
            return Ok(());
        };
        if slot.execution.status() == Status::Pending {
            self.step(id, engine::Input::Begin, turn)?;
            return Ok(());
        }
        let resumed = engine::resume(&slot.sheet.program, &slot.execution);
        turn.released.resumed.push(id);
        let mut absent = Vec::new();
        turn.released.due.extend(resumed.due.into_iter().map(DueChange::Set));
        turn.released.subscriptions.extend(resumed.subscriptions.into_iter().map(SubscriptionChange::Add));
        for effect in resumed.effects {
            match effect {
                // A child that was started with its parent's commit exists; its end comes through the inbox.
                Effect::StartChild { ref workflow, .. } if self.sheet(workflow).is_some() => {}
                Effect::StartChild { .. } => absent.push(effect),
                other => self.effect(id, other, turn),
            }
        }
        for effect in absent {
            self.effect(id, effect, turn);
        }
        if resumed.more {
            turn.released.pushes.push(Input::Continue(id));
        }
        Ok(())
    }

    /// The execution from memory, else folded from the store. Tells whether it exists.
    fn load(&mut self, id: ExecutionId) -> Result<bool, Broken> {
        if self.lane.slots.contains_key(&id) {
            return Ok(true);
        }
        let Some((sheet, folded, snapshot)) = self.fold(id)? else {
            return Ok(false);
        };
        let last = self.store.transitions(id, folded.next_sequence() - 1, usize::MAX).unwrap_or_default();
        let records = last.last().map(|transition| engine::decode(&transition.body).unwrap_or_default());
        let recent = sheet.begun(&records.unwrap_or_default());
        let slot = Slot {
            sheet,
            snapshot: folded.transitions(),
            execution: folded,
            undurable: 0,
            born: true,
            deferred: Vec::new(),
            refold: false,
            recent,
        };
        self.lane.slots.insert(id, slot);
        if snapshot {
            let rows = self.rows(id);
            self.matrix.note(Fault::SnapshotDropped, rows);
        }
        Ok(true)
    }

    /// Folds an execution with its snapshot and without it: both give the same. Tells whether there was a snapshot.
    pub(super) fn fold(&self, id: ExecutionId) -> Result<Option<(Arc<Sheet>, Execution, bool)>, Broken> {
        let broken = |error: engine::DecodeError| format!("cannot fold {id}: {error}");
        let (snapshot, rest) = self.store.log(id).map_err(|error| error.to_string())?;
        let whole = self.store.transitions(id, 0, usize::MAX).map_err(|error| error.to_string())?;
        let Some(first) = whole.first() else {
            return Ok(None);
        };
        let birth = engine::birth_of(first).map_err(broken)?;
        let sheet = self.sheet(&birth.workflow).ok_or("an execution names no workflow")?;
        let execution = engine::fold(&sheet.program, &whole).map_err(broken)?;
        if let Some(snapshot) = &snapshot {
            let mut short = Execution::from_snapshot(&sheet.program, &snapshot.body).map_err(broken)?;
            for transition in &rest {
                short.follow(&sheet.program, transition).map_err(broken)?;
            }
            if short != execution {
                return Err(format!("the snapshot of {id} leads elsewhere:\n{short:#?}\n{execution:#?}"));
            }
        }
        Ok(Some((sheet, execution, snapshot.is_some())))
    }
}

/// A creation whose execution is pending.
pub(super) fn pending(sheet: &Sheet, birth: &Arc<Birth>) -> Create {
    let mut execution = engine::create(&sheet.program, birth.clone());
    let first = engine::created(&mut execution);
    Create { birth: birth.clone(), first, summary: engine::summary(&execution), key: None }
}

fn arrivals(arrivals: Vec<Arrival>) -> IngressPart {
    IngressPart {
        namespace: NAMESPACE.into(),
        binding: "".into(),
        arrivals,
        seen: true,
        checkpoints: Vec::new(),
    }
}
