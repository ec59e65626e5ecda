//! Traps of the language: what is valid and rarely meant (dsl.md sections 3 and 5).
//!
//! Owns the questions about tasks; those about single texts are asked where the texts are read. Refuses nothing.

use crate::codes;
use crate::fault::Standard;
use crate::program::{Kind, Next, Program, Task, TaskId, Try};
use crate::value::Value;

use super::Finding;

/// What begins the URI of a standard error in all its forms.
const STANDARD: [&str; 2] = ["/spec/1.0.0/errors/", "/dsl/errors/types/"];

/// Every trap, in the order of the tasks.
pub(super) fn traps(program: &Program) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, task) in program.tasks.iter().enumerate() {
        let mut tell = |code, at: String, message: String, help| {
            found.push(Finding { task: TaskId(id as u32), code, at, message, help });
        };
        skipped(id, task, &mut tell);
        left(program, task, &mut tell);
        if let Kind::Try(attempt) = &task.kind {
            caught(attempt, &mut tell);
        }
        misspelt(task, &mut tell);
    }
    for list in program.lists.iter() {
        let branches = list.owner.is_some_and(|o| matches!(program.task(o).kind, Kind::Fork(_)));
        if !branches {
            replaced(program, &list.tasks, &mut found);
        }
    }
    found
}

type Tell<'a> = dyn FnMut(&'static str, String, String, &'static str) + 'a;

/// `then` of a task that may be skipped: it is not followed then. A jump back is meant so: it ends a loop.
fn skipped(id: usize, task: &Task, tell: &mut Tell) {
    let onwards = matches!(task.then, Next::Task(to) if to.0 as usize > id);
    let named = onwards && task.then != task.following;
    if task.condition.is_some() && named {
        let message = format!("`then` is not followed when `if` skips the task `{}`", task.name);
        let help = "a skipped task goes on with the next one; to branch, use a switch";
        tell(codes::SKIPPED_THEN, "/then".to_owned(), message, help);
    }
}

/// `exit` in the body of a loop: it ends the iteration, not the loop.
fn left(program: &Program, task: &Task, tell: &mut Tell) {
    let within = program.list(task.list).owner.map(|owner| &program.task(owner).kind);
    if !matches!(within, Some(Kind::For(_))) {
        return;
    }
    let help = "it ends this iteration, and the next one begins; to leave a loop early, use its `while`";
    let is_exit = |then: Option<&Value>| then.and_then(Value::as_str) == Some("exit");
    let message = || "`exit` does not leave the loop".to_owned();
    if is_exit(task.definition.get("then")) {
        tell(codes::EXIT_IN_LOOP, "/then".to_owned(), message(), help);
    }
    let cases = task.definition.get("switch").and_then(Value::as_array).unwrap_or_default();
    for (index, case) in cases.iter().enumerate() {
        let Some((name, case)) = case.as_object().and_then(|case| case.first()) else { continue };
        if is_exit(case.get("then")) {
            let at = crate::yaml::join(&format!("/switch/{index}"), name) + "/then";
            tell(codes::EXIT_IN_LOOP, at, message(), help);
        }
    }
}

/// A catch that does nothing, or retries for ever.
fn caught(attempt: &Try, tell: &mut Tell) {
    if attempt.retry.is_none() && attempt.handler.is_none() && attempt.then.is_none() {
        let message = "the catch swallows the error: it has no `retry`, `do` or `then`".to_owned();
        let help =
            "the task completes as if nothing had happened; if that is meant, say so with `then: continue`";
        tell(codes::SWALLOWED, "/catch".to_owned(), message, help);
    }
    let endless = attempt.retry.as_ref().is_some_and(|r| r.count.is_none() && r.duration.is_none());
    if endless {
        let message = "the retries have no limit: they go on until one succeeds".to_owned();
        let help = "add `limit: {attempt: {count: 5}}` or `limit: {duration: PT1H}`";
        tell(codes::ENDLESS_RETRY, "/catch/retry".to_owned(), message, help);
    }
}

/// A type that looks like a standard error and is none.
fn misspelt(task: &Task, tell: &mut Tell) {
    for at in ["/catch/errors/with/type", "/raise/error/type"] {
        let Some(uri) = task.definition.pointer(at).and_then(Value::as_str) else { continue };
        let Some(name) = STANDARD.iter().find_map(|form| uri.split_once(form)).map(|(_, name)| name) else {
            continue;
        };
        if Standard::from_uri(uri).is_some() || uri.contains("${") {
            continue;
        }
        let names = Standard::ALL.iter().map(|standard| standard.name());
        let message = match crate::diagnostic::nearest(name, names) {
            Some(guess) if guess != name => format!("no standard error is named `{name}`, but `{guess}` is"),
            _ => format!("`{uri}` is no standard error"),
        };
        let help = "the names are configuration, validation, expression, authentication, authorization, timeout, communication and runtime; a type that is none of them equals only itself";
        tell(codes::UNKNOWN_ERROR, at.to_owned(), message, help);
    }
}

/// What a task sets or exports and the next one throws away.
fn replaced(program: &Program, list: &[TaskId], found: &mut Vec<Finding>) {
    let mut exported: Option<&Task> = None;
    for (index, id) in list.iter().enumerate() {
        let task = program.task(*id);
        let before = index.checked_sub(1).map(|before| program.task(list[before]));
        if let Some(before) = before.filter(|before| loses(before, *id, task)) {
            let message = format!("what `{}` set is lost: `set` replaces all data", before.name);
            let help = "name everything in one task, or keep the data with `set: ${ . + {...} }`";
            found.push(Finding {
                task: *id,
                code: codes::SET_REPLACES,
                at: "/set".to_owned(),
                message,
                help,
            });
        }
        let Some(export) = &task.export.transform else { continue };
        let text = task.definition.pointer("/export/as").map(ToString::to_string).unwrap_or_default();
        if let Some(earlier) = exported.filter(|_| !text.contains("$context")) {
            let message =
                format!("what `{}` exported is lost: `export.as` replaces the context", earlier.name);
            let help = "keep it with `export: {as: '${ $context + {...} }'}`";
            let at = "/export/as".to_owned();
            found.push(Finding { task: *id, code: codes::EXPORT_REPLACES, at, message, help });
        }
        exported = (export.constant().is_none_or(|value| !value.is_null())).then_some(task);
    }
}

/// Whether `set` of a task throws away what the `set` before it made.
fn loses(before: &Task, id: TaskId, task: &Task) -> bool {
    let sets = |task: &Task| matches!(task.kind, Kind::Set(_));
    let plain = |task: &Task, keys: &[&str]| keys.iter().all(|key| task.definition.get(key).is_none());
    let reads = task.definition.get("set").is_some_and(|set| set.to_string().contains("${"));
    sets(before)
        && sets(task)
        && before.then == Next::Task(id)
        && plain(before, &["export", "output", "then"])
        && plain(task, &["if", "input", "output", "export"])
        && !reads
}
