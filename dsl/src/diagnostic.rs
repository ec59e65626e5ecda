//! Mistakes of an author: code, position, text and help.
//!
//! Owns the shape and the rendering of diagnostics (invariant 9). Codes are stable: `E` errors refuse a definition,
//! `W` warnings do not.

use std::fmt::Write as _;

/// A place in a text: lines and columns count from 1, columns in characters; offsets in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Line of the first character.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset behind the last character.
    pub end: usize,
}

/// Whether a diagnostic refuses the document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Severity {
    /// Refuses it.
    Error,
    /// Is told, nothing more.
    Warning,
}

/// One mistake.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnostic {
    /// Stable code, for example `E0312`.
    pub code: &'static str,
    /// Error or warning (the code's first letter says the same).
    pub severity: Severity,
    /// Where.
    pub span: Span,
    /// JSON pointer of the offending value in its document.
    pub pointer: String,
    /// What is wrong: a fragment in lower case.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            span,
            pointer: String::new(),
            message: message.into(),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The same with its JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Diagnostic {
        self.pointer = pointer.into();
        self
    }

    /// Text for a terminal: `file:line:col: error[CODE]: message`, the source line with a caret, the help.
    pub fn render(&self, file: &str, text: &str) -> String {
        let kind = if self.severity == Severity::Error { "error" } else { "warning" };
        let mut out = format!(
            "{file}:{}:{}: {kind}[{}]: {}\n",
            self.span.line, self.span.column, self.code, self.message
        );
        if let Some(line) = text.lines().nth(self.span.line.saturating_sub(1) as usize) {
            let number = self.span.line.to_string();
            let lead: String = line
                .chars()
                .take(self.span.column.saturating_sub(1) as usize)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let covered = text.get(self.span.start..self.span.end).unwrap_or("");
            let width = covered.lines().next().map_or(1, |l| l.chars().count()).max(1);
            let pad = " ".repeat(number.len());
            let _ = writeln!(out, "{pad} |\n{number} | {line}\n{pad} | {lead}{}", "^".repeat(width));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "  = help: {help}");
        }
        out
    }
}

/// The candidate nearest to `word`, if one is near enough to be meant ("did you mean").
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (distance(&word.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= (c.chars().count().max(word.chars().count()) / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Changes from one word to the other: a letter more, less or another, or two neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(ca != cb)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_caret_under_the_place() {
        let text = "a: 1\n  bcd: 2\n";
        let span = Span { line: 2, column: 3, start: 7, end: 10 };
        let d = Diagnostic::error("E0001", span, "unknown key `bcd`").help("did you mean `abc`?");
        assert_eq!(
            d.render("x.yaml", text),
            "x.yaml:2:3: error[E0001]: unknown key `bcd`\n  |\n2 |   bcd: 2\n  |   ^^^\n  = help: did you mean `abc`?\n"
        );
    }

    #[test]
    fn nearest_word() {
        for (word, expected) in [
            ("doo", Some("do")),
            ("ste", Some("set")),
            ("fro", Some("for")),
            ("swich", Some("switch")),
            ("zebra", None),
            ("Set", Some("set")),
        ] {
            assert_eq!(nearest(word, ["do", "set", "switch", "for"]), expected, "{word}");
        }
    }
}
