//! Operators' verbs, signals and callbacks: decided as they come, answered once what the answer rests on is durable.

use tidemill_engine as engine;
use tidemill_engine::{Execution, Verdict};

use super::turn::Turn;
use super::{DUPLICATE, Driver, Slot};
use crate::error::Error;
use crate::lanes::{Command, Input, Verb};

impl Driver {
    pub(super) fn command(&mut self, command: Command, turn: &mut Turn) {
        let Command { execution: id, verb, reason, key, reply } = command;
        // A repeated signal is answered once the first one is durable.
        let early = |s: &Slot| !s.born || s.undurable > 0 && repeats(&verb, &s.execution);
        if self.slots.get(&id).is_some_and(early) {
            return self.defer(Command { execution: id, verb, reason, key, reply });
        }
        turn.part.inbox_done.extend(key);
        let signal = matches!(verb, Verb::Signal(_));
        let input = match verb.clone() {
            Verb::Cancel => engine::Input::Cancel { reason: reason.clone() },
            Verb::Suspend => engine::Input::Suspend { reason: reason.clone() },
            Verb::Resume => engine::Input::Resume { reason: reason.clone() },
            Verb::Retry { input, from } => engine::Input::Retry { input, from, reason: reason.clone() },
            Verb::Signal(event) => engine::Input::Signal(event),
            Verb::Callback { visit, answer } => engine::Input::Callback { visit, answer },
        };
        let verdict = self.step(id, input, turn);
        let Some(reply) = reply else { return };
        let durable = self.slots.get(&id).is_none_or(|slot| slot.undurable == 0);
        match verdict {
            Some(Verdict::Stale) if signal => {
                let _ = reply.send(Err(Error::conflict(DUPLICATE, "the signal has arrived before")));
            }
            Some(Verdict::Applied | Verdict::Stale) => turn.released.replies.push(reply),
            // The state that refuses it may be lost yet: it is asked again when it cannot.
            Some(Verdict::Refused(_)) if !durable => {
                self.defer(Command { execution: id, verb, reason, key: None, reply: Some(reply) });
            }
            Some(Verdict::Refused(why)) => {
                let _ = reply.send(Err(Error::conflict("state", &*why)));
            }
            None => {
                let _ = reply.send(Err(Error::not_found("execution", id.to_string())));
            }
        }
    }

    /// It comes again when a turn of its execution is durable.
    fn defer(&mut self, command: Command) {
        if let Some(slot) = self.slots.get_mut(&command.execution) {
            slot.deferred.push(Input::Command(Box::new(command)));
        }
    }
}

/// Whether it is a signal that has arrived before.
fn repeats(verb: &Verb, execution: &Execution) -> bool {
    matches!(verb, Verb::Signal(event) if execution.has_signal(event))
}
