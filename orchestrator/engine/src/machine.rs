//! The walk: from one input to the next point where something outside must answer.
//!
//! Owns the order of things common to all tasks: `if`, input, body, output, export, successor (dsl.md section 4). What
//! a kind of task does is told by `step`; how state changes by `apply`.

use std::collections::VecDeque;

use tidemill_dsl::expr::{Arguments, Template};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{Kind, Next, Program, Shape, TaskId};
use tidemill_dsl::value::Value;

use crate::apply::apply;
use crate::execution::{Execution, Frame, ROOT, State};
use crate::history::{Begin, Export, Output, Record, Work};
use crate::limits::{MAX_BYTES, MAX_NESTING, MAX_VISITS, measure};
use crate::record::{Due, DueChange, Subscription, SubscriptionChange};
use crate::scope::{Place, Scope, Site};
use crate::{Effect, step};

/// One decision in the making.
pub(crate) struct Machine<'a> {
    pub program: &'a Program,
    pub x: &'a mut Execution,
    pub now: Time,
    pub records: Vec<Record>,
    pub effects: Vec<Effect>,
    pub due: Vec<DueChange>,
    pub subscriptions: Vec<SubscriptionChange>,
    pub queue: VecDeque<Work>,
    visits: usize,
    bytes: usize,
}

/// A raw output.
#[derive(Clone, Debug)]
pub(crate) enum Raw {
    /// The transformed input.
    Input,
    /// The data that flows within the task.
    Flow,
    /// This.
    Value(Value),
}

/// What a task's body does first.
pub(crate) enum Begun {
    /// It is done at once: raw output and successor.
    Done(Raw, Next),
    /// It waits.
    Open(Begin),
}

/// A transformed output with its export.
struct Shaped {
    output: Output,
    export: Option<Export>,
    value: Value,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(program: &'a Program, x: &'a mut Execution, now: Time) -> Machine<'a> {
        Machine {
            program,
            x,
            now,
            records: Vec::new(),
            effects: Vec::new(),
            due: Vec::new(),
            subscriptions: Vec::new(),
            queue: VecDeque::new(),
            visits: 0,
            bytes: 0,
        }
    }

    /// Yields a record: folds it and notes what it changes about timers and subscriptions.
    pub(crate) fn emit(&mut self, record: Record) {
        let Some(visit) = touched(&record, self.x.next_visit) else {
            apply(self.program, self.x, &record, self.now);
            self.records.push(record);
            return;
        };
        let (before, listened) = (self.x.timers(visit), self.x.listens(visit));
        apply(self.program, self.x, &record, self.now);
        self.records.push(record);
        let after = self.x.timers(visit);
        if before != after {
            before
                .0
                .iter()
                .flatten()
                .filter(|due| !after.contains(due))
                .for_each(|due| self.clear(*due));
            let set = after.0.iter().flatten().filter(|due| !before.contains(due));
            self.due.extend(set.map(|due| DueChange::Set(*due)));
        }
        match (listened, self.x.listens(visit)) {
            (false, true) => self
                .subscriptions
                .extend(subscription(self.program, self.x, visit).map(SubscriptionChange::Add)),
            (true, false) => self.unsubscribe(visit),
            _ => {}
        }
    }

    fn clear(&mut self, due: Due) {
        match self.due.iter().rposition(|change| *change == DueChange::Set(due)) {
            Some(at) => {
                self.due.remove(at);
            }
            None => self.due.push(DueChange::Clear(due)),
        }
    }

    fn unsubscribe(&mut self, visit: Visit) {
        let added =
            |change: &SubscriptionChange| matches!(change, SubscriptionChange::Add(s) if s.visit == visit);
        match self.subscriptions.iter().rposition(added) {
            Some(at) => {
                self.subscriptions.remove(at);
            }
            None => self
                .subscriptions
                .push(SubscriptionChange::Remove(self.x.birth.id, visit)),
        }
    }

    /// Takes up what an earlier decision has left to do.
    pub(crate) fn take_up(&mut self) {
        if !self.x.queue.is_empty() {
            self.queue.extend(self.x.queue.iter().cloned());
            self.emit(Record::Continued);
        }
    }

    /// Walks until nothing is left to do or a limit says to yield.
    pub(crate) fn walk(&mut self) {
        while self.x.ended.is_none() && !self.queue.is_empty() {
            if self.x.sequence > self.x.history_limit {
                let limit = self.x.history_limit;
                self.leave();
                self.suspend(Some(
                    format!("the history has {limit} entries (limit history)").into(),
                ));
                return;
            }
            if self.visits >= MAX_VISITS || self.bytes >= MAX_BYTES {
                self.leave();
                return;
            }
            match self.queue.pop_front() {
                Some(Work::Enter { task, parent, raw }) if self.x.is_open(parent) => {
                    self.enter(task, parent, raw)
                }
                Some(Work::Run(visit)) => {
                    if let Some(frame) = self.x.open_frame(visit) {
                        let site = Site::of(frame);
                        self.run(site);
                    }
                }
                Some(Work::Done(visit)) if self.x.is_open(visit) => step::list_done(self, visit),
                _ => {}
            }
        }
    }

    fn leave(&mut self) {
        let rest = self.queue.drain(..).collect();
        self.emit(Record::Yielded(rest));
    }

    /// Enters a task: `if`, raw input, transformed input, then its body.
    fn enter(&mut self, id: TaskId, parent: Visit, raw: Option<Value>) {
        self.visits += 1;
        let task = self.program.task(id);
        let given = raw.is_some();
        let raw = raw.unwrap_or_else(|| self.x.flow(parent).clone());
        let site = Site {
            visit: None,
            task: id,
            parent,
            input: raw.clone(),
            raw,
            started: self.now,
            given,
            taken: false,
            deadline: None,
        };
        if self.x.depth(parent) >= MAX_NESTING {
            let fault = Fault::configuration(format!(
                "tasks are nested deeper than {MAX_NESTING} (limit nesting)"
            ));
            self.refuse(site, fault);
            return;
        }
        match self.holds(id, &site) {
            Ok(false) => return self.skip(&site, task.following),
            Ok(true) => {}
            Err(fault) => return self.refuse(site, fault),
        }
        let mut site = site;
        if let Err(fault) = self.intake(&mut site) {
            self.refuse(site, fault);
        } else if self.is_fork(parent) {
            let visit = self.open(site, Begin::Ready);
            self.queue.push_back(Work::Run(visit));
        } else {
            self.run(site);
        }
    }

    /// Whether a task's `if` holds.
    fn holds(&self, id: TaskId, site: &Site) -> Result<bool, Fault> {
        let Some(condition) = &self.program.task(id).condition else {
            return Ok(true);
        };
        let scope = Scope::of_task(self.program, self.x, Place::Intake, site);
        Ok(condition.eval(&site.raw, &scope)?.is_truthy())
    }

    fn skip(&mut self, site: &Site, following: Next) {
        if self.is_fork(site.parent) {
            self.emit(Record::Passed {
                visit: site.parent,
                task: site.task,
            });
            step::fork::settled(self, site.parent);
            return;
        }
        if site.given {
            self.emit(Record::Patched {
                visit: site.parent,
                flow: site.raw.clone(),
            });
        }
        self.advance(site.parent, following, &site.raw);
    }

    /// Input schema, `input.from`, timeout.
    fn intake(&mut self, site: &mut Site) -> Result<(), Fault> {
        let task = self.program.task(site.task);
        if let Some(schema) = &task.input.schema {
            schema.validate(&site.raw)?;
        }
        if let Some(from) = &task.input.from {
            let scope = Scope::of_task(self.program, self.x, Place::Intake, site);
            let input = from.eval(&site.raw, &scope)?;
            if !same(&input, &site.raw) {
                site.input = self.weigh(input)?;
                site.taken = true;
            }
        }
        if let Some(timeout) = &task.timeout {
            site.deadline = Some(self.now.plus(self.duration(timeout, site, &[])?));
        }
        Ok(())
    }

    /// Begins a task's body.
    pub(crate) fn run(&mut self, site: Site) {
        match step::begin(self, &site) {
            Ok(Begun::Done(raw, next)) => self.complete(site, &raw, next),
            Ok(Begun::Open(begin)) => {
                let visit = self.open(site, begin);
                step::opened(self, visit);
            }
            Err(fault) => self.refuse(site, fault),
        }
    }

    /// Opens a site's visit if it is not open yet.
    fn open(&mut self, site: Site, begin: Begin) -> Visit {
        if let Some(visit) = site.visit {
            if begin != Begin::Plain
                || self
                    .x
                    .frame(visit)
                    .is_some_and(|frame| frame.state == State::Ready)
            {
                self.emit(Record::Began { visit, begin });
            }
            return visit;
        }
        let visit = self.x.next_visit;
        self.emit(Record::Entered {
            task: site.task,
            parent: site.parent,
            raw: site.given.then_some(site.raw),
            input: site.taken.then_some(site.input),
            deadline: site.deadline,
            begin,
        });
        visit
    }

    /// A fault of the task itself, open or not.
    fn refuse(&mut self, site: Site, fault: Fault) {
        let visit = match site.visit {
            Some(visit) => visit,
            None => self.open(site, Begin::Plain),
        };
        self.fault(visit, fault, true);
    }

    /// Completes a task: output, export, successor.
    pub(crate) fn complete(&mut self, site: Site, raw: &Raw, next: Next) {
        let Shaped {
            output,
            export,
            value,
        } = match self.shape(&site, raw) {
            Ok(shaped) => shaped,
            Err(fault) => return self.refuse(site, fault),
        };
        let parent = site.parent;
        let branch = self.is_fork(parent);
        match site.visit {
            Some(visit) => self.emit(Record::Ended {
                visit,
                output,
                export,
            }),
            None => self.emit(Record::Step {
                task: site.task,
                parent,
                raw: site.given.then_some(site.raw),
                input: site.taken.then_some(site.input),
                output,
                export,
            }),
        }
        if branch && next != Next::End {
            step::fork::settled(self, parent);
        } else {
            self.advance(parent, next, &value);
        }
    }

    /// `output.as`, output schema, `export.as`, export schema.
    fn shape(&mut self, site: &Site, raw: &Raw) -> Result<Shaped, Fault> {
        let task = self.program.task(site.task);
        let plain = match raw {
            Raw::Input => site.input.clone(),
            Raw::Flow => site
                .visit
                .map_or_else(|| site.input.clone(), |visit| self.x.flow(visit).clone()),
            Raw::Value(value) => value.clone(),
        };
        let scope = Scope {
            raw_output: Some(&plain),
            ..Scope::of_task(self.program, self.x, Place::Output, site)
        };
        let value = transformed(&task.output, &plain, &scope)?;
        let output = if same(&value, &site.input) {
            Output::Input
        } else if matches!(raw, Raw::Flow) && same(&value, &plain) {
            Output::Flow
        } else {
            // A raw value was weighed when it was made or came in.
            let made = task.output.transform.is_some();
            Output::Inline(if made {
                self.weigh(value.clone())?
            } else {
                value.clone()
            })
        };
        let value = if matches!(output, Output::Input) {
            site.input.clone()
        } else {
            value
        };
        let export = self.export(site, &plain, &value)?;
        Ok(Shaped {
            output,
            export,
            value,
        })
    }

    fn export(&mut self, site: &Site, raw: &Value, value: &Value) -> Result<Option<Export>, Fault> {
        let shape = &self.program.task(site.task).export;
        if shape.transform.is_none() && shape.schema.is_none() {
            return Ok(None);
        }
        let scope = Scope {
            raw_output: Some(raw),
            output: Some(value),
            ..Scope::of_task(self.program, self.x, Place::Export, site)
        };
        let context = transformed(shape, value, &scope)?;
        if shape.transform.is_none() {
            return Ok(None);
        }
        Ok(Some(if same(&context, value) {
            Export::Output
        } else {
            Export::Inline(self.weigh(context)?)
        }))
    }

    /// Goes on after a task that ran in `parent` and gave `value`.
    fn advance(&mut self, parent: Visit, next: Next, value: &Value) {
        match next {
            Next::Task(task) => self.queue.push_back(Work::Enter {
                task,
                parent,
                raw: None,
            }),
            Next::Exit => step::list_done(self, parent),
            Next::End => self.end(value),
        }
    }

    /// Begins a list within an open visit (or the workflow).
    pub(crate) fn begin_list(&mut self, list: tidemill_dsl::program::ListId, visit: Visit) {
        self.queue.push_back(match self.program.list(list).tasks.first() {
            Some(task) => Work::Enter {
                task: *task,
                parent: visit,
                raw: None,
            },
            None => Work::Done(visit),
        });
    }

    /// Begins a single task within an open visit.
    pub(crate) fn begin_task(&mut self, task: TaskId, visit: Visit) {
        self.queue.push_back(Work::Enter {
            task,
            parent: visit,
            raw: None,
        });
    }

    /// `then: end`: everything open is cancelled, the workflow gives `value` (dsl.md section 5 #16).
    fn end(&mut self, value: &Value) {
        self.interrupt(ROOT);
        if !same(value, &self.x.flow) {
            self.emit(Record::Patched {
                visit: ROOT,
                flow: value.clone(),
            });
        }
        self.finish();
    }

    /// The workflow's output.
    pub(crate) fn finish(&mut self) {
        let flow = self.x.flow.clone();
        let scope = Scope::of_workflow(self.program, self.x, Place::WorkflowOutput);
        let output =
            match transformed(&self.program.output, &flow, &scope).and_then(|value| self.weigh(value)) {
                Ok(value) if self.x.input.as_ref().is_some_and(|input| same(input, &value)) => Output::Input,
                Ok(value) if same(&value, &flow) => Output::Flow,
                Ok(value) => Output::Inline(value),
                Err(fault) => return self.end_faulted(fault),
            };
        self.emit(Record::Completed { output });
        self.ended();
    }

    /// The execution ends with an error.
    pub(crate) fn end_faulted(&mut self, fault: Fault) {
        let rest = self.interrupt(ROOT);
        self.emit(Record::WorkflowFaulted { fault, rest });
        self.ended();
    }

    pub(crate) fn ended(&mut self) {
        self.queue.clear();
        self.effects.extend(self.x.result.clone().map(Effect::Ended));
    }

    /// Cancels everything open within a visit, innermost first. Gives what was left to do in the visit itself.
    pub(crate) fn interrupt(&mut self, visit: Visit) -> Option<Work> {
        let rest = self.forget(visit);
        for inner in self.x.within(visit).into_iter().rev() {
            let Some(frame) = self.x.open_frame(inner) else {
                continue;
            };
            let stop = self.stop(frame);
            self.effects.extend(stop);
            let rest = self.forget(inner);
            self.emit(Record::Cancelled { visit: inner, rest });
        }
        rest
    }

    /// What cuts off the call or the child that a visit waits for.
    pub(crate) fn stop(&self, frame: &Frame) -> Option<Effect> {
        let effect = match &frame.state {
            State::Call => Effect::Abort { visit: frame.visit },
            State::Child => Effect::CancelChild {
                child: self.x.child_id(frame.visit, frame.started),
            },
            _ => return None,
        };
        (!self.x.keeps_answer(frame.visit)).then_some(effect)
    }

    /// Drops what was left to do in a visit; gives the next task of a list, so that a retry can go on there.
    fn forget(&mut self, visit: Visit) -> Option<Work> {
        let fork = self.is_fork(visit);
        let rest = self
            .queue
            .iter()
            .find(|work| work.visit() == visit && !fork && !matches!(work, Work::Run(_)))
            .cloned();
        self.queue.retain(|work| work.visit() != visit);
        rest
    }

    /// A task faults; the fault goes outwards until a `try` catches it or the workflow faults.
    pub(crate) fn fault(&mut self, visit: Visit, fault: Fault, own: bool) {
        let (mut at, mut fault, mut own) = (visit, fault, own);
        loop {
            let Some(frame) = self.x.open_frame(at) else {
                return;
            };
            let (task, parent) = (frame.task, frame.parent);
            if own && fault.instance.is_none() {
                fault = fault.with_instance(&self.program.task(task).reference);
            }
            self.interrupt(at);
            self.emit(Record::Faulted {
                visit: at,
                fault: fault.clone(),
                own,
            });
            if parent == ROOT {
                return self.end_faulted(fault);
            }
            match step::rescue(self, parent, fault) {
                None => return,
                Some((error, new)) => (fault, own) = (error, new),
            }
            at = parent;
        }
    }

    /// Evaluates a template in a task's body.
    pub(crate) fn body(&mut self, template: &Template, site: &Site) -> Result<Value, Fault> {
        let value = template.eval(
            &site.input,
            &Scope::of_task(self.program, self.x, Place::Body, site),
        )?;
        self.weigh(value)
    }

    /// Evaluates a template in a task's body to a duration.
    pub(crate) fn duration(
        &self,
        template: &Template,
        site: &Site,
        own: &[(&str, Value)],
    ) -> Result<std::time::Duration, Fault> {
        let scope = Scope {
            own,
            ..Scope::of_task(self.program, self.x, Place::Body, site)
        };
        crate::timeout::duration(template, &site.input, &scope)
    }

    /// Refuses a value beyond the limits, counts its bytes.
    pub(crate) fn weigh(&mut self, value: Value) -> Result<Value, Fault> {
        self.bytes += measure(&value).map_err(Fault::expression)?;
        Ok(value)
    }

    /// Counts an iteration without a task, so that loops of skipped tasks yield too.
    pub(crate) fn count(&mut self) {
        self.visits += 1;
    }

    pub(crate) fn is_fork(&self, visit: Visit) -> bool {
        self.x
            .frame(visit)
            .is_some_and(|frame| matches!(frame.state, State::Fork(_)))
    }
}

/// `as`, then the schema.
fn transformed(shape: &Shape, raw: &Value, scope: &dyn Arguments) -> Result<Value, Fault> {
    let value = match &shape.transform {
        Some(transform) => transform.eval(raw, scope)?,
        None => raw.clone(),
    };
    if let Some(schema) = &shape.schema {
        schema.validate(&value)?;
    }
    Ok(value)
}

/// The visit whose timers or subscription a record may change.
fn touched(record: &Record, next: Visit) -> Option<Visit> {
    match record {
        Record::Entered { .. } | Record::Revived { .. } => Some(next),
        Record::Began { visit, .. }
        | Record::Ended { visit, .. }
        | Record::Faulted { visit, .. }
        | Record::Cancelled { visit, .. }
        | Record::Delayed { visit, .. }
        | Record::Retried { visit, .. }
        | Record::Handling { visit, .. }
        | Record::Kept { visit, .. } => Some(*visit),
        Record::Started { .. }
        | Record::Reopened { .. }
        | Record::Completed { .. }
        | Record::WorkflowFaulted { .. }
        | Record::WorkflowCancelled { .. } => Some(ROOT),
        _ => None,
    }
}

/// The subscription of a listening visit.
pub(crate) fn subscription(program: &Program, x: &Execution, visit: Visit) -> Option<Subscription> {
    let Kind::Listen(listen) = &program.task(x.frame(visit)?.task).kind else {
        return None;
    };
    Some(Subscription {
        execution: x.birth.id,
        namespace: x.birth.namespace.clone(),
        visit,
        kind: listen.filter.event_type().map(Into::into),
        since: x.started.unwrap_or(x.time),
    })
}

/// Whether two values are written alike, so that one may stand for the other: unlike `==` it minds the order of
/// members. Shared values are told at once.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    use std::sync::Arc;
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            Arc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)))
        }
        (Value::Object(a), Value::Object(b)) => {
            Arc::ptr_eq(a, b)
                || (a.len() == b.len()
                    && a.iter()
                        .zip(b.iter())
                        .all(|((ka, a), (kb, b))| ka == kb && same(a, b)))
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
        (Value::Number(a), Value::Number(b)) => a == b,
        (a, b) => a == b,
    }
}
