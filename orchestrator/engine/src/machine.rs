//! The walk: from one input to the next point where something outside must answer.
//!
//! Owns the order of things common to all tasks: `if`, input, body, output, export, successor (dsl.md section 4). What
//! a kind of task does is told by `step`; how state changes by `apply`.

use std::collections::VecDeque;

use tidemill_dsl::expr::Template;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{ListId, Next, Program, TaskId};
use tidemill_dsl::value::Value;

use crate::execution::{Execution, State};
use crate::history::{Begin, Record, Work};
use crate::limits::{MAX_BYTES, MAX_NESTING, MAX_VISITS, measure};
use crate::output::{Shaped, same};
use crate::record::{DueChange, SubscriptionChange};
use crate::scope::{Place, Scope, Site};
use crate::{Around, Effect, step};

/// One decision in the making.
pub(crate) struct Machine<'a> {
    pub program: &'a Program,
    pub x: &'a mut Execution,
    pub now: Time,
    pub hops: usize,
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

impl<'a> Machine<'a> {
    pub(crate) fn new(program: &'a Program, x: &'a mut Execution, around: Around) -> Machine<'a> {
        Machine {
            program,
            x,
            now: around.now,
            hops: around.hops,
            records: Vec::new(),
            effects: Vec::new(),
            due: Vec::new(),
            subscriptions: Vec::new(),
            queue: VecDeque::new(),
            visits: 0,
            bytes: 0,
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
            if self.x.length() > self.x.history_limit {
                let limit = self.x.history_limit;
                self.leave();
                self.suspend(Some(format!("the history has {limit} entries (limit history)").into()));
                return;
            }
            if self.visits >= MAX_VISITS || self.bytes >= MAX_BYTES {
                self.leave();
                return;
            }
            match self.queue.pop_front() {
                Some(Work::Enter { task, parent, raw }) if self.x.is_open(parent) => {
                    self.enter(task, parent, raw);
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
            let fault =
                Fault::configuration(format!("tasks are nested deeper than {MAX_NESTING} (limit nesting)"));
            self.refuse(site, fault);
            return;
        }
        match self.holds(id, &site) {
            Ok(false) => return self.skip(&site, task.following),
            Ok(true) => {}
            Err(fault) => return self.refuse(site, fault),
        }
        let mut site = site;
        if self.program.missing(&task.needs).is_some() {
            self.fetch(site);
        } else if let Err(fault) = self.intake(&mut site) {
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
            self.emit(Record::Passed { visit: site.parent, task: site.task });
            step::fork::settled(self, site.parent);
            return;
        }
        if site.given {
            self.emit(Record::Patched { visit: site.parent, flow: site.raw.clone() });
        }
        self.advance(site.parent, following, &site.raw);
    }

    /// Input schema, `input.from`, timeout.
    pub(crate) fn intake(&mut self, site: &mut Site) -> Result<(), Fault> {
        let task = self.program.task(site.task);
        if let Some(schema) = &task.input.schema {
            self.program.validate(schema, &site.raw)?;
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

    /// Begins a task: the extensions that apply to it, then its body.
    pub(crate) fn run(&mut self, site: Site) {
        match step::extension::applying(self, &site) {
            Ok(extensions) if extensions.is_empty() => self.run_body(site),
            Ok(extensions) => {
                let visit = self.open(site, Begin::Extended(extensions));
                step::extension::before(self, visit);
            }
            Err(fault) => self.refuse(site, fault),
        }
    }

    /// Begins a task's body.
    pub(crate) fn run_body(&mut self, site: Site) {
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
            let state = self.x.frame(visit).map(|frame| &frame.state);
            if begin != Begin::Plain || matches!(state, Some(State::Ready | State::Before(_))) {
                self.emit(Record::Began { visit, begin });
            }
            return visit;
        }
        let visit = self.x.upcoming(site.task);
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
    pub(crate) fn refuse(&mut self, site: Site, fault: Fault) {
        let visit = match site.visit {
            Some(visit) => visit,
            None => self.open(site, Begin::Plain),
        };
        self.fault(visit, fault, true);
    }

    /// Completes a task: output, export, successor.
    pub(crate) fn complete(&mut self, site: Site, raw: &Raw, next: Next) {
        let Shaped { output, export, value } = match self.shape(&site, raw) {
            Ok(shaped) => shaped,
            Err(fault) => return self.refuse(site, fault),
        };
        let parent = site.parent;
        if let Some(visit) = site.visit
            && step::extension::follows(self, visit)
        {
            return step::extension::hold(self, visit, (raw, output, export), next);
        }
        match site.visit {
            Some(visit) => self.emit(Record::Ended { visit, output, export }),
            None => self.emit(Record::Step {
                task: site.task,
                parent,
                raw: site.given.then_some(site.raw),
                input: site.taken.then_some(site.input),
                output,
                export,
            }),
        }
        self.proceed(parent, next, &value);
    }

    /// Goes on after a task that ran in `parent`, a branch of it perhaps, and gave `value`.
    pub(crate) fn proceed(&mut self, parent: Visit, next: Next, value: &Value) {
        if self.is_fork(parent) && next != Next::End {
            step::fork::settled(self, parent);
        } else {
            self.advance(parent, next, value);
        }
    }

    /// Goes on after a task that ran in `parent` and gave `value`.
    fn advance(&mut self, parent: Visit, next: Next, value: &Value) {
        match next {
            Next::Task(task) => self.queue.push_back(Work::Enter { task, parent, raw: None }),
            Next::Exit => step::list_done(self, parent),
            Next::Leave => step::extension::left(self, parent),
            Next::End => self.end(value),
        }
    }

    /// Begins a list within an open visit (or the workflow).
    pub(crate) fn begin_list(&mut self, list: ListId, visit: Visit) {
        self.queue.push_back(match self.program.list(list).tasks.first() {
            Some(task) => Work::Enter { task: *task, parent: visit, raw: None },
            None => Work::Done(visit),
        });
    }

    /// Begins a single task within an open visit.
    pub(crate) fn begin_task(&mut self, task: TaskId, visit: Visit) {
        self.queue.push_back(Work::Enter { task, parent: visit, raw: None });
    }

    /// Evaluates a template in a task's body.
    pub(crate) fn body(&mut self, template: &Template, site: &Site) -> Result<Value, Fault> {
        let value = template.eval(&site.input, &Scope::of_task(self.program, self.x, Place::Body, site))?;
        self.weigh(value)
    }

    /// Evaluates a template in a task's body to a duration.
    pub(crate) fn duration(
        &self,
        template: &Template,
        site: &Site,
        own: &[(&str, Value)],
    ) -> Result<std::time::Duration, Fault> {
        let scope = Scope { own, ..Scope::of_task(self.program, self.x, Place::Body, site) };
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
        self.x.frame(visit).is_some_and(|frame| matches!(frame.state, State::Fork(_)))
    }
}
