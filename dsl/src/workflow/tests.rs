//! Definitions that are refused, with code and place; definitions that are taken, with what they become.

mod accepted;
mod arguments;
mod elsewhere;
mod kit;
mod refused;

use super::{Checked, check};

/// A definition with this body; the body begins at line 6.
fn workflow(body: &str) -> String {
    format!("document:\n  dsl: '1.0.3'\n  namespace: test\n  name: t\n  version: '1.0.0'\n{body}")
}

/// The diagnostics as `CODE line:column message`.
fn told(checked: &Checked) -> Vec<String> {
    let line = |d: &crate::diagnostic::Diagnostic| {
        format!("{} {}:{} {}", d.code, d.span.line, d.span.column, d.message)
    };
    checked.diagnostics.iter().map(line).collect()
}
