//! What clients and operators want: starts and events that are asked for until they are acknowledged, verbs.
//!
//! Owns the wishes and what was promised. Throws their instants.

use std::sync::Arc;

use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::ids::ExecutionId;
use tidemill_dsl::value::{Map, Value};
use tidemill_store::memory::Space;
use tidemill_store::{Accepted, Arrival, Committed, Refusal, StartKey};

use super::author::EVENT_TYPES;
use super::coverage::Fault;
use super::driver::pending;
use super::lane::{Input, Verb};
use super::signals::Signal;
use super::world::{Broken, Happening, World};

/// A start that a client wants.
pub(super) struct Start {
    pub acknowledged: Option<ExecutionId>,
    pub attempts: u64,
    pub input: Value,
}

/// An event that a client wants posted, perhaps one that starts an execution.
pub(super) struct Post {
    pub event: Arc<Event>,
    pub starts: bool,
    pub acknowledged: bool,
}

impl World {
    pub(super) fn plan(&mut self) {
        for _ in 0..2 + self.dice.below(4) {
            let input = Value::from(self.dice.between(0, 4));
            let number = self.starts.len();
            self.starts.push(Start { acknowledged: None, attempts: 0, input });
            self.schedule(0, 20_000, Happening::Start(number));
        }
        for _ in 0..3 + self.dice.below(6) {
            let starts = self.dice.permille(400);
            self.invent(starts, 40_000);
        }
        for _ in 0..self.dice.below(6) {
            self.schedule(0, 40_000, Happening::Verb);
        }
        for _ in 0..self.dice.below(6) {
            self.plan_signal();
        }
        if self.dice.permille(500) {
            let space = *self.dice.pick(&[Space::Low, Space::None, Space::None]);
            let from = self.dice.between(0, 25_000);
            self.schedule(from, from, Happening::Space(space));
            self.schedule(from + 300, from + 6_000, Happening::Space(Space::Plenty));
        }
    }

    /// An event of one of the types, with a number to tell it by.
    pub(super) fn event(&mut self, number: usize, source: &str) -> Arc<Event> {
        let kind = *self.dice.pick(&EVENT_TYPES);
        let n = Value::from(self.dice.between(0, 5));
        Arc::new(Event {
            id: number.to_string().into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: Map::new(),
            data: Data::Json(Value::object([("n", n)])),
        })
    }

    /// A new event, to be posted within `within` milliseconds; perhaps twice.
    pub(super) fn invent(&mut self, starts: bool, within: i64) {
        let number = self.posts.len();
        let event = self.event(number, "https://sim.test/client");
        self.posts.push(Post { event, starts, acknowledged: false });
        self.schedule(0, within, Happening::Post(number));
        if self.dice.permille(250) {
            self.schedule(0, within, Happening::Post(number));
        }
    }

    pub(super) fn begin(&mut self, number: usize) {
        let (now, seed) = (self.now, self.seed);
        let Some(sheet) = self.sheets.first().cloned() else {
            return;
        };
        let Some(start) = self.starts.get_mut(number).filter(|start| start.acknowledged.is_none()) else {
            return;
        };
        start.attempts += 1;
        let drawn = [seed, number as u64, start.attempts].map(u64::to_be_bytes);
        let id = ExecutionId::derived(now, &[&drawn.concat()]);
        let input = start.input.clone();
        let birth = self.birth(&sheet, id, input, None);
        self.lane.queue.push_back(Input::Start(number, birth));
    }

    /// A client has its answer.
    pub(super) fn acknowledge_start(&mut self, number: usize, id: ExecutionId) {
        self.starts[number].acknowledged = Some(id);
    }

    /// A client's start was refused: it tries again, unless it had been taken.
    pub(super) fn start_refused(&mut self, number: usize, refusal: &Refusal) -> Result<(), Broken> {
        match refusal {
            Refusal::KeyTaken { execution, same_body: true } => self.acknowledge_start(number, *execution),
            Refusal::Full | Refusal::Failed(_) => self.schedule(500, 2_000, Happening::Start(number)),
            other => return Err(format!("a start was refused: {other}")),
        }
        Ok(())
    }

    pub(super) fn publish(&mut self, number: usize) -> Result<(), Broken> {
        let Some((event, starts)) = self.posts.get(number).map(|post| (post.event.clone(), post.starts))
        else {
            return Ok(());
        };
        let mut arrival = Arrival {
            skips: Vec::new(),
            event: event.clone(),
            accepted: self.now,
            placed: false,
            starts: Vec::new(),
            deliveries: Vec::new(),
            dead: Vec::new(),
        };
        if starts {
            let sheet = self.sheets.first().cloned().ok_or("no definition")?;
            let id = ExecutionId::derived(self.now, &[&self.seed.to_be_bytes(), event.id.as_bytes()]);
            let input = Value::from(self.dice.between(0, 4));
            let birth = self.birth(&sheet, id, input, None);
            arrival.starts.push(pending(&sheet, &birth));
        }
        self.post(number, arrival);
        Ok(())
    }

    /// A post is durable. Tells whether it was new.
    pub(super) fn acknowledge_post(&mut self, number: usize, committed: &Committed) -> bool {
        if let Some(post) = self.posts.get_mut(number) {
            post.acknowledged = true;
        }
        let new = matches!(committed.arrivals.first(), Some(Accepted::Stored(_)));
        if !new {
            self.hit_all(Fault::EventRepeated);
        }
        new
    }

    /// A post was refused: the client tries again.
    pub(super) fn post_refused(&mut self, number: usize) {
        self.schedule(500, 2_000, Happening::Post(number));
    }

    pub(super) fn all_acknowledged(&self) -> bool {
        self.starts.iter().all(|start| start.acknowledged.is_some())
            && self.posts.iter().all(|post| post.acknowledged)
            && self.signals.iter().all(Signal::is_over)
    }

    /// Events that clients have posted and starts they have made, as acknowledged.
    pub(super) fn promises(&self) -> (Vec<Arc<Event>>, Vec<ExecutionId>) {
        let events = self.posts.iter().filter(|post| post.acknowledged).map(|post| post.event.clone());
        (events.collect(), self.starts.iter().filter_map(|start| start.acknowledged).collect())
    }

    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        let rows = self.executions(&[])?;
        if rows.is_empty() {
            return Ok(());
        }
        let row = self.dice.pick(&rows).clone();
        let verb = match self.dice.below(10) {
            0 | 1 => Verb::Cancel,
            2..6 => {
                let held = Input::Verb(row.id, Verb::Resume, None);
                self.schedule(200, 12_000, Happening::Hand(held));
                Verb::Suspend
            }
            6 => Verb::Resume,
            _ => {
                let input = self.dice.permille(400).then(|| Value::from(self.dice.between(0, 3)));
                let sheet = self.sheet(&row.workflow).filter(|_| self.dice.permille(300));
                let from = sheet.map(|sheet| self.dice.pick(&sheet.program.tasks).reference.clone());
                Verb::Retry { input, from }
            }
        };
        if row.status.ended() {
            // Only a retry has a meaning now; it is done at most so often that the world ends.
            if self.account.retries >= 3 {
                return Ok(());
            }
            self.account.retries += 1;
        }
        self.lane.queue.push_back(Input::Verb(row.id, verb, None));
        Ok(())
    }
}

/// The idempotency key of a client's start.
pub(super) fn start_key(number: usize) -> StartKey {
    StartKey { key: format!("start-{number}").into(), body: [number as u8; 32] }
}
