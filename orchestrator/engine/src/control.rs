//! Operators' verbs: cancel, suspend, resume (dsl.md section 12, "Control"), and what is kept while suspended.

use std::sync::Arc;

use tidemill_dsl::ids::Visit;

use crate::execution::{ROOT, State};
use crate::frame::is_inner;
use crate::history::{Kept, Record};
use crate::machine::Machine;
use crate::record::Status;
use crate::{Verdict, answer};

impl Machine<'_> {
    /// Ends the execution; no catch sees it. One that has not begun begins and ends at once, so that every history
    /// begins with `workflow.started`.
    pub(crate) fn cancel(&mut self, reason: Option<Arc<str>>) -> Verdict {
        match self.x.status() {
            status if status.ended() => return refused(status),
            Status::Pending => self.emit(Record::Started { input: None, deadline: None, failed: true }),
            _ => self.take_up(),
        }
        let rest = self.interrupt(ROOT);
        self.emit(Record::WorkflowCancelled { reason, rest });
        self.ended();
        Verdict::Applied
    }

    /// Holds the execution.
    pub(crate) fn hold(&mut self, reason: Option<Arc<str>>) -> Verdict {
        match self.x.status() {
            Status::Running | Status::Waiting => {
                self.suspend(reason);
                Verdict::Applied
            }
            status => refused(status),
        }
    }

    pub(crate) fn suspend(&mut self, reason: Option<Arc<str>>) {
        let waiting = self.waiting();
        self.emit(Record::Suspended { waiting, reason });
    }

    /// Goes on: uses what arrived meanwhile, in the order in which it arrived.
    pub(crate) fn release(&mut self, reason: Option<Arc<str>>) -> Verdict {
        let status = self.x.status();
        if status != Status::Suspended {
            return refused(status);
        }
        let waiting = self.waiting();
        self.emit(Record::Resumed { waiting, reason });
        self.take_up();
        let kept = self.x.kept.clone();
        for (visit, what) in kept.clone() {
            self.use_kept(visit, what);
        }
        if !kept.is_empty() && self.x.ended.is_none() {
            self.emit(Record::Settled);
        }
        self.offer_signals(0);
        self.walk();
        Verdict::Applied
    }

    fn use_kept(&mut self, visit: Visit, what: Kept) {
        if self.x.ended.is_some() || !self.x.is_open(visit) {
            return;
        }
        match what {
            Kept::Timer(kind, _) => crate::timeout::fired(self, visit, kind),
            Kept::Outcome(result) => answer::settle(self, visit, result),
            Kept::Event(value, _) => answer::event(self, visit, value),
            Kept::Child(ended) => answer::child(self, visit, ended),
        }
    }

    /// The open waits and listens.
    fn waiting(&self) -> Vec<Visit> {
        self.x
            .open()
            .filter(|frame| matches!(frame.state, State::Wait(_) | State::Listen) && !is_inner(frame.visit))
            .map(|frame| frame.visit)
            .collect()
    }
}

/// The answer to a verb that the state does not allow.
pub(crate) fn refused(status: Status) -> Verdict {
    Verdict::Refused(format!("the execution is {}", status.word()).into())
}
