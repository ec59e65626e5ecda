//! YAML text to a tree in which every value knows its place.
//!
//! Owns reading: YAML 1.2 with the core schema (dsl.md section 12 "Text"), the JSON data model and the limits of
//! security.md 5b. JSON text is read the same way, being YAML. Knows nothing about workflows or manifests; the
//! only thing it judges is the text.

mod build;
pub mod layout;
mod places;
mod scalar;

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Span};
use crate::value::Value;

/// Largest text, bytes (limit `definition-size`).
pub const MAX_TEXT: usize = 1024 * 1024;
/// Most values of a text, lists and maps and those of expanded aliases included (limit `definition-values`).
pub const MAX_NODES: usize = 20_000;
/// Deepest nesting of lists and maps in a manifest (limit `definition-depth`).
pub const MAX_DEPTH: usize = 64;
/// Deepest nesting in a workflow definition, which needs three levels for each of its 32 nested tasks.
pub const MAX_WORKFLOW_DEPTH: usize = 128;
/// Most aliases of a text (limit `definition-aliases`).
pub const MAX_ALIASES: usize = 100;

/// A value with its place in the text. The values of an alias stand where the anchor stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// From its first character to behind its last. An empty value stands at its key. That of a whole document
    /// covers its text, so that the part can be read again by itself.
    pub span: Span,
    /// What it is.
    pub kind: NodeKind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// A string, number, boolean or null.
    Scalar {
        /// Its JSON value.
        value: Value,
        /// Its text, escapes and folding resolved.
        text: Arc<str>,
        /// Written without quotes and not as a block.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written; no key stands twice.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: Arc<str>,
    /// The key's place.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// Reads every document of a text. Empty documents are left out. On mistakes gives all that were found: what is
/// no YAML ends the reading, what is YAML outside the JSON model (doubled keys, merge keys, own tags) does not.
pub fn parse_all(text: &str) -> Result<Vec<Node>, Vec<Diagnostic>> {
    build::read(text)
}

/// Reads a text that holds exactly one document.
pub fn parse(text: &str) -> Result<Node, Vec<Diagnostic>> {
    let mut documents = parse_all(text)?;
    let second = documents.get(1).map(|node| node.span);
    if let Some(span) = second {
        let d = Diagnostic::error(crate::codes::DOCUMENTS, span, "a second document stands in the text");
        return Err(vec![d.help("send one document at a time")]);
    }
    documents.pop().ok_or_else(|| {
        let span = Span { line: 1, column: 1, start: 0, end: 0 };
        vec![Diagnostic::error(crate::codes::DOCUMENTS, span, "the text is empty")]
    })
}

impl Node {
    /// The JSON value, places dropped.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar { value, .. } => value.clone(),
            NodeKind::List(items) => Value::array(items.iter().map(Node::to_value)),
            NodeKind::Map(entries) => {
                Value::object(entries.iter().map(|e| (e.key.clone(), e.value.to_value())))
            }
        }
    }

    /// The value of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|e| &e.value)
    }

    /// Key and value of `key`, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| &*e.key == key)
    }

    /// The entries of a map; none for other kinds.
    pub fn entries(&self) -> &[Entry] {
        if let NodeKind::Map(entries) = &self.kind { entries } else { &[] }
    }

    /// The items of a list; none for other kinds.
    pub fn items(&self) -> &[Node] {
        if let NodeKind::List(items) = &self.kind { items } else { &[] }
    }

    /// The text of a string; none for numbers, booleans and null.
    pub fn as_str(&self) -> Option<&str> {
        if let NodeKind::Scalar { value: Value::String(text), .. } = &self.kind { Some(text) } else { None }
    }

    /// Whether this is `null` or nothing.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { value: Value::Null, .. })
    }

    /// What this is, for messages: `a string`, `a list`, ...
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
            NodeKind::Scalar { value, .. } => match value {
                Value::Null => "nothing",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                _ => "a string",
            },
        }
    }

    /// The value a JSON pointer (RFC 6901) names.
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |node, step| match &node.kind {
            NodeKind::Map(_) => node.get(&step.replace("~1", "/").replace("~0", "~")),
            NodeKind::List(items) => items.get(step.parse::<usize>().ok()?),
            NodeKind::Scalar { .. } => None,
        })
    }
}

impl Node {
    /// The place of the key (of a list's item: of the value) that a JSON pointer names.
    pub fn key_of(&self, pointer: &str) -> Option<Span> {
        let (outer, last) = pointer.rsplit_once('/')?;
        let holder = self.pointer(outer)?;
        match &holder.kind {
            NodeKind::Map(_) => holder.entry(&last.replace("~1", "/").replace("~0", "~")).map(|e| e.key_span),
            _ => holder.pointer(&format!("/{last}")).map(|node| node.span),
        }
    }
}

/// A JSON pointer one step longer, the step escaped (RFC 6901).
pub fn join(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}

/// The place of byte `offset` of a string's text in the source, where that is certain: in one-line strings
/// without escapes and in literal blocks. Else the place of the string.
pub fn locate(source: &str, node: &Node, offset: usize) -> Span {
    let NodeKind::Scalar { text, .. } = &node.kind else {
        return node.span;
    };
    let written = source.get(node.span.start..node.span.end).unwrap_or("");
    if text.is_empty() || !text.is_char_boundary(offset) {
        return node.span;
    }
    let quote = usize::from(written.starts_with(['"', '\'']));
    let line_of = text[..offset].matches('\n').count();
    let line_start = text[..offset].rfind('\n').map_or(0, |i| i + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    if line_of == 0 && written.get(quote..).is_some_and(|w| w.starts_with(&**text)) {
        let start = node.span.start + quote + offset;
        let column = node.span.column + (quote + text[..offset].chars().count()) as u32;
        let width = text[offset..].chars().next().map_or(0, char::len_utf8);
        return Span { line: node.span.line, column, start, end: start + width };
    }
    literal_line(source, node, line_of, line).map_or(node.span, |(number, column, start)| {
        let into = offset - line_start;
        let start = start + into;
        let width = line.get(into..).and_then(|l| l.chars().next()).map_or(0, char::len_utf8);
        Span { line: number, column: column + line[..into].chars().count() as u32, start, end: start + width }
    })
}

/// Where line `index` of a block begins, if the source has it as it is: line number, column, byte offset.
fn literal_line(source: &str, node: &Node, index: usize, line: &str) -> Option<(u32, u32, usize)> {
    if line.is_empty() {
        return None;
    }
    let mut start = source.get(..node.span.start)?.rfind('\n').map_or(0, |i| i + 1);
    for _ in 0..index {
        start += source[start..].find('\n')? + 1;
    }
    let written = source[start..].lines().next()?;
    let at = written.find(line).filter(|at| at + line.len() == written.len())?;
    Some((node.span.line + index as u32, written[..at].chars().count() as u32 + 1, start + at))
}

#[cfg(test)]
mod tests;
