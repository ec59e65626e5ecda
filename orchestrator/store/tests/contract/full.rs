//! A full disk, on a small file system of its own (D14). Needs root to mount one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tidemill_engine::record::Status;
use tidemill_store::{Read, Refusal, Store};

use crate::batches::{at, batch, commit, create, id, running, shard, sqlite, start, summary, transition};

/// A mounted file system, unmounted in the end.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    /// None, loudly, where it cannot be mounted.
    fn mount(megabytes: u32) -> Option<Small> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Small { folder }),
            other => {
                println!("SKIPPED full disk: no file system of {megabytes} MiB can be mounted: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes until nothing is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::File::options().append(true).create(true).open(&path).unwrap();
        for size in [1 << 20, 4096] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

fn append(n: u64, size: usize) -> tidemill_store::Batch {
    let mut row = transition(id(0, 1), "default", n, 1);
    row.body = vec![b'x'; size];
    running(vec![shard(|part| part.transitions = vec![row])])
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_refuses_new_work_and_finishes_what_runs() {
    let Some(disk) = Small::mount(128) else { return };
    let store = sqlite(disk.path());
    let new = |n| batch(vec![start(create("default", "w", id(i64::from(n), n)))]);
    commit(&store, new(1)).unwrap();
    let filler = disk.fill();
    until("new work is refused", || commit(&store, new(2)) == Err(Refusal::Full));
    assert!(store.full());
    for n in 2..12 {
        commit(&store, append(n, 100_000)).expect("running work uses the reserve");
    }
    assert_eq!(store.log(id(0, 1)).unwrap().1.len(), 10);
    assert!(store.execution("default", id(1, 1)).unwrap().is_some(), "reads work");

    let (told, tell) = channel();
    let mut submitted = 0u64;
    until("the reserve is used up", || {
        disk.fill();
        let told = told.clone();
        submitted += 1;
        let done = move |outcome: Result<_, _>| told.send(outcome.is_ok()).unwrap();
        store.submit(append(100 + submitted, 1 << 20), Box::new(done));
        tell.recv_timeout(Duration::from_millis(500)).is_err()
    });
    assert_eq!(commit(&store, new(3)), Err(Refusal::Full), "refused at once while running work waits");
    assert!(store.execution("default", id(1, 1)).unwrap().is_some(), "reads work");
    std::fs::remove_file(filler).unwrap();
    assert_eq!(tell.recv_timeout(Duration::from_secs(20)), Ok(true), "what waited is completed");
    until("new work is taken again", || commit(&store, new(4)).is_ok());
    until("the store says so", || !store.full());
    let ended = summary(id(1, 1), Status::Completed, Some(at(0)), Some(at(1)));
    commit(&store, running(vec![shard(|part| part.summaries = vec![ended])])).unwrap();
}

#[test]
fn a_store_opens_reads_and_cancels_on_a_full_disk() {
    let Some(disk) = Small::mount(128) else { return };
    for clean in [true, false] {
        let store = sqlite(disk.path());
        let n = 1 + u8::from(clean);
        commit(&store, batch(vec![start(create("default", "w", id(0, n)))])).unwrap();
        let filler = disk.fill();
        if clean {
            store.close();
            disk.fill();
        } else {
            let copy = tempfile::tempdir().unwrap();
            crate::crash::copy(disk.path(), copy.path());
            store.close();
            for name in ["tidemill.db", "tidemill.db-wal"] {
                std::fs::copy(copy.path().join(name), disk.path().join(name)).unwrap();
            }
            disk.fill();
        }
        let store = sqlite(disk.path());
        assert!(store.full());
        assert!(store.execution("default", id(0, n)).unwrap().is_some(), "reads work");
        assert_eq!(commit(&store, batch(vec![])), Err(Refusal::Full));
        let cancelled = summary(id(0, n), Status::Cancelled, None, Some(at(1)));
        commit(&store, running(vec![shard(|part| part.summaries = vec![cancelled])])).expect("cancel works");
        std::fs::remove_file(filler).unwrap();
        until("new work is taken again", || commit(&store, batch(vec![])).is_ok());
    }
}
