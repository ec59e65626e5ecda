//! The state of one run: the fold of its records.
//!
//! Owns the state and the questions about it. Changes of it are made in `apply` alone (invariant 4).

use std::collections::BTreeSet;
use std::sync::Arc;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_dsl::program::{Kind, Program, TaskId};
use tidemill_dsl::value::{Map, Value};

use crate::history::{Kept, Work};
use crate::limits::MAX_HISTORY;
use crate::record::{Birth, Due, Ended, Status, TimerKind};

/// The visit number of the workflow itself.
pub(crate) const ROOT: Visit = 0;

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
}

/// One visit of a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub visit: Visit,
    pub task: TaskId,
    pub parent: Visit,
    /// Which of its parent's children it is, from 1, counted anew in each attempt.
    pub ordinal: u32,
    /// Children entered in this attempt.
    pub entered: u32,
    pub attempt: u32,
    pub raw: Value,
    pub input: Value,
    /// The data that flows within it.
    pub flow: Value,
    /// A branch's own copy of the context.
    pub context: Option<Value>,
    /// Whether that copy was replaced by an export.
    pub exported: bool,
    pub started: Time,
    pub deadline: Option<Time>,
    pub closed: Option<Closed>,
    /// What was left to do in its list when it was closed.
    pub rest: Option<Work>,
    pub state: State,
}

/// How a visit that is kept for a retry was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Faulted,
    Cancelled,
}

/// What a visit waits for, by kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Ready,
    Plain,
    Call,
    Wait(Time),
    Listen,
    Child,
    /// With the context that the function's body sees.
    Local(Value),
    For {
        items: Value,
        /// Iterations begun.
        begun: usize,
    },
    Fork(Vec<Slot>),
    Try(Attempts),
}

/// What has become of a branch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Slot {
    Open,
    Skipped,
    Failed(Fault),
    /// Output, and the context if the branch exported one.
    Done(Value, Option<Value>),
}

/// The progress of a `try`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attempts {
    pub phase: Phase,
    /// From 1.
    pub number: u32,
    /// This attempt's deadline.
    pub limit: Option<Time>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    Body,
    Delay(Time),
    Handler(Fault),
}

/// An outside call that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCall {
    /// Its visit.
    pub visit: Visit,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// Its task.
    pub task: TaskId,
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
    /// What.
    pub what: Awaited,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Awaited {
    /// The outcome of an outside call.
    Call,
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
        }
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
        for frame in self.open() {
            match &frame.state {
                State::Wait(_) | State::Listen => some = true,
                State::Call | State::Child | State::Ready => return false,
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
        self.open()
            .filter(|frame| matches!(frame.state, State::Call) && !self.keeps_answer(frame.visit))
            .map(|frame| OpenCall {
                visit: frame.visit,
                attempt: frame.attempt,
                task: frame.task,
            })
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
    }

    /// What it waits for, in order of visit. Empty when it is pending, ended, or about to go on.
    pub fn waiting_for(&self, program: &Program) -> Vec<WaitingFor> {
        self.open()
            .filter(|frame| !self.keeps_answer(frame.visit))
            .filter_map(|frame| {
                let task = program.task(frame.task);
                let what = match (&frame.state, &task.kind) {
                    (State::Call, _) => Awaited::Call,
                    (State::Wait(until), _) => Awaited::Timer(*until),
                    (State::Listen, Kind::Listen(listen)) => {
                        Awaited::Event(listen.filter.event_type().map(Arc::from))
                    }
                    (State::Child, _) => Awaited::Child(self.child_id(frame.visit, frame.started)),
                    (
                        State::Try(Attempts {
                            phase: Phase::Delay(until),
                            ..
                        }),
                        _,
                    ) => Awaited::Retry(*until),
                    _ => return None,
                };
                let (name, reference) = (task.name.clone(), task.reference.clone());
                Some(WaitingFor {
                    name,
                    reference,
                    visit: frame.visit,
                    what,
                })
            })
            .collect()
    }

    /// The identity of the child that a visit runs (D7): a hash of parent and visit.
    pub(crate) fn child_id(&self, visit: Visit, started: Time) -> ExecutionId {
        ExecutionId::derived(started, &[&self.birth.id.0, &visit.to_be_bytes()])
    }

    /// Open frames, in order of visit.
    pub(crate) fn open(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.frames.iter().filter(|frame| frame.closed.is_none())
    }

    /// A frame, open or closed.
    pub(crate) fn frame(&self, visit: Visit) -> Option<&Frame> {
        let at = self
            .frames
            .binary_search_by_key(&visit, |frame| frame.visit)
            .ok()?;
        self.frames.get(at)
    }

    /// A frame, open or closed.
    pub(crate) fn frame_mut(&mut self, visit: Visit) -> Option<&mut Frame> {
        let at = self
            .frames
            .binary_search_by_key(&visit, |frame| frame.visit)
            .ok()?;
        self.frames.get_mut(at)
    }

    /// An open frame.
    pub(crate) fn open_frame(&self, visit: Visit) -> Option<&Frame> {
        self.frame(visit).filter(|frame| frame.closed.is_none())
    }

    /// Whether tasks may be entered in this visit.
    pub(crate) fn is_open(&self, visit: Visit) -> bool {
        visit == ROOT || self.open_frame(visit).is_some()
    }

    /// The data that flows in a visit: the raw input of the next task within it.
    pub(crate) fn flow(&self, visit: Visit) -> &Value {
        self.frame(visit).map_or(&self.flow, |frame| &frame.flow)
    }

    /// The frames within a visit, open or closed, in order of visit.
    pub(crate) fn within(&self, visit: Visit) -> Vec<Visit> {
        let mut found: Vec<Visit> = Vec::new();
        for frame in self.frames.iter().filter(|frame| frame.visit > visit) {
            if visit == ROOT || frame.parent == visit || found.binary_search(&frame.parent).is_ok() {
                found.push(frame.visit);
            }
        }
        found
    }

    /// How many frames are around a task entered in this visit.
    pub(crate) fn depth(&self, mut visit: Visit) -> usize {
        let mut depth = 0;
        while let Some(frame) = self.frame(visit) {
            depth += 1;
            visit = frame.parent;
        }
        depth
    }

    /// The context that a task entered in `parent` sees.
    pub(crate) fn context_within(&self, mut parent: Visit) -> &Value {
        while let Some(frame) = self.frame(parent) {
            if let State::Local(context) = &frame.state {
                return context;
            }
            if let Some(context) = &frame.context {
                return context;
            }
            parent = frame.parent;
        }
        &self.context
    }

    /// The context that the task of an open visit sees itself.
    pub(crate) fn context_of(&self, visit: Visit) -> &Value {
        match self.frame(visit) {
            Some(Frame {
                context: Some(context),
                ..
            }) => context,
            Some(frame) => self.context_within(frame.parent),
            None => &self.context,
        }
    }

    /// Whether an answer for this visit is kept for the resume.
    pub(crate) fn keeps_answer(&self, visit: Visit) -> bool {
        self.kept
            .iter()
            .any(|(of, kept)| *of == visit && !matches!(kept, Kept::Timer(..)))
    }

    /// The timers that are wanted for a visit (0: the workflow).
    pub(crate) fn timers(&self, visit: Visit) -> Timers {
        let mut timers = Timers::default();
        if self.ended.is_some() || self.started.is_none() {
            return timers;
        }
        let execution = self.birth.id;
        let mut want = |kind, at: Option<Time>| {
            let Some(at) = at else { return };
            let kept = self
                .kept
                .iter()
                .any(|(of, what)| *of == visit && *what == Kept::Timer(kind, at));
            if !kept {
                timers.push(Due {
                    at,
                    execution,
                    visit,
                    kind,
                });
            }
        };
        if visit == ROOT {
            want(TimerKind::Workflow, self.deadline);
        } else if let Some(frame) = self.open_frame(visit) {
            want(TimerKind::Timeout, frame.deadline);
            match &frame.state {
                State::Wait(until) => want(TimerKind::Wait, Some(*until)),
                State::Try(Attempts {
                    phase: Phase::Delay(until),
                    ..
                }) => want(TimerKind::Retry, Some(*until)),
                State::Try(Attempts {
                    phase: Phase::Body,
                    limit,
                    ..
                }) => want(TimerKind::Attempt, *limit),
                _ => {}
            }
        }
        timers
    }

    /// Every timer that is wanted, in order of visit.
    pub(crate) fn all_timers(&self) -> impl Iterator<Item = Due> {
        std::iter::once(ROOT)
            .chain(self.open().map(|frame| frame.visit))
            .flat_map(|visit| self.timers(visit).0)
            .flatten()
    }

    /// Whether a visit listens.
    pub(crate) fn listens(&self, visit: Visit) -> bool {
        self.ended.is_none()
            && self
                .open_frame(visit)
                .is_some_and(|frame| matches!(frame.state, State::Listen))
            && !self.keeps_answer(visit)
    }

    /// The instant by which an answer for this visit must be there.
    pub(crate) fn deadline(&self, visit: Visit) -> Option<Time> {
        let mut nearest = self.deadline;
        let mut at = visit;
        while let Some(frame) = self.frame(at) {
            let attempt = match &frame.state {
                State::Try(Attempts {
                    phase: Phase::Body,
                    limit,
                    ..
                }) => *limit,
                _ => None,
            };
            nearest = [nearest, frame.deadline, attempt].into_iter().flatten().min();
            at = frame.parent;
        }
        nearest
    }
}

/// At most two timers of one visit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timers(pub [Option<Due>; 2]);

impl Timers {
    fn push(&mut self, due: Due) {
        if let Some(slot) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(due);
        }
    }

    pub(crate) fn contains(&self, due: &Due) -> bool {
        self.0.iter().flatten().any(|other| other == due)
    }
}

impl Frame {
    fn size(&self) -> usize {
        let state = match &self.state {
            State::For { items, .. } => items.size(),
            State::Local(context) => context.size(),
            State::Fork(slots) => slots
                .iter()
                .map(|slot| {
                    size_of::<Slot>()
                        + if let Slot::Done(value, _) = slot {
                            value.size()
                        } else {
                            0
                        }
                })
                .sum(),
            _ => 0,
        };
        size_of::<Frame>() + self.input.size() + self.flow.size() + state
    }
}
