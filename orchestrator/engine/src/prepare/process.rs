//! `run.shell` and `run.script`: the program evaluated when it is handed out.
//!
//! Owns what of a run task may read secrets. A script's code is handed over as written (dsl.md section 12,
//! "Expressions").

use tidemill_dsl::expr::Template;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{ProcessRun, ProcessText};
use tidemill_dsl::program::{Code, Language, RunProcess, Runnable, Task};
use tidemill_dsl::value::Value;

use super::{Scope, Site, text};

/// The parts of `run.shell` and `run.script` that are evaluated.
const EVALUATED: [&str; 4] = ["command", "stdin", "arguments", "environment"];

/// What of a run task may hold expressions, as written.
pub(crate) fn written<'a>(run: &RunProcess, task: &'a Task) -> impl Iterator<Item = &'a Value> {
    let kind = if matches!(run.program, Runnable::Shell(_)) { "/run/shell" } else { "/run/script" };
    let part = task.definition.pointer(kind);
    EVALUATED.iter().filter_map(move |key| part?.get(key))
}

/// What runs, for people.
pub(super) fn callee(run: &RunProcess) -> &'static str {
    match run.program {
        Runnable::Shell(_) => "sh",
        Runnable::Script(Language::JavaScript, _) => "node",
        Runnable::Script(Language::Python, _) => "python3",
    }
}

/// Evaluates everything that may hold expressions.
pub(super) fn prepare(run: &RunProcess, site: &Site, scope: &Scope<'_>) -> Result<ProcessRun, Fault> {
    let eval = |template: &Option<Template>| {
        template.as_ref().map(|template| template.eval(&site.input, scope)).transpose()
    };
    let program = match &run.program {
        Runnable::Shell(command) => ProcessText::Shell(text("command", &command.eval(&site.input, scope)?)?),
        Runnable::Script(language, Code::Here(text)) => ProcessText::Script(*language, text.clone()),
        Runnable::Script(language, Code::Elsewhere(need)) => {
            ProcessText::Script(*language, scope.program.script(&need.uri)?)
        }
    };
    let stdin = match eval(&run.stdin)? {
        None => String::new(),
        Some(Value::String(text)) => text.to_string(),
        Some(other) => other.to_string(),
    };
    let arguments = eval(&run.arguments)?.map_or(Ok(Vec::new()), |value| list(&value))?;
    let environment = match eval(&run.environment)? {
        None | Some(Value::Null) => Vec::new(),
        Some(value) => super::pairs("environment", &value)?,
    };
    Ok(ProcessRun { program, arguments, environment, stdin, returns: run.returns, wait: run.wait })
}

fn list(value: &Value) -> Result<Vec<String>, Fault> {
    let Some(items) = value.as_array() else {
        let detail = format!("`arguments` gives no list but a value of kind {}", value.kind());
        return Err(Fault::expression(detail));
    };
    items.iter().map(|item| text("arguments", item)).collect()
}
