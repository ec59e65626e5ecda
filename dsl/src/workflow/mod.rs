//! A workflow definition, from YAML to the compiled [`Program`].
//!
//! Owns the language (dsl.md): one file per kind of task, each from its YAML to its compiled form. Every mistake of
//! a text is found in one run. What belongs to the language but is not run by this release is refused with a code
//! of its own (`E09..`), never skipped. Runs nothing.

mod call;
mod document;
mod emit;
mod extension;
mod for_each;
mod fork;
mod http;
mod list;
mod listen;
mod resource;
mod run;
mod scope;
mod switch;
mod task;
mod traps;
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
use crate::program::{Document, Extension, Intake, List, ListId, Need, Program, Shape, Task, TaskId};
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

/// Compiles the text of a function's file: one task. The error says what is wrong with it. `resource` is the number
/// that the tasks carry ([`TaskId::linked`]).
pub(crate) fn function(text: &str, resource: usize) -> Result<(Vec<Task>, Vec<List>), String> {
    let node = yaml::parse(text).map_err(|found| told(&found))?;
    let sink = Sink::new(text);
    let compiled = Compiler::function(&node, &sink, resource);
    let found = sink.into_diagnostics();
    let refused = found.iter().any(|d| d.severity == Severity::Error);
    compiled.filter(|_| !refused).ok_or_else(|| told(&found))
}

/// The first error in a few words.
pub(crate) fn told(found: &[Diagnostic]) -> String {
    let first = found.iter().find(|d| d.severity == Severity::Error);
    first.map_or_else(
        || "it is no task".to_owned(),
        |d| {
            let at = if d.pointer.is_empty() { String::new() } else { format!(" at {}", d.pointer) };
            format!("[{}]{at} {}", d.code, d.message)
        },
    )
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
    outermost: Scope,
    /// The number of the fetched resource it becomes; none for a workflow.
    resource: Option<usize>,
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
        let outermost = Scope::outermost(document::evaluate(&mut reader));
        let uses = Uses::read(&mut reader);
        let secrets = uses.secrets.clone();
        let mut compiler = Compiler::new(node, sink, uses, outermost.clone());
        let mut needs = Vec::new();
        let before = At::new(sink, &outermost, Where::WorkflowInput);
        let input = compiler.intake(&mut reader, before, &mut needs);
        let timeout = compiler.uses.timeout(&mut reader, before);
        let after = At::new(sink, &outermost, Where::WorkflowOutput);
        let output = compiler.shape(&mut reader, "output", after, &mut needs);
        compiler.functions();
        let extensions = compiler.extensions();
        let root = reader.need("do").and_then(|p| compiler.list(&p, None, &outermost));
        reader.refuse("schedule", codes::LATER_SCHEDULE, "`schedule` is not supported by this release");
        reader.finish();
        compiler.uses.check_unused(sink, &outermost);
        compiler.unused_catalogs();
        compiler.recursion();
        let parts = Parts { document: document?, digest, input, output, timeout, secrets, needs, extensions };
        compiler.finish(parts, root?)
    }

    /// The tasks and lists of a function's file.
    fn function(node: &'a Node, sink: &'a Sink<'a>, resource: usize) -> Option<(Vec<Task>, Vec<List>)> {
        let mut compiler = Compiler::new(node, sink, Uses::default(), Scope::default());
        compiler.resource = Some(resource);
        let place = Place::root(node);
        let body = compiler.reserve(place.clone());
        let list = compiler.reserve_list(None);
        *compiler.tasks_of(list) = vec![body];
        let names = list::Names::of_function(&"function".into(), body, list);
        compiler.task(&place, &names, 0, &Scope::default());
        let tasks = compiler.drafts.into_iter().map(|d| d.task).collect::<Option<Vec<_>>>()?;
        Some((tasks, compiler.lists))
    }

    fn new(node: &Node, sink: &'a Sink<'a>, uses: Uses<'a>, outermost: Scope) -> Compiler<'a> {
        Compiler {
            sink,
            definition: node.to_value(),
            uses,
            outermost,
            resource: None,
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
            let list = self.reserve_list(None);
            *self.tasks_of(list) = vec![id];
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
            let scope = self.outermost.of_function(number);
            self.task(place, &names, 0, &scope);
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
        let own = self.drafts.len();
        self.drafts.push(Draft { place, task: None });
        self.resource.map_or(TaskId(own as u32), |resource| TaskId::linked(resource, own))
    }

    fn reserve_list(&mut self, owner: Option<TaskId>) -> ListId {
        let own = self.lists.len();
        self.lists.push(List { tasks: Vec::new(), owner });
        self.resource.map_or(ListId(own as u32), |resource| ListId::linked(resource, own))
    }

    fn tasks_of(&mut self, list: ListId) -> &mut Vec<TaskId> {
        &mut self.lists[TaskId(list.0).own()].tasks
    }

    /// The program, when nothing was refused; warnings are told in any case that allows them.
    fn finish(self, parts: Parts, root: ListId) -> Option<Program> {
        if self.sink.has_errors() {
            return None;
        }
        let (places, tasks): (Vec<_>, Vec<_>) = self.drafts.into_iter().map(|d| (d.place, d.task)).unzip();
        let tasks = tasks.into_iter().collect::<Option<Vec<_>>>()?;
        let Parts { document, digest, input, output, timeout, secrets, needs, extensions } = parts;
        let program = Program {
            document,
            digest,
            definition: self.definition,
            input,
            output,
            timeout,
            secrets,
            root,
            lists: self.lists.into(),
            tasks: tasks.into(),
            extensions: extensions.into(),
            needs: needs.into(),
            linked: Vec::new(),
        };
        for finding in check::findings(&program) {
            let place = &places[finding.task.0 as usize];
            let pointer = format!("{}{}", place.pointer, finding.at);
            let span = place.node.key_of(&finding.at).unwrap_or(place.key);
            let d = Diagnostic::warning(finding.code, span, finding.message).at(pointer);
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
    needs: Vec<Need>,
    extensions: Vec<Extension>,
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
        let d = d.help(format!("add one of the keys {list}"));
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
