//! The fold of visits that begin.

use std::sync::Arc;

use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{Kind, Program, TaskId};
use tidemill_dsl::value::{Map, Value};

use super::branches::branch_index;
use super::insert;
use crate::execution::{Attempts, Execution, Frame, Phase, ROOT, Slot, State};
use crate::history::Begin;

/// A task that enters its parent.
pub(super) struct Fresh<'a> {
    pub(super) task: TaskId,
    pub(super) parent: Visit,
    pub(super) raw: &'a Option<Value>,
    pub(super) input: &'a Option<Value>,
}

impl Fresh<'_> {
    pub(super) fn raw(&self, x: &Execution) -> Value {
        self.raw.as_ref().unwrap_or_else(|| x.flow(self.parent)).clone()
    }

    pub(super) fn frame(&self, program: &Program, x: &mut Execution, time: Time) -> Frame {
        let raw = self.raw(x);
        let input = self.input.as_ref().unwrap_or(&raw).clone();
        let context = is_fork(x, self.parent).then(|| x.context_within(self.parent).clone());
        let visit = count_visit(x, self.task);
        let ordinal = count_child(x, self.parent);
        if context.is_some()
            && let Some(index) = branch_index(program, x, self.parent, self.task)
            && let Some(Frame { state: State::Fork(slots), .. }) = x.frame_mut(self.parent)
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
            extensions: Vec::new(),
            state: State::Plain,
        }
    }
}

/// The attempt that a task entered in `parent` has: 1, and one more for each retry of a `try` around it.
pub(crate) fn attempt_within(x: &Execution, parent: Visit) -> u32 {
    match x.frame(parent) {
        Some(Frame { state: State::Try(Attempts { phase: Phase::Body, number, .. }), attempt, .. }) => {
            attempt + number - 1
        }
        Some(frame) => frame.attempt,
        None => 1,
    }
}

pub(super) fn count_visit(x: &mut Execution, task: TaskId) -> Visit {
    let visit = x.upcoming(task);
    x.next_visit += 1;
    visit
}

pub(super) fn count_child(x: &mut Execution, parent: Visit) -> u32 {
    let entered = match x.frame_mut(parent) {
        Some(frame) => &mut frame.entered,
        None => &mut x.entered,
    };
    *entered += 1;
    *entered
}

pub(super) fn begin_frame(program: &Program, frame: &mut Frame, begin: &Begin) {
    if matches!(frame.state, State::Before(_)) {
        frame.flow = frame.input.clone();
        frame.entered = 0;
    }
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
        Begin::For(items) => State::For { items: items.clone(), begun: 0 },
        Begin::Fork => {
            let branches = match &program.task(frame.task).kind {
                Kind::Fork(fork) => program.list(fork.branches).tasks.len(),
                _ => 0,
            };
            State::Fork(vec![Slot::Open; branches])
        }
        Begin::Extended(extensions) => {
            frame.extensions.clone_from(extensions);
            State::Before(0)
        }
        Begin::Try(limit) => State::Try(Attempts { phase: Phase::Body, number: 1, limit: *limit }),
    };
}

/// A closed visit that is taken over by the next one.
pub(super) struct Revival {
    pub(super) old: Visit,
    pub(super) parent: Visit,
    pub(super) deadline: Option<Time>,
    pub(super) limit: Option<Time>,
}

pub(super) fn revive(program: &Program, x: &mut Execution, revival: &Revival, time: Time) {
    let Ok(at) = x.frames.binary_search_by_key(&revival.old, |frame| frame.visit) else {
        return;
    };
    let mut frame = x.frames.remove(at);
    frame.visit = count_visit(x, frame.task);
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
            if matches!(attempts.phase, Phase::Delay(_)) {
                attempts.phase = Phase::Body;
            }
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
        && let Some(Frame { state: State::Fork(slots), .. }) = x.frame_mut(revival.parent)
        && let Some(slot) = slots.get_mut(index)
    {
        *slot = Slot::Open;
    }
    debug_assert!(frame.parent == ROOT || x.is_open(frame.parent), "a revived task has an open parent");
    insert(x, frame);
}

fn is_fork(x: &Execution, visit: Visit) -> bool {
    matches!(x.frame(visit), Some(Frame { state: State::Fork(_), .. }))
}
