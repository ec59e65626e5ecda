//! The canonical layout of a YAML text: `tidemill fmt`.
//!
//! Owns where lines begin and what stands between their tokens. Words, quotes, order, comments and the form of lists
//! and maps (`[a]` or `- a`) stay as written, so the meaning does; whatever would change it is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Node, NodeKind, parse_all};
use crate::diagnostic::Diagnostic;

/// Columns of one level.
const STEP: usize = 2;

/// Why a text is not laid out.
#[derive(Debug, Clone, PartialEq)]
pub enum LayoutError {
    /// It cannot be read.
    Unreadable(Vec<Diagnostic>),
    /// It uses a form of YAML that is left alone; the line where it stands, from 1, and which form.
    LeftAlone(u32, &'static str),
}

/// The text in canonical layout: two columns a level, lists indented below their key, one blank between tokens, at most
/// one empty line in a row. Laying out twice changes nothing more.
pub fn layout(text: &str) -> Result<String, LayoutError> {
    let before = parse_all(text).map_err(LayoutError::Unreadable)?;
    let mut found = Survey { text, ..Survey::default() };
    for node in &before {
        found.walk(node);
    }
    found.leaves.sort_by_key(|leaf| leaf.start);
    let mut printer = Printer { text, found, ..Printer::default() };
    let out = printer.run()?;
    let same = |after: &[Node]| {
        after.len() == before.len() && after.iter().zip(&before).all(|(a, b)| a.to_value() == b.to_value())
    };
    match parse_all(&out) {
        Ok(after) if same(&after) => Ok(out),
        _ => Err(LayoutError::LeftAlone(1, "the text as a whole")),
    }
}

/// A value that goes over several lines and is no block list or map.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    start: usize,
    end: usize,
    kind: LeafKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeafKind {
    /// `|` or `>`.
    Block,
    /// Plain or in quotes.
    Folded,
    /// `[ ]` or `{ }`.
    Flow,
}

/// What a tree tells about its text.
#[derive(Default)]
struct Survey<'a> {
    text: &'a str,
    leaves: Vec<Leaf>,
    /// Where keys begin.
    keys: BTreeSet<usize>,
    /// What stands in place of a range of the text, by the range's start.
    edits: BTreeMap<usize, (usize, &'static str)>,
}

impl Survey<'_> {
    fn walk(&mut self, node: &Node) {
        let written = self.text.get(node.span.start..node.span.end).unwrap_or_default();
        let flow = written.trim_start().starts_with(['{', '[']);
        let many = written.trim_end().contains('\n');
        let leaf = |kind| Leaf { start: node.span.start, end: node.span.end, kind };
        match &node.kind {
            NodeKind::Scalar { plain: false, .. } if !written.starts_with(['"', '\'']) => {
                self.leaves.extend(block(self.text, node.span.start, written));
            }
            NodeKind::Scalar { .. } if many => self.leaves.push(leaf(LeafKind::Folded)),
            NodeKind::List(_) | NodeKind::Map(_) if flow && many => self.leaves.push(leaf(LeafKind::Flow)),
            _ => {}
        }
        // The value of an alias stands elsewhere.
        let inside = |node: &Node, after: usize| node.span.start >= after && node.span.end > node.span.start;
        let mut parts = Vec::new();
        for Entry { key_span, value, .. } in node.entries() {
            self.keys.insert(key_span.start);
            if inside(value, key_span.end) {
                self.gap((key_span.end, value.span.start), ":", ": ");
                self.walk(value);
            }
            parts.push((key_span.start, value.span.end.max(key_span.end)));
        }
        for item in node.items() {
            if inside(item, node.span.start) {
                self.walk(item);
            }
            parts.push((item.span.start, item.span.end));
        }
        if flow && !matches!(node.kind, NodeKind::Scalar { .. }) {
            let open = node.span.start + (written.len() - written.trim_start().len()) + 1;
            self.brackets((open, node.span.start + written.trim_end().len() - 1), &parts);
        }
    }

    /// The blanks within brackets and around their commas.
    fn brackets(&mut self, (open, close): (usize, usize), parts: &[(usize, usize)]) {
        if let (Some(first), Some(last)) = (parts.first(), parts.last()) {
            self.gap((open, first.0), "", "");
            self.gap((last.1, close), "", "");
        } else {
            self.gap((open, close), "", "");
        }
        for pair in parts.windows(2) {
            self.gap((pair[0].1, pair[1].0), ",", ", ");
        }
    }

    /// Replaces a gap of one line that holds nothing but `token` and blanks.
    fn gap(&mut self, (start, end): (usize, usize), token: &str, with: &'static str) {
        if let Some(found) = self.text.get(start..end)
            && found.trim_matches([' ', '\t']) == token
            && found != with
        {
            self.edits.insert(start, (end, with));
        }
    }
}

/// The lines of a block, from the end of the line with its `|` or `>`.
fn block(text: &str, start: usize, written: &str) -> Option<Leaf> {
    let end = start + written.trim_end().len();
    let head = text.get(..start)?.trim_end_matches([' ', '\n', '\r']).len();
    (head < end).then_some(Leaf { start: head, end, kind: LeafKind::Block })
}

/// An open block list or map: where its lines began and where they begin now.
#[derive(Debug, Clone, Copy)]
struct Level {
    old: usize,
    new: usize,
    list: bool,
}

#[derive(Default)]
struct Printer<'a> {
    text: &'a str,
    found: Survey<'a>,
    levels: Vec<Level>,
    /// Comments (with their column) and empty lines that wait for the line they stand before.
    waiting: Vec<Option<(usize, &'a str)>>,
    out: String,
    /// How far the lines of a value over several lines move: from the column that its first line had.
    moved: (usize, usize),
}

impl<'a> Printer<'a> {
    fn run(&mut self) -> Result<String, LayoutError> {
        let mut start = 0;
        for (number, line) in (1..).zip(self.text.split_inclusive('\n')) {
            let bare = line.trim_end_matches(['\n', '\r']);
            self.line(number, start, bare)?;
            start += line.len();
        }
        self.waiting.retain(Option::is_some);
        self.flush(None);
        Ok(std::mem::take(&mut self.out))
    }

    fn line(&mut self, number: u32, start: usize, line: &'a str) -> Result<(), LayoutError> {
        if let Some(leaf) =
            self.found.leaves.iter().find(|leaf| leaf.start < start && start < leaf.end).copied()
        {
            return self.within(number, leaf, start, line);
        }
        let rest = line.trim_start_matches(' ');
        let column = line.len() - rest.len();
        if rest.trim().is_empty() {
            if !self.out.is_empty() && self.waiting.last().is_none_or(Option::is_some) {
                self.waiting.push(None);
            }
            return Ok(());
        }
        if rest.starts_with('#') {
            self.waiting.push(Some((column, rest.trim_end())));
            return Ok(());
        }
        if column == 0 && (rest.starts_with("---") || rest.starts_with("...") || rest.starts_with('%')) {
            self.flush(Some((0, 0)));
            self.levels.clear();
            self.push_line(0, rest.trim_end());
            return Ok(());
        }
        if rest.starts_with("? ") {
            return Err(LayoutError::LeftAlone(number, "a key after `?`"));
        }
        self.structural(start, line, column);
        Ok(())
    }

    /// A line that begins with a key, a dash or a value.
    fn structural(&mut self, start: usize, line: &'a str, column: usize) {
        let before = self.levels.clone();
        let mut at = column;
        let mut dashes = 0;
        let mut first = None;
        loop {
            let rest = &line[at..];
            let is_dash = rest == "-" || rest.starts_with("- ");
            let new = if is_dash || self.found.keys.contains(&(start + at)) {
                self.enter(at, is_dash, dashes > 0)
            } else {
                self.levels.last().map_or(0, |level| level.new + STEP)
            };
            first.get_or_insert(new);
            if !is_dash {
                break;
            }
            dashes += 1;
            let after = rest[1..].trim_start_matches(' ');
            at += rest.len() - after.len();
            if after.is_empty() || after.starts_with('#') {
                break;
            }
        }
        let new = first.unwrap_or(0);
        let levels = std::mem::replace(&mut self.levels, before);
        self.flush(Some((column, new)));
        self.levels = levels;
        let body = self.edited(start + at, start + line.len());
        let lead = "- ".repeat(dashes);
        self.push_line(new, format!("{lead}{body}").trim_end());
        self.moved = (column, new);
    }

    /// Goes to the level of a token at `column`; gives the column where it stands now.
    fn enter(&mut self, column: usize, list: bool, after_dash: bool) -> usize {
        if !after_dash {
            while self.levels.last().is_some_and(|level| level.old > column) {
                self.levels.pop();
            }
            let same = |level: &&Level| level.old == column;
            if !list && self.levels.last().filter(same).is_some_and(|level| level.list) {
                self.levels.pop();
            }
            if let Some(level) = self.levels.last().filter(same).filter(|level| level.list == list) {
                return level.new;
            }
        }
        let new = self.levels.last().map_or(0, |level| level.new + STEP);
        self.levels.push(Level { old: column, new, list });
        new
    }

    /// A further line of a value over several lines.
    fn within(&mut self, number: u32, leaf: Leaf, start: usize, line: &'a str) -> Result<(), LayoutError> {
        let rest = line.trim_start_matches(' ');
        let column = line.len() - rest.len();
        let inner = self.levels.last().map_or(0, |level| level.new + STEP);
        match leaf.kind {
            LeafKind::Flow => {
                let (old, new) = self.moved;
                let body = self.edited(start + column, start + line.len());
                self.push_line((column + new).saturating_sub(old), body.trim_end());
            }
            LeafKind::Folded if rest.trim().is_empty() => self.push_line(0, ""),
            LeafKind::Folded => self.push_line(inner, rest.trim_start()),
            LeafKind::Block => {
                let head = self.text[..leaf.start].rsplit('\n').next().unwrap_or_default();
                let head = head.rsplit(['|', '>']).next().unwrap_or_default();
                if head.contains(|c: char| c.is_ascii_digit()) {
                    return Err(LayoutError::LeftAlone(number, "a block that states its indentation"));
                }
                let own =
                    self.text[leaf.start..leaf.end].lines().skip(1).find(|line| !line.trim().is_empty());
                let own = own.map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
                if rest.is_empty() {
                    self.push_line(0, "");
                } else {
                    self.push_line(inner, line.get(own..).unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    /// A part of the text with its gaps mended.
    fn edited(&self, start: usize, end: usize) -> String {
        let mut out = String::new();
        let mut at = start;
        for (from, (upto, with)) in self.found.edits.range(start..end).filter(|(_, (upto, _))| *upto <= end) {
            out.push_str(&self.text[at..*from]);
            out.push_str(with);
            at = *upto;
        }
        out.push_str(&self.text[at..end]);
        out
    }

    /// Comments and empty lines before a line whose column was and is these; before the end of the text for none.
    fn flush(&mut self, next: Option<(usize, usize)>) {
        for waiting in std::mem::take(&mut self.waiting) {
            let Some((column, comment)) = waiting else {
                self.out.push('\n');
                continue;
            };
            let known = next.filter(|(old, _)| *old == column).map(|(_, new)| new);
            let level = || self.levels.iter().rev().find(|level| level.old == column).map(|level| level.new);
            let outer = next.map_or(0, |(_, new)| new);
            self.push_line(known.or_else(level).unwrap_or(outer), comment);
        }
    }

    fn push_line(&mut self, column: usize, text: &str) {
        if !text.is_empty() {
            self.out.extend(std::iter::repeat_n(' ', column));
            self.out.push_str(text);
        }
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_gaps() {
        let check = |text: &str, expected: &str| {
            let out = layout(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert_eq!(out, expected, "{text}");
            assert_eq!(layout(&out).as_deref(), Ok(expected), "a second time: {text}");
        };
        check("a:   1\n", "a: 1\n");
        check("a:\n    b:\n        c: 1\n    d: 2\n", "a:\n  b:\n    c: 1\n  d: 2\n");
        check("do:\n- a:\n    set: {x: 1}\n", "do:\n  - a:\n      set: {x: 1}\n");
        check("do:\n-   a:\n        b: 1\n-   c: 2\nd: 3\n", "do:\n  - a:\n      b: 1\n  - c: 2\nd: 3\n");
        check("a: { b : 1,c:  [ 1,2 ] , d: {  } }\n", "a: {b: 1, c: [1, 2], d: {}}\n");
        check("a: 1   # why\n\n\n\nb: 2", "a: 1   # why\n\nb: 2\n");
        check(
            "# top\na:\n    # in\n    b: 1\n# out\nc: 2\n    # end\n",
            "# top\na:\n  # in\n  b: 1\n# out\nc: 2\n# end\n",
        );
        check(
            "a:\n    # last of a is told with what follows\nb: 1\n",
            "a:\n# last of a is told with what follows\nb: 1\n",
        );
        check("a: |\n     one\n       two\n\n     three\nb: 1\n", "a: |\n  one\n    two\n\n  three\nb: 1\n");
        check("a:\n    - >-\n        one\n        two\n", "a:\n  - >-\n    one\n    two\n");
        check("a: one\n      two\nb: 'x\n\n   y'\n", "a: one\n  two\nb: 'x\n\n  y'\n");
        check("a:\n    b: [1,\n        2]\n", "a:\n  b: [1,\n      2]\n");
        check("---\na: 1\n---\n\nb:   2\n...\n", "---\na: 1\n---\n\nb: 2\n...\n");
        check("a: &x {b: 1}\nc:   *x\nd:\n", "a: &x {b: 1}\nc:   *x\nd:\n");
        check("- - a\n  - b\n-\n   c: 1\n", "- - a\n  - b\n-\n  c: 1\n");
        check("a:\r\n    b: 1\r\n", "a:\n  b: 1\n");
        check("{\n  \"a\": 1\n}\n", "{\n  \"a\": 1\n}\n");
        check("", "");
    }

    #[test]
    fn what_is_left_alone() {
        assert!(matches!(layout("a: [\n"), Err(LayoutError::Unreadable(_))));
        assert_eq!(
            layout("a: |2\n    x\n"),
            Err(LayoutError::LeftAlone(2, "a block that states its indentation"))
        );
        assert_eq!(layout("? a\n: 1\n"), Err(LayoutError::LeftAlone(1, "a key after `?`")));
    }
}
