//! The fold: how one record changes the state. The only place where an [`Execution`] is written (invariant 4).
//!
//! Evaluates nothing and decides nothing: every result of an expression stands in its record.

mod around;
mod branches;
mod enter;

use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;

pub(crate) use self::around::link;
use self::branches::{attempts, branch_index, composite, slot_of};
pub(crate) use self::enter::attempt_within;
use self::enter::{Fresh, Revival, begin_frame, count_child, count_visit, revive};
use crate::execution::{Closed, Execution, Frame, Slot, State};
use crate::history::{Export, Kept, Output, Record, Work};
use crate::limits::MAX_HISTORY;
use crate::record::Ended;

/// Folds one record of a transition decided at `time`.
pub(crate) fn apply(program: &Program, x: &mut Execution, record: &Record, time: Time) {
    x.time = time;
    x.sequence += record.entries();
    match record {
        Record::Created(_) | Record::Passed { .. } | Record::Joined { .. } | Record::Iterated { .. } => {
            composite(program, x, record);
        }
        Record::Entered { task, parent, raw, input, deadline, begin } => {
            let fresh = Fresh { task: *task, parent: *parent, raw, input };
            let mut frame = fresh.frame(program, x, time);
            frame.deadline = *deadline;
            begin_frame(program, &mut frame, begin);
            insert(x, frame);
        }
        Record::Fetching { .. }
        | Record::Asked { .. }
        | Record::Fetched(_)
        | Record::Took { .. }
        | Record::Around { .. }
        | Record::Held { .. } => around::apply(program, x, record, time),
        Record::Step { task, parent, raw, input, output, export } => {
            let fresh = Fresh { task: *task, parent: *parent, raw, input };
            step(x, &fresh, output, export.as_ref());
        }
        Record::Began { visit, begin } => {
            if let Some(frame) = x.frame_mut(*visit) {
                begin_frame(program, frame, begin);
            }
        }
        Record::Ended { visit, output, export } => end(program, x, *visit, output, export.as_ref()),
        Record::Faulted { visit, own, fault } => {
            if *own {
                purge(x, *visit);
            }
            close(x, *visit, Closed::Faulted);
            if let Some(slot) = slot_of(program, x, *visit) {
                *slot = Slot::Failed(fault.clone());
            }
        }
        Record::Cancelled { visit, rest } => {
            close(x, *visit, Closed::Cancelled);
            if let (Some(rest), Some(frame)) = (rest, x.frame_mut(*visit)) {
                frame.rest = Some(rest.clone());
            }
        }
        Record::Delayed { .. } | Record::Retried { .. } | Record::Handling { .. } => attempts(x, record),
        Record::Chosen { .. } => {}
        Record::Heard { pos, .. } => {
            x.heard.insert(*pos);
        }
        Record::Promised { visit } => {
            if let Some(frame) = x.frame_mut(*visit) {
                frame.state = State::Callback;
            }
        }
        Record::Signalled(event) => {
            x.signalled.insert((event.source.clone(), event.id.clone()));
            x.signals.push(event.clone());
        }
        Record::Heeded { at, .. } => {
            if (*at as usize) < x.signals.len() {
                x.signals.remove(*at as usize);
            }
        }
        Record::Patched { visit, flow } => set_flow(x, *visit, flow.clone()),
        Record::Yielded(work) => x.queue.clone_from(work),
        Record::Continued => x.queue.clear(),
        Record::Kept { visit, what } => {
            if let Kept::Event(_, pos) = what {
                x.heard.insert(*pos);
            }
            x.kept.push((*visit, what.clone()));
        }
        Record::Settled => x.kept.clear(),
        Record::Revived { visit, parent, deadline, limit } => {
            revive(
                program,
                x,
                &Revival { old: *visit, parent: *parent, deadline: *deadline, limit: *limit },
                time,
            );
        }
        Record::Cleared => x.frames.retain(|frame| frame.closed.is_none()),
        _ => whole(x, record, time),
    }
}

/// Records about the execution as a whole.
fn whole(x: &mut Execution, record: &Record, time: Time) {
    match record {
        Record::Started { failed: true, .. } => {
            x.started = Some(time);
            x.flow = x.birth.input.clone();
        }
        Record::Started { input, deadline, .. } => {
            x.started = Some(time);
            x.deadline = *deadline;
            let input = input.as_ref().unwrap_or(&x.birth.input).clone();
            x.flow = input.clone();
            x.input = Some(input);
        }
        Record::Taken { input, deadline } => {
            x.flow = input.clone();
            x.input = Some(input.clone());
            x.deadline = deadline.or(x.deadline);
            x.asks = None;
        }
        Record::Suspended { .. } => x.suspended = true,
        Record::Resumed { .. } => {
            x.suspended = false;
            if x.length() > x.history_limit {
                x.history_limit = x.length() + MAX_HISTORY;
            }
        }
        Record::Reopened { deadline, .. } => {
            x.deadline = *deadline;
            x.ended = None;
            x.result = None;
            x.suspended = false;
        }
        Record::Completed { output } => {
            let value = match output {
                Output::Input => x.input.clone().unwrap_or_default(),
                Output::Flow | Output::Held => x.flow.clone(),
                Output::Inline(value) => value.clone(),
            };
            x.frames.clear();
            finish(x, Ended::Completed(value), None, time);
        }
        Record::WorkflowFaulted { fault, rest } => {
            finish(x, Ended::Faulted(fault.clone()), rest.as_ref(), time);
        }
        Record::WorkflowCancelled { rest, .. } => finish(x, Ended::Cancelled, rest.as_ref(), time),
        _ => {}
    }
}

fn finish(x: &mut Execution, ended: Ended, rest: Option<&Work>, time: Time) {
    x.result = Some(ended);
    x.ended = Some(time);
    x.started = x.started.or(Some(time));
    x.suspended = false;
    x.asks = None;
    x.queue = rest.cloned().into_iter().collect();
    x.kept.clear();
}

fn step(x: &mut Execution, fresh: &Fresh<'_>, output: &Output, export: Option<&Export>) {
    count_visit(x, fresh.task);
    count_child(x, fresh.parent);
    let output = match output {
        Output::Inline(value) => value.clone(),
        Output::Input | Output::Flow | Output::Held => fresh.input.clone().unwrap_or_else(|| fresh.raw(x)),
    };
    if let Some(export) = export {
        *context_mut(x, fresh.parent) = exported(export, &output);
    }
    set_flow(x, fresh.parent, output);
}

/// Puts a new frame in its place.
fn insert(x: &mut Execution, frame: Frame) {
    let at = x.frames.partition_point(|other| other.visit < frame.visit);
    x.frames.insert(at, frame);
}

fn exported(export: &Export, output: &Value) -> Value {
    match export {
        Export::Output => output.clone(),
        Export::Inline(value) => value.clone(),
    }
}

fn end(program: &Program, x: &mut Execution, visit: Visit, output: &Output, export: Option<&Export>) {
    let Ok(at) = x.frames.binary_search_by_key(&visit, |frame| frame.visit) else {
        return;
    };
    if x.frames.len() > at + 1 {
        purge(x, visit);
    }
    let frame = x.frames.remove(at);
    let value = match output {
        Output::Inline(value) => value.clone(),
        output => frame.output(output).cloned().unwrap_or_default(),
    };
    let context = export.map(|export| exported(export, &value));
    if frame.context.is_none() {
        if let Some(context) = context {
            *context_mut(x, frame.parent) = context;
        }
        set_flow(x, frame.parent, value);
        return;
    }
    let own = context.or(frame.context.filter(|_| frame.exported));
    let Some(index) = branch_index(program, x, frame.parent, frame.task) else {
        return;
    };
    if let Some(Frame { state: State::Fork(slots), .. }) = x.frame_mut(frame.parent)
        && let Some(slot) = slots.get_mut(index)
    {
        *slot = Slot::Done(value, own);
    }
}

/// The context that tasks entered in `parent` replace by an export; marks a branch as having exported.
fn context_mut(x: &mut Execution, parent: Visit) -> &mut Value {
    let mut at = parent;
    let mut holder = None;
    while let Some(frame) = x.frame(at) {
        if frame.context.is_some() || matches!(frame.state, State::Local(_)) {
            holder = Some(at);
            break;
        }
        at = frame.parent;
    }
    let Some(index) =
        holder.and_then(|visit| x.frames.binary_search_by_key(&visit, |frame| frame.visit).ok())
    else {
        return &mut x.context;
    };
    let frame = &mut x.frames[index];
    if let State::Local(context) = &mut frame.state {
        return context;
    }
    frame.exported = true;
    frame.context.get_or_insert(Value::Null)
}

fn set_flow(x: &mut Execution, visit: Visit, value: Value) {
    match x.frame_mut(visit) {
        Some(frame) => frame.flow = value,
        None => x.flow = value,
    }
}

fn close(x: &mut Execution, visit: Visit, how: Closed) {
    if let Some(frame) = x.frame_mut(visit) {
        frame.closed = Some(how);
    }
}

/// Removes the frames within a visit; they are closed.
fn purge(x: &mut Execution, visit: Visit) {
    let within = x.within(visit);
    if !within.is_empty() {
        x.frames.retain(|frame| within.binary_search(&frame.visit).is_err());
    }
}
