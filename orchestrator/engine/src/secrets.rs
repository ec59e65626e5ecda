//! Secrets of a call: which it names, which it has read, and how they are kept out of what comes back.
//!
//! Values live as long as the order is made; they never enter an execution.

use std::cell::RefCell;

use tidemill_dsl::expr::Arguments;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{Call, Masks, Outcome};
use tidemill_dsl::program::{Kind, Task};
use tidemill_dsl::value::Value;

use crate::prepare::process::written;
use crate::scope::Scope;

/// Secrets that remember what was read of them.
pub(crate) struct Watched<'a> {
    values: &'a dyn Arguments,
    read: RefCell<Vec<Value>>,
}

impl Arguments for Watched<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        let value = self.values.get(name)?;
        self.read.borrow_mut().push(value.clone());
        Some(value)
    }
}

impl<'a> Watched<'a> {
    pub(crate) fn new(values: &'a dyn Arguments) -> Watched<'a> {
        Watched { values, read: RefCell::default() }
    }

    /// What may not be shown of the answer to a call: what was read, and its credentials.
    pub(crate) fn masks(&self, call: &Call) -> Masks {
        let mut values = self.read.borrow().clone();
        if let Call::Http(request) = call
            && let Some(authorization) = &request.authorization
        {
            values.extend(authorization.split_once(' ').map(|(_, credentials)| Value::text(credentials)));
        }
        Masks::of(&values)
    }

    /// An error without what was read.
    pub(crate) fn hide<T>(&self, made: Result<T, Fault>) -> Result<T, Fault> {
        made.map_err(|fault| match Masks::of(&*self.read.borrow()).hide(Outcome::Failed(fault)) {
            Outcome::Failed(fault) => fault,
            _ => Fault::runtime("the call cannot be made"),
        })
    }
}

/// Refuses a written part that names a secret which is missing or not declared.
pub(crate) fn known(written: &Value, scope: &Scope<'_>) -> Result<(), Fault> {
    let mut read = Vec::new();
    named(written, &mut read);
    all_known(&read, scope)
}

/// The error of a secret that is missing or not declared.
pub(crate) fn absent(name: &str, declared: bool) -> Fault {
    let why = if declared { "does not exist" } else { "is not declared under `use.secrets`" };
    Fault::authorization(format!("the secret `{name}` {why}"))
}

/// Refuses a task that names a secret which is missing or undeclared, before anything is sent.
pub(crate) fn named_by(task: &Task, scope: &Scope<'_>) -> Result<(), Fault> {
    let mut read = Vec::new();
    match &task.kind {
        Kind::RunProcess(run) => written(run, task).for_each(|part| named(part, &mut read)),
        _ => ["with", "call"]
            .iter()
            .filter_map(|key| task.definition.get(key))
            .for_each(|part| named(part, &mut read)),
    }
    let named_auth = task.definition.pointer("/with/endpoint/authentication/use").and_then(Value::as_str);
    if let Some(name) = named_auth {
        let shared = scope.program.definition.pointer("/use/authentications").and_then(|all| all.get(name));
        if let Some(shared) = shared {
            named(shared, &mut read);
        }
    }
    all_known(&read, scope)
}

fn all_known(names: &[String], scope: &Scope<'_>) -> Result<(), Fault> {
    for name in names {
        let declared = scope.program.secrets.iter().any(|secret| **secret == **name);
        if !declared || scope.secrets.and_then(|secrets| secrets.get(name)).is_none() {
            return Err(absent(name, declared));
        }
    }
    Ok(())
}

/// The names after `$secrets.` or in `$secrets["..."]`, at every depth.
fn named(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            for rest in text.split("$secrets").skip(1) {
                let name = if let Some(rest) = rest.strip_prefix('.') {
                    let rest = rest.strip_prefix('"').unwrap_or(rest);
                    rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()
                } else {
                    rest.strip_prefix("[\"").and_then(|rest| rest.split('"').next())
                };
                found.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, found)),
        Value::Object(map) => map.values().for_each(|item| named(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_named_in_a_text() {
        let mut found = Vec::new();
        named(
            &Value::text(r#"${ $secrets.one + $secrets["two x"] + $secrets."three" }, $secrets"#),
            &mut found,
        );
        assert_eq!(found, ["one", "two x", "three"]);
    }
}
