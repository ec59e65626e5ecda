//! Text before and after parsing: places of characters, and the escapes of JSON that YAML lacks.

use std::fmt::Write as _;

/// JSON writes characters beyond 16 bits as two `\u` escapes, which YAML does not know: in JSON text each such
/// pair becomes one escape of YAML. None when there is nothing to do.
pub(super) fn join_surrogates(text: &str) -> Option<String> {
    if !text.trim_start().starts_with(['{', '[']) || !text.contains("\\u") {
        return None;
    }
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?;
        u32::from_str_radix(escape.strip_prefix("\\u")?, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let here = at + found;
        at = here + 1 + text[here + 1..].chars().next().map_or(0, char::len_utf8);
        let (Some(high), Some(low)) = (unit(here), unit(here + 6)) else {
            continue;
        };
        if (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(&low) {
            out.push_str(&text[copied..here]);
            let _ = write!(out, "\\U{:08X}", 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
            at = here + 12;
            copied = at;
        }
    }
    out.push_str(&text[copied..]);
    (copied > 0).then_some(out)
}

/// From line and column to byte offset, in constant time: one line may be the whole text.
pub(super) struct Places {
    /// Number of characters before each line.
    lines: Vec<usize>,
    /// Byte offset of every `STEP`th character.
    steps: Vec<usize>,
}

const STEP: usize = 64;

impl Places {
    /// Line ends are LF, CR LF and CR.
    pub(super) fn of(text: &str) -> Places {
        let mut places = Places { lines: vec![0], steps: Vec::with_capacity(text.len() / STEP + 1) };
        let bytes = text.as_bytes();
        for (count, (at, c)) in text.char_indices().enumerate() {
            if count % STEP == 0 {
                places.steps.push(at);
            }
            if c == '\n' || (c == '\r' && bytes.get(at + 1) != Some(&b'\n')) {
                places.lines.push(count + 1);
            }
        }
        places
    }

    /// Lines count from 1, columns from 0; beyond the end is the end.
    pub(super) fn offset(&self, text: &str, line: usize, column: usize) -> usize {
        let Some(before) = self.lines.get(line - 1) else {
            return text.len();
        };
        let index = before + column;
        let Some(start) = self.steps.get(index / STEP) else {
            return text.len();
        };
        text[*start..].char_indices().nth(index % STEP).map_or(text.len(), |(i, _)| start + i)
    }
}
