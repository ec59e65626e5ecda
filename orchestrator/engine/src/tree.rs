//! Questions about the tree of visits: who is within whom, what flows where, which timers are wanted.

use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_dsl::value::Value;

use crate::execution::{Attempts, Execution, Frame, Phase, ROOT, State, Timers};
use crate::frame::is_inner;
use crate::history::Kept;
use crate::record::{Due, TimerKind};

impl Execution {
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
        let at = self.frames.binary_search_by_key(&visit, |frame| frame.visit).ok()?;
        self.frames.get(at)
    }

    /// A frame, open or closed.
    pub(crate) fn frame_mut(&mut self, visit: Visit) -> Option<&mut Frame> {
        let at = self.frames.binary_search_by_key(&visit, |frame| frame.visit).ok()?;
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

    /// The nearest visit around, or this one, that stands in the public history.
    pub(crate) fn public(&self, visit: Visit) -> Option<&Frame> {
        let mut frame = self.frame(visit)?;
        while is_inner(frame.visit) {
            frame = self.frame(frame.parent)?;
        }
        Some(frame)
    }

    /// Whether a task entered in `parent` belongs to an extension.
    pub(crate) fn in_extension(&self, parent: Visit) -> bool {
        let mut at = parent;
        while let Some(frame) = self.frame(at) {
            if matches!(frame.state, State::Before(_) | State::After(_)) {
                return true;
            }
            at = frame.parent;
        }
        false
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
            Some(Frame { context: Some(context), .. }) => context,
            Some(frame) => self.context_within(frame.parent),
            None => &self.context,
        }
    }

    /// Whether an answer for this visit is kept for the resume.
    pub(crate) fn keeps_answer(&self, visit: Visit) -> bool {
        self.kept.iter().any(|(of, kept)| *of == visit && !matches!(kept, Kept::Timer(..)))
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
            let kept = self.kept.iter().any(|(of, what)| *of == visit && *what == Kept::Timer(kind, at));
            if !kept {
                timers.push(Due { at, execution, visit, kind });
            }
        };
        if visit == ROOT {
            want(TimerKind::Workflow, self.deadline);
        } else if let Some(frame) = self.open_frame(visit) {
            want(TimerKind::Timeout, frame.deadline);
            match &frame.state {
                State::Wait(until) => want(TimerKind::Wait, Some(*until)),
                State::Try(Attempts { phase: Phase::Delay(until), .. }) => {
                    want(TimerKind::Retry, Some(*until));
                }
                State::Try(Attempts { phase: Phase::Body, limit, .. }) => want(TimerKind::Attempt, *limit),
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
            && self.open_frame(visit).is_some_and(|frame| matches!(frame.state, State::Listen))
            && !self.keeps_answer(visit)
    }

    /// The instant by which an answer for this visit must be there.
    pub(crate) fn deadline(&self, visit: Visit) -> Option<Time> {
        let mut nearest = self.deadline;
        let mut at = visit;
        while let Some(frame) = self.frame(at) {
            let attempt = match &frame.state {
                State::Try(Attempts { phase: Phase::Body, limit, .. }) => *limit,
                _ => None,
            };
            nearest = [nearest, frame.deadline, attempt].into_iter().flatten().min();
            at = frame.parent;
        }
        nearest
    }
}
