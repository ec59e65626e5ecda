//! How runs and tasks end otherwise than by completing: `end`, the workflow's output, cancelling, faults going outwards.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::value::Value;

use crate::execution::{Frame, ROOT, State};
use crate::history::{Output, Record, Work};
use crate::machine::Machine;
use crate::output::{same, transformed};
use crate::scope::{Place, Scope};
use crate::{Effect, step};

impl Machine<'_> {
    /// `then: end`: everything open is cancelled, the workflow gives `value` (dsl.md section 5 #16).
    pub(crate) fn end(&mut self, value: &Value) {
        self.interrupt(ROOT);
        if !self.x.frames.is_empty() {
            self.emit(Record::Cleared);
        }
        if !same(value, &self.x.flow) {
            self.emit(Record::Patched { visit: ROOT, flow: value.clone() });
        }
        self.finish();
    }

    /// The workflow's output.
    pub(crate) fn finish(&mut self) {
        let flow = self.x.flow.clone();
        let scope = Scope::of_workflow(self.program, self.x, Place::WorkflowOutput);
        let output = match transformed(self.program, &self.program.output, &flow, &scope)
            .and_then(|value| self.weigh(value))
        {
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
        if visit == ROOT && self.x.own_request().is_some() {
            self.revoke(Effect::Abort { visit: ROOT });
        }
        for inner in self.x.within(visit).into_iter().rev() {
            let Some(frame) = self.x.open_frame(inner) else {
                continue;
            };
            if let Some(effect) = self.stop(frame) {
                self.revoke(effect);
            }
            if matches!(self.x.frame(inner).map(|frame| &frame.state), Some(State::Fetch(_))) {
                self.emit(Record::Took { visit: inner, input: None, deadline: None });
            }
            let rest = self.forget(inner);
            self.emit(Record::Cancelled { visit: inner, rest });
        }
        rest
    }

    /// What cuts off the call or the child that a visit waits for.
    pub(crate) fn stop(&self, frame: &Frame) -> Option<Effect> {
        let effect = match &frame.state {
            State::Call | State::Fetch(_) => Effect::Abort { visit: frame.visit },
            State::Child => Effect::CancelChild { child: self.x.child_id(frame.visit, frame.started) },
            _ => return None,
        };
        (!self.x.keeps_answer(frame.visit)).then_some(effect)
    }

    /// Tells to stop what an earlier decision has begun; what this one would have begun is not begun at all.
    pub(crate) fn revoke(&mut self, stop: Effect) {
        let begins = |effect: &Effect| match (&stop, effect) {
            (Effect::Abort { visit }, Effect::Call { visit: called, .. }) => visit == called,
            (Effect::CancelChild { child }, Effect::StartChild { child: started, .. }) => child == started,
            _ => false,
        };
        match self.effects.iter().rposition(begins) {
            Some(at) => {
                self.effects.remove(at);
            }
            None => self.effects.push(stop),
        }
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
            self.emit(Record::Faulted { visit: at, fault: fault.clone(), own });
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
}
