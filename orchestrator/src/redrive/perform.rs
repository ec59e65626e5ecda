//! The steps of a batch: what is done to each thing, and what comes of it.
//!
//! A step that was taken before a crash finds nothing to do the second time: letters and replayed events by what is
//! stored of them, cancelled and retried executions by the batch's mark in their history.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tidemill_dsl::expr::Template;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::decode;
use tidemill_engine::history::Record as History;
use tidemill_store::{DeadLetter, DeadState, ReadResult, Store};

use super::plan::{Action, Failure, Outcome, Record, Step};
use crate::deliveries::{self, blocking};
use crate::error::Error;
use crate::lanes::Verb;
use crate::operations;
use crate::rooms::Rooms;

/// Transitions read at once.
const PAGE: usize = 1000;

/// Takes the steps of a chunk. `turn` is held while dead letters are put back, so that no letter is put back twice.
pub(super) async fn perform(
    rooms: &Arc<Rooms>,
    turn: &tokio::sync::Mutex<()>,
    (record, doubtful): (&Record, bool),
    chunk: &[Step],
) -> Vec<Outcome> {
    let mut outcomes = match record.action {
        Action::Redrive => {
            let _turn = turn.lock().await;
            match record.edit.as_ref().map(|text| edit(text)).transpose() {
                Ok(edit) => redrive(rooms, &record.namespace, edit.as_ref(), chunk).await,
                Err(error) => chunk.iter().map(|_| failed(&record.id, &error)).collect(),
            }
        }
        Action::Replay => join_all(chunk.iter().map(|step| replay(rooms, record, step))).await,
        _ => join_all(chunk.iter().map(|step| verb(rooms, (record, doubtful), step))).await,
    };
    if doubtful && !matches!(record.action, Action::Cancel | Action::Retry) {
        // What is there already was done by this very batch before the crash.
        let skipped = outcomes.iter_mut().filter(|outcome| matches!(outcome, Outcome::Skipped));
        skipped.for_each(|outcome| *outcome = Outcome::Done);
    }
    outcomes
}

/// The expression of an edit, compiled; it is written `${ ... }` and sees the event as `.`.
pub fn edit(text: &str) -> Result<Template, Error> {
    let bad = |why: String| Error::bad("bad-body", format!("read `edit`: {why}"));
    let template = Template::compile(&Value::text(text), &[]).map_err(|error| bad(error.to_string()))?;
    match template.constant() {
        Some(_) => Err(bad("it is no expression: write it like ${ .data.amount = 1 }".into())),
        None => Ok(template),
    }
}

/// Letters of one order key go one after another, the others together.
async fn redrive(
    rooms: &Arc<Rooms>,
    namespace: &Namespace,
    edit: Option<&Template>,
    chunk: &[Step],
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(chunk.len());
    let mut together = Vec::new();
    let mut keys = HashSet::new();
    for step in chunk {
        let Step::Letter(id) = step else { continue };
        let (store, own, id) = (rooms.store.clone(), namespace.clone(), *id);
        let letter = match blocking(move || store.dead_letter(&own, id)).await {
            Ok(Some(letter)) if letter.state == DeadState::Open => letter,
            Ok(_) => {
                outcomes.push(Outcome::Skipped);
                continue;
            }
            Err(error) => {
                outcomes.push(failed(&id, &error));
                continue;
            }
        };
        let fresh = letter.key.as_ref().is_none_or(|key| keys.insert((letter.trigger.clone(), key.clone())));
        if !fresh {
            outcomes.extend(join_all(together.drain(..).map(|letter| put_back(rooms, letter, edit))).await);
            keys.clear();
            keys.extend(letter.key.clone().map(|key| (letter.trigger.clone(), key)));
        }
        together.push(letter);
    }
    outcomes.extend(join_all(together.drain(..).map(|letter| put_back(rooms, letter, edit))).await);
    outcomes
}

async fn put_back(rooms: &Arc<Rooms>, letter: DeadLetter, edit: Option<&Template>) -> Outcome {
    match deliveries::redrive(rooms, &letter, edit).await {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Skipped,
        Err(error) => failed(&letter.id, &error),
    }
}

async fn replay(rooms: &Arc<Rooms>, record: &Record, step: &Step) -> Outcome {
    let Step::Event(key) = step else {
        return Outcome::Skipped;
    };
    let (store, namespace, own) = (rooms.store.clone(), record.namespace.clone(), key.clone());
    let read = blocking(move || store.event(&namespace, &own.source, &own.id)).await;
    let row = match read {
        Ok(rows) => rows.into_iter().find(|row| row.binding == key.binding),
        Err(error) => return failed(&key.id, &error),
    };
    let Some(row) = row else { return Outcome::Skipped };
    // Of the batch's own instant: a step that was taken before a crash finds its execution there.
    match deliveries::replay(rooms, (&record.namespace, &record.id), &key.trigger, &row, Time(record.created))
        .await
    {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Skipped,
        Err(error) => failed(&key.id, &error),
    }
}

async fn verb(rooms: &Arc<Rooms>, (record, doubtful): (&Record, bool), step: &Step) -> Outcome {
    let Step::Execution(text) = step else {
        return Outcome::Skipped;
    };
    let Ok(id) = text.parse::<ExecutionId>() else {
        return Outcome::Skipped;
    };
    let mark = record.mark();
    if doubtful {
        let (store, mark) = (rooms.store.clone(), mark.clone());
        match blocking(move || bears(&*store, id, &mark)).await {
            Ok(false) => {}
            Ok(true) => return Outcome::Done,
            Err(error) => return failed(&id, &error),
        }
    }
    let verb = match record.action {
        Action::Cancel => Verb::Cancel,
        _ => Verb::Retry { input: None, from: None },
    };
    match operations::command(rooms, &record.namespace, id, verb, Some(mark)).await {
        Ok(()) => Outcome::Done,
        Err(Error::Conflict { .. } | Error::NotFound { .. }) => Outcome::Skipped,
        Err(error) => failed(&id, &error),
    }
}

/// Whether a batch has left its mark in an execution's history.
fn bears(store: &dyn Store, id: ExecutionId, mark: &str) -> ReadResult<bool> {
    let mut sequence = 0;
    loop {
        let page = store.transitions(id, sequence, PAGE)?;
        let marked = |record: History| match record {
            History::Reopened { reason, .. } | History::WorkflowCancelled { reason, .. } => {
                reason.is_some_and(|reason| *reason == *mark)
            }
            _ => false,
        };
        let own = page.iter().filter(|transition| transition.lifecycle);
        if own.flat_map(|transition| decode(&transition.body).unwrap_or_default()).any(marked) {
            return Ok(true);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => sequence = last.first + u64::from(last.count),
            _ => return Ok(false),
        }
    }
}

fn failed(id: &impl ToString, error: &Error) -> Outcome {
    Outcome::Failed(Failure { id: id.to_string(), detail: format!("cannot {error}") })
}
