//! Transitions: one decision as one row of the log (D8), and the fold of a log.

use tidemill_dsl::ids::Time;
use tidemill_dsl::program::Program;

use crate::apply::apply;
use crate::codec::DecodeError;
use crate::decode::{birth_of, decode, known};
use crate::execution::Execution;
use crate::history::Record;
use crate::record::{Summary, Transition};
use crate::{Decision, encode};

/// The first transition of an execution that is to begin later: it holds the birth and no public entry.
pub fn created(execution: &mut Execution) -> Transition {
    let records = [Record::Created(execution.birth.clone())];
    execution.transitions += 1;
    row(execution, &records, 1, execution.birth.created)
}

/// A decision's transition. Call it only if the decision has records.
pub fn transition(execution: &Execution, decision: &Decision) -> Transition {
    row(execution, &decision.records, decision.first, decision.time)
}

impl Decision {
    /// The decision's transition: see [`transition`].
    pub fn transition(&self, execution: &Execution) -> Transition {
        transition(execution, self)
    }
}

fn row(execution: &Execution, records: &[Record], first: u64, time: Time) -> Transition {
    Transition {
        execution: execution.birth.id,
        namespace: execution.birth.namespace.clone(),
        first,
        count: records.iter().map(Record::entries).sum::<u64>() as u32,
        time,
        lifecycle: records.iter().any(Record::is_lifecycle),
        body: encode::encode(records),
    }
}

/// The summary of an execution as it is now.
pub fn summary(execution: &Execution) -> Summary {
    Summary {
        execution: execution.birth.id,
        status: execution.status(),
        started: execution.started,
        ended: execution.ended,
        result: execution.result.clone(),
    }
}

/// Folds a log from its first transition.
pub fn fold<'a>(
    program: &Program,
    transitions: impl IntoIterator<Item = &'a Transition>,
) -> Result<Execution, DecodeError> {
    let mut transitions = transitions.into_iter();
    let first = transitions.next().ok_or(DecodeError("the log is empty"))?;
    let mut execution = Execution::unborn(birth_of(first)?.into());
    execution.follow(program, first)?;
    for transition in transitions {
        execution.follow(program, transition)?;
    }
    Ok(execution)
}

impl Execution {
    /// Folds one more transition: what a snapshot lacks.
    pub fn follow(&mut self, program: &Program, transition: &Transition) -> Result<(), DecodeError> {
        if transition.first != self.sequence {
            return Err(DecodeError("a transition is missing or stands twice"));
        }
        for record in decode(&transition.body)? {
            let whole = self.link.0.clone();
            let program = whole.as_deref().unwrap_or(program);
            known(program, &record)?;
            apply(program, self, &record, transition.time);
        }
        self.transitions += 1;
        Ok(())
    }
}
