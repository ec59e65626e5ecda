//! Retry of an execution that has faulted or was cancelled: it goes on with the failed task in its nested place, with
//! data and context as they were; completed tasks and branches are not run again (dsl.md section 12, "Control").
//!
//! Closed visits around the failed tasks are taken over by new visits; the failed tasks themselves are entered anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{Kind, ListId, TaskId};
use tidemill_dsl::value::Value;

use crate::control::refused;
use crate::execution::{Attempts, Frame, Phase, ROOT, Slot, State};
use crate::history::{Record, Work};
use crate::machine::Machine;
use crate::record::Status;
use crate::scope::{Place, Scope, Site};
use crate::{Verdict, retry, step, timeout};

/// Where a retry begins.
enum From {
    /// With whatever failed or was cancelled.
    Failed,
    /// With this task in this closed visit (0: the top list).
    Task(Visit, TaskId),
}

impl Machine<'_> {
    /// Reopens the execution.
    pub(crate) fn redrive(
        &mut self,
        input: Option<Value>,
        from: Option<&str>,
        reason: Option<Arc<str>>,
    ) -> Verdict {
        let status = self.x.status();
        if !matches!(status, Status::Faulted | Status::Cancelled) {
            return refused(status);
        }
        let from = match from.map(|reference| self.find(reference)) {
            None => From::Failed,
            Some(Some((visit, task))) => From::Task(visit, task),
            Some(None) => {
                return Verdict::Refused("`fromTask` names no task where the execution stopped".into());
            }
        };
        self.queue.extend(self.x.queue.iter().cloned());
        let deadline = self.workflow_deadline();
        self.emit(Record::Reopened { deadline, reason });
        if self.x.input.is_none() {
            if let Some(flow) = input {
                self.emit(Record::Patched { visit: ROOT, flow });
            }
            self.prepare_workflow();
        } else if let From::Task(ROOT, task) = from {
            self.queue.clear();
            self.emit(Record::Cleared);
            self.queue.push_back(Work::Enter { task, parent: ROOT, raw: input });
        } else if self.x.frames.is_empty() {
            self.go_on(input);
        } else {
            self.revive(input.as_ref(), &from);
            self.emit(Record::Cleared);
        }
        if !self.x.queue.is_empty() {
            self.emit(Record::Continued);
        }
        self.walk();
        Verdict::Applied
    }

    /// The deadline of a workflow that begins or is reopened now; a timeout that cannot be evaluated counts as none.
    fn workflow_deadline(&self) -> Option<Time> {
        let template = self.program.timeout.as_ref()?;
        let scope = Scope::of_workflow(self.program, self.x, Place::WorkflowInput);
        let input = self.x.input.as_ref().unwrap_or(&self.x.birth.input);
        Some(self.now.plus(timeout::duration(template, input, &scope).ok()?))
    }

    /// Nothing is open: the top list goes on where it stood, or the workflow's output is made again.
    fn go_on(&mut self, input: Option<Value>) {
        if let Some(Work::Enter { raw, .. }) = self.queue.front_mut() {
            *raw = input.or(raw.take());
            return;
        }
        if let Some(flow) = input {
            self.emit(Record::Patched { visit: ROOT, flow });
        }
        self.queue.clear();
        self.queue.push_back(Work::Done(ROOT));
    }

    /// The place where a task named by its reference can be entered: in a closed visit's current list, or the top one.
    fn find(&self, reference: &str) -> Option<(Visit, TaskId)> {
        let index = self.program.tasks.iter().position(|task| *task.reference == *reference)?;
        let task = TaskId(index as u32);
        let list = self.program.task(task).list;
        if list == self.program.root {
            return Some((ROOT, task));
        }
        let holds = |frame: &&Frame| self.current_list(frame) == Some(list);
        self.x.frames.iter().rev().find(holds).map(|frame| (frame.visit, task))
    }

    fn current_list(&self, frame: &Frame) -> Option<ListId> {
        match (&self.program.task(frame.task).kind, &frame.state) {
            (_, State::Before(_) | State::After(_)) => {
                step::extension::current(self, &frame.extensions, &frame.state)
            }
            (Kind::Do(list), _) => Some(*list),
            (Kind::For(each), State::For { begun, .. }) if *begun > 0 => Some(each.body),
            (Kind::Fork(fork), State::Fork(_)) => Some(fork.branches),
            (Kind::Local(local), State::Local(_)) => Some(self.program.task(local.body).list),
            (Kind::Try(attempt), State::Try(Attempts { phase: Phase::Handler(_), .. })) => attempt.handler,
            (Kind::Try(attempt), State::Try(_)) => Some(attempt.body),
            _ => None,
        }
    }

    /// Takes closed visits over and enters the tasks the run goes on with.
    fn revive(&mut self, input: Option<&Value>, from: &From) {
        let closed = self.x.frames.clone();
        let given = input.filter(|_| matches!(from, From::Failed));
        let mut renewed: BTreeMap<Visit, Visit> = BTreeMap::from([(ROOT, ROOT)]);
        for frame in &closed {
            let Some(parent) = renewed.get(&frame.parent).copied() else {
                continue;
            };
            if matches!(from, From::Task(visit, task) if *visit == frame.parent && *task == frame.task) {
                continue;
            }
            let at = match from {
                From::Task(visit, task) if *visit == frame.visit => Some(*task),
                _ => None,
            };
            let inner = closed.iter().any(|other| other.parent == frame.visit);
            if at.is_none() && !inner && frame.rest.is_none() {
                let raw = given.cloned();
                self.queue.push_back(Work::Enter { task: frame.task, parent, raw });
                continue;
            }
            let visit = self.x.upcoming(frame.task);
            self.take_over(frame, parent);
            self.enter_unbegun(frame, visit, (at, &closed));
            match (at, &frame.rest) {
                (Some(task), _) => {
                    self.queue.push_back(Work::Enter { task, parent: visit, raw: input.cloned() });
                    if !matches!(frame.state, State::Fork(_)) {
                        continue;
                    }
                }
                (None, Some(Work::Enter { task, raw, .. })) => {
                    let raw = given.cloned().or_else(|| raw.clone());
                    self.queue.push_back(Work::Enter { task: *task, parent: visit, raw });
                }
                (None, Some(_)) => self.queue.push_back(Work::Done(visit)),
                (None, None) => {}
            }
            renewed.insert(frame.visit, visit);
        }
    }

    fn take_over(&mut self, frame: &Frame, parent: Visit) {
        let site = Site { parent, ..Site::of(frame) };
        let task = self.program.task(frame.task);
        let deadline = task.timeout.as_ref().and_then(|timeout| self.duration(timeout, &site, &[]).ok());
        let limit = match (&task.kind, &frame.state) {
            (Kind::Try(attempt), State::Try(Attempts { phase: Phase::Body | Phase::Delay(_), .. })) => {
                retry::attempt_deadline(self, &site, attempt).ok().flatten()
            }
            _ => None,
        };
        let deadline = deadline.map(|duration| self.now.plus(duration));
        self.emit(Record::Revived { visit: frame.visit, parent, deadline, limit });
    }

    /// The branches of a revived fork that had not been entered.
    fn enter_unbegun(&mut self, frame: &Frame, visit: Visit, (at, closed): (Option<TaskId>, &[Frame])) {
        let (Kind::Fork(fork), State::Fork(slots)) = (&self.program.task(frame.task).kind, &frame.state)
        else {
            return;
        };
        for (task, slot) in self.program.list(fork.branches).tasks.iter().zip(slots) {
            let entered = closed.iter().any(|other| other.parent == frame.visit && other.task == *task);
            if matches!(slot, Slot::Open) && !entered && at != Some(*task) {
                self.queue.push_back(Work::Enter { task: *task, parent: visit, raw: None });
            }
        }
    }
}
