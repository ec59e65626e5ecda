//! Which variables an expression may use where (dsl.md section 3).

use std::sync::Arc;

/// Arguments that a loop or catch variable may not be named like.
pub(super) const ARGUMENTS: [&str; 8] =
    ["context", "input", "output", "secrets", "task", "workflow", "runtime", "authorization"];

/// A kind of place that holds expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Where {
    /// `input.from` and `timeout` of the workflow.
    WorkflowInput,
    /// `output.as` of the workflow.
    WorkflowOutput,
    /// `if` and `input.from` of a task.
    Before,
    /// The body of a task, its `output.as` and what it takes from `use`.
    Body,
    /// `with` of call and run, and `authentication`: the body and `$secrets`.
    Sent,
    /// What another workflow, or a function that is tasks, is given: a body whose value the history keeps.
    Given,
    /// `export.as` of a task.
    Export,
}

impl Where {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Where::WorkflowInput => &["workflow", "runtime"],
            Where::WorkflowOutput => &["context", "workflow", "runtime"],
            Where::Before => &["context", "task", "workflow", "runtime"],
            Where::Body | Where::Given => {
                &["context", "input", "task", "workflow", "runtime", "authorization"]
            }
            Where::Sent => &["context", "input", "task", "workflow", "runtime", "authorization", "secrets"],
            Where::Export => &["context", "input", "output", "task", "workflow", "runtime", "authorization"],
        }
    }
}

/// What surrounds a task.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Loop and error variables, without `$`.
    variables: Vec<Arc<str>>,
    /// How many tasks are around.
    pub(super) depth: usize,
    /// The function of `use.functions` whose body this is, by its number.
    pub(super) function: Option<usize>,
    /// Whether it belongs to an extension: its tasks are not extended.
    pub(super) extension: bool,
    /// `evaluate.mode: loose`: every string is tried as an expression.
    pub(super) loose: bool,
}

impl Scope {
    /// What surrounds everything.
    pub(super) fn outermost(loose: bool) -> Scope {
        Scope { loose, ..Scope::default() }
    }

    /// The scope of the body of function number `function`.
    pub(super) fn of_function(&self, function: usize) -> Scope {
        Scope { function: Some(function), ..self.clone() }
    }

    /// The scope of the tasks of an extension.
    pub(super) fn of_extension(&self) -> Scope {
        Scope { extension: true, ..self.clone() }
    }

    /// This one with more variables.
    pub(super) fn with(&self, variables: &[&Arc<str>]) -> Scope {
        let mut scope = self.clone();
        scope.variables.extend(variables.iter().map(|v| Arc::clone(v)));
        scope
    }

    /// This one, one task deeper.
    pub(super) fn deeper(&self) -> Scope {
        Scope { depth: self.depth + 1, ..self.clone() }
    }

    /// The variables known at a place.
    pub(super) fn known(&self, place: Where) -> Vec<&str> {
        place.arguments().iter().copied().chain(self.variables.iter().map(|v| &**v)).collect()
    }
}
