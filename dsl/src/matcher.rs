//! The matcher: all rules of a namespace compiled into one immutable index.
//!
//! Owns which rules an event is judged against and the rule's own conditions around its filters (enabled, source,
//! lifecycle). Adding or removing a rule means building a new matcher and swapping it: readers never lock. The cost
//! of an event depends on the attributes that rules pin and on the rules that pin its values, not on the number of
//! rules that pin others.

mod index;

use std::sync::Arc;

use crate::event::Event;
use crate::filter::{Clause, Filter, Verdict};
use crate::pattern::Pattern;
use crate::value::Value;
use index::Branch;

/// The rule of one trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchRule {
    /// Only events of this Source; none: every event of the namespace, also posted and emitted ones.
    pub source: Option<Arc<str>>,
    /// All must pass.
    pub filters: Vec<Filter>,
    /// The payload matches it.
    pub data: Option<Pattern>,
    /// A disabled rule matches nothing.
    pub enabled: bool,
}

impl MatchRule {
    /// Whether the rule matches an event that came through `binding` (a Source's name, or "" for posted and emitted
    /// events). Lifecycle events match only rules that state their very type (manifests.md, Trigger).
    pub fn matches(&self, binding: &str, event: &Event) -> bool {
        self.enabled
            && self.source.as_deref().is_none_or(|source| source == binding)
            && self.filters.iter().all(|filter| filter.matches(event))
            && self.takes_lifecycle(event)
            && self.data.as_ref().is_none_or(|pattern| pattern.matches(&event.data))
    }

    fn takes_lifecycle(&self, event: &Event) -> bool {
        !event.is_lifecycle() || self.filters.iter().any(|filter| filter.states_type(&event.kind))
    }

    /// Every clause of the rule with what it comes to for the event. The rule matches if no clause at the top fails:
    /// [`MatchRule::matches`] says so.
    pub fn explain(&self, binding: &str, event: &Event) -> Vec<Clause> {
        let mut clauses = Vec::new();
        if !self.enabled {
            clauses.push(Clause::new(
                "/enabled",
                "the trigger is enabled",
                Some(Value::Bool(false)),
                Verdict::Fail,
            ));
        }
        if let Some(source) = &self.source {
            let test = format!("the event came through the source {}", Value::text(source.clone()));
            clauses.push(Clause::new(
                "/source",
                test,
                Some(Value::text(binding)),
                Verdict::of(**source == *binding),
            ));
        }
        if event.is_lifecycle() {
            let test = "a filter states the type of the lifecycle event";
            let actual = Some(Value::text(event.kind.clone()));
            clauses.push(Clause::new("/filters", test, actual, Verdict::of(self.takes_lifecycle(event))));
        }
        for (index, filter) in self.filters.iter().enumerate() {
            clauses.extend(filter.explain(&format!("/filters/{index}"), event));
        }
        clauses.extend(self.data.iter().flat_map(|pattern| pattern.explain("/data", &event.data)));
        clauses
    }
}

/// The compiled rules of a namespace.
#[derive(Debug, Default)]
pub struct Matcher {
    rules: Vec<(usize, MatchRule)>,
    root: Branch,
}

impl Matcher {
    /// Compiles rules; each comes with the number by which the caller knows it.
    pub fn new(rules: Vec<(usize, MatchRule)>) -> Matcher {
        let mut root = Branch::default();
        for (at, (_, rule)) in rules.iter().enumerate() {
            if rule.enabled {
                root.insert(&index::anchors(rule), at);
            }
        }
        Matcher { rules, root }
    }

    /// The numbers of the rules that match, rising.
    pub fn matches(&self, binding: &str, event: &Event) -> Vec<usize> {
        let mut found = Vec::new();
        self.root.candidates(binding, event, &mut |at| {
            if let Some((number, rule)) = self.rules.get(at)
                && rule.matches(binding, event)
            {
                found.push(*number);
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many rules an event is judged against.
    pub fn candidates(&self, binding: &str, event: &Event) -> usize {
        let mut count = 0;
        self.root.candidates(binding, event, &mut |_| count += 1);
        count
    }

    /// How many rules were compiled.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests;
