//! Many threads at once: readers never block the writer, the file shrinks, checkpoints keep the log file small.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tidemill_engine::record::Status;
use tidemill_store::{ExecutionQuery, Read, Store};

use crate::batches::{
    at, batch, commit, create, id, retain, running, shard, sqlite, start, summary, text, transition,
};

#[test]
fn fifty_readers_see_what_was_completed_and_never_fail() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let (completed, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for reader in 0..50u64 {
            let (store, completed, stop) = (&store, &completed, &stop);
            scope.spawn(move || {
                let query =
                    ExecutionQuery { namespace: text("default"), limit: 20, ..ExecutionQuery::default() };
                while !stop.load(Ordering::Relaxed) {
                    let before = completed.load(Ordering::Acquire);
                    assert!(store.last_pos().unwrap() >= before);
                    let rows = store.stream(before.saturating_sub(5), reader % 2 == 0, 10).unwrap();
                    assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
                    store.executions(&query).unwrap();
                }
            });
        }
        for n in 0..60i64 {
            let execution = id(n, 1);
            let rows = (2..40).map(|first| transition(execution, "default", first, 1)).collect();
            let part = shard(|part| part.transitions = rows);
            let out = commit(&store, batch(vec![start(create("default", "w", execution)), part])).unwrap();
            completed.store(out.pos, Ordering::Release);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.last_pos().unwrap(), 60 * 39);
}

#[test]
fn batches_of_one_thread_commit_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let (told, tell) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        for lane in 0..4u8 {
            let (store, told) = (&store, told.clone());
            scope.spawn(move || {
                for n in 1..=200 {
                    let told = told.clone();
                    let part =
                        shard(|part| part.transitions = vec![transition(id(0, lane), "default", n, 1)]);
                    let done = move |outcome: Result<tidemill_store::Committed, _>| {
                        told.send((lane, n, outcome.unwrap().pos)).unwrap();
                    };
                    store.submit(running(vec![part]), Box::new(done));
                }
            });
        }
    });
    drop(told);
    let all: Vec<_> = tell.iter().collect();
    assert!(all.iter().map(|(_, _, pos)| *pos).eq(1..=800), "completions come in the order of commit");
    for lane in 0..4 {
        let mine = all.iter().filter(|(l, _, _)| *l == lane).map(|(_, n, _)| *n);
        assert!(mine.eq(1..=200));
    }
    assert!(store.counters().commits < 800, "waiting batches share a commit: {:?}", store.counters());
}

#[test]
fn the_file_shrinks_after_retention() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let path = folder.path().join("tidemill.db");
    let size = || std::fs::metadata(&path).unwrap().len();
    for n in 0..40i64 {
        let execution = id(n, 1);
        let mut rows: Vec<_> = (2..50).map(|first| transition(execution, "default", first, 1)).collect();
        for row in &mut rows {
            row.body = vec![b'x'; 4096];
        }
        let part = shard(|part| {
            part.transitions = rows;
            part.summaries = vec![summary(execution, Status::Completed, Some(at(n)), Some(at(n)))];
        });
        commit(&store, batch(vec![start(create("default", "w", execution)), part])).unwrap();
    }
    while commit(&store, retain(at(1000), at(0), 200)).unwrap().more {}
    assert_eq!(store.last_pos().unwrap(), 40 * 49);
    crate::full::until("the file is small", || size() < 4 << 20);
}

#[test]
fn the_log_file_is_taken_up_while_writing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let wal = folder.path().join("tidemill.db-wal");
    let mut written = 0u64;
    for n in 1..=400 {
        let mut row = transition(id(0, 1), "default", n, 1);
        row.body = vec![b'x'; 1 << 20];
        written += row.body.len() as u64;
        commit(&store, running(vec![shard(|part| part.transitions = vec![row])])).unwrap();
    }
    let size = std::fs::metadata(wal).unwrap().len();
    assert!(size < written * 3 / 4, "{size} of {written} bytes");
}
