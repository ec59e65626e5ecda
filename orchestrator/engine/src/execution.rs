//! The state of one run: the fold of its records.
//!
//! Owns the state and the questions about it. Changes of it are made in `apply` alone (invariant 4).

use std::collections::BTreeSet;
use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_dsl::program::{Kind, Program, TaskId};
use tidemill_dsl::value::{Map, Value};

pub(crate) use crate::frame::{Attempts, Closed, Frame, Held, Phase, ROOT, Slot, State, Timers, numbered};
use crate::history::{Kept, Resource, Work};
use crate::limits::MAX_HISTORY;
use crate::record::{Birth, Ended, Status};

/// The folded state of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub(crate) birth: Arc<Birth>,
    pub(crate) started: Option<Time>,
    pub(crate) ended: Option<Time>,
    pub(crate) result: Option<Ended>,
    pub(crate) suspended: bool,
    /// Time of the last transition.
    pub(crate) time: Time,
    pub(crate) sequence: u64,
    pub(crate) transitions: u64,
    pub(crate) next_visit: Visit,
    pub(crate) history_limit: u64,
    pub(crate) deadline: Option<Time>,
    /// Transformed input; none until it was taken.
    pub(crate) input: Option<Value>,
    /// The data that flows in the top list.
    pub(crate) flow: Value,
    pub(crate) context: Value,
    /// Tasks entered in the top list.
    pub(crate) entered: u32,
    /// Open visits, and closed ones that a retry may need; in order of visit.
    pub(crate) frames: Vec<Frame>,
    /// What a yield, or the end of the run, has left to do.
    pub(crate) queue: Vec<Work>,
    /// What arrived while suspended.
    pub(crate) kept: Vec<(Visit, Kept)>,
    /// Positions of the events consumed.
    pub(crate) heard: BTreeSet<u64>,
    /// Signals that no listen has taken yet, in order of arrival.
    pub(crate) signals: Vec<Arc<Event>>,
    /// Source and id of every signal that arrived.
    pub(crate) signalled: BTreeSet<(Arc<str>, Arc<str>)>,
    /// What was fetched, in order.
    pub(crate) fetched: Vec<Resource>,
    /// The number of the request by which the workflow itself fetches a schema.
    pub(crate) asks: Option<u32>,
    /// How many such requests there were.
    pub(crate) requests: u32,
    /// The program with what was fetched.
    pub(crate) link: Link,
}

/// A program with what an execution has fetched; follows from `fetched`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link(pub Option<Arc<Program>>);

impl PartialEq for Link {
    fn eq(&self, _other: &Link) -> bool {
        true
    }
}

/// An outside call that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCall {
    /// Its visit.
    pub visit: Visit,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// Its task; none: the workflow fetches a schema of its input or output.
    pub task: Option<TaskId>,
}

/// What an execution waits for (promise 7).
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingFor {
    /// Task name.
    pub name: Arc<str>,
    /// Task reference.
    pub reference: Arc<str>,
    /// Its visit.
    pub visit: Visit,
    /// Its attempt, from 1; for a `try` that will retry, the attempt that failed.
    pub attempt: u32,
    /// When it began.
    pub since: Time,
    /// When its own timeout ends it.
    pub deadline: Option<Time>,
    /// Whom its call calls ([`crate::callee`]), where the asker had it made.
    pub callee: Option<String>,
    /// What.
    pub what: Awaited,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Awaited {
    /// The outcome of an outside call.
    Call,
    /// The callback of a partner who has taken the call.
    Callback,
    /// The end of a `wait`.
    Timer(Time),
    /// An event, of this type if the filter states one.
    Event(Option<Arc<str>>),
    /// The end of a child execution.
    Child(ExecutionId),
    /// The next attempt of a `try`.
    Retry(Time),
}

impl Execution {
    /// An execution that has not begun.
    pub(crate) fn unborn(birth: Arc<Birth>) -> Execution {
        Execution {
            time: birth.created,
            birth,
            started: None,
            ended: None,
            result: None,
            suspended: false,
            sequence: 1,
            transitions: 0,
            next_visit: 1,
            history_limit: MAX_HISTORY,
            deadline: None,
            input: None,
            flow: Value::Null,
            context: Value::Object(Arc::new(Map::new())),
            entered: 0,
            frames: Vec::new(),
            queue: Vec::new(),
            kept: Vec::new(),
            heard: BTreeSet::new(),
            fetched: Vec::new(),
            asks: None,
            requests: 0,
            link: Link::default(),
            signals: Vec::new(),
            signalled: BTreeSet::new(),
        }
    }

    /// What the limit `history` counts: public entries, or visits where a fetched function has none.
    pub(crate) fn length(&self) -> u64 {
        self.sequence.max(2 * u64::from(self.next_visit))
    }

    /// The number of the next visit, if it is of this task.
    pub(crate) fn upcoming(&self, task: TaskId) -> Visit {
        numbered(self.next_visit, task)
    }

    /// The facts of birth.
    pub fn birth(&self) -> &Arc<Birth> {
        &self.birth
    }

    /// Its phase (dsl.md section 2.3; `waiting` as section 12 has it).
    pub fn status(&self) -> Status {
        match &self.result {
            Some(Ended::Completed(_)) => Status::Completed,
            Some(Ended::Faulted(_)) => Status::Faulted,
            Some(Ended::Cancelled) => Status::Cancelled,
            None if self.started.is_none() => Status::Pending,
            None if self.suspended => Status::Suspended,
            None if self.waits() => Status::Waiting,
            None => Status::Running,
        }
    }

    /// Whether everything open is a wait or a listen.
    fn waits(&self) -> bool {
        let mut some = false;
        if self.asks.is_some() {
            return false;
        }
        for frame in self.open() {
            match &frame.state {
                State::Wait(_) | State::Listen => some = true,
                State::Call | State::Callback | State::Child | State::Ready | State::Fetch(_) => {
                    return false;
                }
                State::Try(attempts) if matches!(attempts.phase, Phase::Delay(_)) => return false,
                _ => {}
            }
        }
        some && self.queue.is_empty()
    }

    /// When it began.
    pub fn started(&self) -> Option<Time> {
        self.started
    }

    /// When it ended; none again after an accepted retry.
    pub fn ended(&self) -> Option<Time> {
        self.ended
    }

    /// Its output or error, once ended.
    pub fn result(&self) -> Option<&Ended> {
        self.result.as_ref()
    }

    /// Time of its last transition.
    pub fn time(&self) -> Time {
        self.time
    }

    /// Sequence of the next public history entry, from 1.
    pub fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// Number of transitions folded into it.
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Whether a decision has yielded and wants [`crate::Input::Continue`].
    pub fn more(&self) -> bool {
        !self.queue.is_empty() && !self.suspended && self.ended.is_none()
    }

    /// The outside calls whose outcome is wanted, in order of visit.
    pub fn open_calls(&self) -> impl Iterator<Item = OpenCall> {
        let of_frame = |frame: &Frame| {
            let attempt = call_number(frame)?;
            let wanted = !self.keeps_answer(frame.visit);
            wanted.then_some(OpenCall { visit: frame.visit, attempt, task: Some(frame.task) })
        };
        let own = self.own_request().map(|attempt| OpenCall { visit: ROOT, attempt, task: None });
        own.into_iter().chain(self.open().filter_map(of_frame))
    }

    /// The number of the request by which the workflow itself fetches a schema, while its answer is wanted.
    pub(crate) fn own_request(&self) -> Option<u32> {
        self.asks.filter(|_| self.ended.is_none() && !self.keeps_answer(ROOT)).map(request_number)
    }

    /// About how many bytes it takes in memory. Walks its values: for budgets of eviction, not for every decision.
    pub fn size(&self) -> usize {
        let frames: usize = self.frames.iter().map(Frame::size).sum();
        let kept = self.kept.len() * size_of::<(Visit, Kept)>();
        let own = self.birth.input.size() + self.flow.size() + self.context.size();
        size_of::<Execution>()
            + own
            + frames
            + kept
            + self.queue.len() * size_of::<Work>()
            + self.heard.len() * 12
            + self.signals.iter().map(|signal| signal.to_value().size()).sum::<usize>()
            + self.signalled.iter().map(|(source, id)| source.len() + id.len() + 64).sum::<usize>()
    }

    /// What it waits for, in order of visit. Empty when it is pending, ended, or about to go on.
    pub fn waiting_for(&self, program: &Program) -> Vec<WaitingFor> {
        let program = self.link.0.as_deref().unwrap_or(program);
        let own = self.own_request().map(|number| WaitingFor {
            name: self.birth.workflow.clone(),
            reference: "".into(),
            visit: ROOT,
            attempt: number,
            since: self.started.unwrap_or(self.time),
            deadline: None,
            callee: None,
            what: Awaited::Call,
        });
        let of_tasks = self.open().filter(|frame| !self.keeps_answer(frame.visit)).filter_map(|frame| {
            let task = program.task(frame.task);
            let what = match (&frame.state, &task.kind) {
                (State::Call | State::Fetch(_), _) => Awaited::Call,
                (State::Callback, _) => Awaited::Callback,
                (State::Wait(until), _) => Awaited::Timer(*until),
                (State::Listen, Kind::Listen(listen)) => {
                    Awaited::Event(listen.filter.event_type().map(Arc::from))
                }
                (State::Child, _) => Awaited::Child(self.child_id(frame.visit, frame.started)),
                (State::Try(Attempts { phase: Phase::Delay(until), .. }), _) => Awaited::Retry(*until),
                _ => return None,
            };
            let attempt = match &frame.state {
                State::Try(attempts) => attempts.number,
                _ => frame.attempt,
            };
            let shown = program.task(self.public(frame.visit).map_or(frame.task, |frame| frame.task));
            Some(WaitingFor {
                name: shown.name.clone(),
                reference: shown.reference.clone(),
                visit: frame.visit,
                attempt,
                since: frame.started,
                deadline: frame.deadline,
                callee: None,
                what,
            })
        });
        own.into_iter().chain(of_tasks).collect()
    }
}

/// The number of the call that an open visit waits for: its attempt, or that of a request for a resource, which is
/// beyond every attempt.
pub(crate) fn call_number(frame: &Frame) -> Option<u32> {
    match frame.state {
        State::Call => Some(frame.attempt),
        #[cfg(feature = "bug-one-number")]
        State::Fetch(_) => Some(frame.attempt),
        #[cfg(not(feature = "bug-one-number"))]
        State::Fetch(number) => Some(request_number(number)),
        _ => None,
    }
}

/// The number of a visit's request for a resource, from 1.
pub(crate) fn request_number(number: u32) -> u32 {
    (1 << 24) + number
}
