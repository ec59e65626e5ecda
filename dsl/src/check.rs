//! Checks of a compiled workflow as a graph.
//!
//! Owns the graph of tasks and their successors, for warnings and for export. Changes nothing and refuses nothing:
//! what it finds are warnings (dsl.md section 12 "Text": an unreachable task is a warning, never an error).

mod traps;

use std::sync::Arc;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Dfs;

use crate::codes;
use crate::program::{Kind, ListId, Next, Program, Task, TaskId};

/// Why one task comes after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The task completed: declared order, or `then`.
    Then,
    /// A case of a switch, by its name.
    Case(Arc<str>),
    /// `if` did not hold.
    Skip,
    /// An error was caught: `catch.then`.
    Caught,
    /// The first task (of a fork: every branch) of a list that the task holds.
    Enter,
    /// The body of the function it calls.
    Call,
}

/// The tasks of a program and what leads from each to the next. Indices equal those of [`Program::tasks`].
pub fn graph(program: &Program) -> DiGraph<TaskId, Edge> {
    let mut graph = DiGraph::with_capacity(program.tasks.len(), program.tasks.len() * 2);
    for id in 0..program.tasks.len() {
        graph.add_node(TaskId(id as u32));
    }
    for (id, task) in program.tasks.iter().enumerate() {
        let from = NodeIndex::new(id);
        for (next, edge) in successors(task) {
            if let Next::Task(to) = next {
                graph.add_edge(from, NodeIndex::new(to.0 as usize), edge);
            }
        }
        for list in held(task) {
            for to in entries(program, list, task) {
                graph.add_edge(from, NodeIndex::new(to.0 as usize), Edge::Enter);
            }
        }
        if let Kind::Local(call) = &task.kind {
            graph.add_edge(from, NodeIndex::new(call.body.0 as usize), Edge::Call);
        }
    }
    graph
}

/// A warning about a task.
pub(crate) struct Finding {
    pub(crate) task: TaskId,
    pub(crate) code: &'static str,
    /// JSON pointer below the task of what is meant; empty: the task itself.
    pub(crate) at: String,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// Tasks that are never reached, loops without an exit, and traps.
pub(crate) fn findings(program: &Program) -> Vec<Finding> {
    let graph = graph(program);
    let mut found = unreachable(program, &graph);
    if program.timeout.is_none() {
        found.extend(endless(program, &graph));
    }
    found.extend(traps::traps(program));
    found
}

/// Where the flow may go from a task, for every reason, inside its list or out of it.
fn successors(task: &Task) -> Vec<(Next, Edge)> {
    let mut next = Vec::new();
    match &task.kind {
        Kind::Raise(_) => {}
        Kind::Switch(cases) => {
            next.extend(cases.iter().map(|case| (case.then, Edge::Case(case.name.clone()))));
            if cases.iter().all(|case| case.when.is_some()) {
                next.push((task.then, Edge::Then));
            }
        }
        Kind::Try(parts) => {
            next.push((task.then, Edge::Then));
            next.extend(parts.then.map(|then| (then, Edge::Caught)));
        }
        _ => next.push((task.then, Edge::Then)),
    }
    if task.condition.is_some() {
        next.push((task.following, Edge::Skip));
    }
    next
}

/// The lists a task holds.
fn held(task: &Task) -> Vec<ListId> {
    match &task.kind {
        Kind::Do(list) => vec![*list],
        Kind::For(parts) => vec![parts.body],
        Kind::Fork(parts) => vec![parts.branches],
        Kind::Try(parts) => std::iter::once(parts.body).chain(parts.handler).collect(),
        _ => Vec::new(),
    }
}

fn entries<'p>(program: &'p Program, list: ListId, holder: &Task) -> &'p [TaskId] {
    let tasks = &program.list(list).tasks;
    let count = if matches!(holder.kind, Kind::Fork(_)) { tasks.len() } else { tasks.len().min(1) };
    &tasks[..count]
}

fn unreachable(program: &Program, graph: &DiGraph<TaskId, Edge>) -> Vec<Finding> {
    let mut reached = vec![false; program.tasks.len()];
    let bodies =
        program.lists.iter().enumerate().filter(|(i, l)| l.owner.is_none() && *i != program.root.0 as usize);
    let roots = program.list(program.root).tasks.first().copied();
    for start in roots.into_iter().chain(bodies.filter_map(|(_, l)| l.tasks.first().copied())) {
        let mut walk = Dfs::new(graph, NodeIndex::new(start.0 as usize));
        while let Some(node) = walk.next(graph) {
            reached[node.index()] = true;
        }
    }
    let holder_reached = |task: &Task| program.list(task.list).owner.is_none_or(|o| reached[o.0 as usize]);
    let lost = program.tasks.iter().enumerate().filter(|(i, task)| !reached[*i] && holder_reached(task));
    lost.map(|(i, task)| Finding {
        task: TaskId(i as u32),
        code: codes::UNREACHABLE,
        at: String::new(),
        message: format!("the task `{}` is never reached", task.name),
        help: "remove it, or let the `then` of a task before it name it",
    })
    .collect()
}

fn endless(program: &Program, graph: &DiGraph<TaskId, Edge>) -> Vec<Finding> {
    let mut flow = graph.clone();
    flow.retain_edges(|g, e| !matches!(g[e], Edge::Enter | Edge::Call));
    let mut found = Vec::new();
    for circle in tarjan_scc(&flow) {
        let inside = |id: TaskId| circle.iter().any(|n| n.index() == id.0 as usize);
        let turns = circle.len() > 1 || flow.contains_edge(circle[0], circle[0]);
        let leaves = |node: &NodeIndex| {
            let task = &program.tasks[node.index()];
            let out = successors(task).iter().any(|(next, _)| !matches!(next, Next::Task(id) if inside(*id)));
            out || held(task).iter().any(|list| may_end(program, *list))
        };
        if !turns || circle.iter().any(leaves) {
            continue;
        }
        let Some(first) = circle.iter().map(|n| n.index()).min() else {
            continue;
        };
        found.push(Finding {
            task: TaskId(first as u32),
            code: codes::ENDLESS,
            at: String::new(),
            message: format!(
                "the loop that begins with the task `{}` has no exit",
                program.tasks[first].name
            ),
            help: "add a switch case or an `if` that leads out of it, or a timeout",
        });
    }
    found
}

/// Whether something in a list ends the workflow or faults.
fn may_end(program: &Program, list: ListId) -> bool {
    program.list(list).tasks.iter().any(|id| {
        let task = program.task(*id);
        matches!(task.kind, Kind::Raise(_))
            || successors(task).iter().any(|(next, _)| *next == Next::End)
            || held(task).iter().any(|list| may_end(program, *list))
    })
}
