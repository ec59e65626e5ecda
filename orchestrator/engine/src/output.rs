//! A task's output: `output.as`, output schema, `export.as`, export schema (dsl.md section 4).

use std::sync::Arc;

use tidemill_dsl::expr::Arguments;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::program::{Program, Shape};
use tidemill_dsl::value::Value;

use crate::history::{Export, Output};
use crate::machine::{Machine, Raw};
use crate::scope::{Place, Scope, Site};

/// A transformed output with its export.
pub(crate) struct Shaped {
    pub output: Output,
    pub export: Option<Export>,
    pub value: Value,
}

impl Machine<'_> {
    /// `output.as`, output schema, `export.as`, export schema.
    pub(crate) fn shape(&mut self, site: &Site, raw: &Raw) -> Result<Shaped, Fault> {
        let task = self.program.task(site.task);
        let plain = match raw {
            Raw::Input => site.input.clone(),
            Raw::Flow => site.visit.map_or_else(|| site.input.clone(), |visit| self.x.flow(visit).clone()),
            Raw::Value(value) => value.clone(),
        };
        let scope =
            Scope { raw_output: Some(&plain), ..Scope::of_task(self.program, self.x, Place::Output, site) };
        let value = transformed(self.program, &task.output, &plain, &scope)?;
        let output = if same(&value, &site.input) {
            Output::Input
        } else if matches!(raw, Raw::Flow) && same(&value, &plain) {
            Output::Flow
        } else {
            // A raw value was weighed when it was made or came in.
            let made = task.output.transform.is_some();
            Output::Inline(if made { self.weigh(value.clone())? } else { value.clone() })
        };
        let value = if matches!(output, Output::Input) { site.input.clone() } else { value };
        let export = self.export(site, &plain, &value)?;
        Ok(Shaped { output, export, value })
    }

    fn export(&mut self, site: &Site, raw: &Value, value: &Value) -> Result<Option<Export>, Fault> {
        let shape = &self.program.task(site.task).export;
        if shape.transform.is_none() && shape.schema.is_none() {
            return Ok(None);
        }
        let scope = Scope {
            raw_output: Some(raw),
            output: Some(value),
            ..Scope::of_task(self.program, self.x, Place::Export, site)
        };
        let context = transformed(self.program, shape, value, &scope)?;
        if shape.transform.is_none() {
            return Ok(None);
        }
        Ok(Some(if same(&context, value) { Export::Output } else { Export::Inline(self.weigh(context)?) }))
    }
}

/// `as`, then the schema.
pub(crate) fn transformed(
    program: &Program,
    shape: &Shape,
    raw: &Value,
    scope: &dyn Arguments,
) -> Result<Value, Fault> {
    let value = match &shape.transform {
        Some(transform) => transform.eval(raw, scope)?,
        None => raw.clone(),
    };
    if let Some(schema) = &shape.schema {
        program.validate(schema, &value)?;
    }
    Ok(value)
}

/// Whether two values are written alike, so that one may stand for the other: unlike `==` it minds the order of
/// members. Shared values are told at once.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            Arc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)))
        }
        (Value::Object(a), Value::Object(b)) => {
            Arc::ptr_eq(a, b)
                || (a.len() == b.len()
                    && a.iter().zip(b.iter()).all(|((ka, a), (kb, b))| ka == kb && same(a, b)))
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
        (Value::Number(a), Value::Number(b)) => a == b,
        (a, b) => a == b,
    }
}
