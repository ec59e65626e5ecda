//! Large values on disk: stored once, given back byte for byte, gone with the last row that has them (D8).

use std::sync::Arc;

use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Ended, Status, Summary, Transition};
use tidemill_store::{Batch, MemoryStore, OperatorChange, Part, Read, StateSnapshot, Store};

use crate::batches::{
    DAY, arrival, at, batch, commit, create, event, id, ingress, retain, running, shard, sqlite, start, text,
    transition,
};
use crate::questions::answers;

/// A value above the limit of what stays in its row.
pub(crate) fn large(letter: &str) -> Value {
    Value::object([("pad", Value::text(letter.repeat(66_000))), ("n", Value::from(1_i64))])
}

/// A stored body with the value in it twice.
pub(crate) fn body(value: &Value) -> Vec<u8> {
    [&[1, 3, 0xa0, 0x8d, 6][..], &value.to_json(), &[0, 7], &value.to_json(), b"end"].concat()
}

/// An execution that ends with a large output, and an event that carries the same value.
pub(crate) fn filling(namespace: &str, tail: u8, value: &Value) -> Vec<Batch> {
    let execution = id(i64::from(tail), tail);
    let mut create = create(namespace, "large", execution);
    create.first = Transition { body: body(value), ..create.first };
    let work = shard(|part| {
        part.transitions = vec![Transition { body: body(value), ..transition(execution, namespace, 2, 1) }];
        part.states = vec![StateSnapshot { execution, next: 3, transitions: 1, body: body(value) }];
        part.summaries = vec![Summary {
            execution,
            status: Status::Completed,
            started: Some(at(1)),
            ended: Some(at(20)),
            result: Some(Ended::Completed(value.clone())),
        }];
    });
    let plain = event("large", &tail.to_string(), "large", 1);
    let event = Arc::new(Event { data: Data::Json(value.clone()), ..(*plain).clone() });
    let arrivals = vec![arrival(event, at(DAY))];
    vec![batch(vec![start(create)]), running(vec![work]), batch(vec![ingress(namespace, "", arrivals)])]
}

fn count(store: &std::path::Path, table: &str) -> i64 {
    let conn = rusqlite::Connection::open(store.join("tidemill.db")).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn large_values_are_stored_once_and_go_with_the_last_row_that_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, disk) = (MemoryStore::new(), sqlite(folder.path()));
    let both = |batch: Batch| {
        commit(&memory, batch.clone()).unwrap();
        commit(&disk, batch).unwrap();
        let ids = [id(1, 1), id(2, 2)];
        for (expected, found) in answers(&memory, &ids, 1).iter().zip(answers(&disk, &ids, 1)) {
            assert!(*expected == found, "{expected:.300}\n{found:.300}");
        }
        count(folder.path(), "blob")
    };
    let (x, y) = (large("x"), large("y"));
    let counts: Vec<i64> =
        filling("default", 1, &x).into_iter().chain(filling("other", 2, &y)).map(both).collect();
    assert_eq!(counts, [1, 1, 1, 2, 2, 2]);
    assert_eq!(disk.log(id(1, 1)).unwrap().1.last().unwrap().body, body(&x));
    // A repeated event is judged by its data, wherever that is.
    let again = filling("default", 1, &y).pop().unwrap();
    assert_eq!(both(again), 2);
    assert_eq!(both(retain(at(10), at(0), 100)), 2);
    // Both executions go; the events still have their values.
    assert_eq!(both(retain(at(30), at(0), 100)), 2);
    assert_eq!(count(folder.path(), "log"), 0);
    let drop = OperatorChange::DropNamespace { namespace: text("other"), rows: 1000 };
    assert_eq!(both(running(vec![Part::Operator(vec![drop])])), 1);
    assert_eq!(both(retain(at(30), at(2 * DAY), 100)), 0);
    assert_eq!(count(folder.path(), "blob_use"), 0);
    disk.close();
}
