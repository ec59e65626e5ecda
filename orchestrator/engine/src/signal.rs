//! Signals: events for the listens of one execution alone.
//!
//! They are kept with the execution, in order of arrival, until a listen takes them: one that comes before its listen
//! is not lost. Each pair of source and id is taken once.

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Visit;

use crate::control::refused;
use crate::execution::Execution;
use crate::history::Record;
use crate::limits::MAX_SIGNALS;
use crate::machine::Machine;
use crate::{Verdict, answer, step};

impl Execution {
    /// How many signals it has taken.
    pub fn signals(&self) -> usize {
        self.signalled.len()
    }

    /// Whether a signal of this source and id has arrived before.
    pub fn has_signal(&self, event: &Event) -> bool {
        self.signalled.contains(&(event.source.clone(), event.id.clone()))
    }
}

impl Machine<'_> {
    /// Takes a signal in; a listen that waits for it goes on, unless the execution is suspended.
    pub(crate) fn on_signal(&mut self, event: Arc<Event>) -> Verdict {
        if self.x.ended.is_some() {
            return refused(self.x.status());
        }
        if self.x.has_signal(&event) {
            return Verdict::Stale;
        }
        if self.x.signalled.len() >= MAX_SIGNALS {
            let why = format!("the execution has taken {MAX_SIGNALS} signals (limit signals)");
            return Verdict::Refused(why.into());
        }
        self.emit(Record::Signalled(event));
        if self.x.started.is_some() && !self.x.suspended {
            self.take_up();
            // Those before it were offered when they came, and to each listen when it began.
            self.offer_signals(self.x.signals.len() - 1);
            self.walk();
        }
        Verdict::Applied
    }

    /// Offers the waiting signals from this place on to every open listen, in order of visit.
    pub(crate) fn offer_signals(&mut self, from: usize) {
        if self.x.signals.len() <= from {
            return;
        }
        let open: Vec<Visit> = self.x.open().map(|frame| frame.visit).collect();
        for visit in open {
            self.heed(visit, from);
        }
    }

    /// A listen takes the first waiting signal from this place on that it accepts.
    pub(crate) fn heed(&mut self, visit: Visit, from: usize) {
        let taken =
            self.x.signals.iter().enumerate().skip(from).find_map(|(at, event)| {
                step::listen::takes(self, visit, event).map(|value| (at as u32, value))
            });
        if let Some((at, value)) = taken {
            self.emit(Record::Heeded { visit, at });
            answer::event(self, visit, value);
        }
    }
}
