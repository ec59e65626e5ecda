//! Crashes and openings: what was completed survives, what was not is whole or absent.

use rand::SeedableRng;
use rand::rngs::StdRng;
use tidemill_store::sqlite::{OpenError, Options};
use tidemill_store::{MemoryStore, Read, Refusal, SqliteStore, Store, memory::Space};

use crate::batches::{batch, commit, create, id, running, shard, sqlite, start, transition};
use crate::questions::assert_equal;
use crate::stream::Source;

/// Copies the files of an open store, as a killed process would leave them: the log file of one moment, and the
/// database while that log file stood. A checkpoint may run meanwhile; if it cuts the log file off, the copy of the
/// database is of another moment and is taken again.
pub(crate) fn copy(from: &std::path::Path, to: &std::path::Path) {
    let log = || std::fs::read(from.join("tidemill.db-wal")).unwrap();
    loop {
        let before = log();
        std::fs::copy(from.join("tidemill.db"), to.join("tidemill.db")).unwrap();
        if log() == before {
            return std::fs::write(to.join("tidemill.db-wal"), before).unwrap();
        }
    }
}

#[test]
fn a_killed_store_has_all_that_was_completed() {
    for seed in 100..103 {
        println!("seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let memory = MemoryStore::new();
        let disk = sqlite(folder.path());
        let mut source = Source::new(seed);
        let mut random = StdRng::seed_from_u64(seed);
        for n in 0..120 {
            let batch = source.next();
            let outcome = commit(&memory, batch.clone());
            assert_eq!(commit(&disk, batch.clone()), outcome);
            source.learn(&batch, &outcome);
            if n % 30 == 29 {
                let copied = tempfile::tempdir().unwrap();
                copy(folder.path(), copied.path());
                let survivor = sqlite(copied.path());
                assert_equal(&memory, &survivor, &source.ids(), &mut random);
                let batch = source.next();
                let outcome = commit(&memory, batch.clone());
                assert_eq!(commit(&survivor, batch.clone()), outcome);
                assert_eq!(commit(&disk, batch.clone()), outcome);
                source.learn(&batch, &outcome);
            }
        }
    }
}

#[test]
fn the_memory_store_loses_what_is_held() {
    let store = MemoryStore::new();
    let faults = store.faults();
    commit(&store, batch(vec![start(create("default", "w", id(0, 1)))])).unwrap();
    faults.hold();
    let (told, tell) = std::sync::mpsc::channel();
    for n in 2..5 {
        let told = told.clone();
        let one = batch(vec![start(create("default", "w", id(0, n)))]);
        store.submit(one, Box::new(move |outcome| told.send(outcome.unwrap().pos).unwrap()));
    }
    drop(told);
    assert_eq!((faults.held(), faults.release(1), faults.held()), (3, 1, 2));
    let after = faults.crash();
    assert_eq!(tell.iter().collect::<Vec<_>>(), [2]);
    assert!(store.last_pos().is_err());
    assert_eq!(after.last_pos().unwrap(), 2);
    assert_eq!(commit(&after, batch(vec![start(create("default", "w", id(0, 3)))])).unwrap().pos, 3);
}

#[test]
fn the_memory_store_fails_as_asked() {
    let store = MemoryStore::new();
    let faults = store.faults();
    let one = |n| batch(vec![start(create("default", "w", id(0, n)))]);
    for (n, applied) in [(1, true), (2, false)] {
        faults.fail_next(applied);
        assert_eq!(commit(&store, one(n)), Err(Refusal::Failed("injected".into())));
        assert_eq!(store.execution("default", id(0, n)).unwrap().is_some(), applied);
    }
    faults.space(Space::Low);
    assert!(store.full());
    assert_eq!(commit(&store, one(3)), Err(Refusal::Full));
    let append = || {
        running(vec![shard(|part| {
            part.transitions = vec![transition(id(0, 1), "default", 2, 1)];
        })])
    };
    commit(&store, append()).unwrap();
    faults.space(Space::None);
    let (told, tell) = std::sync::mpsc::channel();
    store.submit(append(), Box::new(move |outcome| told.send(outcome.is_ok()).unwrap()));
    assert!(tell.try_recv().is_err());
    faults.space(Space::Plenty);
    assert_eq!(tell.try_recv(), Ok(true));
    commit(&store, one(3)).unwrap();
}

#[test]
fn a_completion_may_submit_again() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let (told, tell) = std::sync::mpsc::channel();
    let (again, second) = (store.clone(), told.clone());
    let done = move |outcome: Result<tidemill_store::Committed, Refusal>| {
        let second_batch = batch(vec![start(create("default", "w", id(0, 2)))]);
        again.submit(second_batch, Box::new(move |outcome| second.send(outcome.unwrap().pos).unwrap()));
        told.send(outcome.unwrap().pos).unwrap();
    };
    store.submit(batch(vec![start(create("default", "w", id(0, 1)))]), Box::new(done));
    assert_eq!(tell.iter().take(2).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_folder_has_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let second = SqliteStore::open(folder.path().join("tidemill.db"), Options::default());
    assert!(matches!(second, Err(OpenError::Locked(locked)) if locked == folder.path()));
    store.close();
    sqlite(folder.path()).close();
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["lock", "reserve", "tidemill.db"], "a closed store leaves no log behind");
}

#[test]
fn files_of_others_and_of_later_versions_are_left_alone() {
    let open = |prepare: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidemill.db");
        if prepare.starts_with("PRAGMA user_version") {
            sqlite(folder.path()).close();
        }
        rusqlite::Connection::open(&path).unwrap().execute_batch(prepare).unwrap();
        SqliteStore::open(path, Options::default()).map(|_| ())
    };
    assert!(matches!(open("CREATE TABLE t(x)"), Err(OpenError::Foreign)));
    assert!(matches!(open("PRAGMA application_id = 7"), Err(OpenError::Foreign)));
    let later = open("PRAGMA user_version = 99").unwrap_err();
    let text = "open the store: its format 99 is later than 4, the latest this version knows";
    assert_eq!(later.to_string(), text);
}

#[test]
fn positions_go_on_after_everything_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let mut create = create("default", "w", id(0, 1));
    create.summary.ended = Some(id(0, 1).time());
    commit(&store, batch(vec![start(create)])).unwrap();
    let late = tidemill_dsl::ids::Time(i64::MAX / 2);
    commit(&store, crate::batches::retain(late, late, 10)).unwrap();
    drop(store);
    let store = sqlite(folder.path());
    assert_eq!((store.last_pos().unwrap(), store.first_pos("default").unwrap()), (1, 2));
    let append = shard(|part| part.transitions = vec![transition(id(0, 2), "default", 1, 1)]);
    assert_eq!(commit(&store, running(vec![append])).unwrap().pos, 2);
}
