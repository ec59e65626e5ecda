//! The loop guard: how many emitted events have led to one another, and by which workflows.
//!
//! Owns the two extensions that carry it from an execution to its events and from an event to the executions it begins.
//! The engine keeps the limit, which a setting states; what comes from outside cannot set them.

use std::sync::Arc;

use tidemill_dsl::event::{Event, HOP_PATH, HOPS};
use tidemill_dsl::value::Value;
use tidemill_engine::record::Birth;

/// Between the names of a path; no name of a workflow has it.
const BETWEEN: char = '>';

/// Marks an event of an execution: one hop more than led to the execution. Overrides what the author wrote there.
pub fn mark(event: &mut Event, birth: &Birth) {
    let mut path = String::new();
    for name in &birth.path {
        path.push_str(name);
        path.push(BETWEEN);
    }
    path.push_str(&birth.workflow);
    event.extensions.insert(HOPS.into(), Value::from(birth.path.len() as u64 + 1));
    event.extensions.insert(HOP_PATH.into(), Value::text(path));
}

/// The path of the executions that an event begins.
pub fn path(event: &Event) -> Vec<Arc<str>> {
    match event.extensions.get(HOP_PATH) {
        Some(Value::String(path)) => path.split(BETWEEN).map(Arc::from).collect(),
        _ => Vec::new(),
    }
}
