//! The shape of a workflow definition (Open Workflow DSL 1.0.3).
//!
//! Owns one function for each kind of task.

use super::shape::{
    any, choice, count, def, defining, either, entry, flag, keys, label, like, list, map, number, object,
    one_key, said, some, text,
};
use crate::value::Value;

/// The whole definition.
pub(super) fn schema() -> Value {
    let document = keys([
        ("!dsl", like("^1\\.0\\.[0-9]+$")),
        ("!namespace", label()),
        ("!name", label()),
        ("!version", said(text(), "A semantic version: '1.0.0'.")),
        ("title", text()),
        ("summary", text()),
        ("tags", object()),
        ("metadata", object()),
    ]);
    let whole = keys([
        ("!document", document),
        ("input", input()),
        ("use", uses()),
        ("!do", def("tasks")),
        ("timeout", timeout()),
        ("output", shaped()),
        ("schedule", object()),
        ("evaluate", keys([("language", choice(&["jq"])), ("mode", choice(&["strict", "loose"]))])),
        ("metadata", object()),
    ]);
    defining(whole, [("tasks", some(entry(def("task")))), ("task", task())])
}

/// A condition or another expression.
fn expression() -> Value {
    said(text(), "A runtime expression: `${ ... }` with jq inside.")
}

fn schema_of() -> Value {
    keys([("format", text()), ("document", any()), ("resource", any())])
}

fn input() -> Value {
    keys([("schema", schema_of()), ("from", any())])
}

fn shaped() -> Value {
    keys([("schema", schema_of()), ("as", any())])
}

fn duration() -> Value {
    let parts = ["days", "hours", "minutes", "seconds", "milliseconds"];
    let parts = parts.map(|part| (part, count(0)));
    said(either([text(), keys(parts)]), "ISO 8601 (PT5S), parts ({seconds: 5}), or an expression.")
}

fn timeout() -> Value {
    either([text(), keys([("!after", duration())])])
}

fn error() -> Value {
    let stated = keys([
        ("type", text()),
        ("status", either([number(), text()])),
        ("title", text()),
        ("detail", text()),
        ("instance", text()),
    ]);
    either([text(), stated])
}

fn retry() -> Value {
    let backoff = keys([("constant", object()), ("exponential", object()), ("linear", object())]);
    let attempt = keys([("count", count(0)), ("duration", duration())]);
    let stated = keys([
        ("when", expression()),
        ("exceptWhen", expression()),
        ("delay", duration()),
        ("backoff", backoff),
        ("limit", keys([("attempt", attempt), ("duration", duration())])),
        ("jitter", keys([("!from", duration()), ("!to", duration())])),
    ]);
    either([text(), stated])
}

fn authentication() -> Value {
    let scheme = || object();
    let shape = keys([
        ("use", text()),
        ("basic", scheme()),
        ("bearer", scheme()),
        ("digest", scheme()),
        ("oauth2", scheme()),
        ("oidc", scheme()),
    ]);
    either([text(), shape])
}

fn uses() -> Value {
    let catalog = keys([("!endpoint", any())]);
    let extension = keys([
        ("!extend", text()),
        ("when", expression()),
        ("before", def("tasks")),
        ("after", def("tasks")),
    ]);
    keys([
        ("authentications", map(authentication())),
        ("catalogs", map(catalog)),
        ("errors", map(error())),
        ("extensions", list(entry(extension))),
        ("functions", map(def("task"))),
        ("retries", map(retry())),
        ("secrets", list(text())),
        ("timeouts", map(timeout())),
    ])
}

/// The kinds of task; `for` and `try` hold their lists beside them.
const KINDS: [&str; 11] =
    ["call", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait"];

/// A task: its kind, what stands beside it, and what every task may have.
fn task() -> Value {
    let shape = keys([
        ("if", expression()),
        ("input", input()),
        ("output", shaped()),
        ("export", shaped()),
        ("timeout", timeout()),
        ("then", said(text(), "continue, exit, end, or the name of a task of the same list.")),
        ("metadata", object()),
        ("call", said(text(), "http, a function of `use.functions`, or name:version@catalog.")),
        ("with", object()),
        ("do", def("tasks")),
        ("emit", emit()),
        ("for", keys([("each", text()), ("!in", any()), ("at", text())])),
        ("while", expression()),
        ("fork", keys([("!branches", def("tasks")), ("compete", flag())])),
        ("listen", listen()),
        ("foreach", object()),
        ("raise", keys([("!error", error())])),
        ("run", run()),
        ("set", either([object(), expression()])),
        ("switch", some(entry(keys([("when", expression()), ("!then", text())])))),
        ("try", def("tasks")),
        ("catch", catch()),
        ("wait", duration()),
    ]);
    // `do` alone is a kind of its own; beside `for` it is the loop's body.
    let mut kinds: Vec<Value> = KINDS.iter().map(|kind| required(kind)).collect();
    let alone = [("required", Value::array([Value::text("do")])), ("not", required("for"))];
    kinds.push(Value::object(alone));
    let mut map = shape.as_object().cloned().unwrap_or_default();
    map.insert("oneOf".into(), Value::array(kinds));
    map.into()
}

fn required(key: &str) -> Value {
    Value::object([("required", Value::array([Value::text(key)]))])
}

fn emit() -> Value {
    keys([("!event", keys([("!with", object())]))])
}

fn listen() -> Value {
    let filter = || keys([("!with", object()), ("correlate", object())]);
    let to = keys([("one", filter()), ("any", list(filter())), ("all", list(filter())), ("until", any())]);
    keys([("!to", one_key(to, &["one", "any", "all"])), ("read", choice(&["data", "envelope", "raw"]))])
}

fn run() -> Value {
    let workflow = keys([("!namespace", label()), ("!name", label()), ("version", text()), ("input", any())]);
    let shape = keys([
        ("workflow", workflow),
        ("script", object()),
        ("shell", object()),
        ("container", object()),
        ("await", flag()),
        ("return", choice(&["stdout", "stderr", "code", "all", "none"])),
    ]);
    one_key(shape, &["workflow", "script", "shell", "container"])
}

fn catch() -> Value {
    keys([
        ("errors", keys([("with", object())])),
        ("as", text()),
        ("when", expression()),
        ("exceptWhen", expression()),
        ("retry", retry()),
        ("do", def("tasks")),
        ("then", text()),
    ])
}
