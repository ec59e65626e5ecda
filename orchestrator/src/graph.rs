//! A workflow as a picture: its tasks in their nested lists, what leads from each to the next, and, if asked for, what
//! an execution has made of them.
//!
//! Owns the picture and which forms it is drawn in; decides nothing and reads no store. One file per form.

mod ascii;
mod dot;
mod mermaid;
mod svg;

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::check::{self, Edge};
use tidemill_dsl::program::{Extension, Kind, ListId, Next, Program, Task};
use tidemill_engine::WaitingFor;
use tidemill_engine::entry::Entry;

/// A form of picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A Mermaid flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
    /// An SVG image, laid out.
    Svg,
    /// A tree in plain ASCII.
    Ascii,
}

impl Form {
    /// The form of a word.
    pub fn of_word(word: &str) -> Option<Form> {
        match word {
            "mermaid" => Some(Form::Mermaid),
            "dot" => Some(Form::Dot),
            "svg" => Some(Form::Svg),
            "ascii" => Some(Form::Ascii),
            _ => None,
        }
    }

    /// Its media type.
    pub fn media(self) -> &'static str {
        match self {
            Form::Mermaid | Form::Ascii => "text/plain; charset=utf-8",
            Form::Dot => "text/vnd.graphviz; charset=utf-8",
            Form::Svg => "image/svg+xml",
        }
    }
}

/// What an execution has made of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The word of its last visit: `running`, `waiting`, `completed`, `faulted` or `cancelled`.
    pub state: &'static str,
    /// How often it was begun.
    pub runs: u32,
}

/// A workflow as a picture.
#[derive(Debug)]
pub struct Picture {
    title: String,
    /// The top list first, then the body of each local function.
    lists: Vec<Group>,
    nodes: Vec<Node>,
    links: Vec<Link>,
    /// Whether it shows an execution.
    painted: bool,
}

/// A list of tasks, as drawn.
#[derive(Debug)]
struct Group {
    /// What it is in its task: `catch`, `function`, or nothing worth a word.
    label: &'static str,
    tasks: Vec<usize>,
    /// Branches stand side by side.
    sideways: bool,
}

/// A task, as drawn.
#[derive(Debug)]
struct Node {
    name: Arc<str>,
    reference: Arc<str>,
    kind: &'static str,
    groups: Vec<Group>,
    mark: Option<Mark>,
}

/// What leads from a task to another, or to the end of the workflow.
#[derive(Debug)]
struct Link {
    from: usize,
    /// None: the end.
    to: Option<usize>,
    label: String,
    /// From a call to the function it calls.
    call: bool,
}

impl Picture {
    /// The picture of a program.
    pub fn of(program: &Program) -> Picture {
        let document = &program.document;
        let bodies = program.lists.iter().enumerate();
        let bodies = bodies.filter(|(at, list)| list.owner.is_none() && *at != program.root.0 as usize);
        let root = group(program, program.root, "");
        let functions = bodies.map(|(at, _)| {
            let list = ListId(at as u32);
            group(program, list, alone(program, list))
        });
        Picture {
            title: format!("{} {}", document.name, document.version),
            lists: std::iter::once(root).chain(functions).collect(),
            nodes: program.tasks.iter().map(|task| node(program, task)).collect(),
            links: links(program),
            painted: false,
        }
    }

    /// The same with what an execution has made of each task.
    #[must_use]
    pub fn painted(mut self, marks: &BTreeMap<Arc<str>, Mark>) -> Picture {
        for node in &mut self.nodes {
            node.mark = marks.get(&node.reference).copied();
        }
        self.painted = true;
        self
    }

    /// Draws it.
    pub fn draw(&self, form: Form) -> String {
        match form {
            Form::Mermaid => mermaid::draw(self),
            Form::Dot => dot::draw(self),
            Form::Svg => svg::draw(self),
            Form::Ascii => ascii::draw(self),
        }
    }
}

/// What an execution has made of each task, by reference: from its history and what it waits for.
pub fn marks(history: &[Entry], waiting: &[WaitingFor]) -> BTreeMap<Arc<str>, Mark> {
    let mut marks: BTreeMap<Arc<str>, Mark> = BTreeMap::new();
    for entry in history {
        let Some(task) = &entry.task else { continue };
        let mark = marks.entry(task.reference.clone()).or_insert(Mark { state: "running", runs: 0 });
        match entry.kind {
            "task.started" => *mark = Mark { state: "running", runs: mark.runs + 1 },
            "task.completed" => mark.state = "completed",
            "task.faulted" => mark.state = "faulted",
            "task.cancelled" => mark.state = "cancelled",
            _ => {}
        }
    }
    for wait in waiting {
        if let Some(mark) = marks.get_mut(&wait.reference) {
            mark.state = "waiting";
        }
    }
    marks
}

/// What a list is that no task holds.
fn alone(program: &Program, list: ListId) -> &'static str {
    let is =
        |of: fn(&Extension) -> Option<ListId>| program.extensions.iter().any(|one| of(one) == Some(list));
    match (is(|one| one.before), is(|one| one.after)) {
        (true, _) => "before",
        (_, true) => "after",
        _ => "function",
    }
}

fn group(program: &Program, list: ListId, label: &'static str) -> Group {
    let tasks = program.list(list).tasks.iter().map(|task| task.0 as usize).collect();
    Group { label, tasks, sideways: false }
}

fn node(program: &Program, task: &Task) -> Node {
    let groups = match &task.kind {
        Kind::Do(list) => vec![group(program, *list, "")],
        Kind::For(each) => vec![group(program, each.body, "each")],
        Kind::Fork(fork) => {
            let label = if fork.compete { "first wins" } else { "" };
            vec![Group { sideways: true, ..group(program, fork.branches, label) }]
        }
        Kind::Try(attempt) => {
            let body = group(program, attempt.body, "");
            std::iter::once(body).chain(attempt.handler.map(|list| group(program, list, "catch"))).collect()
        }
        _ => Vec::new(),
    };
    Node {
        name: task.name.clone(),
        reference: task.reference.clone(),
        kind: word(&task.kind),
        groups,
        mark: None,
    }
}

fn links(program: &Program) -> Vec<Link> {
    let graph = check::graph(program);
    let mut links: Vec<Link> = Vec::new();
    for edge in graph.raw_edges() {
        let (from, to) = (edge.source().index(), edge.target().index());
        let (label, call) = match &edge.weight {
            Edge::Then => (String::new(), false),
            Edge::Case(name) => (name.to_string(), false),
            Edge::Skip => ("skipped".into(), false),
            Edge::Caught => ("caught".into(), false),
            Edge::Call => ("calls".into(), true),
            Edge::Enter => continue,
        };
        // A task that goes on to the next one whether it ran or not has one arrow.
        let plain = |link: &Link| (link.from, link.to) == (from, Some(to)) && link.label.is_empty();
        if edge.weight != Edge::Skip || !links.iter().any(plain) {
            links.push(Link { from, to: Some(to), label, call });
        }
    }
    for (from, task) in program.tasks.iter().enumerate() {
        let top = task.list == program.root;
        let ends = |next: Next| next == Next::End || top && next == Next::Exit;
        let mut end = |label: &str| links.push(Link { from, to: None, label: label.into(), call: false });
        match &task.kind {
            Kind::Raise(_) => {}
            Kind::Switch(cases) => {
                cases.iter().filter(|case| ends(case.then)).for_each(|case| end(&case.name));
                if ends(task.then) && cases.iter().all(|case| case.when.is_some()) {
                    end("");
                }
            }
            kind => {
                if ends(task.then) {
                    end("");
                }
                if let Kind::Try(attempt) = kind
                    && attempt.then.is_some_and(ends)
                {
                    end("caught");
                }
            }
        }
    }
    links
}

/// The word of a kind of task.
pub fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Do(_) => "do",
        Kind::Set(_) => "set",
        Kind::Switch(_) => "switch",
        Kind::Fork(_) => "fork",
        Kind::For(_) => "for",
        Kind::Try(_) => "try",
        Kind::Raise(_) => "raise",
        Kind::Wait(_) => "wait",
        Kind::Listen(_) => "listen",
        Kind::Emit(_) => "emit",
        Kind::RunWorkflow(_) | Kind::RunProcess(_) => "run",
        Kind::Http(_) | Kind::Local(_) | Kind::Fetched(_) | Kind::Function(_) => "call",
    }
}

/// Fill and line of a task in this state; the same in every form that has colours.
fn colours(mark: Option<Mark>, painted: bool) -> (&'static str, &'static str) {
    match mark.map(|mark| mark.state) {
        Some("completed") => ("#d9f2e0", "#2e7d4f"),
        Some("faulted") => ("#fbdcdc", "#b3261e"),
        Some("running") => ("#dbe9fb", "#1f5fae"),
        Some("waiting") => ("#fdf0cc", "#9a6b00"),
        Some("cancelled") => ("#e4e4e7", "#5f5f66"),
        None if painted => ("#ffffff", "#b9b9c0"),
        _ => ("#ffffff", "#3c4a5a"),
    }
}

/// `3x` of a task that was begun several times.
fn times(mark: Option<Mark>) -> String {
    mark.filter(|mark| mark.runs > 1).map(|mark| format!(" {}x", mark.runs)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
