//! Buffers (peak shaving): per trigger a stored backlog, let out by rate, burst, concurrency and order key.
//!
//! One task per buffered trigger owns its dequeueing (D12), so rate, concurrency and order are exact. The backlog, the
//! states and the bucket live in the store; here are counts, tokens and wake-ups. What leaves the buffer is an
//! execution that exists already (pending) and is begun.

mod bucket;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::manifest::WhenFull;
use tidemill_store::{
    Batch, BufferChange, Class, DeliveryKey, DeliveryQuery, DeliveryState, Part, ShardPart, StoredDelivery,
};
use tokio::sync::Notify;

use crate::catalog::{Space, TriggerEntry};
use crate::deliveries;
use crate::error::Error;
use crate::inbox::DeliveryEnded;
use crate::lanes::Input;
use crate::rooms::Rooms;
use bucket::{Bucket, rate_of};

/// Deliveries taken in one commit, at most.
const PAGE: usize = 512;
/// Longest sleep of an idle buffer's task before it looks again.
const IDLE: Duration = Duration::from_secs(30);

/// Namespace and trigger.
type Key = (Namespace, Arc<str>);

/// All buffers of the process.
#[derive(Default)]
pub struct Buffers {
    all: Mutex<HashMap<Key, Arc<Buffer>>>,
    /// Ends of executions whose trigger has no buffer task.
    unbuffered: Mutex<Vec<DeliveryEnded>>,
    unbuffered_told: Notify,
}

/// One trigger's buffer.
#[derive(Default)]
pub struct Buffer {
    /// Ready and blocked deliveries, those being stored included.
    waiting: AtomicU64,
    in_flight: AtomicU64,
    work: Notify,
    freed: Notify,
    ended: Mutex<Vec<DeliveryEnded>>,
    stopped: std::sync::atomic::AtomicBool,
}

/// Whether there is room for an arrival.
pub enum Room {
    /// Yes; it is reserved.
    Yes,
    /// This trigger's buffer is full and refuses.
    Reject(Arc<str>),
    /// This trigger's buffer is full and holds the source until the future is ready.
    Wait(Arc<str>, Pin<Box<dyn Future<Output = ()> + Send>>),
    /// These buffers are full and pass arrivals on to the dead letters; the others are reserved.
    Divert(Vec<Arc<str>>),
}

impl Buffers {
    /// Asks for room for arrivals per trigger: all or nothing, but for buffers that divert.
    pub fn reserve(&self, space: &Space, namespace: &Namespace, counts: BTreeMap<Arc<str>, u64>) -> Room {
        if counts.is_empty() {
            return Room::Yes;
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut diverted = Vec::new();
        for (name, count) in &counts {
            let Some(spec) = space.trigger(name).and_then(|t| t.spec.buffer.as_ref()) else {
                continue;
            };
            let buffer = all.entry((namespace.clone(), name.clone())).or_default();
            let waiting = buffer.waiting.load(Ordering::Relaxed);
            if waiting + count <= u64::from(spec.capacity)
                || (waiting == 0 && spec.when_full == WhenFull::Wait)
            {
                continue;
            }
            metrics::counter!("tidemill_buffer_full_total", "trigger" => name.to_string()).increment(1);
            match spec.when_full {
                WhenFull::Reject => return Room::Reject(name.clone()),
                WhenFull::Divert => diverted.push(name.clone()),
                WhenFull::Wait => {
                    let buffer = buffer.clone();
                    let freed = async move {
                        // A wake-up that came before this wait began is made up for by looking again.
                        let _ =
                            tokio::time::timeout(Duration::from_millis(200), buffer.freed.notified()).await;
                    };
                    return Room::Wait(name.clone(), Box::pin(freed));
                }
            }
        }
        for (name, count) in counts {
            if !diverted.contains(&name) {
                let buffer = all.entry((namespace.clone(), name)).or_default();
                buffer.waiting.fetch_add(count, Ordering::Relaxed);
            }
        }
        if diverted.is_empty() { Room::Yes } else { Room::Divert(diverted) }
    }

    /// Reserves without asking.
    pub fn force(&self, namespace: &Namespace, counts: BTreeMap<Arc<str>, u64>) {
        for (name, count) in counts {
            self.get(namespace, &name).waiting.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Gives reserved room back (duplicates, refused batches).
    pub fn release(&self, namespace: &Namespace, counts: BTreeMap<Arc<str>, u64>) {
        for (name, count) in counts {
            let buffer = self.get(namespace, &name);
            buffer.waiting.fetch_sub(count, Ordering::Relaxed);
            buffer.freed.notify_waiters();
        }
    }

    /// A delivery was stored.
    pub fn wake(&self, namespace: &Namespace, trigger: &Arc<str>) {
        self.get(namespace, trigger).work.notify_one();
    }

    /// Triggered executions ended, durably.
    pub fn ended(&self, ends: Vec<DeliveryEnded>) {
        for end in ends {
            if end.cause.buffered {
                let buffer = self.get(&end.namespace, &end.cause.trigger);
                buffer.ended.lock().unwrap_or_else(PoisonError::into_inner).push(end);
                buffer.work.notify_one();
            } else {
                self.unbuffered.lock().unwrap_or_else(PoisonError::into_inner).push(end);
                self.unbuffered_told.notify_one();
            }
        }
    }

    /// Waiting and in flight of one trigger.
    pub fn depth(&self, namespace: &Namespace, trigger: &Arc<str>) -> (u64, u64) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(namespace.clone(), trigger.clone()))
            .map_or((0, 0), |b| (b.waiting.load(Ordering::Relaxed), b.in_flight.load(Ordering::Relaxed)))
    }

    fn get(&self, namespace: &Namespace, trigger: &Arc<str>) -> Arc<Buffer> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((namespace.clone(), trigger.clone())).or_default().clone()
    }
}

/// Starts the tasks of the buffers: at start-up with the stored depths, later whenever the catalog changes.
pub struct Supervisor {
    rooms: Arc<Rooms>,
    running: HashMap<Key, tokio::task::JoinHandle<()>>,
}

impl Supervisor {
    /// Takes the stored depths over and starts the tasks of every trigger that has, or had, a buffer.
    pub fn start(rooms: Arc<Rooms>) -> Result<Supervisor, Error> {
        let mut supervisor = Supervisor { rooms, running: HashMap::new() };
        for row in supervisor.rooms.store.buffers()? {
            let buffer = supervisor.rooms.buffers.get(&row.namespace, &row.trigger);
            buffer.waiting.store(row.waiting, Ordering::Relaxed);
            buffer.in_flight.store(row.in_flight, Ordering::Relaxed);
            supervisor.ensure(&row.namespace, &row.trigger);
        }
        supervisor.sync();
        tokio::spawn(run_unbuffered(supervisor.rooms.clone()));
        Ok(supervisor)
    }

    /// Starts what the catalog has and is not running.
    pub fn sync(&mut self) {
        for (namespace, space) in self.rooms.catalog.spaces() {
            for trigger in space.triggers().filter(|t| t.buffered()) {
                let name = trigger.name.clone();
                self.ensure(&namespace, &name);
                // A change of rate or concurrency is seen at once.
                self.rooms.buffers.wake(&namespace, &name);
            }
        }
    }

    fn ensure(&mut self, namespace: &Namespace, trigger: &Arc<str>) {
        let key = (namespace.clone(), trigger.clone());
        if !self.running.contains_key(&key) {
            let buffer = self.rooms.buffers.get(namespace, trigger);
            let task = run(self.rooms.clone(), key.0.clone(), key.1.clone(), buffer);
            self.running.insert(key, tokio::spawn(task));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for (key, task) in self.running.drain() {
            self.rooms.buffers.get(&key.0, &key.1).stopped.store(true, Ordering::Relaxed);
            task.abort();
        }
    }
}

struct Owner {
    rooms: Arc<Rooms>,
    namespace: Namespace,
    trigger: Arc<str>,
    buffer: Arc<Buffer>,
    bucket: Option<Bucket>,
    /// Starts that were paid for before a restart and take place after it.
    owed: u64,
    running: HashMap<ExecutionId, StoredDelivery>,
}

/// One trigger's dequeueing, until stopped.
async fn run(rooms: Arc<Rooms>, namespace: Namespace, trigger: Arc<str>, buffer: Arc<Buffer>) {
    let mut owner =
        Owner { rooms, namespace, trigger, buffer, bucket: None, owed: 0, running: HashMap::new() };
    while let Err(error) = owner.recover().await {
        tracing::error!(%error, trigger = %owner.trigger, "cannot take up a buffer; trying again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    loop {
        let wait = match owner.turn().await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, trigger = %owner.trigger, "a buffer cannot go on; trying again");
                Duration::from_secs(1)
            }
        };
        if wait > Duration::ZERO {
            let _ = tokio::time::timeout(wait, owner.buffer.work.notified()).await;
        }
    }
}

impl Owner {
    /// What was in flight before a restart: begun executions go on by themselves and their ends come through the inbox;
    /// one taken but not begun is begun now (beginning twice decides nothing).
    async fn recover(&mut self) -> Result<(), Error> {
        let found = self.read(DeliveryState::InFlight, usize::MAX >> 1).await?;
        let ids: Vec<ExecutionId> = found.iter().map(|d| d.delivery.execution).collect();
        self.owed = self.not_begun(ids).await?;
        for delivery in found {
            let id = delivery.delivery.execution;
            self.rooms.lanes.send(id, Input::Begin(id, None));
            self.running.insert(id, delivery);
        }
        self.buffer.in_flight.store(self.running.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// How many of these executions have not begun.
    async fn not_begun(&self, ids: Vec<ExecutionId>) -> Result<u64, Error> {
        let (store, namespace) = (self.rooms.store.clone(), self.namespace.clone());
        deliveries::blocking(move || {
            let mut count = 0;
            for id in ids {
                let row = store.execution(&namespace, id)?;
                count += u64::from(row.is_some_and(|row| row.started.is_none() && row.ended.is_none()));
            }
            Ok(count)
        })
        .await
    }

    async fn read(&self, state: DeliveryState, limit: usize) -> Result<Vec<StoredDelivery>, Error> {
        let query = DeliveryQuery {
            namespace: self.namespace.clone(),
            trigger: self.trigger.clone(),
            state,
            now: if state == DeliveryState::InFlight { Time(i64::MAX) } else { (self.rooms.clock)() },
            limit,
        };
        let store = self.rooms.store.clone();
        let read = tokio::task::spawn_blocking(move || store.deliveries(&query)).await;
        Ok(read.map_err(|e| Error::Unavailable(e.to_string()))??)
    }

    /// Deals with ends, lets out what may go; tells how long nothing will happen by itself.
    async fn turn(&mut self) -> Result<Duration, Error> {
        self.finish().await?;
        let space = self.rooms.catalog.space(&self.namespace);
        let Some(trigger) = space.trigger(&self.trigger) else {
            return Ok(IDLE);
        };
        if trigger.paused || self.buffer.waiting.load(Ordering::Relaxed) == 0 {
            return Ok(IDLE);
        }
        let now = (self.rooms.clock)();
        let (allowed, wait) = self.allowance(trigger, now)?;
        if allowed == 0 {
            return Ok(wait);
        }
        let ready = self.read(DeliveryState::Ready, allowed).await?;
        if ready.is_empty() {
            // Everything waiting is blocked or not due yet: look again soon enough for a retry's instant.
            return Ok(Duration::from_millis(200));
        }
        self.take(ready, now).await?;
        Ok(Duration::ZERO)
    }

    fn allowance(&mut self, trigger: &TriggerEntry, now: Time) -> Result<(usize, Duration), Error> {
        let mut allowed = PAGE;
        if let Some(limit) = trigger.concurrency() {
            allowed = allowed.min(limit.saturating_sub(self.running.len()));
            if allowed == 0 {
                return Ok((0, IDLE));
            }
        }
        let Some((per_second, burst)) = rate_of(trigger) else {
            return Ok((allowed, IDLE));
        };
        let bucket = match &mut self.bucket {
            Some(bucket) => bucket,
            none => {
                let saved = self.rooms.store.bucket(&self.namespace, &self.trigger)?;
                let mut bucket =
                    saved.map_or(Bucket { tokens: burst, at: now }, |(tokens, at)| Bucket { tokens, at });
                bucket.pay_late(self.owed as f64, (per_second, burst), now);
                none.insert(bucket)
            }
        };
        bucket.refill(per_second, burst, now);
        allowed = allowed.min(bucket.tokens as usize);
        Ok((allowed, bucket.next(per_second)))
    }

    /// Ready -> in flight, with the tokens paid, in one commit; then the executions begin.
    async fn take(&mut self, ready: Vec<StoredDelivery>, now: Time) -> Result<(), Error> {
        let mut changes: Vec<BufferChange> =
            ready.iter().map(|d| BufferChange::Take(self.key(d.pos))).collect();
        let mut paid = self.bucket;
        if let Some(bucket) = &mut paid {
            bucket.tokens -= ready.len() as f64;
            changes.push(BufferChange::Bucket {
                namespace: self.namespace.clone(),
                trigger: self.trigger.clone(),
                tokens: bucket.tokens,
                at: now,
            });
        }
        submit(&self.rooms, Batch { class: Class::Running, parts: vec![Part::Buffer(changes)] }).await?;
        self.bucket = paid;
        self.buffer.waiting.fetch_sub(ready.len() as u64, Ordering::Relaxed);
        self.buffer.in_flight.fetch_add(ready.len() as u64, Ordering::Relaxed);
        self.buffer.freed.notify_waiters();
        for delivery in ready {
            let id = delivery.delivery.execution;
            self.rooms.lanes.send(id, Input::Begin(id, None));
            self.running.insert(id, delivery);
        }
        Ok(())
    }

    fn key(&self, pos: u64) -> DeliveryKey {
        DeliveryKey { namespace: self.namespace.clone(), trigger: self.trigger.clone(), pos }
    }

    /// Ends told since the last turn: done, tried again, or dead.
    async fn finish(&mut self) -> Result<(), Error> {
        let ends = std::mem::take(&mut *self.buffer.ended.lock().unwrap_or_else(PoisonError::into_inner));
        if ends.is_empty() {
            return Ok(());
        }
        let mut parts = Vec::new();
        let mut changes = Vec::new();
        let (mut gone, mut again, mut left) = (0, 0, 0);
        for end in &ends {
            let Some(delivery) = self.running.get(&end.execution).cloned() else {
                // Ended before it was let out (cancelled while pending): it leaves the backlog.
                if let Some(pos) = self.backlog_of(end.execution).await? {
                    changes.push(BufferChange::Finish(self.key(pos)));
                    left += 1;
                }
                continue;
            };
            let outcome = deliveries::judge(&self.rooms, end, Some(&delivery)).await;
            gone += 1;
            match outcome {
                Ok(deliveries::Verdict::Done) => changes.push(BufferChange::Finish(self.key(delivery.pos))),
                Ok(deliveries::Verdict::Again { create, not_before, attempt }) => {
                    again += 1;
                    changes.push(BufferChange::Again {
                        key: self.key(delivery.pos),
                        not_before,
                        attempt,
                        execution: create.birth.id,
                    });
                    parts.push(Part::Create(create));
                }
                Ok(deliveries::Verdict::Dead(letter)) => {
                    changes.push(match letter.parked {
                        Some(_) => BufferChange::Park(self.key(delivery.pos)),
                        None => BufferChange::Finish(self.key(delivery.pos)),
                    });
                    changes.push(BufferChange::Dead(letter));
                }
                Err(error) => {
                    self.buffer
                        .ended
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend(ends.iter().cloned());
                    return Err(error);
                }
            }
        }
        parts.push(Part::Buffer(changes));
        let inbox_done = ends.iter().map(|e| e.key).collect();
        parts.push(Part::Shard(ShardPart { inbox_done, ..ShardPart::default() }));
        let result = submit(&self.rooms, Batch { class: Class::Running, parts }).await;
        if let Err(error) = result {
            self.buffer.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
            return Err(error);
        }
        for end in &ends {
            self.running.remove(&end.execution);
        }
        self.buffer.in_flight.fetch_sub(gone, Ordering::Relaxed);
        self.buffer.waiting.fetch_add(again, Ordering::Relaxed);
        self.buffer.waiting.fetch_sub(left, Ordering::Relaxed);
        Ok(())
    }

    /// The position of an execution's delivery that was not let out yet.
    async fn backlog_of(&self, execution: ExecutionId) -> Result<Option<u64>, Error> {
        let store = self.rooms.store.clone();
        let found = deliveries::blocking(move || store.delivery_of(execution)).await?;
        let waiting = |d: &StoredDelivery| matches!(d.state, DeliveryState::Ready | DeliveryState::Blocked);
        Ok(found.filter(waiting).map(|d| d.pos))
    }
}

/// Faults of executions whose trigger has no buffer become dead letters.
async fn run_unbuffered(rooms: Arc<Rooms>) {
    loop {
        let ends =
            std::mem::take(&mut *rooms.buffers.unbuffered.lock().unwrap_or_else(PoisonError::into_inner));
        if ends.is_empty() {
            rooms.buffers.unbuffered_told.notified().await;
            continue;
        }
        if let Err(error) = bury(&rooms, &ends).await {
            tracing::warn!(%error, "cannot store dead letters; trying again");
            rooms.buffers.unbuffered.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn bury(rooms: &Arc<Rooms>, ends: &[DeliveryEnded]) -> Result<(), Error> {
    let mut changes = Vec::new();
    for end in ends {
        if let deliveries::Verdict::Dead(letter) = deliveries::judge(rooms, end, None).await? {
            changes.push(BufferChange::Dead(letter));
        }
    }
    let inbox_done = ends.iter().map(|e| e.key).collect();
    let parts = vec![Part::Buffer(changes), Part::Shard(ShardPart { inbox_done, ..ShardPart::default() })];
    submit(rooms, Batch { class: Class::Running, parts }).await?;
    Ok(())
}

/// Submits and waits for the commit.
pub async fn submit(rooms: &Rooms, batch: Batch) -> Result<tidemill_store::Committed, Error> {
    let (tx, rx) = tokio::sync::oneshot::channel();
    rooms.store.submit(
        batch,
        Box::new(move |result| {
            let _ = tx.send(result);
        }),
    );
    let result = rx.await.map_err(|_| Error::Unavailable("write: the store is closed".into()))?;
    let committed = result.map_err(Error::from)?;
    rooms.stream.committed(committed.pos);
    Ok(committed)
}
