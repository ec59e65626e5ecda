//! Reading maps of a [`Node`] tree with diagnostics.
//!
//! Owns how a typed value is taken out of YAML: every mistake is collected with code, place and JSON pointer, and
//! reading goes on. A [`Reader`] remembers which keys were asked for; [`Reader::finish`] refuses the others with
//! "did you mean". Knows no particular document.

use std::cell::RefCell;
use std::sync::Arc;

use crate::codes;
use crate::diagnostic::{Diagnostic, Severity, Span, nearest};
use crate::value::Value;
use crate::yaml::{Node, NodeKind, join};

/// Most diagnostics that are kept of one document.
pub const MAX_DIAGNOSTICS: usize = 100;

/// Collects diagnostics while a document is read.
#[derive(Debug)]
pub struct Sink<'a> {
    source: &'a str,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Sink<'a> {
    /// An empty collection for the text `source` (spans are offsets into it).
    pub fn new(source: &'a str) -> Sink<'a> {
        Sink { source, found: RefCell::new(Vec::new()) }
    }

    /// The text.
    pub fn source(&self) -> &'a str {
        self.source
    }

    /// Adds one. Without help of its own it gets the explanation of its code.
    pub fn push(&self, mut diagnostic: Diagnostic) {
        if diagnostic.help.is_none() {
            diagnostic.help = codes::explain(diagnostic.code).map(|code| code.text.to_owned());
        }
        self.found.borrow_mut().push(diagnostic);
    }

    /// Whether an error was added.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors were added; warnings do not count.
    pub fn errors(&self) -> usize {
        self.found.borrow().iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// All, in the order of the text, at most [`MAX_DIAGNOSTICS`], errors before warnings when cut.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|d| d.severity);
        found.truncate(MAX_DIAGNOSTICS);
        found.sort_by(|a, b| (a.span.start, a.code, &a.message).cmp(&(b.span.start, b.code, &b.message)));
        found.dedup();
        found
    }
}

/// A value with its place in the document: what readers hand out.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The value.
    pub node: &'a Node,
    /// The place of its key; of a list item or a document: its own.
    pub key: Span,
    /// Its JSON pointer.
    pub pointer: String,
}

impl<'a> Place<'a> {
    /// A whole document.
    pub fn root(node: &'a Node) -> Place<'a> {
        Place { node, key: node.span, pointer: String::new() }
    }

    /// An error at this value.
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.node.span, message).at(self.pointer.clone())
    }

    /// An error at this value's key.
    pub fn key_error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.key, message).at(self.pointer.clone())
    }

    /// An error at byte `offset` of this string's text, as precise as [`crate::yaml::locate`] can be.
    pub fn error_at(
        &self,
        sink: &Sink,
        offset: Option<usize>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Diagnostic {
        let span = offset.map_or(self.node.span, |o| crate::yaml::locate(sink.source(), self.node, o));
        Diagnostic::error(code, span, message).at(self.pointer.clone())
    }

    /// The items of a list; another type is reported and gives none.
    pub fn list(&self, sink: &Sink) -> Option<Vec<Place<'a>>> {
        let NodeKind::List(items) = &self.node.kind else {
            return self.wrong(sink, "a list");
        };
        let place = |(i, node): (usize, &'a Node)| Place {
            node,
            key: node.span,
            pointer: format!("{}/{i}", self.pointer),
        };
        Some(items.iter().enumerate().map(place).collect())
    }

    /// The entries of a map with their keys; another type is reported and gives none.
    pub fn entries(&self, sink: &Sink) -> Option<Vec<(Arc<str>, Place<'a>)>> {
        let NodeKind::Map(entries) = &self.node.kind else {
            return self.wrong(sink, "a map");
        };
        let place = |e: &'a crate::yaml::Entry| {
            (e.key.clone(), Place { node: &e.value, key: e.key_span, pointer: join(&self.pointer, &e.key) })
        };
        Some(entries.iter().map(place).collect())
    }

    /// A string; another type is reported.
    pub fn text(&self, sink: &Sink) -> Option<Arc<str>> {
        self.node.as_str().map(Arc::from).or_else(|| self.wrong(sink, "a string"))
    }

    /// A boolean; another type is reported.
    pub fn flag(&self, sink: &Sink) -> Option<bool> {
        match &self.node.kind {
            NodeKind::Scalar { value: Value::Bool(flag), .. } => Some(*flag),
            _ => self.wrong(sink, "true or false"),
        }
    }

    /// A whole number; another type is reported.
    pub fn integer(&self, sink: &Sink) -> Option<i64> {
        match &self.node.kind {
            NodeKind::Scalar { value: value @ Value::Number(_), .. } if value.as_i64().is_some() => {
                value.as_i64()
            }
            _ => self.wrong(sink, "a whole number"),
        }
    }

    /// One of the named words; anything else is reported.
    pub fn choice<T: Copy>(&self, sink: &Sink, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(sink)?;
        let found = words.iter().find(|(word, _)| **word == *text).map(|(_, value)| *value);
        if found.is_none() {
            let list = words.iter().map(|(w, _)| format!("`{w}`")).collect::<Vec<_>>().join(", ");
            let d = self.error(codes::WRONG_VALUE, format!("`{text}` is not one of {list}"));
            let d = with_guess(d, &text, words.iter().map(|(w, _)| *w));
            sink.push(if d.help.is_some() { d } else { d.help(format!("write one of {list}")) });
        }
        found
    }

    /// Reports that another type is expected; `expected` as in "a string".
    pub fn wrong<T>(&self, sink: &Sink, expected: &str) -> Option<T> {
        let name = self.pointer.rsplit('/').next().filter(|n| !n.is_empty());
        let subject = name
            .map_or("the document".to_owned(), |n| format!("`{}`", n.replace("~1", "/").replace("~0", "~")));
        let message = format!("{subject} must be {expected}, not {}", self.node.describe());
        sink.push(self.error(codes::WRONG_TYPE, message).help(self.remedy(expected)));
        None
    }

    /// How to write what is expected, given what is there.
    fn remedy(&self, expected: &str) -> String {
        let scalar = matches!(self.node.kind, NodeKind::Scalar { .. });
        let empty = self.node.is_null();
        match expected {
            "a string" if scalar && !empty => "put it in quotes".to_owned(),
            "true or false" => "write `true` or `false`, without quotes".to_owned(),
            "a whole number" | "a number" => "write digits, without quotes and units".to_owned(),
            "a list" => {
                "write it as `[a, b]`, or each entry on a line of its own that begins with `- `".to_owned()
            }
            "a map" if empty => "write its keys on the lines below, indented further".to_owned(),
            "a map" => "write it as `{key: value}`, or each key on a line of its own".to_owned(),
            _ if expected.starts_with("a duration") => {
                "write for example `PT30S`, `P1DT12H` or `{minutes: 5}`".to_owned()
            }
            _ if empty => format!("write {expected}, or remove the key"),
            _ => format!("write {expected}"),
        }
    }
}

/// The same diagnostic with "did you mean" as its help, if a candidate is near.
pub fn with_guess<'a>(
    d: Diagnostic,
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    match nearest(word, candidates) {
        Some(guess) => d.help(format!("did you mean `{guess}`?")),
        None => d,
    }
}

/// A map that is being read.
#[derive(Debug)]
pub struct Reader<'a, 's> {
    place: Place<'a>,
    sink: &'s Sink<'s>,
    what: &'static str,
    asked: Vec<&'static str>,
    also: Vec<&'static str>,
}

impl<'a, 's> Reader<'a, 's> {
    /// Opens a map; `what` names it in messages, as in "a task". Another type is reported and gives none.
    pub fn open(place: Place<'a>, sink: &'s Sink<'s>, what: &'static str) -> Option<Reader<'a, 's>> {
        if !matches!(place.node.kind, NodeKind::Map(_)) {
            return place.wrong(sink, "a map");
        }
        Some(Reader { place, sink, what, asked: Vec::new(), also: Vec::new() })
    }

    /// The map's place.
    pub fn place(&self) -> &Place<'a> {
        &self.place
    }

    /// Where its diagnostics go.
    pub fn sink(&self) -> &'s Sink<'s> {
        self.sink
    }

    /// Whether the key is there; does not take it.
    pub fn has(&self, key: &str) -> bool {
        self.place.node.get(key).is_some()
    }

    /// Takes a key that may be there.
    pub fn take(&mut self, key: &'static str) -> Option<Place<'a>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let entry = self.place.node.entry(key)?;
        Some(Place { node: &entry.value, key: entry.key_span, pointer: join(&self.place.pointer, key) })
    }

    /// Takes a key that must be there; its absence is reported at the map.
    pub fn need(&mut self, key: &'static str) -> Option<Place<'a>> {
        let found = self.take(key);
        if found.is_none() {
            let message = format!("{} lacks the key `{key}`", self.what);
            let d = Diagnostic::error(codes::MISSING_KEY, self.place.node.span, message);
            self.sink.push(d.at(self.place.pointer.clone()).help(format!("add the key `{key}`")));
        }
        found
    }

    /// A string that may be there.
    pub fn text(&mut self, key: &'static str) -> Option<Arc<str>> {
        self.take(key)?.text(self.sink)
    }

    /// A string that must be there.
    pub fn need_text(&mut self, key: &'static str) -> Option<Arc<str>> {
        self.need(key)?.text(self.sink)
    }

    /// A boolean, or `default` if it is not there.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.take(key).and_then(|p| p.flag(self.sink)).unwrap_or(default)
    }

    /// A whole number that may be there.
    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        self.take(key)?.integer(self.sink)
    }

    /// One of the named words, or the default of its type if it is not there.
    pub fn choice<T: Copy + Default>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        self.take(key).and_then(|p| p.choice(self.sink, words)).unwrap_or_default()
    }

    /// A map that may be there.
    pub fn map(&mut self, key: &'static str, what: &'static str) -> Option<Reader<'a, 's>> {
        Reader::open(self.take(key)?, self.sink, what)
    }

    /// A map that must be there.
    pub fn need_map(&mut self, key: &'static str, what: &'static str) -> Option<Reader<'a, 's>> {
        Reader::open(self.need(key)?, self.sink, what)
    }

    /// Takes a key whose value may be anything.
    pub fn value(&mut self, key: &'static str) -> Option<Value> {
        self.take(key).map(|p| p.node.to_value())
    }

    /// Takes a key whose value is a map of anything; another type is reported.
    pub fn object(&mut self, key: &'static str) -> Option<Value> {
        let place = self.take(key)?;
        if matches!(place.node.kind, NodeKind::Map(_)) {
            Some(place.node.to_value())
        } else {
            place.wrong(self.sink, "a map")
        }
    }

    /// Refuses a key of the language, if it is there, with its own code.
    pub fn refuse(&mut self, key: &'static str, code: &'static str, message: &str) -> bool {
        let found = self.take(key);
        if let Some(place) = &found {
            let d = place.key_error(code, message);
            self.sink.push(match codes::explain(code) {
                Some(text) => d.help(text.text),
                None => d,
            });
        }
        found.is_some()
    }

    /// Whether the key was asked for, be it there or not.
    pub fn asked(&self, key: &str) -> bool {
        self.asked.contains(&key)
    }

    /// Names keys that count for "did you mean" though nothing asked for them.
    pub fn also(&mut self, keys: &[&'static str]) {
        self.also.extend_from_slice(keys);
    }

    /// Refuses every key that was not asked for.
    pub fn finish(self) {
        for entry in self.place.node.entries() {
            if self.asked.contains(&&*entry.key) {
                continue;
            }
            let d = Diagnostic::error(
                codes::UNKNOWN_KEY,
                entry.key_span,
                format!("unknown key `{}` in {}", entry.key, self.what),
            )
            .at(join(&self.place.pointer, &entry.key));
            let known = self.asked.iter().chain(&self.also).copied();
            let guessed = with_guess(d, &entry.key, known);
            let mut keys = self.asked.clone();
            keys.sort_unstable();
            let list = format!("the keys here are: {}", keys.join(", "));
            self.sink.push(if guessed.help.is_some() || keys.is_empty() {
                guessed
            } else {
                guessed.help(list)
            });
        }
    }
}
