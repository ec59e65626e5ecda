//! What is called from outside the process, and what wakes it: functions with scripted outcomes, timers and events
//! read from the store after a start, listens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::fault::Fault as Error;
use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_dsl::order::{Call, Order, Outcome};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Subscription, SubscriptionChange};
use tidemill_store::memory::Space;
use tidemill_store::{Accepted, Arrival, EventQuery, Read as _};

use super::author::NAMESPACE;
use super::coverage::Fault;
use super::dice::hash;
use super::elsewhere;
use super::inbox::{self, Told};
use super::lane::{Input, Verb};
use super::world::{Broken, Happening, World};

/// The functions, and the disk's space.
#[derive(Default)]
pub(super) struct Outside {
    pub space: Space,
    /// Calls that are never answered; each has a deadline of its own.
    pub never: BTreeSet<(ExecutionId, Visit, u32)>,
    /// Calls made: each has a number.
    calls: u64,
    /// Numbers of the calls that are not answered.
    open: BTreeSet<(ExecutionId, u64)>,
    /// What partners have promised for later.
    promises: BTreeMap<(ExecutionId, Visit), Promise>,
}

/// What a partner has promised who has taken a call.
struct Promise {
    /// None: the partner stays away for ever, and the call has a deadline.
    answer: Option<Result<Value, Error>>,
    /// It was used, or nobody wants it any more.
    kept: bool,
}

impl Outside {
    /// An answer that comes later is used for good, or refused for good.
    pub(super) fn keep(&mut self, promise: (ExecutionId, Visit)) {
        if let Some(promise) = self.promises.get_mut(&promise) {
            promise.kept = true;
        }
    }

    /// Whether a partner has still to answer; one who stays away leaves that to the deadline.
    pub(super) fn is_promised(&self, promise: (ExecutionId, Visit)) -> bool {
        self.promises.get(&promise).is_some_and(|promise| !promise.kept)
    }

    /// The process that called is gone.
    pub(super) fn forget(&mut self) {
        self.never.clear();
        self.open.clear();
    }
}

impl World {
    /// A call leaves the process. It must be durable, and not answered before.
    pub(super) fn dispatch(&mut self, order: &Order, needed: u64) -> Result<(), Broken> {
        let (id, visit, attempt) = (order.execution, order.visit, order.attempt);
        let durable =
            self.store.transitions(id, 0, usize::MAX).map_err(|error| error.to_string())?.len() as u64;
        if durable < needed {
            return Err(format!(
                "the call of {id}/{visit} left at {durable} durable transitions, made by {needed}"
            ));
        }
        self.account.called((id, visit, attempt))?;
        self.tell(|| format!("calls {id}/{visit}, attempt {attempt}"));
        self.outside.calls += 1;
        let number = self.outside.calls;
        self.outside.open.insert((id, number));
        let script = hash(&[self.seed, u64::from(visit), u64::from(attempt), number]);
        let slow = script % 100 >= 55 && script % 100 < 70;
        let later = matches!(order.what, Call::Function { .. }) && (script >> 40).is_multiple_of(3);
        let resource =
            if let Call::Http(request) = &order.what { elsewhere::text(&request.uri) } else { None };
        let outcome = match script % 100 {
            0..92 if later => {
                self.promise((id, visit), order.deadline.is_some(), script >> 44);
                Outcome::Later
            }
            0..70 => Outcome::Done(resource.map_or_else(|| value(script >> 8), raw)),
            70..92 => {
                let status = [503, 500, 404, 429][(script >> 8) as usize % 4];
                Outcome::Failed(Error::communication(status, "scripted"))
            }
            _ if order.deadline.is_some() => {
                self.outside.never.insert((id, visit, attempt));
                return Ok(());
            }
            _ => Outcome::Failed(Error::timeout("the function has run out of time")),
        };
        let (from, to) = if slow { (1_000, 20_000) } else { (1, 600) };
        let answer = |outcome, repeated| Happening::Answer {
            input: Input::Outcome(id, visit, attempt, outcome),
            repeated,
            slow,
            order: number,
        };
        self.schedule(from, to, answer(outcome.clone(), false));
        if self.dice.permille(150) {
            let same = later || self.dice.permille(500);
            let again = if same { outcome } else { Outcome::Done(value(script >> 16)) };
            self.schedule(from, to + 3_000, answer(again, true));
        }
        Ok(())
    }

    /// A partner promises an answer, once for each call however often it is made.
    fn promise(&mut self, call: (ExecutionId, Visit), may_stay_away: bool, script: u64) {
        if self.outside.promises.contains_key(&call) {
            return;
        }
        let answer = match script % 8 {
            0 if may_stay_away => None,
            1 | 2 => Some(Err(Error::communication(500, "scripted, later"))),
            _ => Some(Ok(value(script >> 3))),
        };
        if answer.is_some() {
            self.schedule(1, 9_000, Happening::Callback(call));
        }
        self.outside.promises.insert(call, Promise { answer, kept: false });
    }

    /// A partner answers, again and again until it is told that it was heard, or that nobody wants to hear it.
    pub(super) fn call_back(&mut self, call: (ExecutionId, Visit)) {
        let promise = self.outside.promises.get(&call).filter(|promise| !promise.kept);
        let Some(answer) = promise.and_then(|promise| promise.answer.clone()) else {
            return;
        };
        self.lane.queue.push_back(Input::Callback(call.0, call.1, answer));
        self.schedule(1_500, 5_000, Happening::Callback(call));
        if self.dice.permille(300) {
            self.schedule(0, 900, Happening::Callback(call));
        }
    }

    /// The process cuts a call off: its answer may come all the same.
    pub(super) fn abort(&mut self, id: ExecutionId, visit: Visit) {
        self.outside.never.retain(|(execution, at, _)| (*execution, *at) != (id, visit));
    }

    /// An answer arrives.
    pub(super) fn answer(&mut self, input: Input, (repeated, slow): (bool, bool), order: u64) {
        let Input::Outcome(id, visit, attempt, _) = &input else {
            return;
        };
        let (id, visit, attempt) = (*id, *visit, *attempt);
        let slot = self.lane.slots.get(&id);
        let wanted = slot.is_some_and(|slot| {
            slot.execution.open_calls().any(|call| (call.visit, call.attempt) == (visit, attempt))
        });
        let earlier = self.outside.open.range((id, 0)..(id, order)).next().is_some();
        for (holds, fault) in [
            (repeated, Fault::OutcomeRepeated),
            (slow, Fault::OutcomeDelayed),
            (earlier && !repeated, Fault::OutcomeReordered),
            (!wanted && !repeated, Fault::OutcomeLate),
        ] {
            if holds {
                self.hit(fault, [id]);
            }
        }
        self.outside.open.remove(&(id, order));
        self.lane.queue.push_back(input);
    }

    /// Takes over durable changes of listens; a new one sees first what is stored.
    pub(super) fn subscribe(&mut self, changes: Vec<SubscriptionChange>) -> Result<(), Broken> {
        for change in changes {
            match change {
                SubscriptionChange::Add(subscription) => {
                    self.catch_up(&subscription)?;
                    self.lane.listening.insert((subscription.execution, subscription.visit), subscription);
                }
                SubscriptionChange::Remove(id, visit) => drop(self.lane.listening.remove(&(id, visit))),
            }
        }
        Ok(())
    }

    fn catch_up(&mut self, subscription: &Subscription) -> Result<(), Broken> {
        let query = EventQuery {
            namespace: NAMESPACE.into(),
            kind: subscription.kind.clone(),
            since: Some(subscription.since),
            limit: usize::MAX,
            ..EventQuery::default()
        };
        let events = self.store.events(&query).map_err(|error| error.to_string())?;
        let (id, visit) = (subscription.execution, subscription.visit);
        self.lane.queue.extend(events.into_iter().map(|event| Input::Event(id, visit, Arc::new(event))));
        Ok(())
    }

    /// A new event wakes the listens of its type; some are told twice.
    pub(super) fn wake(&mut self, arrival: &Arrival, outcome: Accepted) {
        let Accepted::Stored(pos) = outcome else { return };
        let event = Arc::new(StoredEvent {
            pos,
            accepted: arrival.accepted,
            binding: "".into(),
            event: arrival.event.clone(),
        });
        let fits = |one: &&Subscription| one.kind.as_ref().is_none_or(|kind| *kind == event.event.kind);
        let woken: Vec<_> =
            self.lane.listening.values().filter(fits).map(|one| (one.execution, one.visit)).collect();
        for (id, visit) in woken {
            let input = Input::Event(id, visit, event.clone());
            if self.dice.permille(200) {
                self.hit(Fault::EventRepeated, [id]);
                self.schedule(0, 2_000, Happening::Hand(input.clone()));
            }
            self.lane.queue.push_back(input);
        }
    }

    /// After a start: timers, listens, inbox items, and executions that were pending, running or suspended.
    pub(super) fn take_up(&mut self) -> Result<(), Broken> {
        let broken = |error: tidemill_store::ReadError| error.to_string();
        let due = self.store.due(None, Time(i64::MAX), usize::MAX).map_err(broken)?;
        self.lane.near.extend(due);
        let subscriptions = self.store.subscriptions().map_err(broken)?;
        self.subscribe(subscriptions.into_iter().map(SubscriptionChange::Add).collect())?;
        let open = self.store.unfinished(None, usize::MAX).map_err(broken)?;
        self.lane.queue.extend(open.into_iter().map(|row| Input::Recover(row.id)));
        self.read_inbox()
    }

    fn read_inbox(&mut self) -> Result<(), Broken> {
        for item in self.store.inbox().map_err(|error| error.to_string())? {
            let input = match inbox::read(&item).ok_or("an inbox item cannot be read")? {
                Told::ChildEnded(end) => Input::ChildEnded(end, Some(item.key)),
                Told::Cancel(id) => Input::Verb(id, Verb::Cancel, Some(item.key)),
            };
            self.lane.queue.push_back(input);
        }
        Ok(())
    }

    /// A batch whose outcome nobody knows: what its effects would have told is told from the store.
    pub(super) fn read_again(&mut self) -> Result<(), Broken> {
        self.read_inbox()?;
        let open = self.store.unfinished(None, usize::MAX).map_err(|error| error.to_string())?;
        let pending = open.into_iter().filter(|row| row.started.is_none());
        self.lane.queue.extend(pending.map(|row| Input::Recover(row.id)));
        let listening: Vec<Subscription> = self.lane.listening.values().cloned().collect();
        listening.iter().try_for_each(|subscription| self.catch_up(subscription))
    }
}

/// A body as an HTTP call gives it in the output form `raw`.
fn raw(text: &str) -> Value {
    base64::engine::general_purpose::STANDARD.encode(text).into()
}

fn value(script: u64) -> Value {
    match script % 5 {
        0 => Value::Null,
        1 => Value::from((script >> 4) % 4),
        2 => Value::object([("n", Value::from((script >> 4) % 4))]),
        3 => Value::from(script & 16 == 0),
        _ => Value::array([Value::from(1), Value::text("two")]),
    }
}
