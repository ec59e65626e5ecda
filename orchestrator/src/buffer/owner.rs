//! The owner of one trigger's buffer: dequeues by rate, burst, concurrency and order key, and judges ends.
//!
//! Owns the bucket and what is in flight. Everything it decides is one commit, and what it knows is read again from
//! the store after a restart.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::manifest::Overlap;
use tidemill_engine::record::Birth;
use tidemill_store::{
    Batch, BufferChange, Class, DeliveryKey, DeliveryQuery, DeliveryState, Part, ShardPart, StoredDelivery,
};

use super::bucket::{Bucket, Pace};
use super::{Buffer, begin, submit};
use crate::catalog::TriggerEntry;
use crate::deliveries::{self, Verdict};
use crate::error::Error;
use crate::inbox::DeliveryEnded;
use crate::lanes::{Command, Input, Verb};
use crate::rooms::Rooms;

/// Deliveries taken in one commit, at most.
const PAGE: usize = 512;
/// How long a buffer rests whose namespace has used up a quota of starts.
const QUOTA_REST: Duration = Duration::from_millis(100);
/// Longest sleep of an idle buffer's task before it looks again.
const IDLE: Duration = Duration::from_secs(30);

struct Owner {
    rooms: Arc<Rooms>,
    namespace: Namespace,
    trigger: Arc<str>,
    buffer: Arc<Buffer>,
    bucket: Option<Bucket>,
    /// Whether, since the bucket was last looked at, deliveries waited for the rate alone.
    hungry: bool,
    /// Executions that were told to make way for a later event.
    replaced: HashSet<ExecutionId>,
    running: HashMap<ExecutionId, StoredDelivery>,
}

/// What ends come to.
#[derive(Default)]
struct Settled {
    parts: Vec<Part>,
    changes: Vec<BufferChange>,
    /// Repairs to begin.
    repairs: Vec<Arc<Birth>>,
    /// Deliveries no longer in flight, of them back in the backlog, and those that left the backlog.
    gone: u64,
    again: u64,
    left: u64,
}

impl Settled {
    fn take(&mut self, verdict: Verdict, key: DeliveryKey) {
        self.gone += 1;
        match verdict {
            Verdict::Done => self.changes.push(BufferChange::Finish(key)),
            Verdict::Again { create, not_before, attempt } => {
                self.again += 1;
                let execution = create.birth.id;
                self.changes.push(BufferChange::Again { key, not_before, attempt, execution });
                self.parts.push(Part::Create(create));
            }
            Verdict::Dead(letter, repair) => {
                self.repairs.extend(repair.as_ref().map(|create| create.birth.clone()));
                self.parts.extend(repair.map(Part::Create));
                self.changes.push(match letter.parked {
                    Some(_) => BufferChange::Park(key),
                    None => BufferChange::Finish(key),
                });
                self.changes.push(BufferChange::Dead(letter));
            }
        }
    }
}

/// One trigger's dequeueing, until stopped.
pub(super) async fn run(rooms: Arc<Rooms>, namespace: Namespace, trigger: Arc<str>, buffer: Arc<Buffer>) {
    let mut owner = Owner {
        rooms,
        namespace,
        trigger,
        buffer,
        bucket: None,
        hungry: false,
        replaced: HashSet::new(),
        running: HashMap::new(),
    };
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
        let owed = self.not_begun(ids).await?;
        for delivery in found {
            let id = delivery.delivery.execution;
            self.rooms.lanes.send(id, Input::Begin(id, None));
            self.running.insert(id, delivery);
        }
        self.buffer.in_flight.store(self.running.len() as u64, Ordering::Relaxed);
        self.recover_bucket(owed).await
    }

    /// The saved bucket, with the time gone by since: what waited at its head waited for the rate, unless the
    /// concurrency held it. Starts that were paid for and take place only now are paid for now.
    async fn recover_bucket(&mut self, owed: usize) -> Result<(), Error> {
        let space = self.rooms.catalog.space(&self.namespace);
        let Some(pace) = space.trigger(&self.trigger).and_then(Pace::of) else {
            return Ok(());
        };
        let now = (self.rooms.clock)();
        let Some(saved) = self.rooms.store.bucket(&self.namespace, &self.trigger)? else {
            return Ok(());
        };
        let mut bucket = Bucket::from(saved);
        bucket.repay(owed);
        let trigger = space.trigger(&self.trigger).filter(|t| !t.paused && self.free(t) > 0);
        let head = match trigger {
            Some(_) => self.read(DeliveryState::Ready, 1).await?.pop(),
            None => None,
        };
        if let Some(head) = head {
            let since = head.delivery.execution.time().max(head.delivery.not_before);
            bucket.pass(pace, false, since.min(now));
            bucket.pass(pace, true, now);
        } else {
            bucket.pass(pace, false, now);
        }
        bucket.pay(owed);
        self.bucket = Some(bucket);
        Ok(())
    }

    /// How many more executions the concurrency lets be open.
    fn free(&self, trigger: &TriggerEntry) -> usize {
        trigger.concurrency().map_or(usize::MAX, |limit| limit.saturating_sub(self.running.len()))
    }

    /// How many of these executions have not begun.
    async fn not_begun(&self, ids: Vec<ExecutionId>) -> Result<usize, Error> {
        let (store, namespace) = (self.rooms.store.clone(), self.namespace.clone());
        deliveries::blocking(move || {
            let mut count = 0;
            for id in ids {
                let row = store.execution(&namespace, id)?;
                count += usize::from(row.is_some_and(|row| row.started.is_none() && row.ended.is_none()));
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
        if trigger.spec.overlap == Overlap::Replace {
            self.replace(trigger).await?;
        }
        let now = (self.rooms.clock)();
        let pace = self.pass(trigger, now);
        let free = self.free(trigger);
        if trigger.paused || free == 0 || self.buffer.waiting.load(Ordering::Relaxed) == 0 {
            return Ok(IDLE);
        }
        let allowed = match (pace, &self.bucket) {
            (Some(pace), Some(bucket)) => bucket.allows(pace),
            _ => PAGE,
        };
        if allowed == 0 {
            self.hungry = true;
            return Ok(self.bucket.zip(pace).map_or(IDLE, |(bucket, pace)| bucket.next(pace)));
        }
        let mut ready = self.read(DeliveryState::Ready, allowed.min(free).min(PAGE)).await?;
        if ready.is_empty() {
            // Everything waiting is blocked or not due yet: look again soon enough for a retry's instant.
            return Ok(Duration::from_millis(200));
        }
        let about = (&self.namespace, &*space);
        let (admitted, _admission) = self.rooms.quotas.let_out(&self.rooms, about, ready.len()).await?;
        if admitted == 0 {
            return Ok(QUOTA_REST);
        }
        ready.truncate(admitted);
        let limited = ready.len() == allowed.min(PAGE) && ready.len() < free;
        self.take(ready).await?;
        // What more waits is held by the rate alone, the time of the commit included.
        self.hungry = limited && self.buffer.waiting.load(Ordering::Relaxed) > 0;
        Ok(Duration::ZERO)
    }

    /// `overlap: replace`: what runs is cancelled when a later event waits for it, per order key where there is one.
    /// Nothing of it is stored: what waits behind what runs tells it again after a restart.
    async fn replace(&mut self, trigger: &TriggerEntry) -> Result<(), Error> {
        if trigger.paused || self.running.is_empty() || self.buffer.waiting.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let keyed = trigger.spec.buffer.as_ref().is_some_and(|b| b.order_by.is_some());
        let waiting: HashSet<Option<Arc<str>>> = if keyed {
            let blocked = self.read(DeliveryState::Blocked, usize::MAX >> 1).await?;
            blocked.into_iter().map(|d| d.delivery.key).collect()
        } else {
            HashSet::from([None])
        };
        for (id, delivery) in &self.running {
            let makes_way = waiting.contains(&delivery.delivery.key);
            if makes_way && self.replaced.insert(*id) {
                metrics::counter!("tidemill_overlap_replaced_total", "trigger" => self.trigger.to_string())
                    .increment(1);
                let reason = Some("replaced by a later event (overlap: replace)".into());
                let command = Command { execution: *id, verb: Verb::Cancel, reason, key: None, reply: None };
                self.rooms.lanes.send(*id, Input::Command(Box::new(command)));
            }
        }
        Ok(())
    }

    /// Lets time pass for the bucket; gives the pace, if there is a rate.
    fn pass(&mut self, trigger: &TriggerEntry, now: Time) -> Option<Pace> {
        let hungry = std::mem::take(&mut self.hungry);
        let pace = Pace::of(trigger)?;
        self.bucket.get_or_insert_with(|| Bucket::full(pace, now)).pass(pace, hungry, now);
        Some(pace)
    }

    /// Ready -> in flight, with the tokens paid, in one commit; then the executions begin.
    async fn take(&mut self, ready: Vec<StoredDelivery>) -> Result<(), Error> {
        let mut changes: Vec<BufferChange> =
            ready.iter().map(|d| BufferChange::Take(self.key(d.pos))).collect();
        let mut paid = self.bucket;
        if let Some(bucket) = &mut paid {
            bucket.pay(ready.len());
            changes.push(BufferChange::Bucket {
                namespace: self.namespace.clone(),
                trigger: self.trigger.clone(),
                bucket: bucket.to_save(),
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

    /// Ends told since the last turn: done, tried again, or dead. What cannot be written now is told again.
    async fn finish(&mut self) -> Result<(), Error> {
        let ends = std::mem::take(&mut *self.buffer.ended.lock().unwrap_or_else(PoisonError::into_inner));
        if ends.is_empty() {
            return Ok(());
        }
        let settled = match self.settle(&ends).await {
            Ok(settled) => settled,
            Err(error) => {
                self.buffer.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
                return Err(error);
            }
        };
        for end in &ends {
            self.running.remove(&end.execution);
            self.replaced.remove(&end.execution);
        }
        begin(&self.rooms, settled.repairs);
        self.buffer.in_flight.fetch_sub(settled.gone, Ordering::Relaxed);
        self.buffer.waiting.fetch_add(settled.again, Ordering::Relaxed);
        self.buffer.waiting.fetch_sub(settled.left, Ordering::Relaxed);
        Ok(())
    }

    /// Judges ends and writes what comes of them, in one commit.
    async fn settle(&self, ends: &[DeliveryEnded]) -> Result<Settled, Error> {
        let mut settled = Settled::default();
        for end in ends {
            let Some(delivery) = self.running.get(&end.execution) else {
                // Ended before it was let out (cancelled while pending): it leaves the backlog.
                if let Some(pos) = self.backlog_of(end.execution).await? {
                    settled.changes.push(BufferChange::Finish(self.key(pos)));
                    settled.left += 1;
                }
                continue;
            };
            let verdict = deliveries::judge(&self.rooms, end, Some(delivery)).await?;
            settled.take(verdict, self.key(delivery.pos));
        }
        let inbox_done = ends.iter().map(|e| e.key).collect();
        let mut parts = std::mem::take(&mut settled.parts);
        parts.push(Part::Buffer(std::mem::take(&mut settled.changes)));
        parts.push(Part::Shard(ShardPart { inbox_done, ..ShardPart::default() }));
        submit(&self.rooms, Batch { class: Class::Running, parts }).await?;
        Ok(settled)
    }

    /// The position of an execution's delivery that was not let out yet.
    async fn backlog_of(&self, execution: ExecutionId) -> Result<Option<u64>, Error> {
        let store = self.rooms.store.clone();
        let found = deliveries::blocking(move || store.delivery_of(execution)).await?;
        let waiting = |d: &StoredDelivery| matches!(d.state, DeliveryState::Ready | DeliveryState::Blocked);
        Ok(found.filter(waiting).map(|d| d.pos))
    }
}
