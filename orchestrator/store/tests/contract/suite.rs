//! The suite: each check states one promise of the contract and holds on every store.

use tidemill_dsl::ids::{SHARDS, Shard, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Due, DueChange, Parent, Status, Subscription, SubscriptionChange, TimerKind};
use tidemill_store::{
    Accepted, Arrival, AttemptRecord, BufferChange, Checkpoint, DeadLetter, DeadQuery, DeadState,
    DefinitionChange, DefinitionKind, DeliveryKey, DeliveryQuery, DeliveryState, EventQuery, ExecutionQuery,
    InboxItem, InboxKey, OperatorChange, Part, Refusal, Span, StartKey, StateSnapshot, Store, StoredBucket,
};

use crate::batches::{
    DAY, arrival, at, batch, born, cause, commit, create, definition, delivery, event, id, ingress, retain,
    running, shard, start, summary, text, transition,
};

const NS: &str = "default";

fn query() -> ExecutionQuery {
    ExecutionQuery { namespace: NS.into(), limit: 100, ..ExecutionQuery::default() }
}

pub(crate) fn an_execution_is_listed_and_its_log_is_read_in_order(store: &dyn Store) {
    let (a, b) = (id(0, 1), id(1, 2));
    let made = commit(store, batch(vec![start(create(NS, "w", a)), start(create(NS, "w", b))])).unwrap();
    assert_eq!(made.pos, 2);
    let part = shard(|part| {
        part.transitions = vec![transition(a, NS, 2, 1), transition(b, NS, 2, 3), transition(a, NS, 3, 2)];
        part.summaries = vec![summary(a, Status::Completed, Some(at(0)), Some(at(5)))];
    });
    assert_eq!(commit(store, running(vec![part])).unwrap().pos, 5);
    let (snapshot, log) = store.log(a).unwrap();
    assert_eq!(snapshot, None);
    assert_eq!(log, [transition(a, NS, 1, 1), transition(a, NS, 2, 1), transition(a, NS, 3, 2)]);
    let row = store.execution(NS, a).unwrap().unwrap();
    assert_eq!((row.status, row.ended), (Status::Completed, Some(at(5))));
    assert_eq!(row.result, summary(a, Status::Completed, None, None).result);
    assert_eq!(store.execution("other", a).unwrap(), None);
    let ids: Vec<_> =
        store.executions(&query()).unwrap().iter().map(|row| (row.id, row.result.clone())).collect();
    assert_eq!(ids, [(b, None), (a, None)]);
    let stream = |after, lifecycle| -> Vec<u64> {
        store.stream(after, lifecycle, 10).unwrap().iter().map(|(pos, _)| *pos).collect()
    };
    assert_eq!((stream(0, false), stream(3, false)), (vec![1, 2, 3, 4, 5], vec![4, 5]));
    assert_eq!((stream(0, true), stream(1, true)), (vec![1, 2], vec![2]));
    let counters = store.counters();
    assert_eq!((counters.commits, counters.batches, counters.transitions), (2, 2, 5));
    assert!(counters.rows >= 8 && counters.bytes >= 25, "{counters:?}");
}

pub(crate) fn a_taken_key_refuses_the_whole_batch(store: &dyn Store) {
    let keyed = |execution, body: u8| {
        let mut create = create(NS, "w", execution);
        create.key = Some(StartKey { key: text("k"), body: [body; 32] });
        create
    };
    commit(store, batch(vec![start(keyed(id(0, 1), 1))])).unwrap();
    for (body, same_body) in [(1, true), (2, false)] {
        let twice = batch(vec![start(create(NS, "w", id(1, 9))), start(keyed(id(1, 2), body))]);
        assert_eq!(commit(store, twice), Err(Refusal::KeyTaken { execution: id(0, 1), same_body }));
    }
    assert_eq!(store.execution(NS, id(1, 9)).unwrap(), None);
    assert_eq!(store.start_key(NS, "w", "k").unwrap(), Some((id(0, 1), [1; 32])));
    let mut elsewhere = keyed(id(2, 3), 1);
    elsewhere = born(elsewhere, |birth| birth.workflow = text("v"));
    commit(store, batch(vec![start(elsewhere)])).unwrap();
}

pub(crate) fn an_existing_id_refuses_the_whole_batch(store: &dyn Store) {
    commit(store, batch(vec![start(create(NS, "w", id(0, 1)))])).unwrap();
    let again = batch(vec![
        ingress(NS, "", vec![arrival(event("s", "1", "t", 1), at(0))]),
        start(create(NS, "w", id(0, 1))),
    ]);
    assert_eq!(commit(store, again), Err(Refusal::Exists(id(0, 1))));
    assert_eq!(store.event(NS, "s", "1").unwrap(), []);
    assert_eq!(store.last_pos().unwrap(), 1);
}

pub(crate) fn a_refused_batch_leaves_its_neighbours(store: &dyn Store) {
    let (told, tell) = std::sync::mpsc::channel();
    for n in 0..40u8 {
        let told = told.clone();
        let tail = if n % 4 == 3 { 0 } else { n };
        let one = batch(vec![start(create(NS, "w", id(0, tail)))]);
        store.submit(one, Box::new(move |outcome| told.send((n, outcome)).unwrap()));
    }
    let outcomes: Vec<_> = tell.iter().take(40).collect();
    let mut applied = 0;
    for (n, outcome) in &outcomes {
        if n % 4 == 3 {
            assert_eq!(*outcome, Err(Refusal::Exists(id(0, 0))), "{n}");
        } else {
            applied += 1;
            assert_eq!(outcome.as_ref().unwrap().pos, applied, "{n}");
        }
    }
    assert!(outcomes.iter().map(|(n, _)| *n).eq(0..40), "completions come in the order of submission");
    assert_eq!(store.count_executions(&query()).unwrap(), 30);
}

pub(crate) fn a_stale_epoch_refuses_the_batch(store: &dyn Store) {
    let with = |epoch| {
        running(vec![shard(|part| {
            part.epochs = vec![(Shard(3), epoch)];
            part.transitions = vec![transition(id(0, 1), NS, 1, 1)];
        })])
    };
    for (epoch, expected) in [(2, true), (2, true), (5, true), (4, false), (5, true)] {
        let outcome = commit(store, with(epoch));
        assert_eq!(outcome.is_ok(), expected, "{epoch}");
        if !expected {
            assert_eq!(outcome, Err(Refusal::StaleEpoch));
        }
    }
    assert_eq!(store.log(id(0, 1)).unwrap().1.len(), 4);
}

pub(crate) fn duplicates_are_told_with_their_first_position(store: &dyn Store) {
    let one = |binding, data, starts: u8| {
        let event = event("s", "1", "t", data);
        let mut arrival = arrival(event.clone(), at(i64::from(starts) * DAY));
        let birth = cause("tr", binding, &event);
        arrival.starts = vec![born(create(NS, "w", id(0, starts)), |b| b.cause = Some(birth))];
        arrival
    };
    let first = commit(store, batch(vec![ingress(NS, "b", vec![one("b", 1, 0), one("b", 1, 1)])])).unwrap();
    assert_eq!(first.arrivals, [Accepted::Stored(1), Accepted::Duplicate { pos: 1, mismatch: false }]);
    let later = commit(store, batch(vec![ingress(NS, "b", vec![one("b", 2, 2)])])).unwrap();
    assert_eq!(later.arrivals, [Accepted::Duplicate { pos: 1, mismatch: true }]);
    let elsewhere = commit(store, batch(vec![ingress(NS, "c", vec![one("c", 1, 3)])])).unwrap();
    assert_eq!(elsewhere.arrivals, [Accepted::Stored(3)]);
    let caused = |binding| -> Vec<_> {
        store.caused_by(NS, binding, "s", "1").unwrap().iter().map(|row| row.id).collect()
    };
    assert_eq!((caused("b"), caused("c")), (vec![id(0, 0)], vec![id(0, 3)]));
    let found = store.event(NS, "s", "1").unwrap();
    assert_eq!(found.iter().map(|e| (e.pos, &*e.binding)).collect::<Vec<_>>(), [(1, "b"), (3, "c")]);
    assert_eq!(found[0].event, event("s", "1", "t", 1));
}

pub(crate) fn what_is_known_by_its_position_is_stored_again(store: &dyn Store) {
    let one = |placed, number| Arrival { placed, ..arrival(event("k", "0/1", "t", number), at(number)) };
    let mut part = ingress(NS, "kafka", vec![one(true, 1), one(true, 2), one(false, 2)]);
    let checkpoint = |partition: &str, value: &str| Checkpoint {
        source: text("kafka"),
        partition: text(partition),
        value: text(value),
    };
    if let Part::Ingress(part) = &mut part {
        part.checkpoints = vec![checkpoint("topic/1", "8"), checkpoint("topic/0", "2")];
    }
    let out = commit(store, batch(vec![part])).unwrap();
    let again = Accepted::Duplicate { pos: 2, mismatch: false };
    assert_eq!(out.arrivals, [Accepted::Stored(1), Accepted::Stored(2), again]);
    assert_eq!(store.event(NS, "k", "0/1").unwrap().iter().map(|e| e.pos).collect::<Vec<_>>(), [2]);
    let saved = store.checkpoints(NS, "kafka").unwrap();
    assert_eq!(saved, [checkpoint("topic/0", "2"), checkpoint("topic/1", "8")]);
    let seek = OperatorChange::Checkpoint { namespace: text(NS), checkpoint: checkpoint("topic/0", "") };
    commit(store, running(vec![Part::Operator(vec![seek])])).unwrap();
    assert_eq!(store.checkpoints(NS, "kafka").unwrap(), [checkpoint("topic/1", "8")]);
}

pub(crate) fn long_keys_are_told_apart(store: &dyn Store) {
    let long = |end: &str| format!("{}{end}", "x".repeat(300));
    for (source, key) in
        [(long("a"), "1".into()), (long("b"), "1".into()), ("s".into(), long("a")), ("s".into(), long("b"))]
    {
        let one = || batch(vec![ingress(NS, "", vec![arrival(event(&source, &key, "t", 1), at(0))])]);
        let Accepted::Stored(pos) = commit(store, one()).unwrap().arrivals[0] else {
            panic!("{source} {key}")
        };
        assert_eq!(commit(store, one()).unwrap().arrivals, [Accepted::Duplicate { pos, mismatch: false }]);
        assert_eq!(store.event(NS, &source, &key).unwrap().len(), 1);
    }
}

pub(crate) fn lists_go_by_start_or_creation_and_page(store: &dyn Store) {
    let parts = (0..9u8).map(|n| {
        let mut create = create(NS, if n % 2 == 0 { "w" } else { "v" }, id(i64::from(n), n));
        let started = (n % 3 != 0).then(|| at(20 - i64::from(n)));
        let status = if started.is_some() { Status::Running } else { Status::Pending };
        create.summary = summary(create.birth.id, status, started, None);
        start(create)
    });
    commit(store, batch(parts.collect())).unwrap();
    let order = [0u8, 3, 6, 8, 7, 5, 4, 2, 1];
    for ascending in [true, false] {
        let mut seen = Vec::new();
        let mut query = ExecutionQuery { ascending, limit: 2, ..query() };
        loop {
            let page = store.executions(&query).unwrap();
            let Some(last) = page.last() else { break };
            query.after = Some((last.listed(), last.id));
            seen.extend(page.iter().map(|row| row.id.0[15]));
        }
        if !ascending {
            seen.reverse();
        }
        assert_eq!(seen, order);
    }
}

pub(crate) fn lists_filter_by_all_that_is_asked(store: &dyn Store) {
    let tag = |name: &str, value: &str| (text(name), text(value));
    let parts = (0..12u8).map(|n| {
        let namespace = if n % 4 == 3 { "other" } else { NS };
        let mut create = create(namespace, if n < 6 { "w" } else { "v" }, id(i64::from(n), n));
        let event = event("s", &n.to_string(), "t", 0);
        create = born(create, |birth| {
            birth.cause = (n % 2 == 0).then(|| cause("tr", "", &event));
            birth.tags = vec![tag("n", if n < 9 { "low" } else { "high" }), tag("one", &n.to_string())];
        });
        create.summary.status = if n % 3 == 0 { Status::Waiting } else { Status::Running };
        start(create)
    });
    commit(store, batch(parts.collect())).unwrap();
    let check = |change: fn(&mut ExecutionQuery), expected: &[u8]| {
        let mut query = query();
        change(&mut query);
        let found: Vec<u8> = store.executions(&query).unwrap().iter().map(|row| row.id.0[15]).collect();
        assert_eq!(found, expected);
        query.limit = 1;
        assert_eq!(store.count_executions(&query).unwrap(), expected.len() as u64);
    };
    check(|_| (), &[10, 9, 8, 6, 5, 4, 2, 1, 0]);
    check(|q| q.namespace = text("other"), &[11, 7, 3]);
    check(|q| q.workflow = Some(text("w")), &[5, 4, 2, 1, 0]);
    check(|q| q.status = vec![Status::Waiting], &[9, 6, 0]);
    check(
        |q| q.status = vec![Status::Waiting, Status::Completed, Status::Running],
        &[10, 9, 8, 6, 5, 4, 2, 1, 0],
    );
    check(|q| (q.workflow, q.status) = (Some(text("v")), vec![Status::Running]), &[10, 8]);
    check(|q| q.status = vec![Status::Waiting, Status::Waiting], &[9, 6, 0]);
    check(|q| (q.tags, q.status) = (vec![(text("n"), text("low"))], vec![Status::Waiting]), &[6, 0]);
    check(|q| (q.tags, q.trigger) = (vec![(text("n"), text("low"))], Some(text("tr"))), &[8, 6, 4, 2, 0]);
    check(|q| q.trigger = Some(text("tr")), &[10, 8, 6, 4, 2, 0]);
    check(|q| (q.trigger, q.workflow) = (Some(text("tr")), Some(text("w"))), &[4, 2, 0]);
    check(|q| q.tags = vec![(text("n"), text("high"))], &[10, 9]);
    check(|q| q.tags = vec![(text("n"), text("high")), (text("one"), text("9"))], &[9]);
    check(|q| q.tags = vec![(text("n"), text("none"))], &[]);
    check(|q| (q.since, q.until) = (Some(at(2)), Some(at(6))), &[5, 4, 2]);
    let row = store.execution(NS, id(2, 2)).unwrap().unwrap();
    assert_eq!(row.tags, [tag("n", "low"), tag("one", "2")]);
    assert_eq!(row.event, Some((text(""), text("s"), text("2"))));
}

pub(crate) fn restarts_look_at_what_runs(store: &dyn Store) {
    let statuses = Status::ALL;
    let parts = statuses.iter().enumerate().map(|(n, status)| {
        let mut create = create(NS, "w", id(0, n as u8));
        create.summary.status = *status;
        start(create)
    });
    commit(store, batch(parts.collect())).unwrap();
    let mut buffered = arrival(event("s", "1", "t", 1), at(0));
    let mut waiting = create(NS, "w", id(0, 99));
    waiting.summary = summary(waiting.birth.id, Status::Pending, None, None);
    buffered.starts = vec![waiting];
    buffered.deliveries = vec![delivery("tr", id(0, 99), None, 0)];
    let out = commit(store, batch(vec![ingress(NS, "", vec![buffered])])).unwrap();
    let unfinished =
        |after| -> Vec<u8> { store.unfinished(after, 10).unwrap().iter().map(|row| row.id.0[15]).collect() };
    let (pending, running, suspended) = (0, 1, 3);
    assert_eq!(unfinished(None), [pending, running, suspended]);
    assert_eq!(unfinished(Some(id(0, 1))), [suspended]);
    let key = DeliveryKey { namespace: text(NS), trigger: text("tr"), pos: out.deliveries[0] };
    commit(store, running_buffer(vec![BufferChange::Finish(key)])).unwrap();
    assert_eq!(unfinished(None), [pending, running, suspended, 99]);
    let child = born(create(NS, "w", id(1, 1)), |birth| {
        birth.parent = Some(Parent { execution: id(0, 1), visit: 4, awaited: true });
    });
    let parent = child.birth.parent;
    commit(store, batch(vec![start(child)])).unwrap();
    let children = store.children(id(0, 1)).unwrap();
    assert_eq!(children.iter().map(|row| (row.id, row.parent)).collect::<Vec<_>>(), [(id(1, 1), parent)]);
}

fn running_buffer(changes: Vec<BufferChange>) -> tidemill_store::Batch {
    running(vec![Part::Buffer(changes)])
}

pub(crate) fn transitions_are_found_by_sequence(store: &dyn Store) {
    let (a, b) = (id(0, 1), id(0, 2));
    let counts = [1u32, 0, 3, 1, 0, 0, 2];
    let (mut first, mut rows) = (1, Vec::new());
    for count in counts {
        rows.push(transition(a, NS, first, count));
        rows.push(transition(b, NS, first, count));
        first += u64::from(count);
    }
    commit(store, running(vec![shard(|part| part.transitions.clone_from(&rows))])).unwrap();
    for sequence in 0..9 {
        let from = |limit| store.transitions(a, sequence, limit).unwrap();
        let mine = rows.iter().filter(|t| t.execution == a);
        let expected: Vec<_> =
            mine.skip_while(|t| t.first + u64::from(t.count) <= sequence).cloned().collect();
        assert_eq!(from(100), expected, "from {sequence}");
        assert_eq!(from(2), expected[..expected.len().min(2)], "from {sequence}");
    }
    assert_eq!(store.transitions(id(9, 9), 1, 10).unwrap(), []);
}

pub(crate) fn snapshots_cut_the_log_short(store: &dyn Store) {
    let a = id(0, 1);
    let snapshot = |transitions, body: &[u8]| StateSnapshot {
        execution: a,
        next: transitions + 1,
        transitions,
        body: body.to_vec(),
    };
    let rows: Vec<_> = (1..=5).map(|n| transition(a, NS, n, 1)).collect();
    for (taken, body) in [(2, &b"x"[..]), (4, b"yy")] {
        let part = shard(|part| {
            part.transitions = if taken == 2 { rows.clone() } else { Vec::new() };
            part.states = vec![snapshot(taken, body)];
        });
        commit(store, running(vec![part])).unwrap();
        let expected = (Some(snapshot(taken, body)), rows[taken as usize..].to_vec());
        assert_eq!(store.log(a).unwrap(), expected);
    }
}

pub(crate) fn timers_come_in_order(store: &dyn Store) {
    let due = |offset, tail, visit, kind| Due { at: at(offset), execution: id(0, tail), visit, kind };
    let all = [
        due(1, 2, 1, TimerKind::Wait),
        due(1, 2, 1, TimerKind::Timeout),
        due(1, 2, 3, TimerKind::Wait),
        due(1, 3, 1, TimerKind::Wait),
        due(2, 1, 1, TimerKind::Retry),
        due(9, 1, 1, TimerKind::Workflow),
    ];
    let mut set: Vec<_> = all.iter().rev().copied().map(DueChange::Set).collect();
    set.push(DueChange::Set(all[0]));
    set.push(DueChange::Clear(due(5, 5, 5, TimerKind::Attempt)));
    commit(store, running(vec![shard(|part| part.due = set)])).unwrap();
    assert_eq!(store.due(None, at(100), 100).unwrap(), all);
    assert_eq!(store.due(None, at(2), 100).unwrap(), all[..5]);
    assert_eq!(store.due(Some(all[1]), at(9), 3).unwrap(), all[2..5]);
    commit(store, running(vec![shard(|part| part.due = vec![DueChange::Clear(all[2])])])).unwrap();
    assert_eq!(store.due(Some(all[1]), at(9), 1).unwrap(), all[3..4]);
    let subscription = |visit, kind: Option<&str>| Subscription {
        execution: id(0, 1),
        namespace: text(NS),
        visit,
        kind: kind.map(text),
        since: at(3),
    };
    let changes = vec![
        SubscriptionChange::Add(subscription(2, Some("t"))),
        SubscriptionChange::Add(subscription(1, None)),
        SubscriptionChange::Add(subscription(2, Some("u"))),
        SubscriptionChange::Add(subscription(3, None)),
        SubscriptionChange::Remove(id(0, 1), 3),
        SubscriptionChange::Remove(id(0, 9), 3),
    ];
    commit(store, running(vec![shard(|part| part.subscriptions = changes)])).unwrap();
    assert_eq!(store.subscriptions().unwrap(), [subscription(1, None), subscription(2, Some("u"))]);
}

pub(crate) fn inbox_items_are_kept_once_until_done(store: &dyn Store) {
    let key = |shard, number| InboxKey { shard: Shard(shard), from: id(0, 1), number };
    let item = |shard, number, body: &[u8]| InboxItem { key: key(shard, number), body: body.to_vec() };
    let items = vec![item(2, 1, b"a"), item(1, 2, b"b"), item(1, 1, b"c"), item(2, 1, b"again")];
    commit(store, running(vec![Part::Inbox(items)])).unwrap();
    assert_eq!(store.inbox().unwrap(), [item(1, 1, b"c"), item(1, 2, b"b"), item(2, 1, b"a")]);
    let done = shard(|part| part.inbox_done = vec![key(1, 1), key(7, 7), key(2, 1)]);
    commit(store, running(vec![done])).unwrap();
    assert_eq!(store.inbox().unwrap(), [item(1, 2, b"b")]);
}

/// The states of a trigger's deliveries, by position.
fn states(store: &dyn Store, trigger: &str) -> Vec<(u64, DeliveryState)> {
    let mut all = Vec::new();
    for state in
        [DeliveryState::Ready, DeliveryState::Blocked, DeliveryState::Parked, DeliveryState::InFlight]
    {
        let query = DeliveryQuery {
            namespace: text(NS),
            trigger: text(trigger),
            state,
            now: at(1_000_000),
            limit: 100,
        };
        all.extend(store.deliveries(&query).unwrap().iter().map(|d| (d.pos, d.state)));
    }
    all.sort_unstable();
    all
}

pub(crate) fn deliveries_of_a_key_go_one_by_one(store: &dyn Store) {
    use DeliveryState::{Blocked, InFlight, Parked, Ready};
    let keys = [Some("a"), Some("a"), Some("b"), None, Some("a"), None];
    let enter = keys.iter().enumerate();
    let enter =
        enter.map(|(n, key)| BufferChange::Enqueue(delivery("tr", id(0, n as u8), *key, 0))).collect();
    let out = commit(store, running_buffer(enter)).unwrap();
    assert_eq!(out.deliveries, [1, 2, 3, 4, 5, 6]);
    let key = |pos| DeliveryKey { namespace: text(NS), trigger: text("tr"), pos };
    let check = |changes: Vec<BufferChange>, expected: &[(u64, DeliveryState)]| {
        commit(store, running_buffer(changes)).unwrap();
        assert_eq!(states(store, "tr"), expected);
    };
    check(vec![], &[(1, Ready), (2, Blocked), (3, Ready), (4, Ready), (5, Blocked), (6, Ready)]);
    let take = |pos| BufferChange::Take(key(pos));
    check(
        vec![take(1), take(2), take(4)],
        &[(1, InFlight), (2, Blocked), (3, Ready), (4, InFlight), (5, Blocked), (6, Ready)],
    );
    let again = BufferChange::Again { key: key(1), not_before: at(9), attempt: 2, execution: id(9, 9) };
    check(
        vec![again.clone(), BufferChange::Finish(key(4))],
        &[(1, Ready), (2, Blocked), (3, Ready), (5, Blocked), (6, Ready)],
    );
    let found = store.delivery_of(id(9, 9)).unwrap().unwrap();
    assert_eq!((found.pos, found.delivery.attempt, found.delivery.not_before), (1, 2, at(9)));
    check(
        vec![take(1), BufferChange::Park(key(1)), BufferChange::Park(key(3))],
        &[(1, Parked), (2, Blocked), (3, Ready), (5, Blocked), (6, Ready)],
    );
    let row = &store.buffers().unwrap()[0];
    assert_eq!((row.waiting, row.in_flight, row.parked, row.oldest), (4, 0, 1, Some(2)));
    check(vec![again], &[(1, Ready), (2, Blocked), (3, Ready), (5, Blocked), (6, Ready)]);
    check(
        vec![BufferChange::Finish(key(2)), BufferChange::Finish(key(77))],
        &[(1, Ready), (3, Ready), (5, Blocked), (6, Ready)],
    );
    check(vec![BufferChange::Finish(key(1))], &[(3, Ready), (5, Ready), (6, Ready)]);
    check(
        vec![BufferChange::Finish(key(5)), BufferChange::Finish(key(3)), BufferChange::Finish(key(6))],
        &[],
    );
    assert_eq!(store.buffers().unwrap(), []);
}

pub(crate) fn deliveries_go_by_priority_then_position(store: &dyn Store) {
    let mut enter: Vec<_> = [0, 5, 0, 5, -1]
        .iter()
        .enumerate()
        .map(|(n, priority)| BufferChange::Enqueue(delivery("tr", id(0, n as u8), None, *priority)))
        .collect();
    let mut late = delivery("tr", id(0, 77), None, 9);
    late.not_before = at(1000);
    enter.push(BufferChange::Enqueue(late));
    let stored = StoredBucket { tokens: 2.5, arrears: 7.25, at: at(4) };
    let bucket = BufferChange::Bucket { namespace: text(NS), trigger: text("tr"), bucket: stored };
    enter.push(bucket);
    commit(store, running_buffer(enter)).unwrap();
    let take = |now, limit| -> Vec<u64> {
        let (state, trigger) = (DeliveryState::Ready, text("tr"));
        let query = DeliveryQuery { namespace: text(NS), trigger, state, now, limit };
        store.deliveries(&query).unwrap().iter().map(|d| d.pos).collect()
    };
    assert_eq!(take(at(999), 10), [2, 4, 1, 3, 5]);
    assert_eq!(take(at(1000), 3), [6, 2, 4]);
    assert!(take(at(-1), 3).is_empty());
    assert_eq!(store.bucket(NS, "tr").unwrap(), Some(stored));
    assert_eq!(store.bucket(NS, "none").unwrap(), None);
}

fn letter(trigger: &str, cause: &str, offset: i64) -> DeadLetter {
    DeadLetter {
        id: 0,
        namespace: text(NS),
        trigger: text(trigger),
        generation: 3,
        cause: text(cause),
        binding: text("b"),
        event: event("s", "1", "t", offset),
        key: Some(text("k")),
        parked: Some(12),
        attempts: vec![AttemptRecord {
            execution: id(0, 1),
            at: at(offset),
            error: tidemill_dsl::fault::Fault::communication(503, "busy").with_instance("/do/0/call"),
        }],
        at: at(offset),
        state: DeadState::Open,
    }
}

pub(crate) fn dead_letters_are_listed_and_settled(store: &dyn Store) {
    let mut diverted = arrival(event("s", "1", "t", 1), at(0));
    diverted.dead = vec![letter("tr", "buffer-full", 1)];
    commit(store, batch(vec![ingress(NS, "b", vec![diverted])])).unwrap();
    let more = [letter("tr", "faulted", 2), letter("other", "faulted", 3)];
    let dead = more.iter().map(|l| BufferChange::Dead(Box::new(l.clone()))).collect();
    commit(store, running_buffer(dead)).unwrap();
    let full = DeadLetter { id: 3, ..letter("tr", "faulted", 2) };
    assert_eq!(store.dead_letter(NS, 3).unwrap(), Some(full));
    assert_eq!((store.dead_letter("x", 3).unwrap(), store.dead_letter(NS, 1).unwrap()), (None, None));
    let settle = |id, state| BufferChange::DeadState { namespace: text(NS), id, state };
    commit(store, running_buffer(vec![settle(4, DeadState::Redriven), settle(9, DeadState::Purged)]))
        .unwrap();
    let check = |change: fn(&mut DeadQuery), expected: &[u64]| {
        let mut query = DeadQuery { namespace: text(NS), limit: 10, ..DeadQuery::default() };
        change(&mut query);
        let found: Vec<u64> = store.dead_letters(&query).unwrap().iter().map(|l| l.id).collect();
        assert_eq!(found, expected);
    };
    check(|_| (), &[4, 3, 2]);
    check(|q| q.limit = 1, &[4]);
    check(|q| q.before = Some(4), &[3, 2]);
    check(|q| q.trigger = Some(text("tr")), &[3, 2]);
    check(|q| q.cause = Some(text("faulted")), &[4, 3]);
    check(|q| q.state = Some(DeadState::Open), &[3, 2]);
    check(|q| q.state = Some(DeadState::Redriven), &[4]);
}

pub(crate) fn revisions_stay_and_manifests_go(store: &dyn Store) {
    let put = |d| Part::Definitions(vec![DefinitionChange::Put(d)]);
    let delete = |kind, name: &str, version: &str| {
        Part::Definitions(vec![DefinitionChange::Delete {
            kind,
            namespace: text(NS),
            name: text(name),
            version: text(version),
        }])
    };
    use DefinitionKind::{Source, Workflow};
    let check = |part: Part, expected: &[(&str, u8, bool)]| {
        commit(store, batch(vec![part])).unwrap();
        let all = store.definitions().unwrap();
        let found: Vec<_> = all.iter().map(|d| (&*d.name, d.digest[0], d.current)).collect();
        assert_eq!(found, expected);
    };
    check(put(definition(Workflow, "w", "1.0.0", 7)), &[("w", 7, true)]);
    check(put(definition(Workflow, "w", "2.0.0", 2)), &[("w", 7, true), ("w", 2, true)]);
    commit(store, batch(vec![start(create(NS, "w", id(0, 1)))])).unwrap();
    check(put(definition(Workflow, "w", "1.0.0", 8)), &[("w", 7, false), ("w", 8, true), ("w", 2, true)]);
    check(put(definition(Workflow, "w", "2.0.0", 3)), &[("w", 7, false), ("w", 8, true), ("w", 3, true)]);
    check(delete(Workflow, "w", ""), &[("w", 7, false)]);
    let ended = summary(id(0, 1), Status::Completed, Some(at(0)), Some(at(1)));
    check(shard(|part| part.summaries = vec![ended]), &[]);
    let old = store.revision(NS, "w", &[2; 32]).unwrap().unwrap();
    assert_eq!((&*old.text, old.current), ("w: 2", false));
    assert_eq!(store.revision(NS, "w", &[9; 32]).unwrap(), None);
    check(put(definition(Workflow, "w", "1.0.0", 7)), &[("w", 7, true)]);
    check(put(definition(Source, "s", "", 4)), &[("w", 7, true), ("s", 4, true)]);
    check(put(definition(Source, "s", "", 5)), &[("w", 7, true), ("s", 5, true)]);
    let pause = DefinitionChange::Pause { kind: Source, namespace: text(NS), name: text("s"), paused: true };
    check(Part::Definitions(vec![pause]), &[("w", 7, true), ("s", 5, true)]);
    assert!(store.definitions().unwrap()[1].paused);
    check(delete(Source, "s", ""), &[("w", 7, true)]);
}

pub(crate) fn operator_rows_are_written_and_removed(store: &dyn Store) {
    assert_eq!(store.meta("shards").unwrap(), Some(Value::from(i64::from(SHARDS))));
    let namespace = |text_: &str, offset| OperatorChange::Namespace {
        namespace: text(NS),
        text: text(text_),
        at: at(offset),
    };
    let secret = |sealed: Option<&[u8]>, offset| OperatorChange::Secret {
        namespace: text(NS),
        name: text("key"),
        sealed: sealed.map(<[u8]>::to_vec),
        at: at(offset),
    };
    let work = |body: Option<&[u8]>| OperatorChange::Work { id: text("b1"), body: body.map(<[u8]>::to_vec) };
    let meta = OperatorChange::Meta { key: text("cursor"), value: Value::from(5) };
    let write = |changes| commit(store, batch(vec![Part::Operator(changes)])).unwrap();
    write(vec![
        namespace("", 1),
        namespace("kind: Namespace", 2),
        secret(Some(b"x"), 3),
        work(Some(b"w")),
        meta,
    ]);
    assert_eq!(store.namespaces().unwrap(), [(text(NS), text("kind: Namespace"), at(1))]);
    assert_eq!(store.secrets().unwrap(), [(text(NS), text("key"), b"x".to_vec(), at(3))]);
    assert_eq!(store.works().unwrap(), [(text("b1"), b"w".to_vec())]);
    assert_eq!(store.meta("cursor").unwrap(), Some(Value::from(5)));
    write(vec![secret(Some(b"y"), 4), work(Some(b"v"))]);
    assert_eq!(store.secrets().unwrap(), [(text(NS), text("key"), b"y".to_vec(), at(4))]);
    write(vec![secret(None, 5), work(None)]);
    assert_eq!((store.secrets().unwrap(), store.works().unwrap()), (vec![], vec![]));
}

/// Three executions of five transitions: the first ended at 10, the second at 20, the third runs.
fn three_executions(store: &dyn Store) {
    for n in 1..=3u8 {
        let mut create = born(create(NS, "w", id(i64::from(n), n)), |b| {
            b.tags = vec![(text("n"), text("1"))];
        });
        create.key = Some(StartKey { key: text(&n.to_string()), body: [n; 32] });
        let execution = create.birth.id;
        let part = shard(|part| {
            part.transitions = (2..=5).map(|first| transition(execution, NS, first, 1)).collect();
            if n < 3 {
                let end = Some(at(i64::from(n) * 10));
                part.summaries = vec![summary(execution, Status::Faulted, Some(at(0)), end)];
            }
        });
        commit(store, batch(vec![start(create), part])).unwrap();
    }
}

pub(crate) fn retention_goes_in_slices_and_spares_what_lives(store: &dyn Store) {
    three_executions(store);
    assert_eq!(store.first_pos(NS).unwrap(), 1);
    let early = Time(0);
    assert!(!commit(store, retain(at(10), early, 100)).unwrap().more);
    assert_eq!(store.count_executions(&query()).unwrap(), 3);
    let steps = [(3, 2, 3), (3, 1, 6), (3, 1, 9), (3, 1, 10)];
    for (n, (rows, executions, removed)) in steps.into_iter().enumerate() {
        let out = commit(store, retain(at(100), early, rows)).unwrap();
        assert_eq!(out.more, n < 3, "slice {n}");
        assert_eq!(store.count_executions(&query()).unwrap(), executions, "slice {n}");
        assert_eq!(store.first_pos(NS).unwrap(), removed + 1, "slice {n}");
        assert_eq!(store.stream(0, false, 100).unwrap().len() as u64, 15 - removed, "slice {n}");
    }
    assert_eq!(store.log(id(3, 3)).unwrap().1.len(), 5);
    assert_eq!(store.start_key(NS, "w", "1").unwrap(), None);
    assert!(store.start_key(NS, "w", "3").unwrap().is_some());
    let tagged = ExecutionQuery { tags: vec![(text("n"), text("1"))], ..query() };
    assert_eq!(store.executions(&tagged).unwrap().len(), 1);
}

pub(crate) fn retention_forgets_keys_with_their_events(store: &dyn Store) {
    let arrive = |n: i64, day: i64| {
        let one = arrival(event("s", &n.to_string(), "t", n), at(day * DAY));
        commit(store, batch(vec![ingress(NS, "", vec![one])])).unwrap().arrivals[0]
    };
    for n in 0..4 {
        assert_eq!(arrive(n, n), Accepted::Stored(n as u64 + 1));
    }
    let mut dead = letter("tr", "faulted", 1);
    dead.state = DeadState::Purged;
    let open = letter("tr", "faulted", 1);
    commit(
        store,
        running_buffer(vec![BufferChange::Dead(Box::new(dead)), BufferChange::Dead(Box::new(open))]),
    )
    .unwrap();
    assert!(commit(store, retain(Time(0), at(2 * DAY), 1)).unwrap().more);
    assert_eq!(arrive(1, 3), Accepted::Duplicate { pos: 2, mismatch: false });
    assert_eq!(arrive(0, 3), Accepted::Stored(7));
    assert!(commit(store, retain(Time(0), at(2 * DAY), 1)).unwrap().more);
    assert!(!commit(store, retain(Time(0), at(2 * DAY), 1)).unwrap().more);
    assert_eq!((store.first_event(NS).unwrap(), store.first_pos(NS).unwrap()), (3, 1));
    assert_eq!(arrive(1, 3), Accepted::Stored(8));
    assert_eq!(arrive(2, 3), Accepted::Duplicate { pos: 3, mismatch: false });
    let events = |change: fn(&mut EventQuery)| -> Vec<u64> {
        let mut query = EventQuery { namespace: text(NS), limit: 10, ..EventQuery::default() };
        change(&mut query);
        store.events(&query).unwrap().iter().map(|e| e.pos).collect()
    };
    assert_eq!(events(|_| ()), [3, 4, 7, 8]);
    assert_eq!(events(|q| (q.descending, q.after, q.limit) = (true, Some(8), 2)), [7, 4]);
    assert_eq!(events(|q| q.after = Some(4)), [7, 8]);
    assert_eq!(events(|q| q.since = Some(at(3 * DAY))), [4, 7, 8]);
    assert_eq!(events(|q| q.until = Some(at(3 * DAY))), [3]);
    assert_eq!(events(|q| q.kind = Some(text("t"))), [3, 4, 7, 8]);
    assert!(events(|q| q.kind = Some(text("u"))).is_empty());
    let letters = DeadQuery { namespace: text(NS), limit: 10, ..DeadQuery::default() };
    assert_eq!(store.dead_letters(&letters).unwrap().iter().map(|l| l.id).collect::<Vec<_>>(), [6]);
}

pub(crate) fn each_namespace_keeps_as_long_as_it_says(store: &dyn Store) {
    for (n, ns) in ["default", "other", "third"].into_iter().enumerate() {
        let mut create = create(ns, "w", id(0, n as u8));
        create.summary = summary(create.birth.id, Status::Completed, Some(at(0)), Some(at(1)));
        let one = arrival(event("s", "1", "t", 1), at(0));
        commit(store, batch(vec![start(create), ingress(ns, "", vec![one])])).unwrap();
    }
    let span = |ns: &str, executions: i64, events: i64| Span {
        namespace: text(ns),
        executions: at(executions),
        events: at(events),
    };
    let spans = vec![span("default", 5, 0), span("other", 0, 5), span("third", 0, 0)];
    let slice = OperatorChange::Retain { spans, rows: 10 };
    assert!(!commit(store, running(vec![Part::Operator(vec![slice])])).unwrap().more);
    let left = |ns: &str| {
        let query = ExecutionQuery { namespace: text(ns), ..query() };
        (store.count_executions(&query).unwrap(), store.event(ns, "s", "1").unwrap().len())
    };
    assert_eq!((left("default"), left("other"), left("third")), ((0, 1), (1, 0), (1, 1)));
    let first = |ns: &str| (store.first_pos(ns).unwrap(), store.first_event(ns).unwrap());
    assert_eq!((first("default"), first("other"), first("third")), ((2, 1), (1, 5), (1, 1)));
}

pub(crate) fn overlap_leaves_out_what_comes_while_one_is_stored(store: &dyn Store) {
    let arrive = |tail: u8, trigger: &str, key: Option<&str>, skips: bool| {
        let mut one = arrival(event("s", &tail.to_string(), "t", 1), at(0));
        let mut waiting = create(NS, "w", id(0, tail));
        waiting.summary = summary(waiting.birth.id, Status::Pending, None, None);
        one.starts = vec![waiting, create(NS, "v", id(1, tail))];
        one.deliveries = vec![delivery(trigger, id(0, tail), key, 0)];
        one.skips = if skips { vec![text(trigger)] } else { vec![text("none")] };
        one
    };
    let check = |tail, trigger, key, skips, expected: bool| {
        let out =
            commit(store, batch(vec![ingress(NS, "", vec![arrive(tail, trigger, key, skips)])])).unwrap();
        let there = store.execution(NS, id(0, tail)).unwrap().is_some();
        assert_eq!((there, out.deliveries.len()), (expected, usize::from(expected)), "{tail}");
        assert_eq!(out.skipped, if expected { vec![] } else { vec![id(0, tail)] }, "{tail}");
        assert!(store.execution(NS, id(1, tail)).unwrap().is_some(), "what else the event starts is started");
        out.deliveries.first().copied()
    };
    let first = check(1, "tr", None, true, true);
    check(2, "tr", None, true, false);
    check(3, "tr", Some("k"), true, true);
    check(4, "tr", Some("k"), true, false);
    check(5, "tr", Some("l"), true, true);
    check(6, "ts", None, true, true);
    check(7, "tr", None, false, true);
    // One that is begun and one that waits for each delivery; what waits is no part of what runs.
    assert_eq!(store.running(NS).unwrap(), 7);
    let used = store.usage(NS).unwrap();
    assert!(used.buffered > 0 && used.stored > 2 * used.buffered, "{used:?}");
    // Two in one batch: the first is stored when the second is judged.
    let both = vec![arrive(8, "tu", None, true), arrive(9, "tu", None, true)];
    assert_eq!(commit(store, batch(vec![ingress(NS, "", both)])).unwrap().skipped, [id(0, 9)]);
    let finish = |pos| BufferChange::Finish(DeliveryKey { namespace: text(NS), trigger: text("tr"), pos });
    commit(store, running_buffer(vec![finish(first.unwrap())])).unwrap();
    check(10, "tr", None, true, false);
}

pub(crate) fn a_dropped_namespace_is_gone_and_others_stay(store: &dyn Store) {
    three_executions(store);
    let other = |n| arrival(event("s", "1", "t", n), at(n));
    let parts = vec![
        ingress(NS, "", vec![other(1)]),
        ingress("other", "", vec![other(2)]),
        start(create("other", "w", id(0, 9))),
        Part::Definitions(vec![DefinitionChange::Put(definition(DefinitionKind::Source, "s", "", 1))]),
    ];
    commit(store, batch(parts)).unwrap();
    let named = |ns: &str| OperatorChange::Namespace { namespace: text(ns), text: text(""), at: at(0) };
    commit(store, batch(vec![Part::Operator(vec![named(NS), named("other")])])).unwrap();
    let mut slices = 0;
    loop {
        let slice = OperatorChange::DropNamespace { namespace: text(NS), rows: 4 };
        let more = commit(store, running(vec![Part::Operator(vec![slice])])).unwrap().more;
        slices += 1;
        // The namespace goes with its last row.
        assert_eq!(store.namespaces().unwrap().len(), if more { 2 } else { 1 }, "slice {slices}");
        if !more {
            break;
        }
    }
    // Fifteen transitions, an event, its key, a definition.
    assert_eq!(slices, 5);
    assert_eq!(store.executions(&query()).unwrap(), []);
    assert_eq!(store.log(id(3, 3)).unwrap(), (None, vec![]));
    assert_eq!(
        (store.event(NS, "s", "1").unwrap().len(), store.event("other", "s", "1").unwrap().len()),
        (0, 1)
    );
    assert_eq!(store.definitions().unwrap(), vec![]);
    assert_eq!((store.first_pos(NS).unwrap(), store.first_pos("other").unwrap()), (16, 1));
    assert!(store.execution("other", id(0, 9)).unwrap().is_some());
    assert_eq!(store.start_key(NS, "w", "3").unwrap(), None);
    let again = commit(store, batch(vec![ingress(NS, "", vec![other(1)])])).unwrap();
    assert_eq!(again.arrivals, [Accepted::Stored(19)]);
}

pub(crate) fn positions_never_come_twice(store: &dyn Store) {
    let enter = BufferChange::Enqueue(delivery("tr", id(0, 1), None, 0));
    for expected in 1..4 {
        let out = commit(store, running_buffer(vec![enter.clone()])).unwrap();
        assert_eq!(out.deliveries, [expected]);
        let key = DeliveryKey { namespace: text(NS), trigger: text("tr"), pos: expected };
        commit(store, running_buffer(vec![BufferChange::Finish(key)])).unwrap();
    }
    assert_eq!(store.last_pos().unwrap(), 3);
}

pub(crate) fn a_closed_store_refuses(store: &dyn Store) {
    commit(store, batch(vec![start(create(NS, "w", id(0, 1)))])).unwrap();
    assert!(!store.full());
    store.close();
    store.close();
    assert_eq!(commit(store, batch(vec![])), Err(Refusal::Closed));
}
