//! The frozen databases, one of each format: every later version opens them (D13).
//!
//! `TIDEMILL_FREEZE=1 cargo nextest run -E 'test(fixture)'` writes that of the newest format anew; only before the
//! format's release.

use std::path::PathBuf;

use tidemill_dsl::ids::Shard;
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Due, DueChange, Parent, Status, Subscription, SubscriptionChange, TimerKind};
use tidemill_store::{
    Batch, BufferChange, Checkpoint, DeadLetter, DeadState, DefinitionChange, DefinitionKind, FORMAT,
    InboxItem, InboxKey, MemoryStore, OperatorChange, Part, StartKey, StateSnapshot, Store, StoredBucket,
};

use crate::batches::{
    DAY, arrival, at, batch, born, cause, commit, create, definition, delivery, event, id, ingress, retain,
    running, shard, sqlite, start, summary, text, transition,
};
use crate::blobs;
use crate::questions::answers;

fn fixture(format: u32) -> PathBuf {
    let folder = format!("../../integration-tests/fixtures/store-v{format}/tidemill.db");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// Batches that leave rows in every table of a format.
fn filling(format: u32) -> Vec<Batch> {
    let mut batches = first_filling();
    if format >= 2 {
        batches.extend(blobs::filling("default", 9, &blobs::large("x")));
    }
    batches
}

fn first_filling() -> Vec<Batch> {
    let (a, b, c) = (id(0, 1), id(1, 2), id(2, 3));
    let mut first = born(create("default", "u", a), |birth| {
        birth.tags = vec![(text("n"), text("1"))];
    });
    first.key = Some(StartKey { key: text("1"), body: [1; 32] });
    let child = born(create("default", "v", b), |birth| {
        birth.parent = Some(Parent { execution: a, visit: 3, awaited: true });
    });
    let due = |offset, kind| DueChange::Set(Due { at: at(offset), execution: a, visit: 2, kind });
    let work = shard(|part| {
        part.epochs = vec![(Shard(5), 2)];
        part.transitions = (1..=6).map(|n| transition(a, "default", n + 1, 1)).collect();
        part.summaries = vec![summary(b, Status::Faulted, Some(at(1)), Some(at(9)))];
        part.states = vec![StateSnapshot { execution: a, next: 5, transitions: 4, body: vec![1, 2, 3] }];
        part.due = vec![due(100, TimerKind::Wait), due(200, TimerKind::Timeout)];
        part.subscriptions = vec![SubscriptionChange::Add(Subscription {
            execution: a,
            namespace: text("default"),
            visit: 4,
            kind: Some(text("t0")),
            since: at(0),
        })];
    });
    let inbox = InboxItem { key: InboxKey { shard: Shard(5), from: a, number: 1 }, body: vec![9] };
    let definitions =
        [(DefinitionKind::Workflow, 1), (DefinitionKind::Workflow, 2), (DefinitionKind::Source, 3)];
    let definitions = definitions.map(|(kind, n)| DefinitionChange::Put(definition(kind, "u", "1.0.0", n)));
    vec![
        batch(vec![Part::Definitions(definitions.to_vec()), Part::Operator(operator())]),
        batch(vec![start(first), start(child), start(create("default", "w", c))]),
        running(vec![work, Part::Inbox(vec![inbox])]),
        batch(events()),
        running(vec![shard(|part| {
            part.transitions = vec![transition(c, "default", 2, 2), transition(c, "default", 4, 1)];
            part.summaries = vec![summary(c, Status::Completed, Some(at(2)), Some(at(5)))];
        })]),
        retain(at(6), at(1), 2),
    ]
}

fn operator() -> Vec<OperatorChange> {
    let namespace = text("default");
    vec![
        OperatorChange::Namespace { namespace: namespace.clone(), text: text("kind: Namespace"), at: at(0) },
        OperatorChange::Secret { namespace, name: text("a"), sealed: Some(vec![1, 2]), at: at(0) },
        OperatorChange::Work { id: text("a"), body: Some(vec![3]) },
        OperatorChange::Meta { key: text("cursor"), value: Value::from(7) },
    ]
}

fn events() -> Vec<Part> {
    let mut buffered = arrival(event("s1", "1", "t0", 1), at(1));
    for (tail, key) in [(4, Some("k")), (5, Some("k")), (6, None)] {
        let event = event("s1", "1", "t0", 1);
        let mut start = born(create("default", "u", id(3, tail)), |b| {
            b.cause = Some(cause("tr", "b0", &event));
        });
        start.summary = summary(start.birth.id, Status::Pending, None, None);
        buffered.starts.push(start);
        buffered.deliveries.push(delivery("tr", id(3, tail), key, 1));
    }
    buffered.dead = vec![DeadLetter {
        id: 0,
        namespace: text("default"),
        trigger: text("tr"),
        generation: 1,
        cause: text("buffer-full"),
        binding: text("b0"),
        event: event("s1", "1", "t0", 1),
        key: None,
        parked: None,
        attempts: vec![],
        at: at(1),
        state: DeadState::Open,
    }];
    let many = (0..260).map(|n| arrival(event("s2", &n.to_string(), "t1", n), at(DAY)));
    let mut kafka = ingress("default", "kafka", many.collect());
    if let Part::Ingress(part) = &mut kafka {
        let (source, partition, value) = (text("s2"), text("topic/0"), text("17"));
        part.checkpoints = vec![Checkpoint { source, partition, value }];
    }
    let bucket = StoredBucket { tokens: 1.5, arrears: 0.0, at: at(2) };
    let bucket = BufferChange::Bucket { namespace: text("default"), trigger: text("tr"), bucket };
    vec![ingress("default", "b0", vec![buffered]), kafka, Part::Buffer(vec![bucket])]
}

fn fill(store: &dyn Store, format: u32) {
    for batch in filling(format) {
        commit(store, batch).unwrap();
    }
}

#[test]
fn the_fixtures_of_all_formats_open_and_answer_as_ever() {
    if std::env::var_os("TIDEMILL_FREEZE").is_some() {
        let folder = tempfile::tempdir().unwrap();
        let store = sqlite(folder.path());
        fill(&store, FORMAT);
        store.close();
        std::fs::create_dir_all(fixture(FORMAT).parent().unwrap()).unwrap();
        std::fs::copy(folder.path().join("tidemill.db"), fixture(FORMAT)).unwrap();
    }
    (1..=FORMAT).for_each(opens);
}

fn opens(format: u32) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(format), folder.path().join("tidemill.db")).unwrap();
    let memory = MemoryStore::new();
    fill(&memory, format);
    let disk = sqlite(folder.path());
    let ids: Vec<_> = (0..7).map(|n| id(i64::from(n.min(3)), n)).collect();
    for (expected, found) in answers(&memory, &ids, 1).iter().zip(answers(&disk, &ids, 1)) {
        assert_eq!(*expected, found, "format {format}");
    }
    disk.close();
    let conn = rusqlite::Connection::open(folder.path().join("tidemill.db")).unwrap();
    let mut tables = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables.iter().filter(|table| format >= 2 || !table.starts_with("blob")) {
        let filled = conn.query_row(&format!("SELECT 1 FROM {table} LIMIT 1"), [], |_| Ok(()));
        assert!(filled.is_ok(), "the fixture of format {format} has no row in {table}");
    }
}
