//! What comes back from outside: outcomes, timers, events, ends of children.
//!
//! Judges whether an input is wanted (invariant 5); while the execution is suspended it is kept, else used.

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Visit};
use tidemill_dsl::order::Outcome;
use tidemill_dsl::program::Kind;
use tidemill_dsl::value::Value;

use crate::control::refused;
use crate::execution::{Frame, ROOT, State};
use crate::fetch;
use crate::history::{Kept, Record};
use crate::machine::{Machine, Raw};
use crate::record::{Due, Ended};
use crate::scope::Site;
use crate::{Effect, Verdict, step};

impl Machine<'_> {
    /// A call's outcome. One for a closed visit or another attempt is stale.
    pub(crate) fn on_outcome(&mut self, visit: Visit, attempt: u32, outcome: Outcome) -> Verdict {
        if fetch::asks(self.x, visit, attempt) {
            return self.use_or_keep(visit, Kept::Outcome(fetch::answer(outcome)));
        }
        let wanted = |frame: &Frame| matches!(frame.state, State::Call) && frame.attempt == attempt;
        #[cfg(not(feature = "bug-double-outcome"))]
        let wanted = |frame: &Frame| wanted(frame) && frame.closed.is_none();
        if self.x.ended.is_some() || !self.x.frame(visit).is_some_and(wanted) || self.x.keeps_answer(visit) {
            return Verdict::Stale;
        }
        let answer = match outcome {
            Outcome::Done(value) => Ok(value),
            Outcome::Failed(fault) => Err(fault),
            Outcome::Later => {
                self.emit(Record::Promised { visit });
                return Verdict::Applied;
            }
        };
        self.answered(visit, answer)
    }

    fn answered(&mut self, visit: Visit, answer: Result<Value, Fault>) -> Verdict {
        let weighed = answer.and_then(|value| {
            self.weigh(value).map_err(|fault| Fault::runtime(fault.detail.unwrap_or_default()))
        });
        self.use_or_keep(visit, Kept::Outcome(weighed))
    }

    /// A callback: the answer of a partner who has taken the call, or is about to say that he has.
    pub(crate) fn on_callback(&mut self, visit: Visit, answer: Result<Value, Fault>) -> Verdict {
        if self.x.ended.is_some() {
            return refused(self.x.status());
        }
        let Some(frame) = self.x.open_frame(visit).filter(|_| !self.x.keeps_answer(visit)) else {
            return Verdict::Refused("the task has ended, or never began".into());
        };
        let calls = matches!(self.program.task(frame.task).kind, Kind::Function(_));
        match frame.state {
            State::Callback => {}
            State::Call if calls => self.revoke(Effect::Abort { visit }),
            _ => return Verdict::Refused("the task waits for no callback".into()),
        }
        self.answered(visit, answer)
    }

    /// A choice of version. One for a closed visit is stale.
    pub(crate) fn on_choice(&mut self, visit: Visit, version: u32) -> Verdict {
        let wanted = self.x.open_frame(visit).is_some_and(|frame| matches!(frame.state, State::Call));
        if self.x.ended.is_some() || !wanted {
            return Verdict::Stale;
        }
        self.emit(Record::Chosen { visit, version });
        Verdict::Applied
    }

    /// A timer. One that is not wanted, or before its time, is stale.
    pub(crate) fn on_timer(&mut self, due: Due) -> Verdict {
        let wanted = self.x.timers(due.visit).contains(&due);
        #[cfg(not(feature = "bug-timer-early"))]
        let wanted = wanted && due.at <= self.now;
        if !wanted {
            return Verdict::Stale;
        }
        self.use_or_keep(due.visit, Kept::Timer(due.kind, due.at))
    }

    /// An event offered to a listen. One that it does not accept is stale: it was not consumed.
    pub(crate) fn on_event(&mut self, visit: Visit, event: &StoredEvent) -> Verdict {
        match step::listen::reads(self, visit, event) {
            None => Verdict::Stale,
            Some(value) => self.use_or_keep(visit, Kept::Event(value, event.pos)),
        }
    }

    /// A child's end.
    pub(crate) fn on_child(&mut self, visit: Visit, child: ExecutionId, ended: Ended) -> Verdict {
        let wanted = self.x.open_frame(visit).is_some_and(|frame| {
            matches!(frame.state, State::Child) && self.x.child_id(visit, frame.started) == child
        });
        if self.x.ended.is_some() || !wanted || self.x.keeps_answer(visit) {
            return Verdict::Stale;
        }
        self.use_or_keep(visit, Kept::Child(ended))
    }

    fn use_or_keep(&mut self, visit: Visit, what: Kept) -> Verdict {
        if self.x.suspended {
            self.emit(Record::Kept { visit, what });
            return Verdict::Applied;
        }
        self.take_up();
        match what {
            Kept::Timer(kind, _) => crate::timeout::fired(self, visit, kind),
            Kept::Outcome(answer) => settle(self, visit, answer),
            Kept::Child(ended) => child(self, visit, ended),
            Kept::Event(value, pos) => {
                self.emit(Record::Heard { visit, pos });
                event(self, visit, value);
            }
        }
        self.walk();
        Verdict::Applied
    }
}

/// Uses a child's end.
pub(crate) fn child(machine: &mut Machine<'_>, visit: Visit, ended: Ended) {
    let Some(frame) = machine.x.frame(visit) else {
        return;
    };
    let result = step::run::outcome(ended, &machine.program.task(frame.task).reference);
    let result = result.and_then(|value| machine.weigh(value));
    settle(machine, visit, result);
}

/// Uses a consumed event: the output is an array, even for one.
pub(crate) fn event(machine: &mut Machine<'_>, visit: Visit, value: Value) {
    let value = machine.weigh(Value::array([value]));
    settle(machine, visit, value);
}

/// Ends a task with the answer from outside; the error's instance is the task.
pub(crate) fn settle(machine: &mut Machine<'_>, visit: Visit, result: Result<Value, Fault>) {
    if visit == ROOT {
        return machine.fetched(visit, result);
    }
    let Some(frame) = machine.x.frame(visit) else {
        return;
    };
    if matches!(frame.state, State::Fetch(_)) {
        return machine.fetched(visit, result);
    }
    let task = machine.program.task(frame.task);
    match result {
        Ok(value) => {
            let site = Site::of(frame);
            // A program that is not waited for has answered that it is started.
            let detached = matches!(&task.kind, Kind::RunProcess(run) if !run.wait);
            let raw = if detached { Raw::Input } else { Raw::Value(value) };
            machine.complete(site, &raw, task.then);
        }
        Err(fault) => machine.fault(visit, fault.with_instance(&task.reference), true),
    }
}
