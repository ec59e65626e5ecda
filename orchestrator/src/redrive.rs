//! Batches: bulk redrive, cancel and retry as resumable work, stored so that a restart goes on with it.
//!
//! Owns what a batch has done and its pace. What one step does is asked of `deliveries` and `operations`; a step that
//! was done before a crash finds nothing to do the second time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_engine::record::Status;
use tidemill_store::{
    Batch, Class, DeadLetter, DeadQuery, DeadState, EventQuery, ExecutionQuery, OperatorChange, Part,
    ReadResult, Store,
};
use tokio::sync::watch;

use crate::buffer::submit;
use crate::deliveries::{self, blocking};
use crate::error::Error;
use crate::lanes::Verb;
use crate::operations;
use crate::rooms::Rooms;

/// Steps taken at once.
const WIDTH: usize = 64;
/// Rows read at once.
const PAGE: usize = 1000;
/// Steps of one batch, at most (limit `batch-steps`).
const MAX_STEPS: usize = 1_000_000;
/// Errors kept as examples.
const EXAMPLES: usize = 20;
/// Batches kept in all (limit `batches`); the oldest ended ones go first.
const KEPT: usize = 200;
/// What the ids of the stored pieces begin with.
const PREFIX: &str = "batch/";
/// What the ids of the stored lists of steps begin with: written once, apart from what changes.
const STEPS: &str = "batch-steps/";

/// What a batch does to each thing it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Puts dead letters back.
    Redrive,
    /// Cancels executions.
    Cancel,
    /// Retries executions.
    Retry,
    /// Delivers stored events to one trigger once more.
    Replay,
}

impl Action {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Action::Redrive => "redrive",
            Action::Cancel => "cancel",
            Action::Retry => "retry",
            Action::Replay => "replay",
        }
    }
}

/// Which things a batch matches: all given conditions hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Dead letters by id.
    pub ids: Option<BTreeSet<u64>>,
    /// Executions by id.
    pub executions: Option<BTreeSet<ExecutionId>>,
    /// Trigger name.
    pub trigger: Option<Arc<str>>,
    /// Events of this type.
    pub kind: Option<Arc<str>>,
    /// Dead letters of this cause.
    pub cause: Option<Arc<str>>,
    /// Executions of this workflow.
    pub workflow: Option<Arc<str>>,
    /// Executions in one of these states; empty: all that the action can touch.
    pub status: Vec<Status>,
    /// Executions with these tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// At or after.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
}

/// A batch as asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Namespace.
    pub namespace: Namespace,
    /// What to do.
    pub action: Action,
    /// To which things.
    pub filter: Filter,
    /// Steps per second, at most.
    pub rate: Option<f64>,
    /// Steps in all, at most.
    pub limit: Option<u64>,
}

/// State of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It works.
    Running,
    /// Held by an operator.
    Paused,
    /// Done.
    Completed,
    /// Ended by an operator.
    Cancelled,
}

impl State {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Paused => "paused",
            State::Completed => "completed",
            State::Cancelled => "cancelled",
        }
    }

    fn ended(self) -> bool {
        matches!(self, State::Completed | State::Cancelled)
    }
}

/// A batch with what it has done, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: Arc<str>,
    /// Namespace.
    pub namespace: Namespace,
    /// What it does.
    pub action: Action,
    /// State.
    pub state: State,
    /// Steps per second, at most.
    pub rate: Option<f64>,
    /// What it touches, in order: decided when it was made.
    #[serde(skip)]
    steps: Arc<Vec<Step>>,
    /// How many of them are dealt with.
    pub next: usize,
    /// Done.
    pub done: u64,
    /// Found nothing to do.
    pub skipped: u64,
    /// Failed.
    pub failed: u64,
    /// Some of the failures.
    pub errors: Vec<Failure>,
    /// Made, in milliseconds.
    pub created: i64,
    /// Ended, in milliseconds.
    pub ended: Option<i64>,
}

impl Record {
    /// Steps in all.
    pub fn total(&self) -> usize {
        self.steps.len()
    }
}

/// One thing to touch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Step {
    Letter(u64),
    Execution(String),
    Event(Box<EventKey>),
}

/// A stored event, and the trigger it is delivered to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EventKey {
    trigger: Arc<str>,
    binding: Arc<str>,
    source: Arc<str>,
    id: Arc<str>,
}

/// A step that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What it was about.
    pub id: String,
    /// Why.
    pub detail: String,
}

enum Outcome {
    Done,
    Skipped,
    Failed(Failure),
}

struct Live {
    record: Mutex<Record>,
    state: watch::Sender<State>,
}

/// All batches of the process.
pub struct Batches {
    rooms: Arc<Rooms>,
    all: Mutex<BTreeMap<Arc<str>, Arc<Live>>>,
    /// Steps that touch dead letters go one chunk at a time, so that no letter is put back twice.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Batches {
    /// Takes up what is stored; running ones go on.
    pub fn resume(rooms: &Arc<Rooms>) -> Arc<Batches> {
        let batches = Arc::new(Batches { rooms: rooms.clone(), all: Mutex::default(), turn: Arc::default() });
        let works = rooms.store.works().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read the batches; they rest until the next start");
            Vec::new()
        });
        let mut steps: HashMap<&str, Vec<Step>> = HashMap::new();
        for (id, body) in &works {
            if let (Some(id), Ok(own)) = (id.strip_prefix(STEPS), serde_json::from_slice(body)) {
                steps.insert(id, own);
            }
        }
        for (id, body) in works.iter().filter_map(|(id, body)| Some((id.strip_prefix(PREFIX)?, body))) {
            match serde_json::from_slice::<Record>(body) {
                Ok(record) => {
                    batches.keep(Record { steps: steps.remove(id).unwrap_or_default().into(), ..record })
                }
                Err(error) => tracing::error!(%error, %id, "a stored batch cannot be read; it is left alone"),
            }
        }
        batches
    }

    fn keep(self: &Arc<Self>, record: Record) {
        let state = watch::Sender::new(record.state);
        let (id, ended) = (record.id.clone(), record.state.ended());
        let live = Arc::new(Live { record: Mutex::new(record), state });
        self.all.lock().unwrap_or_else(PoisonError::into_inner).insert(id, live.clone());
        if !ended {
            let own = self.clone();
            tokio::spawn(async move {
                if let Err(error) = own.run(&live).await {
                    tracing::error!(%error, "a batch stopped; it goes on after the next start");
                }
            });
        }
    }

    /// How many things a plan would touch.
    pub async fn count(&self, plan: Plan) -> Result<u64, Error> {
        Ok(self.steps(plan).await?.len() as u64)
    }

    /// Stores a batch and begins with it.
    pub async fn begin(self: &Arc<Self>, plan: Plan) -> Result<Record, Error> {
        let now = (self.rooms.clock)();
        let steps = self.steps(plan.clone()).await?;
        let record = Record {
            id: crate::ids::fresh(now).into(),
            namespace: plan.namespace,
            action: plan.action,
            state: State::Running,
            rate: plan.rate,
            steps: steps.into(),
            next: 0,
            done: 0,
            skipped: 0,
            failed: 0,
            errors: Vec::new(),
            created: now.0,
            ended: None,
        };
        self.rooms.catalog.ensure_namespace(&self.rooms, &record.namespace).await?;
        let steps = work(STEPS, &record.id, Some(encoded(&*record.steps)?));
        let own = work(PREFIX, &record.id, Some(encoded(&record)?));
        self.write(Class::New, vec![steps, own]).await?;
        self.forget().await;
        self.keep(record.clone());
        Ok(record)
    }

    /// A batch of a namespace.
    pub fn get(&self, namespace: &str, id: &str) -> Option<Record> {
        self.live(namespace, id)
            .map(|live| live.record.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn live(&self, namespace: &str, id: &str) -> Option<Arc<Live>> {
        let live = self.all.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()?;
        let own = *live.record.lock().unwrap_or_else(PoisonError::into_inner).namespace == *namespace;
        own.then_some(live)
    }

    /// The batches of a namespace, by id.
    pub fn list(&self, namespace: &str) -> Vec<Record> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let records =
            all.values().map(|live| live.record.lock().unwrap_or_else(PoisonError::into_inner).clone());
        records.filter(|record| *record.namespace == *namespace).collect()
    }

    /// Pauses, resumes or cancels.
    pub async fn turn(&self, namespace: &str, id: &str, wanted: State) -> Result<Record, Error> {
        let live = self.live(namespace, id).ok_or_else(|| Error::not_found("batch", id))?;
        let now = (self.rooms.clock)();
        let record = {
            let mut record = live.record.lock().unwrap_or_else(PoisonError::into_inner);
            if record.state.ended() {
                return Err(Error::conflict("state", format!("the batch is {}", record.state.word())));
            }
            record.state = wanted;
            record.ended = wanted.ended().then_some(now.0);
            record.clone()
        };
        self.save(&record).await?;
        live.state.send_replace(wanted);
        Ok(record)
    }

    async fn save(&self, record: &Record) -> Result<(), Error> {
        self.write(Class::Running, vec![work(PREFIX, &record.id, Some(encoded(record)?))]).await
    }

    async fn write(&self, class: Class, changes: Vec<OperatorChange>) -> Result<(), Error> {
        submit(&self.rooms, Batch { class, parts: vec![Part::Operator(changes)] }).await?;
        Ok(())
    }

    /// Drops the oldest ended batches beyond the limit.
    async fn forget(&self) {
        let gone: Vec<Arc<str>> = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            let surplus = (all.len() + 1).saturating_sub(KEPT);
            let ended =
                |live: &Live| live.record.lock().unwrap_or_else(PoisonError::into_inner).state.ended();
            let gone: Vec<_> =
                all.iter().filter(|(_, live)| ended(live)).map(|(id, _)| id.clone()).take(surplus).collect();
            for id in &gone {
                all.remove(id);
            }
            gone
        };
        for id in gone {
            let changes = vec![work(STEPS, &id, None), work(PREFIX, &id, None)];
            if let Err(error) = self.write(Class::Running, changes).await {
                tracing::warn!(%error, %id, "cannot forget an ended batch");
            }
        }
    }

    /// What a plan touches, oldest first: dead letters keep their order within an order key.
    async fn steps(&self, plan: Plan) -> Result<Vec<Step>, Error> {
        let store = self.rooms.store.clone();
        if plan.action == Action::Replay {
            return self.events(plan).await;
        }
        let steps = blocking(move || match plan.action {
            Action::Redrive => letters(&*store, &plan),
            Action::Replay => Ok(Vec::new()),
            Action::Cancel | Action::Retry => executions(&*store, &plan),
        })
        .await?;
        if steps.len() > MAX_STEPS {
            let detail = format!("touch more than {MAX_STEPS} things in one batch (limit batch-steps)");
            return Err(Error::Unprocessable { code: "batch-steps", detail });
        }
        Ok(steps)
    }

    /// Works until done, cancelled or failed.
    async fn run(&self, live: &Live) -> Result<(), Error> {
        let mut state = live.state.subscribe();
        let began = crate::clock::tick();
        let mut taken: u64 = 0;
        loop {
            let now = *state.borrow_and_update();
            match now {
                State::Running => {}
                State::Completed | State::Cancelled => return Ok(()),
                State::Paused => {
                    if state.changed().await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
            }
            let record = live.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let chunk = chunk(&record);
            if chunk.is_empty() {
                return self.complete(live).await;
            }
            if let Some(rate) = record.rate {
                let due = Duration::from_secs_f64(taken as f64 / rate);
                tokio::select! {
                    () = tokio::time::sleep(due.saturating_sub(began.elapsed())) => {}
                    _ = state.changed() => continue,
                }
            }
            taken += chunk.len() as u64;
            let outcomes = self.perform(&record, &chunk).await;
            let record = {
                let mut record = live.record.lock().unwrap_or_else(PoisonError::into_inner);
                record.next += chunk.len();
                for outcome in outcomes {
                    record.count(outcome);
                }
                record.clone()
            };
            self.save(&record).await?;
        }
    }

    async fn complete(&self, live: &Live) -> Result<(), Error> {
        let now = (self.rooms.clock)();
        let record = {
            let mut record = live.record.lock().unwrap_or_else(PoisonError::into_inner);
            if !record.state.ended() {
                record.state = State::Completed;
                record.ended = Some(now.0);
            }
            record.clone()
        };
        live.state.send_replace(record.state);
        self.save(&record).await
    }

    async fn perform(&self, record: &Record, chunk: &[Step]) -> Vec<Outcome> {
        let _turn = match record.action {
            Action::Redrive => Some(self.turn.clone().lock_owned().await),
            _ => None,
        };
        match record.action {
            Action::Redrive => self.redrive(&record.namespace, chunk).await,
            Action::Replay => join_all(chunk.iter().map(|step| self.replay(record, step))).await,
            action => join_all(chunk.iter().map(|step| self.verb(&record.namespace, action, step))).await,
        }
    }

    /// Letters of one order key go one after another, the others together.
    async fn redrive(&self, namespace: &Namespace, chunk: &[Step]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(chunk.len());
        let mut together = Vec::new();
        let mut keys = HashSet::new();
        for step in chunk {
            let Step::Letter(id) = step else { continue };
            let (store, own, id) = (self.rooms.store.clone(), namespace.clone(), *id);
            let letter = match blocking(move || store.dead_letter(&own, id)).await {
                Ok(Some(letter)) if letter.state == DeadState::Open => letter,
                Ok(_) => {
                    outcomes.push(Outcome::Skipped);
                    continue;
                }
                Err(error) => {
                    outcomes.push(failed(&id, &error));
                    continue;
                }
            };
            let fresh =
                letter.key.as_ref().is_none_or(|key| keys.insert((letter.trigger.clone(), key.clone())));
            if !fresh {
                outcomes.extend(join_all(together.drain(..).map(|letter| self.put_back(letter))).await);
                keys.clear();
                keys.extend(letter.key.clone().map(|key| (letter.trigger.clone(), key)));
            }
            together.push(letter);
        }
        outcomes.extend(join_all(together.drain(..).map(|letter| self.put_back(letter))).await);
        outcomes
    }

    async fn put_back(&self, letter: DeadLetter) -> Outcome {
        match deliveries::redrive(&self.rooms, &letter).await {
            Ok(true) => Outcome::Done,
            Ok(false) => Outcome::Skipped,
            Err(error) => failed(&letter.id, &error),
        }
    }

    /// The stored events that a trigger's rule takes, oldest first.
    async fn events(&self, plan: Plan) -> Result<Vec<Step>, Error> {
        let name = plan
            .filter
            .trigger
            .clone()
            .ok_or_else(|| Error::bad("bad-body", "a replay names its trigger"))?;
        let space = self.rooms.catalog.space(&plan.namespace);
        let trigger = space.trigger(&name).ok_or_else(|| Error::not_found("trigger", &*name))?;
        let rule = trigger.spec.rule(false);
        let store = self.rooms.store.clone();
        let limit = plan.limit.map_or(MAX_STEPS, |limit| limit as usize);
        blocking(move || {
            let mut query = EventQuery {
                namespace: plan.namespace.clone(),
                kind: plan.filter.kind.clone(),
                since: plan.filter.since,
                until: plan.filter.until,
                limit: PAGE,
                ..EventQuery::default()
            };
            let mut steps = Vec::new();
            loop {
                let page = store.events(&query)?;
                let full = page.len() == PAGE;
                query.after = page.last().map(|row| row.pos).or(query.after);
                let taken = page.into_iter().filter(|row| rule.matches(&row.binding, &row.event));
                steps.extend(taken.map(|row| {
                    let (source, id) = (row.event.source.clone(), row.event.id.clone());
                    Step::Event(Box::new(EventKey {
                        trigger: name.clone(),
                        binding: row.binding,
                        source,
                        id,
                    }))
                }));
                if !full || steps.len() >= limit {
                    steps.truncate(limit);
                    return Ok(steps);
                }
            }
        })
        .await
    }

    async fn replay(&self, record: &Record, step: &Step) -> Outcome {
        let Step::Event(key) = step else {
            return Outcome::Skipped;
        };
        let (store, namespace, own) = (self.rooms.store.clone(), record.namespace.clone(), key.clone());
        let read = blocking(move || store.event(&namespace, &own.source, &own.id)).await;
        let row = match read {
            Ok(rows) => rows.into_iter().find(|row| row.binding == key.binding),
            Err(error) => return failed(&key.id, &error),
        };
        let Some(row) = row else { return Outcome::Skipped };
        // Of the batch's own instant: a step that was taken before a crash finds its execution there.
        match deliveries::replay(&self.rooms, &record.namespace, &key.trigger, &row, Time(record.created))
            .await
        {
            Ok(true) => Outcome::Done,
            Ok(false) => Outcome::Skipped,
            Err(error) => failed(&key.id, &error),
        }
    }

    async fn verb(&self, namespace: &Namespace, action: Action, step: &Step) -> Outcome {
        let Step::Execution(text) = step else {
            return Outcome::Skipped;
        };
        let Ok(id) = text.parse::<ExecutionId>() else {
            return Outcome::Skipped;
        };
        let verb = match action {
            Action::Cancel => Verb::Cancel,
            _ => Verb::Retry { input: None, from: None },
        };
        match operations::command(&self.rooms, namespace, id, verb, Some("batch".into())).await {
            Ok(()) => Outcome::Done,
            Err(Error::Conflict { .. } | Error::NotFound { .. }) => Outcome::Skipped,
            Err(error) => failed(&id, &error),
        }
    }
}

fn work(prefix: &str, id: &str, body: Option<Vec<u8>>) -> OperatorChange {
    OperatorChange::Work { id: format!("{prefix}{id}").into(), body }
}

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Unavailable(format!("write a batch: {error}")))
}

fn failed(id: &impl ToString, error: &Error) -> Outcome {
    Outcome::Failed(Failure { id: id.to_string(), detail: format!("cannot {error}") })
}

impl Record {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Failed(failure) => {
                self.failed += 1;
                if self.errors.len() < EXAMPLES {
                    self.errors.push(failure);
                }
            }
        }
    }
}

/// The next steps to take at once; fewer when the rate is low, so that the pace is even.
fn chunk(record: &Record) -> Vec<Step> {
    let width = record.rate.map_or(WIDTH, |rate| ((rate / 10.0) as usize).clamp(1, WIDTH));
    record.steps.iter().skip(record.next).take(width).cloned().collect()
}

/// Dead letters of a query that a filter takes, newest first, and whether there may be more.
pub fn matching(
    store: &dyn Store,
    mut query: DeadQuery,
    filter: &Filter,
    want: usize,
) -> ReadResult<(Vec<DeadLetter>, bool)> {
    let mut found = Vec::new();
    query.limit = PAGE;
    loop {
        let page = store.dead_letters(&query)?;
        let full = page.len() == PAGE;
        query.before = page.last().map(|letter| letter.id);
        for letter in page.into_iter().filter(|letter| takes(filter, letter)) {
            if found.len() == want {
                return Ok((found, true));
            }
            found.push(letter);
        }
        if !full {
            return Ok((found, false));
        }
    }
}

fn takes(filter: &Filter, letter: &DeadLetter) -> bool {
    filter.ids.as_ref().is_none_or(|ids| ids.contains(&letter.id))
        && filter.since.is_none_or(|since| letter.at >= since)
        && filter.until.is_none_or(|until| letter.at < until)
}

fn letters(store: &dyn Store, plan: &Plan) -> ReadResult<Vec<Step>> {
    let query = DeadQuery {
        namespace: plan.namespace.clone(),
        trigger: plan.filter.trigger.clone(),
        cause: plan.filter.cause.clone(),
        state: Some(DeadState::Open),
        before: None,
        limit: PAGE,
    };
    let mut ids = Vec::new();
    let mut page = query;
    loop {
        let (found, more) = matching(store, page.clone(), &plan.filter, PAGE)?;
        page.before = found.last().map(|letter| letter.id);
        ids.extend(found.into_iter().map(|letter| letter.id));
        if !more || ids.len() > MAX_STEPS {
            break;
        }
    }
    ids.reverse();
    let limit = plan.limit.map_or(usize::MAX, |limit| limit as usize);
    Ok(ids.into_iter().take(limit).map(Step::Letter).collect())
}

fn executions(store: &dyn Store, plan: &Plan) -> ReadResult<Vec<Step>> {
    let touched = |status: Status| match plan.action {
        Action::Cancel => !status.ended(),
        _ => matches!(status, Status::Faulted | Status::Cancelled),
    };
    let asked = &plan.filter.status;
    let status: Vec<Status> = match (asked.is_empty(), plan.action) {
        (false, _) => asked.iter().copied().filter(|status| touched(*status)).collect(),
        (true, Action::Retry) => vec![Status::Faulted],
        (true, _) => Status::ALL.into_iter().filter(|status| touched(*status)).collect(),
    };
    if status.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = ExecutionQuery {
        namespace: plan.namespace.clone(),
        workflow: plan.filter.workflow.clone(),
        status,
        trigger: plan.filter.trigger.clone(),
        tags: plan.filter.tags.clone(),
        since: plan.filter.since,
        until: plan.filter.until,
        ascending: true,
        after: None,
        limit: PAGE,
    };
    let limit = plan.limit.map_or(MAX_STEPS + 1, |limit| limit as usize);
    let mut steps = Vec::new();
    loop {
        let page = store.executions(&query)?;
        let full = page.len() == PAGE;
        query.after = page.last().map(|row| (row.listed(), row.id));
        let wanted = page
            .into_iter()
            .filter(|r| plan.filter.executions.as_ref().is_none_or(|ids| ids.contains(&r.id)));
        steps.extend(wanted.map(|row| Step::Execution(row.id.to_string())));
        if !full || steps.len() >= limit {
            steps.truncate(limit);
            return Ok(steps);
        }
    }
}
