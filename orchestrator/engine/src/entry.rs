//! The public history: what `GET /executions/{id}/history` and the stream show, expanded from records (D9).
//!
//! Owns the words of the entries. Reads records; decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_dsl::program::{Kind, Program, TaskId};
use tidemill_dsl::value::Value;

use crate::apply::{apply, attempt_within};
use crate::codec::DecodeError;
use crate::decode::{birth_of, decode, known};
use crate::execution::{Execution, Frame, State};
use crate::history::{Output, Record};
use crate::record::{Ended, Transition};

/// One entry of the public history.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number within the execution, from 1, gap-free.
    pub sequence: u64,
    /// When.
    pub time: Time,
    /// Its type in the language's words, for example `task.completed`.
    pub kind: &'static str,
    /// The task, if it is about one.
    pub task: Option<TaskRef>,
    /// Raw input (`workflow.started`) or transformed input (`task.started`).
    pub input: Option<Value>,
    /// Transformed output (`*.completed`).
    pub output: Option<Value>,
    /// The error (`*.faulted`).
    pub error: Option<Fault>,
    /// An operator's reason, or the limit that suspended.
    pub reason: Option<Arc<str>>,
    /// The child that a `run.workflow` task starts (`task.started`).
    pub child: Option<ExecutionId>,
    /// The function that was called by an alias (the end of a call).
    pub function: Option<CalledBy>,
}

/// A function called by an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledBy {
    /// The function.
    pub name: Arc<str>,
    /// The alias.
    pub alias: Arc<str>,
    /// The version that the alias stood for.
    pub version: u32,
}

/// The run of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRef {
    /// Its YAML name.
    pub name: Arc<str>,
    /// Its JSON pointer.
    pub reference: Arc<str>,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// Its visit.
    pub visit: Visit,
}

/// Expands transitions, fed in order, to entries.
///
/// It folds as it goes, because records do not repeat data that follows from earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Expander {
    execution: Option<Execution>,
    /// Versions that aliases of open calls stood for.
    chosen: BTreeMap<Visit, u32>,
}

impl Expander {
    /// One that is to be fed from the very first transition.
    pub fn new() -> Expander {
        Expander::default()
    }

    /// One that goes on after the transitions folded into `execution`.
    pub fn after(execution: Execution) -> Expander {
        Expander { execution: Some(execution), chosen: BTreeMap::new() }
    }

    /// The state after what it was fed.
    pub fn execution(&self) -> Option<&Execution> {
        self.execution.as_ref()
    }

    /// The entries of the next transition.
    pub fn feed(&mut self, program: &Program, transition: &Transition) -> Result<Vec<Entry>, DecodeError> {
        let x = match &mut self.execution {
            Some(execution) => execution,
            empty => empty.insert(Execution::unborn(birth_of(transition)?.into())),
        };
        if transition.first != x.sequence {
            return Err(DecodeError("a transition is missing or stands twice"));
        }
        let mut entries = Vec::with_capacity(transition.count as usize);
        for record in decode(&transition.body)? {
            let whole = x.link.0.clone();
            let program = whole.as_deref().unwrap_or(program);
            known(program, &record)?;
            if let Record::Chosen { visit, version } = record {
                self.chosen.insert(visit, version);
            }
            let page = Page { program, time: transition.time, first: x.sequence, entries: &mut entries };
            expand(page, x, &record);
            if let (Some(visit), Some(entry)) = (ended(&record), entries.last_mut()) {
                entry.function =
                    self.chosen.remove(&visit).and_then(|version| called(program, entry, version));
            }
        }
        x.transitions += 1;
        Ok(entries)
    }
}

/// The visit that a record ends.
fn ended(record: &Record) -> Option<Visit> {
    match record {
        Record::Ended { visit, .. } | Record::Faulted { visit, .. } | Record::Cancelled { visit, .. } => {
            Some(*visit)
        }
        _ => None,
    }
}

fn called(program: &Program, entry: &Entry, version: u32) -> Option<CalledBy> {
    let reference = &entry.task.as_ref()?.reference;
    match &program.tasks.iter().find(|task| task.reference == *reference)?.kind {
        Kind::Function(call) => {
            Some(CalledBy { name: call.name.clone(), alias: call.version.clone(), version })
        }
        _ => None,
    }
}

/// Where entries are put.
struct Page<'a> {
    program: &'a Program,
    time: Time,
    first: u64,
    entries: &'a mut Vec<Entry>,
}

impl Page<'_> {
    fn put(&mut self, kind: &'static str, task: Option<TaskRef>) -> &mut Entry {
        let sequence = self.first;
        self.first += 1;
        let blank = Entry {
            sequence,
            time: self.time,
            kind,
            task,
            input: None,
            output: None,
            error: None,
            reason: None,
            child: None,
            function: None,
        };
        self.entries.push(blank);
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }

    fn task(&self, task: TaskId, visit: Visit, attempt: u32) -> TaskRef {
        let task = self.program.task(task);
        TaskRef { name: task.name.clone(), reference: task.reference.clone(), attempt, visit }
    }

    fn of(&self, frame: &Frame) -> TaskRef {
        self.task(frame.task, frame.visit, frame.attempt)
    }

    fn begin(&mut self, task: TaskRef, input: Value, child: Option<ExecutionId>) {
        self.put("task.created", Some(task.clone()));
        let started = self.put("task.started", Some(task));
        started.input = Some(input);
        started.child = child;
    }
}

/// Folds a record and puts its entries.
fn expand(mut page: Page<'_>, x: &mut Execution, record: &Record) {
    let program = page.program;
    if record.entries() == 0 {
        return apply(program, x, record, page.time);
    }
    match record {
        Record::Fetching { task, .. } => {
            let visit = x.upcoming(*task);
            apply(program, x, record, page.time);
            let Some(frame) = x.frame(visit) else { return };
            page.put("task.created", Some(page.of(frame)));
        }
        Record::Took { visit, .. } => {
            apply(program, x, record, page.time);
            let Some(frame) = x.frame(*visit) else { return };
            let child = child(program, x, frame.task, *visit, frame.started);
            let started = page.put("task.started", Some(page.of(frame)));
            started.input = Some(frame.input.clone());
            started.child = child;
        }
        Record::Entered { .. } | Record::Revived { .. } => {
            let visit = x.next_visit;
            apply(program, x, record, page.time);
            let Some(frame) = x.frame(visit) else { return };
            page.begin(
                page.of(frame),
                frame.input.clone(),
                child(program, x, frame.task, visit, frame.started),
            );
        }
        Record::Step { task, parent, raw, input, output, .. } => {
            let visit = x.next_visit;
            let reference = page.task(*task, visit, attempt_within(x, *parent));
            let input = input.as_ref().or(raw.as_ref()).unwrap_or_else(|| x.flow(*parent)).clone();
            let output = if let Output::Inline(value) = output { value.clone() } else { input.clone() };
            let child = child(program, x, *task, visit, page.time);
            apply(program, x, record, page.time);
            page.begin(reference.clone(), input, child);
            page.put("task.completed", Some(reference)).output = Some(output);
        }
        Record::Ended { visit, output, .. } => {
            let ended = x.frame(*visit).map(|frame| {
                let inline = if let Output::Inline(value) = output { Some(value) } else { None };
                let value = inline.or_else(|| frame.output(output));
                (page.of(frame), value.cloned().unwrap_or_default())
            });
            apply(program, x, record, page.time);
            let Some((task, value)) = ended else { return };
            page.put("task.completed", Some(task)).output = Some(value);
        }
        Record::Faulted { visit, .. } | Record::Cancelled { visit, .. } | Record::Retried { visit, .. } => {
            apply(program, x, record, page.time);
            let Some(frame) = x.frame(*visit) else { return };
            let mut task = page.of(frame);
            match (record, &frame.state) {
                (Record::Faulted { fault, .. }, _) => {
                    page.put("task.faulted", Some(task)).error = Some(fault.clone());
                }
                (Record::Retried { .. }, State::Try(attempts)) => {
                    task.attempt += attempts.number - 1;
                    page.put("task.retried", Some(task));
                }
                _ => {
                    page.put("task.cancelled", Some(task));
                }
            }
        }
        _ => {
            apply(program, x, record, page.time);
            whole(page, x, record);
        }
    }
}

/// Entries about the execution as a whole.
fn whole(mut page: Page<'_>, x: &Execution, record: &Record) {
    match record {
        Record::Started { .. } => page.put("workflow.started", None).input = Some(x.birth.input.clone()),
        Record::Suspended { waiting, reason } => {
            waits(&mut page, x, waiting, "task.suspended");
            page.put("workflow.suspended", None).reason.clone_from(reason);
        }
        Record::Resumed { waiting, reason } => {
            page.put("workflow.resumed", None).reason.clone_from(reason);
            waits(&mut page, x, waiting, "task.resumed");
        }
        Record::Reopened { reason, .. } => page.put("workflow.retried", None).reason.clone_from(reason),
        Record::Completed { .. } => {
            let output =
                if let Some(Ended::Completed(value)) = &x.result { Some(value.clone()) } else { None };
            page.put("workflow.completed", None).output = output;
        }
        Record::WorkflowFaulted { fault, .. } => {
            page.put("workflow.faulted", None).error = Some(fault.clone());
        }
        Record::WorkflowCancelled { reason, .. } => {
            page.put("workflow.cancelled", None).reason.clone_from(reason);
        }
        _ => {}
    }
}

fn waits(page: &mut Page<'_>, x: &Execution, waiting: &[Visit], kind: &'static str) {
    for visit in waiting {
        let task = x.frame(*visit).map(|frame| page.of(frame));
        page.put(kind, task);
    }
}

fn child(program: &Program, x: &Execution, task: TaskId, visit: Visit, started: Time) -> Option<ExecutionId> {
    matches!(program.task(task).kind, Kind::RunWorkflow(_)).then(|| x.child_id(visit, started))
}
