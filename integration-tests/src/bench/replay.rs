//! What a workload had written, once more through the store alone: the same transitions and summaries in batches and
//! commits of the same size, without anything around them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, Summary, Transition};
use tidemill_store::sqlite::Options;
use tidemill_store::{
    Batch, Class, Committed, Counters, Create, ExecutionRow, Part, Read, Refusal, ShardPart, SqliteStore,
    Store,
};

use crate::server::Server;

/// Transitions replayed at most.
const MOST: usize = 400_000;

/// Stops the server, reads back what it wrote, and writes it again into a fresh store beside it.
pub(super) async fn of(server: &mut Server, name: &str) {
    let transitions = server.metric("tidemill_store_transitions_total").await;
    let batches = server.metric("tidemill_store_batches_total").await.max(1.0);
    let commits = server.metric("tidemill_store_commits_total").await.max(1.0);
    server.terminate();
    let per_batch = (transitions / batches).ceil() as usize;
    let per_commit = (batches / commits).ceil() as usize;
    let batches = match recorded(&server.dir, per_batch.max(1)) {
        Ok(batches) => batches,
        Err(error) => return println!("{:28} cannot read back what was written: {error}", ""),
    };
    let folder = server.dir.join("replay");
    let (seconds, counters) = match written(&folder, batches, per_commit.max(1)) {
        Ok(result) => result,
        Err(error) => return println!("{:28} cannot replay: {error}", ""),
    };
    let per = |n: u64| n as f64 / counters.transitions.max(1) as f64;
    println!(
        "{:28} the store alone, {name} replayed: {:.0} transitions/s, writer {:.2} us, flush {:.2} us, {:.2} rows, {:.4} commits each",
        "",
        counters.transitions as f64 / seconds,
        per(counters.writer_cpu_us),
        per(counters.flush_us),
        per(counters.rows),
        per(counters.commits),
    );
}

fn open(folder: &Path) -> Result<SqliteStore, String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    SqliteStore::open(folder.join("tidemill.db"), Options::default()).map_err(|error| error.to_string())
}

/// The log in its order, in batches of so many transitions.
fn recorded(folder: &Path, per_batch: usize) -> Result<Vec<Batch>, String> {
    let store = open(folder)?;
    let mut log = Vec::new();
    let mut after = 0;
    while log.len() < MOST {
        let rows = store.stream(after, false, 10_000).map_err(|error| error.to_string())?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        log.extend(rows.into_iter().map(|(_, transition)| transition));
    }
    let mut lasts = HashMap::new();
    for (at, transition) in log.iter().enumerate() {
        lasts.insert(transition.execution, at);
    }
    let mut batches = Vec::new();
    let (mut parts, mut part, mut count) = (Vec::new(), ShardPart::default(), 0);
    for (at, transition) in log.into_iter().enumerate() {
        let is_last = lasts.get(&transition.execution) == Some(&at);
        let row = (transition.first == 1 || is_last).then(|| row(&store, &transition)).flatten();
        match (row, transition.first) {
            (Some(row), 1) => parts.push(create(row, transition)),
            (row, _) => {
                part.summaries.extend(row.map(|row| summary(&row)));
                part.transitions.push(transition);
            }
        }
        count += 1;
        if count == per_batch {
            parts.push(Part::Shard(std::mem::take(&mut part)));
            batches.push(Batch { class: Class::Running, parts: std::mem::take(&mut parts) });
            count = 0;
        }
    }
    store.close();
    Ok(batches)
}

fn row(store: &SqliteStore, transition: &Transition) -> Option<ExecutionRow> {
    store.execution(&transition.namespace, transition.execution).ok().flatten()
}

fn summary(row: &ExecutionRow) -> Summary {
    let (started, ended, result) = (row.started, row.ended, row.result.clone());
    Summary { execution: row.id, status: row.status, started, ended, result }
}

fn create(row: ExecutionRow, first: Transition) -> Part {
    let summary = Summary {
        ended: None,
        result: None,
        status: tidemill_engine::record::Status::Running,
        ..summary(&row)
    };
    let birth = Birth {
        id: row.id,
        namespace: row.namespace,
        workflow: row.workflow,
        version: row.version,
        digest: row.digest,
        created: row.created,
        input: Value::Null,
        cause: None,
        parent: None,
        tags: row.tags,
        path: Vec::new(),
    };
    Part::Create(Box::new(Create { birth: Arc::new(birth), first, summary, key: None }))
}

/// Submits the batches so that about `per_commit` of them wait together; seconds and counters.
fn written(folder: &Path, batches: Vec<Batch>, per_commit: usize) -> Result<(f64, Counters), String> {
    let _ = std::fs::remove_dir_all(folder);
    let store = open(folder)?;
    let (told, tell) = sync_channel::<Result<Committed, Refusal>>(2 * per_commit);
    let began = Instant::now();
    let mut open = 0;
    for batch in batches {
        if open == 2 * per_commit {
            tell.recv().map_err(|error| error.to_string())?.map_err(|refusal| refusal.to_string())?;
            open -= 1;
        }
        let told = told.clone();
        open += 1;
        store.submit(batch, Box::new(move |outcome| drop(told.send(outcome))));
    }
    for _ in 0..open {
        tell.recv().map_err(|error| error.to_string())?.map_err(|refusal| refusal.to_string())?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let counters = store.counters();
    store.close();
    Ok((seconds, counters))
}
