//! The fold: how one record changes the state. The only place where an [`Execution`] is written (invariant 4).
//!
//! Evaluates nothing and decides nothing: every result of an expression stands in its record.

use std::sync::Arc;

use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{Kind, Program, TaskId};
use tidemill_dsl::value::{Map, Value};

use crate::execution::{Attempts, Closed, Execution, Frame, Phase, ROOT, Slot, State};
use crate::history::{Begin, Export, Kept, Output, Record, Work};
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
        Record::Entered {
            task,
            parent,
            raw,
            input,
            deadline,
            begin,
        } => {
            let fresh = Fresh {
                task: *task,
                parent: *parent,
                raw,
                input,
            };
            let mut frame = fresh.frame(program, x, time);
            frame.deadline = *deadline;
            begin_frame(program, &mut frame, begin);
            x.frames.push(frame);
        }
        Record::Step {
            task,
            parent,
            raw,
            input,
            output,
            export,
        } => {
            let fresh = Fresh {
                task: *task,
                parent: *parent,
                raw,
                input,
            };
            step(x, &fresh, output, export.as_ref());
        }
        Record::Began { visit, begin } => {
            if let Some(frame) = x.frame_mut(*visit) {
                begin_frame(program, frame, begin);
            }
        }
        Record::Ended {
            visit,
            output,
            export,
        } => end(program, x, *visit, output, export.as_ref()),
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
        Record::Heard { pos, .. } => {
            x.heard.insert(*pos);
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
        Record::Revived {
            visit,
            parent,
            deadline,
            limit,
        } => {
            revive(
                program,
                x,
                Revival {
                    old: *visit,
                    parent: *parent,
                    deadline: *deadline,
                    limit: *limit,
                },
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
        Record::Started { failed: true, .. } => x.started = Some(time),
        Record::Started { input, deadline, .. } => {
            x.started = Some(time);
            x.deadline = *deadline;
            let input = input.as_ref().unwrap_or(&x.birth.input).clone();
            x.flow = input.clone();
            x.input = Some(input);
        }
        Record::Taken { input } => {
            x.flow = input.clone();
            x.input = Some(input.clone());
        }
        Record::Suspended { .. } => x.suspended = true,
        Record::Resumed { .. } => {
            x.suspended = false;
            if x.sequence > x.history_limit {
                x.history_limit = x.sequence + MAX_HISTORY;
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
                Output::Flow => x.flow.clone(),
                Output::Inline(value) => value.clone(),
            };
            x.frames.clear();
            finish(x, Ended::Completed(value), None, time);
        }
        Record::WorkflowFaulted { fault, rest } => {
            finish(x, Ended::Faulted(fault.clone()), rest.as_ref(), time)
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
    x.queue = rest.cloned().into_iter().collect();
    x.kept.clear();
}

/// Records about a fork or a for.
fn composite(program: &Program, x: &mut Execution, record: &Record) {
    match record {
        Record::Passed { visit, task } => {
            let Some(index) = branch_index(program, x, *visit, *task) else {
                return;
            };
            if let Some(Frame {
                state: State::Fork(slots),
                ..
            }) = x.frame_mut(*visit)
                && let Some(slot) = slots.get_mut(index)
            {
                *slot = Slot::Skipped;
            }
        }
        Record::Joined { visit } => join(program, x, *visit),
        Record::Iterated { visit } => {
            if let Some(Frame {
                state: State::For { begun, .. },
                ..
            }) = x.frame_mut(*visit)
            {
                *begun += 1;
            }
        }
        _ => {}
    }
}

/// A task that enters its parent.
struct Fresh<'a> {
    task: TaskId,
    parent: Visit,
    raw: &'a Option<Value>,
    input: &'a Option<Value>,
}

impl Fresh<'_> {
    fn raw(&self, x: &Execution) -> Value {
        self.raw.as_ref().unwrap_or_else(|| x.flow(self.parent)).clone()
    }

    fn frame(&self, program: &Program, x: &mut Execution, time: Time) -> Frame {
        let raw = self.raw(x);
        let input = self.input.as_ref().unwrap_or(&raw).clone();
        let context = is_fork(x, self.parent).then(|| x.context_within(self.parent).clone());
        let visit = count_visit(x);
        let ordinal = count_child(x, self.parent);
        if context.is_some()
            && let Some(index) = branch_index(program, x, self.parent, self.task)
            && let Some(Frame {
                state: State::Fork(slots),
                ..
            }) = x.frame_mut(self.parent)
            && let Some(slot) = slots.get_mut(index)
        {
            *slot = Slot::Open;
        }
        Frame {
            visit,
            task: self.task,
            parent: self.parent,
            ordinal,
            entered: 0,
            attempt: attempt_within(x, self.parent),
            flow: input.clone(),
            raw,
            input,
            context,
            exported: false,
            started: time,
            deadline: None,
            closed: None,
            rest: None,
            state: State::Plain,
        }
    }
}

/// The attempt that a task entered in `parent` has: 1, and one more for each retry of a `try` around it.
pub(crate) fn attempt_within(x: &Execution, parent: Visit) -> u32 {
    match x.frame(parent) {
        Some(Frame {
            state:
                State::Try(Attempts {
                    phase: Phase::Body,
                    number,
                    ..
                }),
            attempt,
            ..
        }) => attempt + number - 1,
        Some(frame) => frame.attempt,
        None => 1,
    }
}

fn count_visit(x: &mut Execution) -> Visit {
    let visit = x.next_visit;
    x.next_visit += 1;
    visit
}

fn count_child(x: &mut Execution, parent: Visit) -> u32 {
    let entered = match x.frame_mut(parent) {
        Some(frame) => &mut frame.entered,
        None => &mut x.entered,
    };
    *entered += 1;
    *entered
}

fn begin_frame(program: &Program, frame: &mut Frame, begin: &Begin) {
    frame.state = match begin {
        Begin::Ready => State::Ready,
        Begin::Plain => State::Plain,
        Begin::Call => State::Call,
        Begin::Wait(until) => State::Wait(*until),
        Begin::Listen => State::Listen,
        Begin::Child => State::Child,
        Begin::Local(raw) => {
            if let Some(raw) = raw {
                frame.flow = raw.clone();
            }
            State::Local(Value::Object(Arc::new(Map::new())))
        }
        Begin::For(items) => State::For {
            items: items.clone(),
            begun: 0,
        },
        Begin::Fork => {
            let branches = match &program.task(frame.task).kind {
                Kind::Fork(fork) => program.list(fork.branches).tasks.len(),
                _ => 0,
            };
            State::Fork(vec![Slot::Open; branches])
        }
        Begin::Try(limit) => State::Try(Attempts {
            phase: Phase::Body,
            number: 1,
            limit: *limit,
        }),
    };
}

fn step(x: &mut Execution, fresh: &Fresh<'_>, output: &Output, export: Option<&Export>) {
    count_visit(x);
    count_child(x, fresh.parent);
    let output = match output {
        Output::Inline(value) => value.clone(),
        Output::Input | Output::Flow => fresh.input.clone().unwrap_or_else(|| fresh.raw(x)),
    };
    if let Some(export) = export {
        *context_mut(x, fresh.parent) = exported(export, &output);
    }
    set_flow(x, fresh.parent, output);
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
        Output::Input => frame.input,
        Output::Flow => frame.flow,
        Output::Inline(value) => value.clone(),
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
    if let Some(Frame {
        state: State::Fork(slots),
        ..
    }) = x.frame_mut(frame.parent)
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
        x.frames
            .retain(|frame| within.binary_search(&frame.visit).is_err());
    }
}

fn is_fork(x: &Execution, visit: Visit) -> bool {
    matches!(
        x.frame(visit),
        Some(Frame {
            state: State::Fork(_),
            ..
        })
    )
}

/// Which branch of the fork at `visit` a task is.
pub(crate) fn branch_index(program: &Program, x: &Execution, visit: Visit, task: TaskId) -> Option<usize> {
    let Kind::Fork(fork) = &program.task(x.frame(visit)?.task).kind else {
        return None;
    };
    program
        .list(fork.branches)
        .tasks
        .iter()
        .position(|branch| *branch == task)
}

fn slot_of<'a>(program: &Program, x: &'a mut Execution, visit: Visit) -> Option<&'a mut Slot> {
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
    let context = if own {
        x.context_of(visit)
    } else {
        x.context_within(parent)
    }
    .clone();
    let mut outputs = Vec::with_capacity(slots.len());
    let mut merged = context.clone();
    for slot in slots {
        match slot {
            Slot::Done(output, exported) => {
                outputs.push(output);
                if let Some(exported) = exported {
                    merged = if compete {
                        exported
                    } else {
                        merge(merged, exported)
                    };
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
    let flow = if compete {
        outputs.pop().unwrap_or(input)
    } else {
        Value::from(outputs)
    };
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

fn attempts(x: &mut Execution, record: &Record) {
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
            *state = Attempts {
                phase: Phase::Body,
                number: state.number + 1,
                limit: *limit,
            };
        }
        Record::Handling { fault, .. } => state.phase = Phase::Handler(fault.clone()),
        _ => {}
    }
}

/// A closed visit that is taken over by the next one.
struct Revival {
    old: Visit,
    parent: Visit,
    deadline: Option<Time>,
    limit: Option<Time>,
}

fn revive(program: &Program, x: &mut Execution, revival: Revival, time: Time) {
    let Ok(at) = x.frames.binary_search_by_key(&revival.old, |frame| frame.visit) else {
        return;
    };
    let mut frame = x.frames.remove(at);
    frame.visit = count_visit(x);
    frame.parent = revival.parent;
    frame.ordinal = count_child(x, revival.parent);
    frame.attempt = attempt_within(x, revival.parent);
    frame.deadline = revival.deadline;
    frame.started = time;
    frame.closed = None;
    frame.rest = None;
    match &mut frame.state {
        State::Try(attempts) => {
            attempts.number = 1;
            attempts.limit = revival.limit;
        }
        State::Fork(slots) => {
            slots
                .iter_mut()
                .filter(|slot| matches!(slot, Slot::Failed(_)))
                .for_each(|slot| *slot = Slot::Open);
        }
        _ => {}
    }
    if let Some(index) = branch_index(program, x, revival.parent, frame.task)
        && let Some(Frame {
            state: State::Fork(slots),
            ..
        }) = x.frame_mut(revival.parent)
        && let Some(slot) = slots.get_mut(index)
    {
        *slot = Slot::Open;
    }
    debug_assert!(
        frame.parent == ROOT || x.is_open(frame.parent),
        "a revived task has an open parent"
    );
    x.frames.push(frame);
}
