//! From stored texts to what the catalog holds: definitions, settings of namespaces, and the one-task workflows that stand
//! for function and sink targets.
//!
//! Pure. What is read here was checked when it was written.

use std::sync::Arc;

use tidemill_dsl::manifest::{self, Manifest, RetryPolicy, Target};
use tidemill_dsl::program::Program;
use tidemill_store::{Definition, DefinitionKind};

use super::Weights;

/// What a Namespace manifest says; none without one. It was checked when it was written.
pub(super) fn settings(text: &str) -> Option<manifest::Namespace> {
    let node = tidemill_dsl::yaml::parse(text).ok()?;
    let name = node.get("metadata").and_then(|m| m.get("name")).and_then(tidemill_dsl::yaml::Node::as_str)?;
    match manifest::parse(&node, text, name).ok()? {
        Manifest::Namespace(own) => Some(own),
        _ => None,
    }
}

/// The program of a lowered target.
pub(super) fn lower(text: Option<String>) -> Option<Arc<Program>> {
    let checked = tidemill_dsl::workflow::check(&text?);
    if checked.program.is_none() {
        tracing::error!(diagnostics = ?checked.diagnostics, "a target does not compile");
    }
    checked.program
}

/// The text of the one-task workflow of a trigger with a function or sink as target; none for a workflow target.
pub(crate) fn lowered_text(namespace: &str, trigger: &manifest::Trigger) -> Option<String> {
    let retry = trigger.retry_policy().unwrap_or_else(RetryPolicy::day);
    lowered(namespace, &trigger.target, &retry)
}

/// The same for what takes the dead letters.
pub(crate) fn lowered_repair(namespace: &str, trigger: &manifest::Trigger) -> Option<String> {
    lowered(namespace, trigger.dead_letter.target()?, &RetryPolicy::day())
}

fn lowered(namespace: &str, target: &Target, retry: &RetryPolicy) -> Option<String> {
    match target {
        Target::Workflow { .. } => None,
        Target::Function { name, version } => {
            Some(manifest::function_workflow(namespace, name, version.as_deref(), retry))
        }
        Target::Sink(sink) => Some(manifest::sink_workflow(namespace, sink, retry)),
    }
}

/// A stored definition, read.
pub(super) enum Parsed {
    Workflow(Arc<Program>),
    Manifest(Arc<Manifest>),
    Alias(Weights),
}

/// The weights of an alias as stored: `{"1": 90, "2": 10}`.
fn weights(text: &str) -> Option<Weights> {
    let value = tidemill_dsl::value::Value::parse(text.as_bytes()).ok()?;
    let pair = |(version, weight): (&Arc<str>, &tidemill_dsl::value::Value)| {
        Some((version.parse().ok()?, u8::try_from(weight.as_i64()?).ok()?))
    };
    value.as_object()?.iter().map(pair).collect()
}

/// Reads a stored text; none if it does not compile any more.
pub(super) fn parse(definition: &Definition) -> Option<Parsed> {
    if definition.kind == DefinitionKind::Workflow {
        return tidemill_dsl::workflow::check(&definition.text).program.map(Parsed::Workflow);
    }
    if definition.kind == DefinitionKind::Alias {
        return weights(&definition.text).map(Parsed::Alias);
    }
    let document = tidemill_dsl::yaml::parse(&definition.text).ok()?;
    manifest::parse(&document, &definition.text, &definition.namespace)
        .ok()
        .map(|m| Parsed::Manifest(Arc::new(m)))
}
