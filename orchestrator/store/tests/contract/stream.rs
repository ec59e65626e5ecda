//! The same random stream of batches through memory and SQLite: equal outcomes, equal answers (invariant 10).

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Shard, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{
    Due, DueChange, Parent, Status, Subscription, SubscriptionChange, TimerKind, Transition,
};
use tidemill_store::{
    Accepted, AttemptRecord, Batch, BufferChange, Checkpoint, Class, Committed, Create, DeadLetter,
    DeadState, DefinitionChange, DefinitionKind, Delivery, DeliveryKey, InboxItem, InboxKey, IngressPart,
    MemoryStore, OperatorChange, Part, Read, Refusal, ShardPart, Span, StartKey, StateSnapshot, StoredBucket,
};

use crate::batches::{
    DAY, arrival, at, born, cause, commit, create, definition, event, sqlite, summary, text,
};
use crate::blobs;
use crate::questions::assert_equal;

pub(crate) const NAMESPACES: [&str; 2] = ["default", "other"];
pub(crate) const WORKFLOWS: [&str; 3] = ["u", "v", "w"];
pub(crate) const TRIGGERS: [&str; 2] = ["tr", "ts"];

/// Time goes from 0 to this.
pub(crate) const SPAN: i64 = 6 * DAY;

/// Draws batches; knows just enough of the past to make most of them apply.
pub(crate) struct Source {
    random: StdRng,
    now: i64,
    tail: u64,
    /// Next sequence and number of transitions of the executions made so far.
    live: BTreeMap<ExecutionId, (&'static str, u64, u64)>,
    deliveries: Vec<DeliveryKey>,
    letters: u64,
    /// How often each operation succeeded.
    pub(crate) done: BTreeMap<&'static str, u32>,
    names: Vec<&'static str>,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Source {
        Source {
            random: StdRng::seed_from_u64(seed),
            now: 0,
            tail: 0,
            live: BTreeMap::new(),
            deliveries: Vec::new(),
            letters: 0,
            done: BTreeMap::new(),
            names: Vec::new(),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.random.random_range(0..n)
    }

    fn one<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len());
        from[index]
    }

    fn time(&mut self) -> Time {
        self.now = (self.now + self.random.random_range(-1000..SPAN / 700)).clamp(0, SPAN - 1);
        at(self.now)
    }

    fn old_id(&mut self) -> Option<ExecutionId> {
        let count = self.live.len();
        let index = self.below(count.max(1));
        self.live.keys().nth(index).copied()
    }

    pub(crate) fn ids(&self) -> Vec<ExecutionId> {
        self.live.keys().copied().collect()
    }

    fn named(&mut self, name: &'static str) {
        self.names.push(name);
    }

    /// The next batch.
    pub(crate) fn next(&mut self) -> Batch {
        self.names.clear();
        let parts = (0..=self.below(3)).map(|_| self.part()).collect();
        let class = if self.random.random() { Class::New } else { Class::Running };
        Batch { class, parts }
    }

    fn part(&mut self) -> Part {
        match self.below(12) {
            0..=3 => Part::Shard(self.shard()),
            4..=5 => self.ingress(),
            6..=7 => {
                self.named("create");
                let create = self.create();
                Part::Create(Box::new(create))
            }
            8 => {
                self.named("inbox");
                Part::Inbox((0..3).map(|_| InboxItem { key: self.inbox_key(), body: vec![1, 2] }).collect())
            }
            9 => Part::Buffer((0..3).map(|_| self.buffer()).collect()),
            10 => Part::Definitions((0..2).map(|_| self.definition()).collect()),
            _ => Part::Operator((0..2).map(|_| self.operator()).collect()),
        }
    }

    fn inbox_key(&mut self) -> InboxKey {
        let from = ExecutionId::new(at(0), [self.below(2) as u8; 10]);
        InboxKey { shard: Shard(self.below(3) as u16), from, number: self.below(3) as u32 }
    }

    fn create(&mut self) -> Create {
        let created = self.time();
        self.tail += 1;
        let mut bits = [0; 10];
        bits[..8].copy_from_slice(&self.random.random::<u64>().to_be_bytes());
        bits[8..].copy_from_slice(&(self.tail as u16).to_be_bytes());
        let mut id = ExecutionId::new(created, bits);
        if self.random.random_bool(0.03)
            && let Some(old) = self.old_id()
        {
            id = old;
        }
        let (namespace, workflow) = (self.one(&NAMESPACES), self.one(&WORKFLOWS));
        let mut create = create(namespace, workflow, id);
        create.first.first = self.live.get(&id).map_or(1, |(_, next, _)| *next);
        let parent = self.old_id().filter(|_| self.random.random_bool(0.2));
        let (tagged, digest) = (self.random.random_bool(0.3), self.below(4) as u8);
        create = born(create, |birth| {
            birth.digest = [digest; 32];
            birth.created = created;
            birth.parent = parent.map(|execution| Parent { execution, visit: 3, awaited: tagged });
            if tagged {
                birth.tags = vec![(text("n"), text("1")), (text("d"), text(&digest.to_string()))];
            }
        });
        if self.random.random_bool(0.15) {
            let key = text(&self.below(4).to_string());
            create.key = Some(StartKey { key, body: [self.below(2) as u8; 32] });
        }
        let status = self.one(&[Status::Pending, Status::Running, Status::Waiting]);
        let started = (status != Status::Pending).then_some(created);
        create.summary = summary(id, status, started, None);
        create
    }

    fn ingress(&mut self) -> Part {
        let (namespace, binding) = (self.one(&NAMESPACES), self.one(&["", "b0", "kafka"]));
        let arrivals = (0..=self.below(3)).map(|_| self.arrival(namespace, binding)).collect();
        self.named("ingress");
        let checkpoints = (0..self.below(2)).map(|_| self.checkpoint()).collect();
        Part::Ingress(IngressPart {
            namespace: text(namespace),
            binding: text(binding),
            arrivals,
            checkpoints,
        })
    }

    fn arrival(&mut self, namespace: &'static str, binding: &str) -> tidemill_store::Arrival {
        let (source, id) = (format!("s{}", self.below(3)), self.below(40).to_string());
        let event = event(&source, &id, self.one(&["t0", "t1"]), self.below(2) as i64);
        let accepted = self.time();
        let mut arrival = arrival(event.clone(), accepted);
        arrival.placed = binding == "kafka" && self.random.random_bool(0.8);
        for _ in 0..self.below(3) {
            let trigger = self.one(&TRIGGERS);
            let mut start = self.create();
            start = born(start, |birth| {
                birth.namespace = text(namespace);
                birth.cause = Some(cause(trigger, binding, &event));
            });
            start.first.namespace = text(namespace);
            if self.random.random() {
                start.summary = summary(start.birth.id, Status::Pending, None, None);
                arrival.deliveries.push(self.delivery(namespace, trigger, start.birth.id));
            }
            arrival.starts.push(start);
        }
        if self.random.random_bool(0.1) {
            arrival.dead.push(self.letter(namespace));
        }
        arrival
    }

    fn delivery(&mut self, namespace: &str, trigger: &str, execution: ExecutionId) -> Delivery {
        let key =
            self.random.random_bool(0.6).then(|| text(self.random.random_range(0..3).to_string().as_str()));
        Delivery {
            namespace: text(namespace),
            trigger: text(trigger),
            execution,
            key,
            priority: self.below(3) as i32,
            attempt: 1,
            not_before: at(self.random.random_range(0..SPAN)),
        }
    }

    fn letter(&mut self, namespace: &str) -> DeadLetter {
        let execution = ExecutionId::new(self.time(), [1; 10]);
        let error = Fault::timeout("late");
        DeadLetter {
            id: 0,
            namespace: text(namespace),
            trigger: text(self.one(&TRIGGERS)),
            generation: 1,
            cause: text(self.one(&["faulted", "buffer-full"])),
            binding: text("b0"),
            event: event("s1", "5", "t0", 1),
            key: None,
            parked: None,
            attempts: vec![AttemptRecord { execution, at: at(self.now), error }],
            at: at(self.now),
            state: DeadState::Open,
        }
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let value = if self.random.random_bool(0.2) { String::new() } else { self.below(1000).to_string() };
        Checkpoint {
            source: text(&format!("s{}", self.below(3))),
            partition: text(&self.below(2).to_string()),
            value: text(&value),
        }
    }

    fn shard(&mut self) -> ShardPart {
        let mut part = ShardPart::default();
        if self.random.random_bool(0.1) {
            part.epochs = vec![(Shard(self.below(3) as u16), self.random.random_range(1..4))];
            self.named("epoch");
        }
        for _ in 0..=self.below(4) {
            self.transition(&mut part);
        }
        for _ in 0..self.below(3) {
            let due = Due {
                at: at(self.random.random_range(0..SPAN / DAY) * DAY),
                execution: self.old_id().unwrap_or_default(),
                visit: self.below(2) as u32,
                kind: self.one(&[TimerKind::Wait, TimerKind::Retry]),
            };
            let set = self.random.random_bool(0.6);
            self.named(if set { "due set" } else { "due clear" });
            part.due.push(if set { DueChange::Set(due) } else { DueChange::Clear(due) });
        }
        if self.random.random_bool(0.3) {
            part.subscriptions.push(self.subscription());
        }
        if self.random.random_bool(0.4) {
            part.inbox_done = vec![self.inbox_key(), self.inbox_key()];
            self.named("inbox done");
        }
        part
    }

    fn transition(&mut self, part: &mut ShardPart) {
        let Some(execution) = self.old_id() else { return };
        let time = self.time();
        let count = self.random.random_range(0..4);
        let large = self.random.random_bool(0.001).then(|| blobs::body(&blobs::large(self.one(&["x", "y"]))));
        let Some((namespace, next, transitions)) = self.live.get_mut(&execution) else {
            return;
        };
        let lifecycle = *next % 3 == 0;
        let first = *next;
        let body = large.unwrap_or_else(|| vec![1; *transitions as usize % 7]);
        *next += u64::from(count);
        *transitions += 1;
        let (next, transitions) = (*next, *transitions);
        let namespace = text(namespace);
        part.transitions.push(Transition { execution, namespace, first, count, time, lifecycle, body });
        self.named("transition");
        if self.random.random_bool(0.1) {
            part.states.push(StateSnapshot { execution, next, transitions, body: vec![2; 9] });
            self.named("state");
        }
        if self.random.random_bool(0.4) {
            let status = self.one(&Status::ALL);
            let started = (status != Status::Pending).then_some(time);
            part.summaries.push(summary(execution, status, started, status.ended().then_some(time)));
            self.named("summary");
        }
    }

    fn subscription(&mut self) -> SubscriptionChange {
        let (execution, visit) = (self.old_id().unwrap_or_default(), self.below(2) as u32);
        if self.random.random_bool(0.3) {
            self.named("unsubscribe");
            return SubscriptionChange::Remove(execution, visit);
        }
        self.named("subscribe");
        let namespace = text(self.live.get(&execution).map_or("default", |(namespace, ..)| namespace));
        let kind = self.random.random::<bool>().then(|| text("t0"));
        SubscriptionChange::Add(Subscription { execution, namespace, visit, kind, since: at(self.now) })
    }

    fn buffer(&mut self) -> BufferChange {
        let old = if self.deliveries.is_empty() { 0 } else { self.below(self.deliveries.len()) };
        let old = self.deliveries.get(old).cloned();
        let key = old.unwrap_or(DeliveryKey { namespace: text("default"), trigger: text("tr"), pos: 1 });
        let (namespace, trigger) = (self.one(&NAMESPACES), self.one(&TRIGGERS));
        let (name, change) = match self.below(10) {
            0..=1 => ("take", BufferChange::Take(key)),
            2 => ("finish", BufferChange::Finish(key)),
            3 => ("park", BufferChange::Park(key)),
            4 => {
                let execution = ExecutionId::new(self.time(), [9; 10]);
                ("again", BufferChange::Again { key, not_before: at(self.now), attempt: 2, execution })
            }
            5 => {
                let (namespace, trigger) = (text(namespace), text(trigger));
                let tokens = self.random.random_range(0.0..9.0);
                let bucket = StoredBucket { tokens, arrears: tokens / 3.0, at: at(self.now) };
                ("bucket", BufferChange::Bucket { namespace, trigger, bucket })
            }
            6 => ("dead", BufferChange::Dead(Box::new(self.letter(namespace)))),
            7 => {
                let id = self.random.random_range(0..=self.letters);
                let state = self.one(&[DeadState::Open, DeadState::Redriven, DeadState::Purged]);
                ("dead state", BufferChange::DeadState { namespace: text(namespace), id, state })
            }
            _ => {
                let execution = self.old_id().unwrap_or_default();
                ("enqueue", BufferChange::Enqueue(self.delivery(namespace, trigger, execution)))
            }
        };
        self.named(name);
        change
    }

    fn definition(&mut self) -> DefinitionChange {
        let kind = self.one(&[DefinitionKind::Workflow, DefinitionKind::Source, DefinitionKind::Function]);
        let (namespace, name) = (text(self.one(&NAMESPACES)), text(self.one(&WORKFLOWS)));
        let version = if kind == DefinitionKind::Source { "" } else { self.one(&["1.0.0", "2.0.0"]) };
        match self.below(6) {
            0 => {
                self.named("delete");
                let version = if self.random.random() { text("") } else { text(version) };
                DefinitionChange::Delete { kind, namespace, name, version }
            }
            1 => {
                self.named("pause");
                DefinitionChange::Pause { kind, namespace, name, paused: self.random.random() }
            }
            _ => {
                self.named("put");
                let mut put = definition(kind, &name, version, self.below(4) as u8);
                put.namespace = namespace;
                DefinitionChange::Put(put)
            }
        }
    }

    fn operator(&mut self) -> OperatorChange {
        let namespace = text(self.one(&NAMESPACES));
        let body = self.random.random_bool(0.7).then(|| vec![self.now as u8]);
        let (name, change) = match self.below(14) {
            0..=1 => {
                ("namespace", OperatorChange::Namespace { namespace, text: text("x"), at: at(self.now) })
            }
            2 if self.random.random_bool(0.4) => {
                let rows = if self.random.random_bool(0.5) { 1000 } else { self.random.random_range(1..30) };
                ("drop namespace", OperatorChange::DropNamespace { namespace, rows })
            }
            2..=4 => {
                let name = text(self.one(&["a", "b"]));
                ("secret", OperatorChange::Secret { namespace, name, sealed: body, at: at(self.now) })
            }
            5..=6 => ("work", OperatorChange::Work { id: text(self.one(&["a", "b"])), body }),
            7..=8 => ("checkpoint", OperatorChange::Checkpoint { namespace, checkpoint: self.checkpoint() }),
            9 => ("meta", OperatorChange::Meta { key: text("cursor"), value: Value::from(self.now) }),
            _ => {
                let rows = self.random.random_range(1..9);
                let mut span = |ns: &str| Span {
                    namespace: text(ns),
                    executions: at(self.now - self.random.random_range(1..4) * DAY / 2),
                    events: at(self.now - self.random.random_range(1..4) * DAY / 2),
                };
                let spans = NAMESPACES.iter().map(|ns| span(ns)).collect();
                ("retain", OperatorChange::Retain { spans, rows })
            }
        };
        self.named(name);
        change
    }

    /// Learns what became of the last batch.
    pub(crate) fn learn(&mut self, batch: &Batch, outcome: &Result<Committed, Refusal>) {
        match outcome {
            Ok(committed) => {
                for name in &self.names {
                    *self.done.entry(name).or_default() += 1;
                }
                self.accept(batch, committed);
            }
            Err(refusal) => {
                let name = match refusal {
                    Refusal::KeyTaken { .. } => "refused: key",
                    Refusal::Exists(_) => "refused: exists",
                    Refusal::StaleEpoch => "refused: epoch",
                    other => panic!("{other}"),
                };
                *self.done.entry(name).or_default() += 1;
            }
        }
    }

    fn accept(&mut self, batch: &Batch, committed: &Committed) {
        self.letters = committed.pos;
        let mut arrivals = committed.arrivals.iter();
        let mut deliveries = committed.deliveries.iter();
        let mut stored = |delivery: &Delivery| DeliveryKey {
            namespace: delivery.namespace.clone(),
            trigger: delivery.trigger.clone(),
            pos: *deliveries.next().expect("one position for each delivery"),
        };
        let mut creates: Vec<&Create> = Vec::new();
        for part in &batch.parts {
            match part {
                Part::Create(create) => creates.push(create),
                Part::Ingress(part) => {
                    for arrival in &part.arrivals {
                        match arrivals.next() {
                            Some(Accepted::Stored(_)) => {
                                creates.extend(&arrival.starts);
                                self.deliveries.extend(arrival.deliveries.iter().map(&mut stored));
                            }
                            Some(Accepted::Duplicate { mismatch, .. }) => {
                                let name = if *mismatch { "mismatch" } else { "duplicate" };
                                *self.done.entry(name).or_default() += 1;
                            }
                            None => panic!("one answer for each arrival"),
                        }
                    }
                }
                Part::Buffer(changes) => {
                    for change in changes {
                        if let BufferChange::Enqueue(delivery) = change {
                            self.deliveries.push(stored(delivery));
                        }
                    }
                }
                _ => {}
            }
        }
        for create in creates {
            let namespace =
                NAMESPACES.iter().find(|ns| create.birth.namespace.as_ref() == **ns).expect("one of ours");
            self.live.insert(create.birth.id, (namespace, create.first.first + 1, 1));
        }
    }
}

/// Everything a run must have done at least once to count.
const KINDS: [&str; 36] = [
    "create",
    "ingress",
    "duplicate",
    "mismatch",
    "transition",
    "summary",
    "state",
    "epoch",
    "due set",
    "due clear",
    "subscribe",
    "unsubscribe",
    "inbox",
    "inbox done",
    "enqueue",
    "take",
    "finish",
    "park",
    "again",
    "bucket",
    "dead",
    "dead state",
    "put",
    "delete",
    "pause",
    "namespace",
    "drop namespace",
    "secret",
    "work",
    "checkpoint",
    "meta",
    "retain",
    "refused: key",
    "refused: exists",
    "refused: epoch",
    "restart",
];

/// One run: so many batches through both stores, SQLite closed and opened again now and then.
fn check(seed: u64, batches: u32) -> BTreeMap<&'static str, u32> {
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryStore::new();
    let mut disk = sqlite(folder.path());
    let mut source = Source::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    for n in 0..batches {
        let batch = source.next();
        let expected = commit(&memory, batch.clone());
        assert_eq!(commit(&disk, batch.clone()), expected, "batch {n} of seed {seed}: {batch:?}");
        source.learn(&batch, &expected);
        if n % 150 == 149 {
            drop(disk);
            disk = sqlite(folder.path());
            *source.done.entry("restart").or_default() += 1;
        }
        if n % 50 == 49 {
            assert_equal(&memory, &disk, &source.ids(), &mut random);
        }
    }
    assert_eq!(memory.last_pos().unwrap(), disk.last_pos().unwrap());
    source.done
}

#[test]
fn memory_and_sqlite_answer_alike() {
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..6 {
        for (name, count) in check(seed, 300) {
            *done.entry(name).or_default() += count;
        }
    }
    for kind in KINDS {
        assert!(done.contains_key(kind), "{kind} never succeeded: {done:?}");
    }
}
