//! The attribute map that `exact`, `prefix` and `suffix` share.
//!
//! Owns judging and explaining one test per attribute. What the test is stands in the dialect's own file.

use std::sync::Arc;

use super::{Clause, Verdict};
use crate::event::Event;
use crate::value::Value;

/// Texts by attribute name, all of which must hold; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes(Vec<(Arc<str>, Arc<str>)>);

/// Whether an attribute's value (first) passes against the filter's text (second).
type Test = fn(&str, &str) -> bool;

impl Attributes {
    /// From pairs of attribute name and text.
    pub fn new(pairs: Vec<(Arc<str>, Arc<str>)>) -> Attributes {
        Attributes(pairs)
    }

    /// The text of an attribute.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.0.iter().find(|(attribute, _)| &**attribute == name).map(|(_, text)| text)
    }

    /// The pairs, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(name, text)| (name, text))
    }

    pub(super) fn hold(&self, event: &Event, test: Test) -> bool {
        self.0.iter().all(|(name, text)| event.attribute(name).is_some_and(|actual| test(&actual, text)))
    }

    pub(super) fn explain(
        &self,
        path: &str,
        event: Option<&Event>,
        (verb, test): (&str, Test),
        out: &mut Vec<Clause>,
    ) -> bool {
        let mut holds = true;
        for (name, text) in &self.0 {
            let actual = event.and_then(|event| event.attribute(name));
            let pass = actual.as_ref().is_some_and(|actual| test(actual, text));
            holds &= pass;
            let verdict = event.map_or(Verdict::Skip, |_| Verdict::of(pass));
            let shown = format!("{name} {verb} {}", Value::text(text.clone()));
            out.push(Clause::new(
                &format!("{path}/{name}"),
                shown,
                actual.map(|text| Value::text(&*text)),
                verdict,
            ));
        }
        holds
    }
}
