//! The index: a tree of pinned attributes that leads an event to the few rules that may match it.
//!
//! Owns candidates only; whether a rule matches is judged by the rule itself. A rule stands at the end of a path of
//! at most [`DEPTH`] anchors (tests that must hold for it to match), in one order for all rules, so that rules
//! share the upper branches.

use std::borrow::Cow;
use std::sync::Arc;

use indexmap::IndexMap;

use super::MatchRule;
use crate::event::{Data, Event};
use crate::filter::Filter;
use crate::pattern::{Pattern, Way, each_leaf, key};

/// Most anchors of a rule that are indexed.
const DEPTH: usize = 4;

/// Most places at which a rule stands: a rule for one of many types stands once per type.
const PLACES: usize = 64;

/// The attribute of an anchor in the payload: no attribute has such a name.
const PAYLOAD: &str = "/";

/// How an anchor tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    Exact,
    Prefix,
    Suffix,
}

/// A test that must hold for a rule to match: the attribute has one of the values. The attribute "" is the binding; with
/// a way into the payload a leaf at its end is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    test: Test,
    attribute: Arc<str>,
    way: Way,
    values: Vec<Arc<str>>,
}

impl Anchor {
    fn new(test: Test, attribute: Arc<str>, values: Vec<Arc<str>>) -> Anchor {
        Anchor { test, attribute, way: Arc::default(), values }
    }
}

/// The anchors of a rule, the most telling first.
pub(super) fn anchors(rule: &MatchRule) -> Vec<Anchor> {
    let mut found = Vec::new();
    if let Some(source) = &rule.source {
        found.push(Anchor::new(Test::Exact, "".into(), vec![source.clone()]));
    }
    rule.filters.iter().for_each(|filter| gather(filter, &mut found));
    for (way, values) in rule.data.iter().flat_map(Pattern::pins) {
        found.push(Anchor { way, ..Anchor::new(Test::Exact, PAYLOAD.into(), values) });
    }
    found.sort_by(|a, b| rank(a).cmp(&rank(b)));
    found.dedup_by(|a, b| a.test == b.test && a.attribute == b.attribute && a.way == b.way);
    let mut places = 1;
    found.retain(|anchor| {
        let fits = places * anchor.values.len() <= PLACES;
        places *= if fits { anchor.values.len() } else { 1 };
        fits
    });
    found.truncate(DEPTH);
    found
}

/// Type before binding before other exact tests; then prefixes and suffixes; the longest or fewest values first.
fn rank(anchor: &Anchor) -> (Test, bool, &str, &[Arc<str>], usize) {
    let narrow = match anchor.test {
        Test::Exact => anchor.values.len(),
        Test::Prefix | Test::Suffix => usize::MAX - anchor.values.first().map_or(0, |text| text.len()),
    };
    (anchor.test, &*anchor.attribute != "type", &anchor.attribute, &anchor.way, narrow)
}

fn gather(filter: &Filter, found: &mut Vec<Anchor>) {
    let (test, tests) = match filter {
        Filter::All(filters) => return filters.iter().for_each(|filter| gather(filter, found)),
        Filter::Any(_) | Filter::Sql(_) => {
            let pinned = ["type", "source", "subject"].into_iter();
            found.extend(pinned.filter_map(|name| {
                let values = filter.pins(name)?;
                Some(Anchor::new(Test::Exact, name.into(), values))
            }));
            return;
        }
        Filter::Not(_) => return,
        Filter::Exact(tests) => (Test::Exact, tests),
        Filter::Prefix(tests) => (Test::Prefix, tests),
        Filter::Suffix(tests) => (Test::Suffix, tests),
    };
    let one = |(name, text): (&Arc<str>, &Arc<str>)| Anchor::new(test, name.clone(), vec![text.clone()]);
    found.extend(tests.iter().map(one));
}

/// A place in the tree: the rules that end here, and the ways on.
#[derive(Debug, Default)]
pub(super) struct Branch {
    rules: Vec<usize>,
    forks: Vec<Fork>,
}

/// The branches behind one test of one attribute.
#[derive(Debug)]
struct Fork {
    test: Test,
    attribute: Arc<str>,
    way: Way,
    /// Lengths of the values, rising, each once: what a prefix or suffix look-up tries.
    lengths: Vec<usize>,
    branches: IndexMap<Arc<str>, Branch>,
}

impl Branch {
    /// Puts a rule at the end of its path.
    pub(super) fn insert(&mut self, path: &[Anchor], rule: usize) {
        let Some((first, rest)) = path.split_first() else {
            self.rules.push(rule);
            return;
        };
        let fork = self.fork(first);
        for value in &first.values {
            if let Err(at) = fork.lengths.binary_search(&value.len()) {
                fork.lengths.insert(at, value.len());
            }
            fork.branches.entry(value.clone()).or_default().insert(rest, rule);
        }
    }

    fn fork(&mut self, anchor: &Anchor) -> &mut Fork {
        let same = |fork: &Fork| {
            fork.test == anchor.test && fork.attribute == anchor.attribute && fork.way == anchor.way
        };
        let at = self.forks.iter().position(same).unwrap_or(self.forks.len());
        if at == self.forks.len() {
            let Anchor { test, attribute, way, .. } = anchor.clone();
            self.forks.push(Fork { test, attribute, way, lengths: Vec::new(), branches: IndexMap::new() });
        }
        &mut self.forks[at]
    }

    /// Calls `found` for each rule that may match; for one that pins a leaf of an array perhaps several times.
    pub(super) fn candidates(&self, binding: &str, event: &Event, found: &mut dyn FnMut(usize)) {
        self.rules.iter().for_each(|rule| found(*rule));
        for fork in &self.forks {
            let mut go = |part: Option<&str>| {
                if let Some(branch) = part.and_then(|part| fork.branches.get(part)) {
                    branch.candidates(binding, event, found);
                }
            };
            let value = match &*fork.attribute {
                PAYLOAD => {
                    if let Data::Json(payload) = &event.data {
                        each_leaf(payload, &fork.way, &mut |leaf| go(key(leaf).as_deref()));
                    }
                    None
                }
                "" => Some(Cow::Borrowed(binding)),
                name => event.attribute(name),
            };
            let Some(value) = value else { continue };
            match fork.test {
                Test::Exact => go(Some(&*value)),
                Test::Prefix => fork.lengths.iter().for_each(|length| go(value.get(..*length))),
                Test::Suffix => {
                    fork.lengths.iter().for_each(|length| {
                        go(value.len().checked_sub(*length).and_then(|at| value.get(at..)));
                    });
                }
            }
        }
    }
}
