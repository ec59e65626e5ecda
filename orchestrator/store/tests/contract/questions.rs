//! Every read asked in many ways: two stores are equal when all answers are.

use rand::Rng;
use rand::rngs::StdRng;
use tidemill_dsl::ids::ExecutionId;
use tidemill_engine::record::Status;
use tidemill_store::{DeadQuery, DeadState, DeliveryQuery, DeliveryState, EventQuery, ExecutionQuery, Read};

use crate::batches::{at, text};
use crate::stream::{NAMESPACES, SPAN, TRIGGERS, WORKFLOWS};

/// Asks everything and compares.
pub(crate) fn assert_equal(expected: &dyn Read, found: &dyn Read, ids: &[ExecutionId], random: &mut StdRng) {
    let seed: u64 = random.random();
    let expected = answers(expected, ids, seed);
    let found = answers(found, ids, seed);
    for (e, f) in expected.iter().zip(&found) {
        assert_eq!(e, f);
    }
    assert_eq!(expected.len(), found.len());
}

/// The answers of a store, with the questions; the same seed asks the same.
pub(crate) fn answers(store: &dyn Read, ids: &[ExecutionId], seed: u64) -> Vec<String> {
    let mut random: StdRng = rand::SeedableRng::seed_from_u64(seed);
    let mut out = whole(store);
    for id in ids {
        out.push(format!("log {:?}", store.log(*id)));
        let (sequence, limit) = (random.random_range(0..12), random.random_range(1..5));
        out.push(format!("transitions {sequence} {limit} {:?}", store.transitions(*id, sequence, limit)));
        let after = random.random_range(0..200);
        out.push(format!("rows {after} {limit} {:?}", store.log_rows(*id, after, limit)));
        let delivery = store.delivery_of(*id);
        let ahead = delivery.as_ref().ok().and_then(Option::as_ref).map(|delivery| store.ahead(delivery));
        out.push(format!("delivery of {id}: {delivery:?}, behind {ahead:?}"));
        out.push(format!("children of {id}: {:?}", store.children(*id)));
        for ns in NAMESPACES {
            out.push(format!("execution {ns} {id}: {:?}", store.execution(ns, *id)));
        }
    }
    for _ in 0..20 {
        let query = execution_query(&mut random, ids);
        out.push(format!("{query:?} {:?} {:?}", store.executions(&query), store.count_executions(&query)));
        let query = event_query(&mut random);
        out.push(format!("{query:?} {:?}", store.events(&query)));
        let query = dead_query(&mut random);
        out.push(format!("{query:?} {:?}", store.dead_letters(&query)));
        let after = pick(&mut random, ids);
        out.push(format!("unfinished {after:?} {:?}", store.unfinished(after, 7)));
        let (after, lifecycle) = (random.random_range(0..200), random.random());
        out.push(format!("stream {after} {lifecycle} {:?}", store.stream(after, lifecycle, 9)));
    }
    out
}

fn whole(store: &dyn Read) -> Vec<String> {
    let mut out = vec![
        format!("due {:?}", store.due(None, at(SPAN), 1000)),
        format!("subscriptions {:?}", store.subscriptions()),
        format!("inbox {:?}", store.inbox()),
        format!("position {:?}", store.last_pos()),
        format!("buffers {:?}", store.buffers()),
        format!("definitions {:?}", store.definitions()),
        format!("namespaces {:?}", store.namespaces()),
        format!("secrets {:?}", store.secrets()),
        format!("works {:?}", store.works()),
        format!("meta {:?} {:?} {:?}", store.meta("cursor"), store.meta("format"), store.meta("none")),
    ];
    for ns in NAMESPACES {
        out.push(format!("running {ns} {:?}", store.running(ns)));
        out.push(format!("removed {ns} {:?} {:?}", store.first_pos(ns), store.first_event(ns)));
        for source in 0..3 {
            out.push(format!("checkpoints {ns} {source} {:?}", store.checkpoints(ns, &format!("s{source}"))));
            for id in 0..6 {
                let (source, id) = (format!("s{source}"), id.to_string());
                out.push(format!("event {ns} {source} {id} {:?}", store.event(ns, &source, &id)));
                out.push(format!("caused {ns} {source} {id} {:?}", store.caused_by(ns, "b0", &source, &id)));
            }
        }
        for workflow in WORKFLOWS {
            for n in 0..4u8 {
                out.push(format!(
                    "key {ns} {workflow} {n} {:?}",
                    store.start_key(ns, workflow, &n.to_string())
                ));
                out.push(format!(
                    "revision {ns} {workflow} {n} {:?}",
                    store.revision(ns, workflow, &[n; 32])
                ));
            }
        }
        for trigger in TRIGGERS {
            out.push(format!("bucket {ns} {trigger} {:?}", store.bucket(ns, trigger)));
            for state in
                [DeliveryState::Ready, DeliveryState::Blocked, DeliveryState::Parked, DeliveryState::InFlight]
            {
                let query = DeliveryQuery {
                    namespace: text(ns),
                    trigger: text(trigger),
                    state,
                    now: at(SPAN / 2),
                    limit: 20,
                };
                out.push(format!("{query:?} {:?}", store.deliveries(&query)));
            }
        }
        for id in (0..300).step_by(7) {
            out.push(format!("letter {ns} {id} {:?}", store.dead_letter(ns, id)));
        }
    }
    out
}

fn pick<T: Copy>(random: &mut StdRng, from: &[T]) -> Option<T> {
    if from.is_empty() || random.random_bool(0.5) {
        None
    } else {
        Some(from[random.random_range(0..from.len())])
    }
}

fn instant(random: &mut StdRng) -> Option<tidemill_dsl::ids::Time> {
    random.random_bool(0.3).then(|| at(random.random_range(0..SPAN)))
}

fn execution_query(random: &mut StdRng, ids: &[ExecutionId]) -> ExecutionQuery {
    let some = |random: &mut StdRng| random.random_range(0..3);
    let status = (0..some(random))
        .map(|_| Status::ALL[random.random_range(0..7)])
        .collect::<std::collections::BTreeSet<_>>();
    ExecutionQuery {
        namespace: text(NAMESPACES[random.random_range(0..NAMESPACES.len())]),
        workflow: pick(random, &WORKFLOWS).map(text),
        status: status.into_iter().collect(),
        trigger: pick(random, &TRIGGERS).filter(|_| random.random_bool(0.5)).map(text),
        tags: if random.random_bool(0.2) { vec![(text("n"), text("1"))] } else { Vec::new() },
        since: instant(random),
        until: instant(random),
        ascending: random.random(),
        after: pick(random, ids).filter(|_| random.random_bool(0.4)).map(|id| (id.time(), id)),
        limit: random.random_range(0..12),
    }
}

fn event_query(random: &mut StdRng) -> EventQuery {
    EventQuery {
        namespace: text(NAMESPACES[random.random_range(0..NAMESPACES.len())]),
        kind: pick(random, &["t0", "t1"]).map(text),
        since: instant(random),
        until: instant(random),
        after: random.random_bool(0.5).then(|| random.random_range(0..200)),
        descending: random.random(),
        limit: random.random_range(0..12),
    }
}

fn dead_query(random: &mut StdRng) -> DeadQuery {
    DeadQuery {
        namespace: text(NAMESPACES[random.random_range(0..NAMESPACES.len())]),
        trigger: pick(random, &TRIGGERS).map(text),
        cause: pick(random, &["faulted", "buffer-full"]).map(text),
        state: pick(random, &[DeadState::Open, DeadState::Redriven, DeadState::Purged]),
        before: random.random_bool(0.3).then(|| random.random_range(0..200)),
        limit: random.random_range(0..12),
    }
}
