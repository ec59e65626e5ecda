//! Filters: the conditions a rule puts on an event's attributes (CloudEvents Subscriptions API, section 3.2.4).
//!
//! Owns the dialects, one file each, their judgement and their explanation clause by clause. May not know triggers;
//! the matcher decides which filters are judged at all.

mod all;
mod any;
mod attributes;
mod exact;
mod not;
mod prefix;
mod sql;
mod suffix;

use std::sync::Arc;

pub use attributes::Attributes;

use crate::cesql;
use crate::event::Event;
use crate::value::Value;

/// The keys of the dialects that this release knows.
pub const DIALECTS: [&str; 7] = ["exact", "prefix", "suffix", "all", "any", "not", "sql"];

/// One filter. An attribute that an event lacks passes no test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every attribute equals its text.
    Exact(Attributes),
    /// Every attribute begins with its text.
    Prefix(Attributes),
    /// Every attribute ends with its text.
    Suffix(Attributes),
    /// Every filter of the list passes.
    All(Vec<Filter>),
    /// At least one filter of the list passes.
    Any(Vec<Filter>),
    /// The filter does not pass.
    Not(Box<Filter>),
    /// The expression is true, without any error.
    Sql(cesql::Expr),
}

/// What a clause came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It was not judged, since it could not change the outcome.
    Skip,
}

impl Verdict {
    /// `pass`, `fail` or `skip`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Skip => "skip",
        }
    }

    pub(crate) fn of(holds: bool) -> Verdict {
        if holds { Verdict::Pass } else { Verdict::Fail }
    }
}

/// One clause of a rule with what it came to for one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// JSON pointer of the clause within the trigger's spec, for example `/filters/0/exact/type`.
    pub path: String,
    /// What is tested, for people.
    pub test: String,
    /// The event's value, where the clause tests one and the event has it.
    pub actual: Option<Value>,
    /// What it came to.
    pub verdict: Verdict,
}

impl Clause {
    pub(crate) fn new(
        path: &str,
        test: impl Into<String>,
        actual: Option<Value>,
        verdict: Verdict,
    ) -> Clause {
        Clause { path: path.into(), test: test.into(), actual, verdict }
    }
}

impl Filter {
    /// Whether the event passes.
    pub fn matches(&self, event: &Event) -> bool {
        match self {
            Filter::Exact(tests) => tests.hold(event, exact::holds),
            Filter::Prefix(tests) => tests.hold(event, prefix::holds),
            Filter::Suffix(tests) => tests.hold(event, suffix::holds),
            Filter::All(filters) => all::holds(filters, event),
            Filter::Any(filters) => any::holds(filters, event),
            Filter::Not(filter) => not::holds(filter, event),
            Filter::Sql(expr) => expr.holds(event),
        }
    }

    /// Every clause of the filter, outer ones first; `path` is the filter's own pointer.
    pub fn explain(&self, path: &str, event: &Event) -> Vec<Clause> {
        let mut clauses = Vec::new();
        self.write_clauses(path, Some(event), &mut clauses);
        clauses
    }

    /// Appends the clauses; without an event each is skipped. Tells whether the filter passes.
    fn write_clauses(&self, path: &str, event: Option<&Event>, out: &mut Vec<Clause>) -> bool {
        match self {
            Filter::Exact(tests) => {
                tests.explain(&format!("{path}/exact"), event, (exact::VERB, exact::holds), out)
            }
            Filter::Prefix(tests) => {
                tests.explain(&format!("{path}/prefix"), event, (prefix::VERB, prefix::holds), out)
            }
            Filter::Suffix(tests) => {
                tests.explain(&format!("{path}/suffix"), event, (suffix::VERB, suffix::holds), out)
            }
            Filter::All(filters) => all::explain(filters, &format!("{path}/all"), event, out),
            Filter::Any(filters) => any::explain(filters, &format!("{path}/any"), event, out),
            Filter::Not(filter) => not::explain(filter, &format!("{path}/not"), event, out),
            Filter::Sql(expr) => sql::explain(expr, &format!("{path}/sql"), event, out),
        }
    }

    /// The types one of which an event must have to pass, as far as the filter pins the type; none when it does not.
    pub fn types(&self) -> Option<Vec<Arc<str>>> {
        self.pins("type")
    }

    /// The values one of which the attribute must have for the filter to pass; none when it does not say.
    pub fn pins(&self, attribute: &str) -> Option<Vec<Arc<str>>> {
        match self {
            Filter::Exact(tests) => tests.get(attribute).map(|text| vec![text.clone()]),
            Filter::All(filters) => {
                filters.iter().filter_map(|filter| filter.pins(attribute)).min_by_key(Vec::len)
            }
            Filter::Any(filters) => any::pins(filters, attribute),
            Filter::Sql(expr) => expr.pins(attribute),
            Filter::Prefix(_) | Filter::Suffix(_) | Filter::Not(_) => None,
        }
    }

    /// Whether the filter states this very type outside a `not`: what a lifecycle event needs to match at all.
    pub fn states_type(&self, kind: &str) -> bool {
        match self {
            Filter::Exact(tests) => tests.get("type").is_some_and(|text| &**text == kind),
            Filter::All(filters) | Filter::Any(filters) => {
                filters.iter().any(|filter| filter.states_type(kind))
            }
            Filter::Sql(expr) => {
                expr.pins("type").is_some_and(|types| types.iter().any(|text| &**text == kind))
            }
            Filter::Prefix(_) | Filter::Suffix(_) | Filter::Not(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(pairs: &[(&str, &str)]) -> Attributes {
        Attributes::new(pairs.iter().map(|(name, text)| (Arc::from(*name), Arc::from(*text))).collect())
    }

    fn exact(name: &str, text: &str) -> Filter {
        Filter::Exact(tests(&[(name, text)]))
    }

    fn event() -> Event {
        let json = br#"{"specversion":"1.0","id":"1","source":"/s","type":"order.placed","subject":"in/a.csv","count":7,"flag":true}"#;
        Event::parse(json).unwrap()
    }

    #[test]
    fn dialects() {
        let check = |filter: Filter, expected: bool| {
            assert_eq!(filter.matches(&event()), expected, "{filter:?}");
            let clauses = filter.explain("/filters/0", &event());
            let failed = clauses[0].verdict == Verdict::Fail;
            if !matches!(filter, Filter::Exact(_) | Filter::Prefix(_) | Filter::Suffix(_)) {
                assert_eq!(failed, !expected, "{clauses:?}");
            }
        };
        let prefix = |text: &str| Filter::Prefix(tests(&[("subject", text)]));
        let suffix = |text: &str| Filter::Suffix(tests(&[("subject", text)]));
        let not = |filter: Filter| Filter::Not(Box::new(filter));
        check(exact("type", "order.placed"), true);
        check(exact("type", "Order.placed"), false);
        check(exact("type", "order"), false);
        check(exact("specversion", "1.0"), true);
        check(exact("count", "7"), true);
        check(exact("flag", "true"), true);
        check(exact("data", "x"), false);
        check(exact("nothing", ""), false);
        check(Filter::Exact(tests(&[("type", "order.placed"), ("source", "/s")])), true);
        check(Filter::Exact(tests(&[("type", "order.placed"), ("source", "/t")])), false);
        check(prefix("in/"), true);
        check(prefix("out/"), false);
        check(suffix(".csv"), true);
        check(suffix(".CSV"), false);
        check(not(exact("type", "x")), true);
        check(not(exact("nothing", "x")), true);
        check(not(not(exact("nothing", "x"))), false);
        check(Filter::All(vec![prefix("in/"), suffix(".csv")]), true);
        check(Filter::All(vec![prefix("in/"), suffix(".txt")]), false);
        check(Filter::Any(vec![suffix(".txt"), suffix(".csv")]), true);
        check(Filter::Any(vec![suffix(".txt"), suffix(".pdf")]), false);
    }

    #[test]
    fn pinned_types() {
        let check = |filter: Filter, expected: Option<&[&str]>| {
            let types = filter.types();
            let types: Option<Vec<&str>> = types.as_ref().map(|types| types.iter().map(|t| &**t).collect());
            assert_eq!(types.as_deref(), expected, "{filter:?}");
        };
        check(exact("type", "a"), Some(&["a"]));
        check(exact("source", "a"), None);
        check(Filter::All(vec![exact("source", "s"), exact("type", "a")]), Some(&["a"]));
        check(Filter::Any(vec![exact("type", "a"), exact("type", "b")]), Some(&["a", "b"]));
        check(Filter::Any(vec![exact("type", "a"), exact("source", "b")]), None);
        check(Filter::Not(Box::new(exact("type", "a"))), None);
        check(Filter::Prefix(tests(&[("type", "a")])), None);
    }

    #[test]
    fn clauses() {
        let filter = Filter::All(vec![
            Filter::Exact(tests(&[("type", "order.placed"), ("tenant", "x")])),
            Filter::Any(vec![
                Filter::Prefix(tests(&[("subject", "in/")])),
                Filter::Not(Box::new(Filter::Suffix(tests(&[("subject", ".csv")])))),
            ]),
        ]);
        let lines: Vec<String> = filter
            .explain("/filters/0", &event())
            .iter()
            .map(|c| format!("{} {}: {} ({:?})", c.verdict.as_str(), c.path, c.test, c.actual))
            .collect();
        assert_eq!(
            lines,
            [
                "fail /filters/0/all: every filter passes (None)",
                "pass /filters/0/all/0/exact/type: type equals \"order.placed\" (Some(\"order.placed\"))",
                "fail /filters/0/all/0/exact/tenant: tenant equals \"x\" (None)",
                "pass /filters/0/all/1/any: at least one filter passes (None)",
                "pass /filters/0/all/1/any/0/prefix/subject: subject begins with \"in/\" (Some(\"in/a.csv\"))",
                "skip /filters/0/all/1/any/1/not: the filter does not pass (None)",
                "skip /filters/0/all/1/any/1/not/suffix/subject: subject ends with \".csv\" (None)",
            ]
        );
    }
}
