//! Buffers (peak shaving): per trigger a stored backlog, let out by rate, burst, concurrency and order key.
//!
//! One task per buffered trigger owns its dequeueing (D12), so rate, concurrency and order are exact. The backlog, the
//! states and the bucket live in the store; here are counts, tokens and wake-ups. What leaves the buffer is an
//! execution that exists already (pending) and is begun.

mod bucket;
mod owner;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::WhenFull;
use tidemill_engine::record::Birth;
use tidemill_store::{Batch, BufferChange, Class, Part, ShardPart};
use tokio::sync::Notify;

use crate::catalog::Space;
use crate::deliveries;
use crate::error::Error;
use crate::inbox::DeliveryEnded;
use crate::lanes::Input;
use crate::rooms::Rooms;

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
    /// There is not; nothing is reserved.
    Full(Full),
    /// These buffers are full but for so many places and pass what is beyond on to the dead letters; the places, and
    /// those of the others, are reserved.
    Divert(Vec<(Arc<str>, u64)>),
}

/// A full buffer.
pub struct Full {
    /// Its trigger.
    pub trigger: Arc<str>,
    /// Free places.
    pub free: u64,
    /// Places that were asked for.
    pub wanted: u64,
    /// Places in all (limit `buffer.capacity`).
    pub capacity: u64,
    /// Ready when it is worth asking again; none where the buffer refuses (`whenFull: reject`).
    pub freed: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Buffer {
    /// Ready when a place may have become free. A wake-up that came before this wait began is made up for by looking
    /// again after a while.
    fn freed(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _ = tokio::time::timeout(Duration::from_millis(200), self.freed.notified()).await;
        })
    }
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
            let capacity = u64::from(spec.capacity);
            let free = capacity.saturating_sub(buffer.waiting.load(Ordering::Relaxed));
            if *count <= free {
                continue;
            }
            metrics::counter!("tidemill_buffer_full_total", "trigger" => name.to_string()).increment(1);
            if spec.when_full == WhenFull::Divert {
                diverted.push((name.clone(), free));
                continue;
            }
            let freed = (spec.when_full == WhenFull::Wait).then(|| buffer.clone().freed());
            return Room::Full(Full { trigger: name.clone(), free, wanted: *count, capacity, freed });
        }
        for (name, count) in counts {
            let count = diverted.iter().find(|(full, _)| *full == name).map_or(count, |(_, free)| *free);
            let buffer = all.entry((namespace.clone(), name)).or_default();
            buffer.waiting.fetch_add(count, Ordering::Relaxed);
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

    /// Forgets the buffers of a namespace.
    pub fn forget(&self, namespace: &Namespace) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).retain(|(ns, _), _| ns != namespace);
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
        let catalog = &supervisor.rooms.catalog;
        let rows = supervisor.rooms.store.buffers()?;
        for row in rows.into_iter().filter(|row| !catalog.removing(&row.namespace)).collect::<Vec<_>>() {
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
        let catalog = &self.rooms.catalog;
        self.running.retain(|(namespace, _), task| {
            let stays = catalog.existing(namespace).is_some();
            if !stays {
                task.abort();
            }
            stays
        });
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
            let task = owner::run(self.rooms.clone(), key.0.clone(), key.1.clone(), buffer);
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
    let mut parts = Vec::new();
    let mut repairs = Vec::new();
    for end in ends {
        if let deliveries::Verdict::Dead(letter, repair) = deliveries::judge(rooms, end, None).await? {
            changes.push(BufferChange::Dead(letter));
            repairs.extend(repair.as_ref().map(|create| create.birth.clone()));
            parts.extend(repair.map(Part::Create));
        }
    }
    let inbox_done = ends.iter().map(|e| e.key).collect();
    parts.push(Part::Buffer(changes));
    parts.push(Part::Shard(ShardPart { inbox_done, ..ShardPart::default() }));
    submit(rooms, Batch { class: Class::Running, parts }).await?;
    begin(rooms, repairs);
    Ok(())
}

/// Lets executions begin whose creation is durable.
fn begin(rooms: &Rooms, births: Vec<Arc<Birth>>) {
    for birth in births {
        rooms.lanes.send(birth.id, Input::Begin(birth.id, Some(birth)));
    }
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
