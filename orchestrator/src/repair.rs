//! The target of a trigger's dead letters: a workflow, function or sink that is started for each, in the commit that
//! stores the letter.
//!
//! Owns the start and its input. The letter is stored in every case; what becomes of the repair is told by its own
//! execution alone, so that a repair that fails makes no dead letter of its own.

use std::sync::Arc;

use tidemill_dsl::ids::ExecutionId;
use tidemill_dsl::manifest::Target;
use tidemill_dsl::value::Value;
use tidemill_engine::record::Birth;
use tidemill_store::{Create, DeadLetter};

use crate::catalog::{Space, TriggerEntry};
use crate::hops;
use crate::shard::create_pending;

/// The tag that names the trigger of the letter.
const TAG: &str = "deadLetter";
/// The type of the event that a sink gets for a letter.
const TYPE: &str = "tidemill.dead-letter";

/// The execution that a dead letter starts; none without a target, or when the target is gone.
pub fn start(space: &Space, trigger: &TriggerEntry, letter: &DeadLetter) -> Option<Create> {
    let target = trigger.spec.dead_letter.target()?;
    let Some(program) = space.repair(trigger) else {
        tracing::warn!(trigger = %trigger.name, ?target, "the target of a dead letter is gone; the letter is stored");
        metrics::counter!("tidemill_dead_letter_targets_missing_total").increment(1);
        return None;
    };
    let last = letter.attempts.last().map(|attempt| attempt.execution.0).unwrap_or_default();
    let event = &letter.event;
    let parts: [&[u8]; 6] = [
        b"dead-letter",
        trigger.namespace.as_bytes(),
        trigger.name.as_bytes(),
        event.source.as_bytes(),
        event.id.as_bytes(),
        &last,
    ];
    let id = ExecutionId::derived(letter.at, &parts);
    let input = match target {
        Target::Sink(_) => told(letter, id),
        Target::Workflow { .. } | Target::Function { .. } => input(letter),
    };
    let birth = Arc::new(Birth {
        id,
        namespace: trigger.namespace.clone(),
        workflow: program.document.name.clone(),
        version: program.document.version.clone(),
        digest: program.digest,
        created: letter.at,
        input,
        cause: None,
        parent: None,
        tags: vec![(TAG.into(), trigger.name.clone())],
        path: hops::path(event),
    });
    Some(create_pending(&program, &birth))
}

/// The event that tells a sink of a letter: the letter is its data.
fn told(letter: &DeadLetter, id: ExecutionId) -> Value {
    let texts = [
        ("specversion", "1.0".into()),
        ("id", id.to_string()),
        ("source", format!("/triggers/{}/{}", letter.namespace, letter.trigger)),
        ("type", TYPE.into()),
        ("time", letter.at.rfc3339()),
        ("datacontenttype", "application/json".into()),
    ];
    let texts = texts.into_iter().map(|(name, text)| (name, Value::text(text)));
    Value::object(texts.chain([("data", input(letter))]))
}

/// The letter as the API shows it, but for its id and state: the store has not given them yet.
fn input(letter: &DeadLetter) -> Value {
    let attempts = letter.attempts.iter().map(|attempt| {
        Value::object([
            ("execution", Value::text(attempt.execution.to_string())),
            ("at", Value::text(attempt.at.rfc3339())),
            ("error", attempt.error.to_value()),
        ])
    });
    Value::object([
        ("trigger", Value::text(letter.trigger.clone())),
        ("generation", Value::from(letter.generation)),
        ("cause", Value::text(letter.cause.clone())),
        ("binding", Value::text(letter.binding.clone())),
        ("event", letter.event.to_value()),
        ("orderKey", letter.key.as_ref().map_or(Value::Null, |key| Value::text(key.clone()))),
        ("attempts", Value::array(attempts)),
        ("at", Value::text(letter.at.rfc3339())),
    ])
}
