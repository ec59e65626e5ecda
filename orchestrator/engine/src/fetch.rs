//! What a task, or the workflow, needs from elsewhere: asked for before it begins, recorded once, never fetched again.
//!
//! Owns the order: created, fetched, started. A resource is a fact of the history like any answer; a request that fails
//! is the task's error. What is fetched while the execution is suspended is recorded, but nothing goes on.

use base64::Engine as _;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::order::Outcome;
use tidemill_dsl::program::{Linked, MAX_RESOURCES, Need, Program};
use tidemill_dsl::value::Value;

use crate::apply::apply;
use crate::execution::{Execution, ROOT, State, call_number, request_number};
use crate::history::{Record, Resource};
use crate::machine::Machine;
use crate::scope::Site;
use crate::{Effect, Input};

/// The needs of a visit: of its task, or of the workflow.
pub(crate) fn needs<'p>(program: &'p Program, x: &Execution, visit: Visit) -> &'p [Need] {
    match x.frame(visit) {
        Some(frame) => &program.task(frame.task).needs,
        None => &program.needs,
    }
}

/// Takes what was fetched out of an answer that is wanted: the record of it, already folded, and the input that is
/// left: that it is there, or why it cannot be used.
pub(crate) fn absorb(
    program: &Program,
    x: &mut Execution,
    input: Input,
    now: Time,
) -> (Option<Record>, Input) {
    let Input::Outcome { visit, attempt, outcome: Outcome::Done(answer) } = &input else {
        return (None, input);
    };
    let (visit, attempt) = (*visit, *attempt);
    if !asks(x, visit, attempt) {
        return (None, input);
    }
    let whole = x.link.0.clone();
    let program = whole.as_deref().unwrap_or(program);
    let (record, outcome) = match program.missing(needs(program, x, visit)) {
        // A sibling has fetched it meanwhile, and an execution keeps what it fetched.
        None => (None, Outcome::Done(Value::Null)),
        Some(need) => match resource(program, need, answer) {
            Ok(resource) => (Some(Record::Fetched(resource)), Outcome::Done(Value::Null)),
            Err(fault) => (None, Outcome::Failed(fault)),
        },
    };
    if let Some(record) = &record {
        apply(program, x, record, now);
    }
    (record, Input::Outcome { visit, attempt, outcome })
}

/// What is left of an answer once [`absorb`] has taken what was fetched.
pub(crate) fn answer(outcome: Outcome) -> Result<Value, Fault> {
    match outcome {
        Outcome::Done(value) => Ok(value),
        Outcome::Failed(fault) => Err(fault),
        Outcome::Later => Err(Fault::communication(500, "the resource was promised for later")),
    }
}

/// Whether a visit waits for the answer to this request.
pub(crate) fn asks(x: &Execution, visit: Visit, number: u32) -> bool {
    if visit == ROOT {
        return x.own_request() == Some(number);
    }
    x.open_frame(visit)
        .is_some_and(|frame| matches!(frame.state, State::Fetch(_)) && call_number(frame) == Some(number))
        && !x.keeps_answer(visit)
}

/// Judges the answer: its body in base64.
fn resource(program: &Program, need: &Need, answer: &Value) -> Result<Resource, Fault> {
    let refuse = |why: &str| Fault::configuration(format!("cannot use {}: {why}", need.uri));
    if program.linked.len() >= MAX_RESOURCES {
        return Err(refuse(&format!("{MAX_RESOURCES} resources were fetched (limit fetched-resources)")));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(answer.as_str().unwrap_or_default());
    let text =
        bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| refuse("it is no text"))?;
    Linked::read(need.kind, &need.uri, &text, program.linked.len())?;
    Ok(Resource { kind: need.kind, uri: need.uri.clone(), text: text.into() })
}

impl Machine<'_> {
    /// Opens a task's visit and asks for the first thing it needs.
    pub(crate) fn fetch(&mut self, site: Site) {
        let visit = self.x.upcoming(site.task);
        self.emit(Record::Fetching {
            task: site.task,
            parent: site.parent,
            raw: site.given.then_some(site.raw),
        });
        self.ask(visit);
    }

    fn ask(&mut self, visit: Visit) {
        let number = match self.x.open_frame(visit) {
            Some(frame) => call_number(frame),
            None => self.x.asks.map(request_number),
        };
        self.effects.extend(number.map(|attempt| Effect::Call { visit, attempt }));
    }

    /// Asks for what the workflow itself needs, else takes its input.
    pub(crate) fn prepare_workflow(&mut self) {
        if self.program.missing(&self.program.needs).is_some() {
            self.emit(Record::Asked { visit: ROOT });
            self.ask(ROOT);
        } else {
            self.take_in();
        }
    }

    /// The answer to the request of a visit has come: the next one, or the task begins.
    pub(crate) fn fetched(&mut self, visit: Visit, answer: Result<Value, Fault>) {
        if visit == ROOT {
            return match answer {
                Ok(_) => self.prepare_workflow(),
                Err(fault) => self.end_faulted(fault),
            };
        }
        let Some(frame) = self.x.open_frame(visit) else {
            return;
        };
        let task = self.program.task(frame.task);
        let mut site = Site::of(frame);
        let taken = match answer {
            Ok(_) if self.program.missing(&task.needs).is_some() => {
                self.emit(Record::Asked { visit });
                return self.ask(visit);
            }
            Ok(_) => self.intake(&mut site),
            Err(fault) => Err(fault.with_instance(&task.reference)),
        };
        let input = site.taken.then(|| site.input.clone());
        self.emit(Record::Took { visit, input, deadline: site.deadline });
        match taken {
            Ok(()) => self.run(Site { taken: false, ..site }),
            Err(fault) => self.refuse(site, fault),
        }
    }

    /// Begins the body of a fetched function.
    pub(crate) fn begin_fetched(&mut self, need: &Need, visit: Visit) {
        match self.program.find(need.kind, &need.uri) {
            Some(number) => self.begin_task(tidemill_dsl::program::TaskId::linked(number, 0), visit),
            None => {
                let fault = Fault::configuration(format!("the function {} was not fetched", need.uri));
                self.fault(visit, fault, true);
            }
        }
    }
}
