//! The index: a tree of pinned attributes that leads an event to the few rules that may match it.
//!
//! Owns candidates only; whether a rule matches is judged by the rule itself. A rule stands at the end of a path of
//! at most [`DEPTH`] anchors (tests that must hold for it to match), in one order for all rules, so that rules
//! share the upper branches.

use std::borrow::Cow;
use std::sync::Arc;

use indexmap::IndexMap;

use super::MatchRule;
use crate::event::Event;
use crate::filter::Filter;

/// Most anchors of a rule that are indexed.
const DEPTH: usize = 4;

/// Most places at which a rule stands: a rule for one of many types stands once per type.
const PLACES: usize = 64;

/// How an anchor tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    Exact,
    Prefix,
    Suffix,
}

/// A test that must hold for a rule to match: the attribute has one of the values. The attribute "" is the binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    test: Test,
    attribute: Arc<str>,
    values: Vec<Arc<str>>,
}

/// The anchors of a rule, the most telling first.
pub(super) fn anchors(rule: &MatchRule) -> Vec<Anchor> {
    let mut found = Vec::new();
    if let Some(source) = &rule.source {
        found.push(Anchor { test: Test::Exact, attribute: "".into(), values: vec![source.clone()] });
    }
    rule.filters.iter().for_each(|filter| gather(filter, &mut found));
    found.sort_by(|a, b| rank(a).cmp(&rank(b)));
    found.dedup_by(|a, b| a.test == b.test && a.attribute == b.attribute);
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
fn rank(anchor: &Anchor) -> (Test, bool, &str, usize) {
    let narrow = match anchor.test {
        Test::Exact => anchor.values.len(),
        Test::Prefix | Test::Suffix => usize::MAX - anchor.values.first().map_or(0, |text| text.len()),
    };
    (anchor.test, &*anchor.attribute != "type", &anchor.attribute, narrow)
}

fn gather(filter: &Filter, found: &mut Vec<Anchor>) {
    let (test, tests) = match filter {
        Filter::All(filters) => return filters.iter().for_each(|filter| gather(filter, found)),
        Filter::Any(_) => {
            let pinned = ["type", "source", "subject"].into_iter();
            found.extend(pinned.filter_map(|name| {
                let values = filter.pins(name)?;
                Some(Anchor { test: Test::Exact, attribute: name.into(), values })
            }));
            return;
        }
        Filter::Not(_) => return,
        Filter::Exact(tests) => (Test::Exact, tests),
        Filter::Prefix(tests) => (Test::Prefix, tests),
        Filter::Suffix(tests) => (Test::Suffix, tests),
    };
    let one = |(name, text): (&Arc<str>, &Arc<str>)| Anchor {
        test,
        attribute: name.clone(),
        values: vec![text.clone()],
    };
    found.extend(tests.iter().map(one));
}

/// A place in the tree: the rules that end here, and the ways on.
#[derive(Debug, Default)]
pub(super) struct Branch {
    rules: Vec<usize>,
    ways: Vec<Way>,
}

/// The branches behind one test of one attribute.
#[derive(Debug)]
struct Way {
    test: Test,
    attribute: Arc<str>,
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
        let way = self.way(first);
        for value in &first.values {
            if let Err(at) = way.lengths.binary_search(&value.len()) {
                way.lengths.insert(at, value.len());
            }
            way.branches.entry(value.clone()).or_default().insert(rest, rule);
        }
    }

    fn way(&mut self, anchor: &Anchor) -> &mut Way {
        let same = |way: &Way| way.test == anchor.test && way.attribute == anchor.attribute;
        let at = self.ways.iter().position(same).unwrap_or(self.ways.len());
        if at == self.ways.len() {
            let (test, attribute) = (anchor.test, anchor.attribute.clone());
            self.ways.push(Way { test, attribute, lengths: Vec::new(), branches: IndexMap::new() });
        }
        &mut self.ways[at]
    }

    /// Calls `found` once for each rule that may match.
    pub(super) fn candidates(&self, binding: &str, event: &Event, found: &mut dyn FnMut(usize)) {
        self.rules.iter().for_each(|rule| found(*rule));
        for way in &self.ways {
            let value = if way.attribute.is_empty() {
                Some(Cow::Borrowed(binding))
            } else {
                event.attribute(&way.attribute)
            };
            let Some(value) = value else { continue };
            let mut go = |part: Option<&str>| {
                if let Some(branch) = part.and_then(|part| way.branches.get(part)) {
                    branch.candidates(binding, event, found);
                }
            };
            match way.test {
                Test::Exact => go(Some(&*value)),
                Test::Prefix => way.lengths.iter().for_each(|length| go(value.get(..*length))),
                Test::Suffix => {
                    way.lengths.iter().for_each(|length| {
                        go(value.len().checked_sub(*length).and_then(|at| value.get(at..)));
                    });
                }
            }
        }
    }
}
