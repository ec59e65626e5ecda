//! The hand-over between the lanes and the calls: orders come in whole lists, outcomes go back in whole lists.
//!
//! Owns what is in flight, what waits, and cutting calls off. A visit has at most one call in flight per attempt. May
//! not know what an order calls.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Visit};
use tidemill_dsl::order::{Order, Outcome};
use tidemill_dsl::value::Value;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::costs::Costs;
use crate::registry::Registry;

/// Calls performed at one time when nothing else is set (limit `calls-in-flight`); the others wait.
pub const CALLS_IN_FLIGHT: usize = 4096;
/// Orders that wait for their turn (limit `calls-waiting`); one more fails with status 503.
pub const CALLS_WAITING: usize = 1_000_000;

/// The outcome of an order, with the visit it closes.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Namespace of the execution.
    pub namespace: Namespace,
    /// The execution.
    pub execution: ExecutionId,
    /// The visit.
    pub visit: Visit,
    /// The attempt.
    pub attempt: u32,
    /// The outcome.
    pub outcome: Outcome,
}

/// Takes answers. Called on a thread of the runtime; should hand over and return.
pub type Reply = Arc<dyn Fn(Vec<Answer>) + Send + Sync>;

/// Performs orders. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Arc<Registry>,
    runtime: Handle,
    reply: Reply,
    most: usize,
    state: Mutex<State>,
    empty: Notify,
    costs: Costs,
}

#[derive(Default)]
struct State {
    in_flight: HashMap<(ExecutionId, Visit), InFlight>,
    waiting: VecDeque<Order>,
    running: usize,
    ready: Vec<Answer>,
    is_handing_over: bool,
    is_closed: bool,
}

struct InFlight {
    attempt: u32,
    stop: CancellationToken,
}

impl Pool {
    /// A pool whose calls run on `runtime`, at most `most` at one time; outcomes go to `reply`.
    pub fn new(registry: Arc<Registry>, runtime: Handle, most: usize, reply: Reply) -> Pool {
        let most = most.max(1);
        let (state, empty, costs) = (Mutex::default(), Notify::new(), Costs::default());
        let shared = Shared { registry, runtime, reply, most, state, empty, costs };
        Pool { shared: Arc::new(shared) }
    }

    /// Takes orders. What can be answered at once (builtins, unknown functions) is answered here, in the order given;
    /// the others go to `reply` when they end. An order whose visit and attempt are in flight already is not
    /// performed twice. Never blocks; may be called from any thread.
    pub fn perform(&self, orders: Vec<Order>) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut calls = Vec::new();
        for order in orders {
            match self.shared.registry.at_once(&order) {
                Some(outcome) => answers.push(answer(&order, outcome)),
                None => calls.push(order),
            }
        }
        if calls.is_empty() {
            return answers;
        }
        let mut state = self.shared.lock();
        for order in calls {
            if state.is_closed {
                continue;
            }
            if state.waiting.len() >= CALLS_WAITING {
                let detail = format!("{CALLS_WAITING} calls wait already (limit `calls-waiting`)");
                answers.push(answer(&order, Outcome::Failed(Fault::communication(503, detail))));
                continue;
            }
            state.waiting.push_back(order);
        }
        self.shared.begin(&mut state);
        answers
    }

    /// Cuts off the call of a visit, in flight or waiting; no outcome follows.
    pub fn abort(&self, execution: ExecutionId, visit: Visit) {
        let mut state = self.shared.lock();
        if let Some(call) = state.in_flight.remove(&(execution, visit)) {
            call.stop.cancel();
        }
        if !state.waiting.is_empty() {
            state.waiting.retain(|order| (order.execution, order.visit) != (execution, visit));
        }
    }

    /// Calls in flight and orders that wait.
    pub fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.running, state.waiting.len())
    }

    /// CPU time of all calls so far, microseconds, as far as the measured ones tell.
    pub fn cpu_micros(&self) -> u64 {
        self.shared.costs.micros()
    }

    /// Takes no more orders, drops those that wait, and returns when no call is in flight.
    pub async fn drain(&self) {
        {
            let mut state = self.shared.lock();
            state.is_closed = true;
            state.waiting.clear();
        }
        loop {
            let empty = self.shared.empty.notified();
            {
                let state = self.shared.lock();
                if state.running == 0 && state.ready.is_empty() && !state.is_handing_over {
                    return;
                }
            }
            empty.await;
        }
    }

    /// Cuts off everything, without outcomes.
    pub fn abort_all(&self) {
        let mut state = self.shared.lock();
        state.waiting.clear();
        for (_, call) in state.in_flight.drain() {
            call.stop.cancel();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins as many waiting orders as may run. A list is handed to the runtime as one task that starts the others
    /// there: cheaper than each by itself from a thread outside.
    fn begin(self: &Arc<Shared>, state: &mut State) {
        let mut calls = Vec::new();
        while state.running < self.most {
            let Some(order) = state.waiting.pop_front() else {
                break;
            };
            let key = (order.execution, order.visit);
            if let Some(other) = state.in_flight.get(&key) {
                if other.attempt >= order.attempt {
                    continue;
                }
                other.stop.cancel();
            }
            let stop = CancellationToken::new();
            state.in_flight.insert(key, InFlight { attempt: order.attempt, stop: stop.clone() });
            state.running += 1;
            calls.push((order, stop));
        }
        if calls.len() > 1 {
            let shared = self.clone();
            self.runtime.spawn(async move {
                for (order, stop) in calls {
                    tokio::spawn(shared.clone().call(order, stop));
                }
            });
        } else if let Some((order, stop)) = calls.pop() {
            self.runtime.spawn(self.clone().call(order, stop));
        }
    }

    async fn call(self: Arc<Shared>, order: Order, stop: CancellationToken) {
        let blank = answer(&order, Outcome::Done(Value::Null));
        let call = pin!(self.registry.call(order, stop));
        let outcome = AssertUnwindSafe(self.costs.metered(call)).catch_unwind().await;
        let outcome =
            outcome.unwrap_or_else(|_| Outcome::Failed(Fault::runtime("the call broke inside the worker")));
        let key = (blank.execution, blank.visit);
        let is_mine = {
            let mut state = self.lock();
            state.running -= 1;
            let is_mine = state.in_flight.get(&key).is_some_and(|call| call.attempt == blank.attempt);
            if is_mine {
                state.in_flight.remove(&key);
                state.ready.push(Answer { outcome, ..blank });
            }
            self.begin(&mut state);
            is_mine && !std::mem::replace(&mut state.is_handing_over, true)
        };
        if is_mine {
            self.hand_over().await;
        }
        self.empty.notify_waiters();
    }

    /// Hands over what is ready, as long as something is. Others that end meanwhile are let through first, so that
    /// under load many outcomes go in one list; there is no timer.
    async fn hand_over(&self) {
        loop {
            tokio::task::yield_now().await;
            let ready = {
                let mut state = self.lock();
                if state.ready.is_empty() {
                    state.is_handing_over = false;
                    return;
                }
                std::mem::take(&mut state.ready)
            };
            (self.reply)(ready);
        }
    }
}

fn answer(order: &Order, outcome: Outcome) -> Answer {
    let Order { namespace, execution, visit, attempt, .. } = order;
    Answer { namespace: namespace.clone(), execution: *execution, visit: *visit, attempt: *attempt, outcome }
}
