//! Task lists: names, and what `then` means in them.

use std::sync::Arc;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::program::{ListId, Next, TaskId};
use crate::reader::{Place, Sink, with_guess};
use crate::yaml::{NodeKind, join};

use super::scope::Scope;
use super::{Compiler, MAX_NESTING};

/// A list's tasks by name.
pub(super) struct Names {
    pub(super) list: ListId,
    pub(super) tasks: Vec<(Arc<str>, TaskId)>,
    kind: Kind,
}

/// What kind of list it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One task after another.
    Plain,
    /// Branches of a fork run side by side: none follows another.
    Branches,
    /// `before` of an extension: `exit` leaves the extended task.
    Before,
}

impl Names {
    /// The list that holds nothing but the body of a function.
    pub(super) fn of_function(name: &Arc<str>, task: TaskId, list: ListId) -> Names {
        Names { list, tasks: vec![(name.clone(), task)], kind: Kind::Plain }
    }

    /// What follows the task at `index` in the order of declaration.
    pub(super) fn following(&self, index: usize) -> Next {
        match self.tasks.get(index + 1) {
            Some((_, id)) if self.kind != Kind::Branches => Next::Task(*id),
            _ => Next::Exit,
        }
    }

    /// What a flow directive of the task at `index` means; an unknown name is reported.
    pub(super) fn target(&self, place: &Place, index: usize, sink: &Sink) -> Option<Next> {
        let text = place.text(sink)?;
        match &*text {
            "continue" => return Some(self.following(index)),
            "exit" if self.kind == Kind::Before => return Some(Next::Leave),
            "exit" => return Some(Next::Exit),
            "end" => return Some(Next::End),
            _ => {}
        }
        let found = self.tasks.iter().find(|(name, _)| *name == text);
        if let Some((_, id)) = found.filter(|_| self.kind != Kind::Branches) {
            return Some(Next::Task(*id));
        }
        let d = place.error(codes::UNKNOWN_TARGET, format!("`then` names no task `{text}` of this list"));
        sink.push(self.advice(d, &text));
        None
    }

    fn advice(&self, d: Diagnostic, text: &str) -> Diagnostic {
        if self.kind == Kind::Branches {
            return d.help("branches run side by side; in a branch `then` is `continue`, `exit` or `end`");
        }
        let names = self.tasks.iter().map(|(name, _)| &**name);
        let d = with_guess(d, text, names.clone().chain(["continue", "exit", "end"]));
        if d.help.is_some() {
            return d;
        }
        let list: Vec<_> = names.take(10).collect();
        d.help(format!("the tasks of this list are: {}", list.join(", ")))
    }
}

impl<'a> Compiler<'a> {
    /// Compiles a list of tasks. Gives none if it is no list or has no tasks (both are reported).
    pub(super) fn list(&mut self, place: &Place<'a>, owner: Option<TaskId>, scope: &Scope) -> Option<ListId> {
        self.tasks(place, owner, scope, Kind::Plain)
    }

    /// Compiles the branches of a fork, `owner` being the fork.
    pub(super) fn branches(&mut self, place: &Place<'a>, owner: TaskId, scope: &Scope) -> Option<ListId> {
        self.tasks(place, Some(owner), scope, Kind::Branches)
    }

    /// Compiles the `before` list of an extension.
    pub(super) fn before(&mut self, place: &Place<'a>, scope: &Scope) -> Option<ListId> {
        self.tasks(place, None, scope, Kind::Before)
    }

    fn tasks(
        &mut self,
        place: &Place<'a>,
        owner: Option<TaskId>,
        scope: &Scope,
        kind: Kind,
    ) -> Option<ListId> {
        let sink = self.sink;
        let items = place.list(sink)?;
        if items.is_empty() {
            sink.push(place.key_error(codes::EMPTY, "the list of tasks is empty"));
            return None;
        }
        if scope.depth >= MAX_NESTING {
            let message = format!("tasks nest deeper than {MAX_NESTING} (limit task-nesting)");
            sink.push(place.key_error(codes::LIMIT_NESTING, message));
            return None;
        }
        let list = self.reserve_list(owner);
        let entries: Vec<_> = items.iter().filter_map(|item| named(item, sink, "a task")).collect();
        let mut names = Names { list, tasks: Vec::new(), kind };
        for (name, place) in &entries {
            if names.tasks.iter().any(|(n, _)| n == name) {
                let d = place
                    .key_error(codes::DOUBLED_NAME, format!("the name `{name}` stands twice in this list"));
                sink.push(d.help("give every task of the list a name of its own"));
            }
            if matches!(&**name, "continue" | "exit" | "end") {
                sink.push(place.key_error(codes::RESERVED_NAME, format!("a task cannot be named `{name}`")));
            }
            let id = self.reserve(place.clone());
            names.tasks.push((name.clone(), id));
        }
        *self.tasks_of(list) = names.tasks.iter().map(|(_, id)| *id).collect();
        let inner = scope.deeper();
        for (index, (_, place)) in entries.iter().enumerate() {
            self.task(place, &names, index, &inner);
        }
        Some(list)
    }
}

/// The one key of a list item that is a map with one key.
pub(super) fn named<'a>(item: &Place<'a>, sink: &Sink, what: &str) -> Option<(Arc<str>, Place<'a>)> {
    let NodeKind::Map(entries) = &item.node.kind else {
        let message = format!("{what} must be a map with one key, its name, not {}", item.node.describe());
        sink.push(item.error(codes::NOT_ONE_KEY, message));
        return None;
    };
    let [entry] = entries.as_slice() else {
        let span = entries.get(1).map_or(item.node.span, |e| e.key_span);
        let pointer = entries.get(1).map_or(item.pointer.clone(), |e| join(&item.pointer, &e.key));
        let message = match entries.get(1) {
            Some(second) => format!("{what} has one key, its name; `{}` is a second one", second.key),
            None => format!("{what} has one key, its name; this map is empty"),
        };
        let d = Diagnostic::error(codes::NOT_ONE_KEY, span, message).at(pointer);
        sink.push(d.help("indent what belongs below the name further than the name"));
        return None;
    };
    let pointer = join(&item.pointer, &entry.key);
    Some((entry.key.clone(), Place { node: &entry.value, key: entry.key_span, pointer }))
}
