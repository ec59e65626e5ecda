//! The fold of forks, loops and tries.

use std::sync::Arc;

use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::{Kind, Program, TaskId};
use tidemill_dsl::value::Value;

use super::{context_mut, purge, set_flow};
use crate::execution::{Attempts, Execution, Frame, Phase, Slot, State};
use crate::history::Record;

/// Records about a fork or a for.
pub(super) fn composite(program: &Program, x: &mut Execution, record: &Record) {
    match record {
        Record::Passed { visit, task } => {
            let Some(index) = branch_index(program, x, *visit, *task) else {
                return;
            };
            if let Some(Frame { state: State::Fork(slots), .. }) = x.frame_mut(*visit)
                && let Some(slot) = slots.get_mut(index)
            {
                *slot = Slot::Skipped;
            }
        }
        Record::Joined { visit } => join(program, x, *visit),
        Record::Iterated { visit } => {
            if let Some(Frame { state: State::For { begun, .. }, .. }) = x.frame_mut(*visit) {
                *begun += 1;
            }
        }
        _ => {}
    }
}

/// Which branch of the fork at `visit` a task is.
pub(crate) fn branch_index(program: &Program, x: &Execution, visit: Visit, task: TaskId) -> Option<usize> {
    let Kind::Fork(fork) = &program.task(x.frame(visit)?.task).kind else {
        return None;
    };
    program.list(fork.branches).tasks.iter().position(|branch| *branch == task)
}

pub(super) fn slot_of<'a>(program: &Program, x: &'a mut Execution, visit: Visit) -> Option<&'a mut Slot> {
    let Frame { parent, task, .. } = *x.frame(visit)?;
    let index = branch_index(program, x, parent, task)?;
    match &mut x.frame_mut(parent)?.state {
        State::Fork(slots) => slots.get_mut(index),
        _ => None,
    }
}

/// Outputs in declaration order (or the winner's alone) and the contexts merged (dsl.md section 5 #12).
fn join(program: &Program, x: &mut Execution, visit: Visit) {
    let Some(frame) = x.frame(visit) else { return };
    let State::Fork(slots) = frame.state.clone() else {
        return;
    };
    let (input, parent) = (frame.input.clone(), frame.parent);
    let own = frame.context.is_some();
    let compete = matches!(&program.task(frame.task).kind, Kind::Fork(fork) if fork.compete);
    let context = if own { x.context_of(visit) } else { x.context_within(parent) }.clone();
    let mut outputs = Vec::with_capacity(slots.len());
    let mut merged = context.clone();
    for slot in slots {
        match slot {
            Slot::Done(output, exported) => {
                outputs.push(output);
                if let Some(exported) = exported {
                    merged = if compete { exported } else { merge(merged, exported) };
                }
            }
            Slot::Skipped if !compete => outputs.push(input.clone()),
            Slot::Skipped | Slot::Failed(_) | Slot::Open => {}
        }
    }
    if merged != context {
        let holder = if own { visit } else { parent };
        *context_mut(x, holder) = merged;
    }
    let flow = if compete { outputs.pop().unwrap_or(input) } else { Value::from(outputs) };
    set_flow(x, visit, flow);
}

/// Key by key at the top level, the later one winning; what is no object replaces the whole.
fn merge(base: Value, later: Value) -> Value {
    match (base, later) {
        (Value::Object(base), Value::Object(later)) => {
            let mut map = Arc::unwrap_or_clone(base);
            map.extend(later.iter().map(|(key, value)| (key.clone(), value.clone())));
            Value::Object(Arc::new(map))
        }
        (_, later) => later,
    }
}

pub(super) fn attempts(x: &mut Execution, record: &Record) {
    let (Record::Delayed { visit, .. } | Record::Retried { visit, .. } | Record::Handling { visit, .. }) =
        record
    else {
        return;
    };
    purge(x, *visit);
    let Some(frame) = x.frame_mut(*visit) else { return };
    frame.flow = frame.input.clone();
    frame.entered = 0;
    let State::Try(state) = &mut frame.state else {
        return;
    };
    match record {
        Record::Delayed { until, .. } => state.phase = Phase::Delay(*until),
        Record::Retried { limit, .. } => {
            *state = Attempts { phase: Phase::Body, number: state.number + 1, limit: *limit };
        }
        Record::Handling { fault, .. } => state.phase = Phase::Handler(fault.clone()),
        _ => {}
    }
}
