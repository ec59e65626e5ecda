//! What an expression sees: the table of dsl.md section 3, given out lazily.
//!
//! Owns the arguments of every place. Changes nothing.

use tidemill_dsl::expr::Arguments;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::order::MASK;
use tidemill_dsl::program::{Auth, Kind, Program, TaskId};
use tidemill_dsl::value::{Map, Value};

use crate::execution::{Attempts, Execution, Frame, Phase, ROOT, State};

/// A task at the point where its expressions are evaluated: about to be entered, or open.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Its visit once it is open.
    pub visit: Option<Visit>,
    pub task: TaskId,
    pub parent: Visit,
    pub raw: Value,
    pub input: Value,
    pub started: Time,
    /// Whether `raw` is not what flows in the parent.
    pub given: bool,
    /// Whether `input` is not `raw`.
    pub taken: bool,
    pub deadline: Option<Time>,
}

impl Site {
    /// The site of an open visit.
    pub(crate) fn of(frame: &Frame) -> Site {
        Site {
            visit: Some(frame.visit),
            task: frame.task,
            parent: frame.parent,
            raw: frame.raw.clone(),
            input: frame.input.clone(),
            started: frame.started,
            given: false,
            taken: false,
            deadline: frame.deadline,
        }
    }

    /// The context that this task sees.
    pub(crate) fn context<'x>(&self, x: &'x Execution) -> &'x Value {
        match self.visit {
            Some(visit) => x.context_of(visit),
            None => x.context_within(self.parent),
        }
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// `input.from` of the workflow, and its timeout.
    WorkflowInput,
    /// `output.as` of the workflow.
    WorkflowOutput,
    /// `if` and `input.from` of a task.
    Intake,
    /// A task's body.
    Body,
    /// `output.as` of a task.
    Output,
    /// `export.as` of a task.
    Export,
}

/// The arguments of one evaluation.
pub(crate) struct Scope<'a> {
    pub program: &'a Program,
    pub x: &'a Execution,
    pub place: Place,
    pub site: Option<&'a Site>,
    /// The raw output, from `output.as` on.
    pub raw_output: Option<&'a Value>,
    /// The transformed output, in `export.as`.
    pub output: Option<&'a Value>,
    /// Variables of the task itself: item and index in `while`, the error in `catch`.
    pub own: &'a [(&'a str, Value)],
    /// Secrets by name, in `with` and `authentication` alone.
    pub secrets: Option<&'a dyn Arguments>,
}

impl<'a> Scope<'a> {
    /// The scope of a workflow's input or output.
    pub(crate) fn of_workflow(program: &'a Program, x: &'a Execution, place: Place) -> Scope<'a> {
        Scope { program, x, place, site: None, raw_output: None, output: None, own: &[], secrets: None }
    }

    /// The scope of a task.
    pub(crate) fn of_task(program: &'a Program, x: &'a Execution, place: Place, site: &'a Site) -> Scope<'a> {
        Scope { site: Some(site), ..Scope::of_workflow(program, x, place) }
    }

    fn workflow(&self) -> Value {
        let birth = &self.x.birth;
        let mut map = Map::with_capacity(4);
        map.insert("id".into(), birth.id.to_string().into());
        map.insert("definition".into(), self.program.definition.clone());
        map.insert("input".into(), birth.input.clone());
        map.insert("startedAt".into(), instant(self.x.started.unwrap_or(self.x.time)));
        map.into()
    }

    /// The task that `$task` speaks of: within an extension the extended one.
    fn subject(&self, site: &Site) -> Value {
        let mut at = site.parent;
        while let Some(frame) = self.x.frame(at) {
            match &frame.state {
                State::Before(_) => return self.task(&Site::of(frame), None),
                State::After(held) => return self.task(&Site::of(frame), Some(&held.raw)),
                State::Local(_) => break,
                _ => at = frame.parent,
            }
        }
        self.task(site, self.raw_output)
    }

    fn task(&self, site: &Site, output: Option<&Value>) -> Value {
        let task = self.program.task(site.task);
        let mut map = Map::with_capacity(8);
        if let Value::Object(own) = &task.definition {
            map.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        map.insert("name".into(), task.name.clone().into());
        map.insert("reference".into(), task.reference.clone().into());
        map.insert("definition".into(), task.definition.clone());
        map.insert("input".into(), site.raw.clone());
        map.insert("output".into(), output.cloned().unwrap_or_default());
        map.insert("startedAt".into(), instant(site.started));
        map.into()
    }

    fn secrets(&self) -> Option<Value> {
        let secrets = self.secrets?;
        let found = self.program.secrets.iter().filter_map(|name| Some((name.clone(), secrets.get(name)?)));
        Some(Value::object(found))
    }

    fn variable(&self, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.own.iter().find(|(own, _)| *own == name) {
            return Some(value.clone());
        }
        let mut at = self.site?.parent;
        while at != ROOT {
            let frame = self.x.frame(at)?;
            if matches!(frame.state, State::Local(_)) {
                return None;
            }
            if let Some(value) = bound(self.program, frame, name) {
                return Some(value);
            }
            at = frame.parent;
        }
        None
    }
}

impl Arguments for Scope<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        use Place::{Body, Export, Intake, Output, WorkflowInput};
        let place = self.place;
        match name {
            "workflow" => Some(self.workflow()),
            "runtime" => Some(runtime()),
            "context" if place == WorkflowInput => None,
            "context" => Some(match self.site {
                Some(site) => site.context(self.x).clone(),
                None => self.x.context.clone(),
            }),
            "task" => self.site.map(|site| self.subject(site)),
            "input" if matches!(place, Body | Output | Export) => self.site.map(|site| site.input.clone()),
            "output" if place == Export => self.output.cloned(),
            "authorization" if matches!(place, Body | Output | Export) => {
                self.site.map(|site| authorization(&self.program.task(site.task).kind))
            }
            "secrets" => self.secrets(),
            "input" | "output" | "authorization" => None,
            _ if matches!(place, Intake | Body | Output | Export) => self.variable(name),
            _ => None,
        }
    }
}

/// The variable that an open task binds for the tasks within it.
fn bound(program: &Program, frame: &Frame, name: &str) -> Option<Value> {
    match (&program.task(frame.task).kind, &frame.state) {
        (Kind::For(each), State::For { items, begun }) => {
            let index = begun.checked_sub(1)?;
            if *each.each == *name {
                items.at(index).cloned()
            } else if *each.at == *name {
                Some((index as u64).into())
            } else {
                None
            }
        }
        (Kind::Try(attempt), State::Try(Attempts { phase: Phase::Handler(fault), .. }))
            if *attempt.variable == *name =>
        {
            Some(fault.to_value())
        }
        _ => None,
    }
}

/// `startedAt`: the instant in two forms.
fn instant(time: Time) -> Value {
    let epoch = Value::object([
        ("seconds", Value::from(time.0.div_euclid(1000))),
        ("milliseconds", Value::from(time.0)),
    ]);
    Value::object([("iso8601", Value::from(time.rfc3339())), ("epoch", epoch)])
}

/// `$authorization`: the scheme that a call is sent with. Its parameter is a secret, and what an expression gives is kept.
fn authorization(kind: &Kind) -> Value {
    let Kind::Http(call) = kind else { return Value::Null };
    let scheme = match &call.auth {
        None => return Value::Null,
        Some(Auth::Basic { .. }) => "Basic",
        Some(Auth::Bearer { .. }) => "Bearer",
        Some(Auth::Secret { scheme, .. }) => {
            if &**scheme == "basic" {
                "Basic"
            } else {
                "Bearer"
            }
        }
    };
    Value::object([("scheme", Value::text(scheme)), ("parameter", Value::text(MASK))])
}

/// `$runtime`.
fn runtime() -> Value {
    Value::object([
        ("name", Value::text("tidemill")),
        ("version", Value::text(env!("CARGO_PKG_VERSION"))),
        ("metadata", Value::Object(std::sync::Arc::default())),
    ])
}
