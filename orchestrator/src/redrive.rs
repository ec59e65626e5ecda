//! Batches: bulk redrive, cancel, retry and replay as resumable work, stored so that a restart goes on with it.
//!
//! Owns what a batch has done and its pace. What one step does is asked of `deliveries` and `operations`.

mod perform;
mod plan;
mod select;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tidemill_store::{Batch, Class, OperatorChange, Part};
use tokio::sync::watch;

use crate::buffer::submit;
use crate::error::Error;
use crate::rooms::Rooms;
pub use perform::edit;
pub use plan::{Action, Failure, Filter, Plan, Preview, Record, State};
use plan::{Step, chunk};
pub use select::matching;

/// Batches kept in all (limit `batches`); the oldest ended ones go first.
const KEPT: usize = 200;
/// What the ids of the stored pieces begin with.
const PREFIX: &str = "batch/";
/// What the ids of the stored lists of steps begin with: written once, apart from what changes.
const STEPS: &str = "batch-steps/";

struct Live {
    record: Mutex<Record>,
    state: watch::Sender<State>,
    /// The next chunk may have been taken before a crash, without that being written.
    doubtful: AtomicBool,
}

/// All batches of the process.
pub struct Batches {
    rooms: Arc<Rooms>,
    all: Mutex<BTreeMap<Arc<str>, Arc<Live>>>,
    /// Steps that touch dead letters go one chunk at a time, so that no letter is put back twice.
    turn: tokio::sync::Mutex<()>,
}

impl Batches {
    /// Takes up what is stored; running ones go on.
    pub fn resume(rooms: &Arc<Rooms>) -> Arc<Batches> {
        let batches = Arc::new(Batches {
            rooms: rooms.clone(),
            all: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        });
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
                    let steps = steps.remove(id).unwrap_or_default().into();
                    batches.keep(Record { steps, ..record }, true);
                }
                Err(error) => tracing::error!(%error, %id, "a stored batch cannot be read; it is left alone"),
            }
        }
        batches
    }

    fn keep(self: &Arc<Self>, record: Record, doubtful: bool) {
        let state = watch::Sender::new(record.state);
        let (id, ended) = (record.id.clone(), record.state.ended());
        let live = Arc::new(Live { record: Mutex::new(record), state, doubtful: AtomicBool::new(doubtful) });
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

    /// What a plan would touch.
    pub async fn preview(&self, plan: Plan) -> Result<Preview, Error> {
        select::preview(&self.rooms, plan).await
    }

    /// Stores a batch and begins with it.
    pub async fn begin(self: &Arc<Self>, plan: Plan) -> Result<Record, Error> {
        let now = (self.rooms.clock)();
        let steps = select::steps(&self.rooms, plan.clone()).await?;
        let record = Record {
            id: crate::ids::fresh(now).into(),
            namespace: plan.namespace,
            action: plan.action,
            state: State::Running,
            rate: plan.rate,
            reason: plan.reason,
            edit: plan.edit,
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
        self.keep(record.clone(), false);
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

    /// Works until done, cancelled or failed.
    async fn run(&self, live: &Live) -> Result<(), Error> {
        let mut state = live.state.subscribe();
        let (mut began, mut taken) = (crate::clock::tick(), 0_u64);
        loop {
            let now = *state.borrow_and_update();
            match now {
                State::Running => {}
                State::Completed | State::Cancelled => return Ok(()),
                State::Paused => {
                    if state.changed().await.is_err() {
                        return Ok(());
                    }
                    // The time of the pause buys no steps.
                    (began, taken) = (crate::clock::tick(), 0);
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
            let doubtful = live.doubtful.swap(false, Ordering::Relaxed);
            let outcomes = perform::perform(&self.rooms, &self.turn, (&record, doubtful), &chunk).await;
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
}

fn work(prefix: &str, id: &str, body: Option<Vec<u8>>) -> OperatorChange {
    OperatorChange::Work { id: format!("{prefix}{id}").into(), body }
}

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Unavailable(format!("write a batch: {error}")))
}
