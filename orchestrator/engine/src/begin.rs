//! The beginning of a run: input schema, `input.from`, timeout, first task (dsl.md section 4).

use tidemill_dsl::fault::Fault;
use tidemill_dsl::value::Value;

use crate::Verdict;
use crate::execution::ROOT;
use crate::history::Record;
use crate::machine::Machine;
use crate::output::same;
use crate::record::Status;
use crate::scope::{Place, Scope};
use crate::timeout;

impl Machine<'_> {
    /// Begins a pending execution.
    pub(crate) fn begin(&mut self) -> Verdict {
        if self.x.status() != Status::Pending {
            return Verdict::Stale;
        }
        // What follows yields a record, which sets the same time: `$workflow.startedAt` is now.
        self.x.time = self.now;
        let raw = self.x.birth.input.clone();
        if self.program.missing(&self.program.needs).is_some() {
            self.emit(Record::Started { input: None, deadline: None, failed: true });
            self.prepare_workflow();
            return Verdict::Applied;
        }
        let taken = self.workflow_input(&raw).and_then(|input| Ok((self.first_deadline(&input)?, input)));
        match taken {
            Ok((deadline, input)) => {
                let input = (!same(&input, &raw)).then_some(input);
                self.emit(Record::Started { input, deadline, failed: false });
                self.begin_list(self.program.root, ROOT);
                self.walk();
            }
            Err(fault) => {
                self.emit(Record::Started { input: None, deadline: None, failed: true });
                self.end_faulted(fault);
            }
        }
        Verdict::Applied
    }

    pub(crate) fn workflow_input(&mut self, raw: &Value) -> Result<Value, Fault> {
        let intake = &self.program.input;
        if let Some(schema) = &intake.schema {
            self.program.validate(schema, raw)?;
        }
        let Some(from) = &intake.from else {
            return Ok(raw.clone());
        };
        let scope = Scope::of_workflow(self.program, self.x, Place::WorkflowInput);
        let value = from.eval(raw, &scope)?;
        self.weigh(value)
    }

    /// Takes the input of a workflow that has started before: a retry, or what it needs is there.
    pub(crate) fn take_in(&mut self) {
        let raw = self.x.flow.clone();
        let taken = self.workflow_input(&raw).and_then(|input| Ok((self.first_deadline(&input)?, input)));
        match taken {
            Ok((deadline, input)) => {
                self.emit(Record::Taken { input, deadline });
                self.begin_list(self.program.root, ROOT);
            }
            Err(fault) => self.end_faulted(fault),
        }
    }

    fn first_deadline(&self, input: &Value) -> Result<Option<tidemill_dsl::ids::Time>, Fault> {
        let Some(template) = &self.program.timeout else {
            return Ok(None);
        };
        let scope = Scope::of_workflow(self.program, self.x, Place::WorkflowInput);
        Ok(Some(self.now.plus(timeout::duration(template, input, &scope)?)))
    }
}
