//! The steps of a batch: what is done to each thing, and what comes of it.
//!
//! A step that was taken before a crash finds nothing to do the second time.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_store::{DeadLetter, DeadState};

use super::plan::{Action, Failure, Outcome, Record, Step};
use crate::deliveries::{self, blocking};
use crate::error::Error;
use crate::lanes::Verb;
use crate::operations;
use crate::rooms::Rooms;

/// Takes the steps of a chunk. `turn` is held while dead letters are put back, so that no letter is put back twice.
pub(super) async fn perform(
    rooms: &Arc<Rooms>,
    turn: &tokio::sync::Mutex<()>,
    record: &Record,
    chunk: &[Step],
) -> Vec<Outcome> {
    match record.action {
        Action::Redrive => {
            let _turn = turn.lock().await;
            redrive(rooms, &record.namespace, chunk).await
        }
        Action::Replay => join_all(chunk.iter().map(|step| replay(rooms, record, step))).await,
        action => join_all(chunk.iter().map(|step| verb(rooms, &record.namespace, action, step))).await,
    }
}

/// Letters of one order key go one after another, the others together.
async fn redrive(rooms: &Arc<Rooms>, namespace: &Namespace, chunk: &[Step]) -> Vec<Outcome> {
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
            outcomes.extend(join_all(together.drain(..).map(|letter| put_back(rooms, letter))).await);
            keys.clear();
            keys.extend(letter.key.clone().map(|key| (letter.trigger.clone(), key)));
        }
        together.push(letter);
    }
    outcomes.extend(join_all(together.drain(..).map(|letter| put_back(rooms, letter))).await);
    outcomes
}

async fn put_back(rooms: &Arc<Rooms>, letter: DeadLetter) -> Outcome {
    match deliveries::redrive(rooms, &letter).await {
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
    match deliveries::replay(rooms, &record.namespace, &key.trigger, &row, Time(record.created)).await {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Skipped,
        Err(error) => failed(&key.id, &error),
    }
}

async fn verb(rooms: &Arc<Rooms>, namespace: &Namespace, action: Action, step: &Step) -> Outcome {
    let Step::Execution(text) = step else {
        return Outcome::Skipped;
    };
    let Ok(id) = text.parse::<ExecutionId>() else {
        return Outcome::Skipped;
    };
    let verb = match action {
        Action::Cancel => Verb::Cancel,
        _ => Verb::Retry { input: None, from: None },
    };
    match operations::command(rooms, namespace, id, verb, Some("batch".into())).await {
        Ok(()) => Outcome::Done,
        Err(Error::Conflict { .. } | Error::NotFound { .. }) => Outcome::Skipped,
        Err(error) => failed(&id, &error),
    }
}

fn failed(id: &impl ToString, error: &Error) -> Outcome {
    Outcome::Failed(Failure { id: id.to_string(), detail: format!("cannot {error}") })
}
