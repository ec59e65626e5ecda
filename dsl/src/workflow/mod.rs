//! A workflow definition, from YAML to the compiled [`Program`].
//!
//! Owns the language (dsl.md): one file per kind of task, each from its YAML to its compiled form. Every mistake of
//! a text is found in one run. What belongs to the language but is not run by this release is refused with a code
//! of its own (`E09..`), never skipped. Runs nothing.

mod call;
mod document;
mod emit;
mod for_each;
mod fork;
mod http;
mod list;
mod listen;
mod run;
mod scope;
mod switch;
mod task;
mod try_catch;
mod uses;
mod values;

use std::sync::Arc;

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use sha2::{Digest, Sha256};

use crate::check;
use crate::codes;
use crate::diagnostic::{Diagnostic, Severity};
use crate::program::{Document, Intake, List, ListId, Program, Shape, Task, TaskId};
use crate::reader::{Place, Reader, Sink, with_guess};
use crate::value::Value;
use crate::yaml::{self, Node};

use scope::{Scope, Where};
use uses::Uses;
use values::At;

/// Deepest nesting of tasks in each other (limit `task-nesting`).
pub const MAX_NESTING: usize = 32;
/// Most branches of a fork (limit `fork-branches`).
pub const MAX_BRANCHES: usize = 256;

/// What a definition was found to be.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The compiled workflow, if and only if no diagnostic is an error.
    pub program: Option<Arc<Program>>,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks and compiles a text that is one workflow definition, YAML or JSON.
pub fn check(text: &str) -> Checked {
    match yaml::parse(text) {
        Ok(node) => compile(&node, text, text),
        Err(diagnostics) => Checked { program: None, diagnostics },
    }
}

/// Checks and compiles one document of a text that may hold several. Spans are places in the whole `text`; the
/// digest is that of the document's own part, `node.span`.
pub fn check_node(node: &Node, text: &str) -> Checked {
    let own = text.get(node.span.start..node.span.end).unwrap_or(text);
    compile(node, text, own)
}

fn compile(node: &Node, text: &str, own: &str) -> Checked {
    let sink = Sink::new(text);
    let program = Compiler::run(node, &sink, Sha256::digest(own.as_bytes()).into());
    let diagnostics = sink.into_diagnostics();
    let refused = diagnostics.iter().any(|d| d.severity == Severity::Error);
    debug_assert_eq!(refused, program.is_none());
    Checked { program: program.filter(|_| !refused).map(Arc::new), diagnostics }
}

/// A task that was met: what stands in the text, and what it became.
struct Draft<'a> {
    place: Place<'a>,
    task: Option<Task>,
}

/// The definition being compiled.
struct Compiler<'a> {
    sink: &'a Sink<'a>,
    definition: Value,
    uses: Uses<'a>,
    drafts: Vec<Draft<'a>>,
    lists: Vec<List>,
    /// The tasks that are the bodies of functions, by the function's number.
    functions: Vec<TaskId>,
    /// Which function calls which, where.
    calls: Vec<(usize, usize, Place<'a>)>,
}

impl<'a> Compiler<'a> {
    fn run(node: &'a Node, sink: &'a Sink<'a>, digest: [u8; 32]) -> Option<Program> {
        let mut reader = Reader::open(Place::root(node), sink, "the workflow")?;
        let document = document::document(&mut reader);
        let uses = Uses::read(&mut reader);
        let (secrets, outermost) = (uses.secrets.clone(), Scope::default());
        let mut compiler = Compiler::new(node, sink, uses);
        let before = At::new(sink, &outermost, Where::WorkflowInput);
        let input = values::intake(&mut reader, before);
        let timeout = compiler.uses.timeout(&mut reader, before);
        let output = values::shape(&mut reader, "output", At::new(sink, &outermost, Where::WorkflowOutput));
        compiler.functions();
        let root = reader.need("do").and_then(|p| compiler.list(&p, None, &outermost));
        document::evaluate(&mut reader);
        reader.refuse("schedule", codes::LATER_SCHEDULE, "`schedule` is not supported by this release");
        reader.finish();
        compiler.uses.check_unused(sink);
        compiler.recursion();
        let parts = Parts { document: document?, digest, input, output, timeout, secrets };
        compiler.finish(parts, root?)
    }

    fn new(node: &Node, sink: &'a Sink<'a>, uses: Uses<'a>) -> Compiler<'a> {
        Compiler {
            sink,
            definition: node.to_value(),
            uses,
            drafts: Vec::new(),
            lists: Vec::new(),
            functions: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Bodies of functions are tasks like others, each in a list of its own.
    fn functions(&mut self) {
        let bodies = self.uses.functions.entries.clone();
        for (name, place) in &bodies {
            let id = self.reserve(place.clone());
            self.lists.push(List { tasks: vec![id], owner: None });
            self.functions.push(id);
            if name.contains([':', '@', '/'])
                || call::BUILT_IN.iter().any(|b| b.0 == &**name)
                || &**name == "http"
            {
                let d = place
                    .key_error(codes::RESERVED_NAME, format!("`{name}` cannot be the name of a function"));
                self.sink.push(d.help(
                    "names of functions are free of `:`, `@` and `/`, and not those of built-in calls",
                ));
            }
        }
        for (number, (name, place)) in bodies.iter().enumerate() {
            let names = list::Names::of_function(name, self.functions[number], ListId(number as u32));
            self.task(place, &names, 0, &Scope::of_function(number));
        }
    }

    /// Refuses calls that lead back to the function they stand in.
    fn recursion(&self) {
        let edges = self.calls.iter().map(|(from, to, _)| (*from as u32, *to as u32));
        let graph: DiGraph<(), ()> = DiGraph::from_edges(edges);
        for circle in tarjan_scc(&graph) {
            let inside = |n: usize| circle.iter().any(|c| c.index() == n);
            for (from, to, place) in &self.calls {
                if inside(*from) && inside(*to) && (circle.len() > 1 || from == to) {
                    let name = |n: usize| &*self.uses.functions.entries[n].0;
                    let message =
                        format!("the function `{}` calls itself by way of `{}`", name(*from), name(*to));
                    self.sink.push(place.error(codes::RECURSION, message));
                }
            }
        }
    }

    fn reserve(&mut self, place: Place<'a>) -> TaskId {
        self.drafts.push(Draft { place, task: None });
        TaskId(self.drafts.len() as u32 - 1)
    }

    /// The program, when nothing was refused; warnings are told in any case that allows them.
    fn finish(self, parts: Parts, root: ListId) -> Option<Program> {
        if self.sink.has_errors() {
            return None;
        }
        let (places, tasks): (Vec<_>, Vec<_>) = self.drafts.into_iter().map(|d| (d.place, d.task)).unzip();
        let tasks = tasks.into_iter().collect::<Option<Vec<_>>>()?;
        let Parts { document, digest, input, output, timeout, secrets } = parts;
        let (lists, definition) = (self.lists, self.definition);
        let program =
            Program { document, digest, definition, input, output, timeout, secrets, root, lists, tasks };
        for finding in check::findings(&program) {
            let place = &places[finding.task.0 as usize];
            let d = Diagnostic::warning(finding.code, place.key, finding.message).at(place.pointer.clone());
            self.sink.push(d.help(finding.help));
        }
        Some(program)
    }
}

/// What a program has besides its tasks.
struct Parts {
    document: Document,
    digest: [u8; 32],
    input: Intake,
    output: Shape,
    timeout: Option<crate::expr::Template>,
    secrets: Vec<Arc<str>>,
}

/// The one of these keys that stands in the map, with its value. None or a second one is reported; none is not
/// when `other` says that something else stands for it.
fn one_of<'a>(
    reader: &mut Reader<'a, '_>,
    keys: &[&'static str],
    other: bool,
) -> Option<(&'static str, Place<'a>)> {
    let mut found: Vec<_> = keys.iter().filter_map(|key| Some((*key, reader.take(key)?))).collect();
    found.sort_by_key(|(_, place)| place.key.start);
    let list = keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
    let mistake = match found.as_slice() {
        [(first, _), (second, place), ..] => {
            Some((place, format!("`{first}` and `{second}` exclude each other")))
        }
        [(key, place)] if other => Some((place, format!("`{key}` stands beside a key that excludes it"))),
        _ => None,
    };
    if let Some((place, message)) = mistake {
        let d = place.key_error(codes::EXCLUSIVE, message);
        reader.sink().push(d.help(format!("write exactly one of {list}")));
        return None;
    }
    if found.is_empty() && !other {
        let place = reader.place();
        let unknown = place.node.entries().first();
        let d = place.error(codes::MISSING_KEY, format!("one of {list} is needed"));
        reader.sink().push(match unknown {
            Some(entry) => with_guess(d, &entry.key, keys.iter().copied()),
            None => d,
        });
    }
    found.into_iter().next()
}

/// What was left out stays left out; what was refused refuses the whole.
#[allow(clippy::option_option, reason = "left out, refused and read are three cases")]
fn given<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

#[cfg(test)]
mod tests;
