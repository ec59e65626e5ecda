//! Reading a pattern from a manifest, with a diagnostic for each mistake.

use std::cell::Cell;
use std::sync::Arc;

use super::test::{Comparison, Network, Test, Text};
use super::{Branch, Field, Part, Pattern};
use crate::codes as shared;
use crate::manifest::codes;
use crate::reader::{Place, Sink, with_guess};
use crate::value::{Number, Value};
use crate::wildcard::Wildcard;
use crate::yaml::{Node, NodeKind};

/// Most tests of a pattern (limit `pattern-tests`).
pub const MAX_TESTS: usize = 1000;

/// The tests that are maps of one key.
const WORDS: [&str; 8] =
    ["prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr", "exists"];

/// Reads a pattern; every mistake is told.
pub fn read(place: &Place, sink: &Sink) -> Option<Pattern> {
    let reading = Reading { sink, tests: Cell::new(0) };
    let branch = reading.branch(place, &mut Vec::new())?;
    if reading.tests.get() > MAX_TESTS {
        let message =
            format!("the pattern has {} tests (limit pattern-tests: {MAX_TESTS})", reading.tests.get());
        return reading.refuse(place, message, "split it into several triggers");
    }
    Some(Pattern(branch))
}

struct Reading<'s> {
    sink: &'s Sink<'s>,
    tests: Cell<usize>,
}

/// All of them, or none if one was refused; every one is looked at.
fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    read.collect::<Vec<_>>().into_iter().collect()
}

fn number(node: &Node) -> Option<&Number> {
    match &node.kind {
        NodeKind::Scalar { value: Value::Number(number), .. } => Some(number),
        _ => None,
    }
}

impl Reading<'_> {
    fn refuse<T>(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.sink.push(place.error(codes::PATTERN, message).help(help));
        None
    }

    fn branch(&self, place: &Place, way: &mut Vec<Arc<str>>) -> Option<Branch> {
        let entries = place.entries(self.sink)?;
        if entries.is_empty() {
            self.sink.push(place.error(shared::EMPTY, "a pattern tests at least one field"));
            return None;
        }
        let mut branch = Branch::default();
        let mut sound = true;
        for (name, place) in entries {
            if &*name == "$or" {
                match self.either(&place, way) {
                    Some(either) => branch.either.push(either),
                    None => sound = false,
                }
                continue;
            }
            way.push(name.clone());
            match self.part(&place, way) {
                Some(part) => branch.fields.push(Field { name, way: way.as_slice().into(), part }),
                None => sound = false,
            }
            way.pop();
        }
        sound.then_some(branch)
    }

    fn either(&self, place: &Place, way: &mut Vec<Arc<str>>) -> Option<Vec<Branch>> {
        let items = self.some(place)?;
        all(items.iter().map(|item| self.branch(item, way)))
    }

    /// A list that is not empty.
    fn some<'p>(&self, place: &Place<'p>) -> Option<Vec<Place<'p>>> {
        let items = place.list(self.sink)?;
        if items.is_empty() {
            self.sink.push(place.error(shared::EMPTY, "the list is empty: nothing can match it"));
            return None;
        }
        Some(items)
    }

    fn part(&self, place: &Place, way: &mut Vec<Arc<str>>) -> Option<Part> {
        match &place.node.kind {
            NodeKind::Map(_) => self.branch(place, way).map(Part::Below),
            NodeKind::List(_) => all(self.some(place)?.iter().map(|item| self.test(item))).map(Part::Tests),
            NodeKind::Scalar { value, .. } => {
                let message = format!("a field is tested by a list, not by {}", place.node.describe());
                self.refuse(place, message, format!("write `[{value}]`"))
            }
        }
    }

    fn test(&self, place: &Place) -> Option<Test> {
        self.tests.set(self.tests.get() + 1);
        let entries = match &place.node.kind {
            NodeKind::Scalar { value, .. } => return Some(Test::Equal(value.clone())),
            NodeKind::List(_) => return place.wrong(self.sink, "a value or a map with one test"),
            NodeKind::Map(_) => place.entries(self.sink)?,
        };
        let [(word, inner)] = &entries[..] else {
            let message = format!("a test has exactly one key, not {}", entries.len());
            return self.refuse(
                place,
                message,
                "write several tests as several entries of the list: one of them must hold",
            );
        };
        match &**word {
            "prefix" => self.affix(inner).map(Test::Prefix),
            "suffix" => self.affix(inner).map(Test::Suffix),
            "equals-ignore-case" => inner.text(self.sink).map(|text| Test::SameFolded(Text::folded(&text))),
            "wildcard" => self.wildcard(inner),
            "anything-but" => self.but(inner).map(Test::Not),
            "numeric" => self.numeric(inner).map(Test::Numeric),
            "cidr" => {
                let text = inner.text(self.sink)?;
                let help = "write an address and the length of its prefix: `10.0.0.0/8` or `2001:db8::/32`";
                match Network::parse(&text) {
                    Some(network) => Some(Test::Within(network)),
                    None => self.refuse(inner, format!("`{text}` is no block of addresses"), help),
                }
            }
            "exists" => inner.flag(self.sink).map(|there| if there { Test::Present } else { Test::Absent }),
            other => {
                let found = inner.key_error(codes::PATTERN, format!("unknown test `{other}`"));
                let found = with_guess(found, other, WORDS);
                let help = format!("the tests are {}", WORDS.join(", "));
                self.sink.push(if found.help.is_some() { found } else { found.help(help) });
                None
            }
        }
    }

    /// A text, or `{equals-ignore-case: TEXT}`.
    fn affix(&self, place: &Place) -> Option<Text> {
        let NodeKind::Map(_) = &place.node.kind else {
            return place.text(self.sink).map(|text| Text::exact(&text));
        };
        let entries = place.entries(self.sink)?;
        match &entries[..] {
            [(word, inner)] if &**word == "equals-ignore-case" => {
                inner.text(self.sink).map(|text| Text::folded(&text))
            }
            _ => place.wrong(self.sink, "a string, or a map with the key `equals-ignore-case`"),
        }
    }

    fn wildcard(&self, place: &Place) -> Option<Test> {
        let text = place.text(self.sink)?;
        if text.replace("\\\\", "").replace("\\*", "").contains("**") {
            return self.refuse(
                place,
                "two `*` stand side by side",
                "one `*` is any number of characters already",
            );
        }
        Some(Test::Like(text.clone(), Wildcard::star(&text)))
    }

    /// What must not be: values, or texts by one test.
    fn but(&self, place: &Place) -> Option<Vec<Test>> {
        let one = |place: &Place| match &place.node.kind {
            NodeKind::Scalar { value, .. } => Some(Test::Equal(value.clone())),
            _ => place.wrong(self.sink, "a value"),
        };
        match &place.node.kind {
            NodeKind::Scalar { .. } => one(place).map(|test| vec![test]),
            NodeKind::List(_) => all(self.some(place)?.iter().map(one)),
            NodeKind::Map(_) => {
                let entries = place.entries(self.sink)?;
                let [(word, inner)] = &entries[..] else {
                    return self.refuse(
                        place,
                        "`anything-but` has one test",
                        "write for example `{prefix: in/}`",
                    );
                };
                let texts = match &inner.node.kind {
                    NodeKind::List(_) => self.some(inner)?,
                    _ => vec![inner.clone()],
                };
                all(texts.iter().map(|text| match &**word {
                    "prefix" => self.affix(text).map(Test::Prefix),
                    "suffix" => self.affix(text).map(Test::Suffix),
                    "equals-ignore-case" => {
                        text.text(self.sink).map(|text| Test::SameFolded(Text::folded(&text)))
                    }
                    "wildcard" => self.wildcard(text),
                    other => {
                        let help = "`anything-but` takes prefix, suffix, equals-ignore-case and wildcard";
                        self.refuse(inner, format!("unknown test `{other}`"), help)
                    }
                }))
            }
        }
    }

    /// `[OPERATOR, NUMBER]`, once or twice.
    fn numeric(&self, place: &Place) -> Option<Vec<(Comparison, Number)>> {
        let items = self.some(place)?;
        let help = "write for example `[\">\", 0, \"<=\", 5]`";
        if items.len() % 2 != 0 || items.len() > 4 {
            return self.refuse(place, "`numeric` has an operator and a number, once or twice", help);
        }
        all(items.chunks_exact(2).map(|pair| {
            let comparison = pair[0].choice(self.sink, &Comparison::WORDS);
            match number(pair[1].node) {
                Some(number) => Some((comparison?, number.clone())),
                None => pair[1].wrong(self.sink, "a number"),
            }
        }))
    }
}
