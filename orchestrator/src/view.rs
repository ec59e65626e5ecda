//! What the API shows of an execution, whoever made it: a lane from memory or a reader from the store.

use std::sync::Arc;

use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Ended, Parent, Status};
use tidemill_engine::{Execution, WaitingFor};
use tidemill_store::ExecutionRow;

/// One execution as shown.
#[derive(Clone, Debug)]
pub struct ExecutionView {
    /// Its identity.
    pub id: ExecutionId,
    /// Namespace.
    pub namespace: Namespace,
    /// Workflow name.
    pub workflow: Arc<str>,
    /// Workflow version.
    pub version: Arc<str>,
    /// Status.
    pub status: Status,
    /// Raw input (absent in list entries).
    pub input: Option<Value>,
    /// Created.
    pub created: Time,
    /// Began.
    pub started: Option<Time>,
    /// Ended.
    pub ended: Option<Time>,
    /// Output or error.
    pub result: Option<Ended>,
    /// Trigger name.
    pub trigger: Option<Arc<str>>,
    /// Binding, source and id of the causing event.
    pub event: Option<(Arc<str>, Arc<str>, Arc<str>)>,
    /// Attempt of the delivery; 1 without one.
    pub attempt: u32,
    /// Parent.
    pub parent: Option<Parent>,
    /// Tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// What it waits for.
    pub waiting_for: Vec<WaitingFor>,
}

impl ExecutionView {
    /// From a summary row: no input, nothing about waits.
    pub fn of_row(row: ExecutionRow) -> ExecutionView {
        ExecutionView {
            id: row.id,
            namespace: row.namespace,
            workflow: row.workflow,
            version: row.version,
            status: row.status,
            input: None,
            created: row.created,
            started: row.started,
            ended: row.ended,
            result: row.result,
            trigger: row.trigger,
            event: row.event,
            attempt: row.attempt.max(1),
            parent: row.parent,
            tags: row.tags,
            waiting_for: Vec::new(),
        }
    }

    /// From a folded execution.
    pub fn of_execution(program: &Program, execution: &Execution) -> ExecutionView {
        let birth = execution.birth();
        let cause = birth.cause.as_ref();
        ExecutionView {
            id: birth.id,
            namespace: birth.namespace.clone(),
            workflow: birth.workflow.clone(),
            version: birth.version.clone(),
            status: execution.status(),
            input: Some(birth.input.clone()),
            created: birth.created,
            started: execution.started(),
            ended: execution.ended(),
            result: execution.result().cloned(),
            trigger: cause.map(|c| c.trigger.clone()),
            event: cause.map(|c| (c.binding.clone(), c.source.clone(), c.id.clone())),
            attempt: cause.map_or(1, |c| c.attempt),
            parent: birth.parent,
            tags: birth.tags.clone(),
            waiting_for: execution.waiting_for(program),
        }
    }

    /// The same with whom its open calls call: for those who ask why it does not go on.
    pub fn in_full(program: &Program, execution: &Execution) -> ExecutionView {
        let mut view = ExecutionView::of_execution(program, execution);
        for wait in &mut view.waiting_for {
            wait.callee = tidemill_engine::callee(program, execution, wait.visit);
        }
        view
    }
}
