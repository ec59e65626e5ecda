//! From parser events to trees, under budgets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Range, Tag};

use super::places::{Places, join_surrogates};
use super::{Entry, MAX_ALIASES, MAX_DEPTH, MAX_NODES, MAX_TEXT, MAX_WORKFLOW_DEPTH, Node, NodeKind, scalar};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::value::Value;

/// Reading goes on after a mistake of the JSON model up to this many of them.
const MAX_MISTAKES: usize = 100;

pub(super) fn read(text: &str) -> Result<Vec<Node>, Vec<Diagnostic>> {
    if text.len() > MAX_TEXT {
        let span = Span { line: 1, column: 1, start: 0, end: 0 };
        let message = format!("the text has {} bytes; the limit definition-size is {MAX_TEXT}", text.len());
        return Err(vec![Diagnostic::error(codes::LIMIT_TEXT, span, message)]);
    }
    let joined = join_surrogates(text);
    let mut builder = Builder::new(joined.as_deref().unwrap_or(text));
    builder.run();
    if builder.mistakes.is_empty() { Ok(builder.documents) } else { Err(builder.mistakes) }
}

/// A list or map that is still open.
struct Open {
    start: Span,
    /// Behind the last character of what it holds so far, aliases counted where they are used.
    end: usize,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: BTreeSet<Arc<str>>, key: Option<(Arc<str>, Span)>, doubled: bool },
}

impl Open {
    fn awaits_key(&self) -> bool {
        matches!(self.kind, OpenKind::Map { key: None, .. })
    }
}

/// What to do about a mistake that the parser tells.
fn remedy(info: &str) -> Option<&'static str> {
    let known = [
        ("tab", "indent with blanks: YAML takes no tabs for it"),
        ("flow mapping", "put a text with `: ` or `,` in it in quotes, and close every `{` with `}`"),
        ("flow sequence", "put a text with `,` in it in quotes, and close every `[` with `]`"),
        ("mapping values", "put a text with `: ` in it in quotes, or begin the key on a line of its own"),
        (
            "unknown anchor",
            "mark a value before with `&name`, or put the text in quotes if `*` is part of it",
        ),
        ("indentation", "begin the keys of one map in the same column"),
    ];
    known.iter().find(|(word, _)| info.contains(word)).map(|(_, help)| *help)
}

struct Builder<'a> {
    text: &'a str,
    places: Places,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    documents: Vec<Node>,
    mistakes: Vec<Diagnostic>,
    nodes: usize,
    aliases: usize,
    too_deep: Option<(Span, String)>,
    stop: bool,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Builder<'a> {
        Builder {
            text,
            places: Places::of(text),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            documents: Vec::new(),
            mistakes: Vec::new(),
            nodes: 0,
            aliases: 0,
            too_deep: None,
            stop: false,
        }
    }

    fn run(&mut self) {
        let mut parser = Parser::new_from_str(self.text);
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, range)) => self.event(event, range),
                Err(error) => {
                    let (span, info) = (self.point(*error.marker()), error.info());
                    let code = if info.contains("unknown anchor") { codes::ALIAS } else { codes::SYNTAX };
                    self.mistake(code, span, format!("the text is no YAML: {info}"), remedy(info));
                    return;
                }
            }
            if self.stop || self.mistakes.len() >= MAX_MISTAKES {
                return;
            }
        }
    }

    fn event(&mut self, event: Event<'_>, range: Range) {
        let span = self.span(range);
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.scalar(&text, style, tag.as_deref(), span);
                if !self.open.last().is_some_and(Open::awaits_key) {
                    self.count(1, span);
                }
                self.close(Node { span, kind }, anchor, span.end);
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", span);
                self.start(span, anchor, OpenKind::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", span);
                let kind =
                    OpenKind::Map { entries: Vec::new(), seen: BTreeSet::new(), key: None, doubled: false };
                self.start(span, anchor, kind);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }

    fn start(&mut self, span: Span, anchor: usize, kind: OpenKind) {
        self.count(1, span);
        let pointer = if self.open.len() == MAX_DEPTH { self.pointer() } else { String::new() };
        self.open.push(Open { start: span, end: span.start, anchor, kind });
        let depth = self.open.len();
        if depth > MAX_WORKFLOW_DEPTH {
            let message =
                format!("lists and maps nest deeper than {MAX_WORKFLOW_DEPTH} (limit definition-depth)");
            self.mistake(codes::LIMIT_DEPTH, span, message, None);
            self.stop = true;
        } else if depth > MAX_DEPTH && self.too_deep.is_none() {
            self.too_deep = Some((span, pointer));
        }
    }

    fn end(&mut self, range: Span) {
        let Some(open) = self.open.pop() else { return };
        let kind = match open.kind {
            OpenKind::List(items) => NodeKind::List(items),
            OpenKind::Map { entries, .. } => NodeKind::Map(entries),
        };
        // The parser's range of a closing bracket may take in the blanks behind it.
        let bracket = self.text.get(range.start..range.end).unwrap_or_default().trim_end();
        let flow = matches!(bracket.trim_start(), "]" | "}");
        let end = if flow { range.start + bracket.len() } else { open.end.max(open.start.start) };
        let span = Span { end, ..open.start };
        self.close(Node { span, kind }, open.anchor, end);
    }

    /// Puts a finished node where it belongs; `end` is where it ends at the place of its use.
    fn close(&mut self, mut node: Node, anchor: usize, end: usize) {
        if anchor > 0 {
            let size = size(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(top) = self.open.last_mut() else {
            return self.document(node);
        };
        top.end = top.end.max(end);
        match &mut top.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, key, doubled, .. } => match key.take() {
                None => self.key(&node),
                Some((key, key_span)) => {
                    if node.span.start >= node.span.end && node.is_null() {
                        node.span = key_span;
                    }
                    if !std::mem::take(doubled) {
                        entries.push(Entry { key, key_span, value: node });
                    }
                }
            },
        }
    }

    fn key(&mut self, node: &Node) {
        let (text, plain): (Arc<str>, bool) = if let NodeKind::Scalar { text, plain, .. } = &node.kind {
            (text.clone(), *plain)
        } else {
            self.mistake(codes::KEY, node.span, "a list or map cannot be a key".to_owned(), None);
            ("?".into(), false)
        };
        if plain && &*text == "<<" {
            let help = "write the keys out; merging is not part of YAML 1.2";
            self.mistake(
                codes::MERGE,
                node.span,
                "the merge key `<<` is not supported".to_owned(),
                Some(help),
            );
        }
        let Some(Open { kind: OpenKind::Map { seen, key, doubled, .. }, .. }) = self.open.last_mut() else {
            return;
        };
        *doubled = !seen.insert(text.clone());
        let twice = *doubled;
        *key = Some((text.clone(), node.span));
        if twice {
            let message = format!("the key `{text}` stands twice in one map");
            self.mistake(codes::DOUBLED_KEY, node.span, message, Some("remove one of the two"));
        }
    }

    fn document(&mut self, mut node: Node) {
        node.span = self.whole_lines(node.span);
        let deep = self.too_deep.take();
        if let Some((span, pointer)) = deep.filter(|_| node.get("document").is_none()) {
            let message = format!("lists and maps nest deeper than {MAX_DEPTH} (limit definition-depth)");
            self.mistakes.push(Diagnostic::error(codes::LIMIT_DEPTH, span, message).at(pointer));
        }
        let empty = matches!(&node.kind, NodeKind::Scalar { text, plain: true, .. } if text.is_empty());
        if !empty {
            self.documents.push(node);
        }
    }

    /// The place of a document with the indentation of its first line and the rest of its last, line end included:
    /// they may be part of what it says.
    fn whole_lines(&self, span: Span) -> Span {
        let lead = self.text[..span.start].trim_end_matches(' ');
        let start = if lead.is_empty() || lead.ends_with(['\n', '\r']) { lead.len() } else { span.start };
        let rest = &self.text[span.end..];
        let line_end = rest
            .find(['\r', '\n'])
            .map_or(rest.len(), |at| at + if rest[at..].starts_with("\r\n") { 2 } else { 1 });
        let begun = span.end > span.start && self.text[..span.end].ends_with(['\r', '\n']);
        let end = if begun { span.end } else { span.end + line_end };
        Span { start, end, ..span }
    }

    fn alias(&mut self, anchor: usize, span: Span) {
        self.aliases += 1;
        if self.aliases > MAX_ALIASES {
            let message = format!("the text has more than {MAX_ALIASES} aliases (limit definition-aliases)");
            self.mistake(codes::LIMIT_ALIASES, span, message, None);
            self.stop = true;
            return;
        }
        if let Some((node, size)) = self.anchors.get(&anchor) {
            let (node, size) = (node.clone(), *size);
            self.count(size, span);
            if !self.stop {
                self.deepen(&node, span);
                self.close(node, 0, span.end);
            }
            return;
        }
        let cycle = self.open.iter().any(|o| o.anchor == anchor);
        let message = if cycle {
            "the alias stands inside its own anchor"
        } else {
            "the alias names no anchor before it"
        };
        self.mistake(codes::ALIAS, span, message.to_owned(), None);
        let kind = NodeKind::Scalar { value: Value::Null, text: "".into(), plain: true };
        self.close(Node { span, kind }, 0, span.end);
    }

    /// Aliases count towards the depth with what they stand for.
    fn deepen(&mut self, node: &Node, span: Span) {
        if self.open.len() + depth(node) > MAX_DEPTH {
            let message = format!("lists and maps nest deeper than {MAX_DEPTH} (limit definition-depth)");
            self.mistake(codes::LIMIT_DEPTH, span, message, None);
            self.stop = true;
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> NodeKind {
        let plain = style == ScalarStyle::Plain;
        let value = scalar::typed(text, plain, tag).unwrap_or_else(|(code, message, help)| {
            self.mistake(code, span, message, help);
            Value::Null
        });
        NodeKind::Scalar { value, text: text.into(), plain }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, own: &str, span: Span) {
        if let Some(tag) = tag.filter(|t| !(t.is_yaml_core_schema() && t.suffix == own)) {
            let (code, message, help) = scalar::foreign(tag);
            self.mistake(code, span, message, help);
        }
    }

    fn count(&mut self, nodes: usize, span: Span) {
        self.nodes += nodes;
        if self.nodes > MAX_NODES && !self.stop {
            let message = format!("the text has more than {MAX_NODES} values (limit definition-values)");
            self.mistake(codes::LIMIT_VALUES, span, message, None);
            self.stop = true;
        }
    }

    fn mistake(&mut self, code: &'static str, span: Span, message: String, help: Option<&str>) {
        let mut d = Diagnostic::error(code, span, message).at(self.pointer());
        d.help = help.or_else(|| codes::explain(code).map(|known| known.text)).map(str::to_owned);
        self.mistakes.push(d);
    }

    /// JSON pointer of the place where reading stands.
    fn pointer(&self) -> String {
        self.open.iter().fold(String::new(), |pointer, open| match &open.kind {
            OpenKind::List(items) => format!("{pointer}/{}", items.len()),
            OpenKind::Map { key: Some((key, _)), .. } => super::join(&pointer, key),
            OpenKind::Map { .. } => pointer,
        })
    }

    fn span(&self, range: Range) -> Span {
        let start = self.point(range.start);
        let end = self.point(range.end).start.max(start.start);
        Span { end, ..start }
    }

    fn point(&self, mark: Marker) -> Span {
        let at = self.places.offset(self.text, mark.line().max(1), mark.col());
        Span { line: mark.line().max(1) as u32, column: mark.col() as u32 + 1, start: at, end: at }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.kind {
        NodeKind::Scalar { .. } => 0,
        NodeKind::List(items) => items.iter().map(size).sum(),
        NodeKind::Map(entries) => entries.iter().map(|e| size(&e.value)).sum(),
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        NodeKind::Scalar { .. } => 0,
        NodeKind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        NodeKind::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
    }
}
