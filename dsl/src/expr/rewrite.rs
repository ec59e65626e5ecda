//! Text of jq 1.7 that jaq does not read, written as it does: surrogate pairs in strings, and `?//`.
//!
//! Owns the rewriting of text before it is parsed. A text without either stays as it is.

use std::borrow::Cow;

/// Most `?//` of an expression: each repeats what stands behind it.
const MOST: usize = 32;

/// What a byte of jq text belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Text,
    Comment,
}

/// The same expression in words that jaq knows, and how much of its beginning was kept.
pub(super) fn known(text: &str) -> Option<(String, usize)> {
    let joined = join_surrogates(text);
    let written = alternatives(&joined, 0);
    if *written == *text {
        return None;
    }
    let kept = text.bytes().zip(written.bytes()).take_while(|(a, b)| a == b).count();
    Some((written.into_owned(), kept))
}

/// What each byte belongs to; the quotes of a string, and `\(` and `)` of what is filled in, are text.
fn parts(text: &str) -> Vec<Part> {
    let bytes = text.as_bytes();
    let mut parts = Vec::with_capacity(bytes.len());
    // Open strings, each with the parentheses that are open in what is being filled into it.
    let mut open: Vec<Option<usize>> = Vec::new();
    while let Some(byte) = bytes.get(parts.len()) {
        match (open.last_mut(), byte) {
            (Some(inside @ None), b'\\') => {
                if bytes.get(parts.len() + 1) == Some(&b'(') {
                    *inside = Some(0);
                }
                parts.extend([Part::Text; 2]);
            }
            (Some(None), byte) => {
                if *byte == b'"' {
                    open.pop();
                }
                parts.push(Part::Text);
            }
            (Some(inside @ Some(0)), b')') => {
                *inside = None;
                parts.push(Part::Text);
            }
            (_, b'"') => {
                open.push(None);
                parts.push(Part::Text);
            }
            (_, b'#') => {
                let end = super::scan::comment_end(bytes, parts.len());
                parts.resize(end.max(parts.len() + 1), Part::Comment);
            }
            (inside, byte) => {
                if let Some(Some(depth)) = inside {
                    match byte {
                        b'(' => *depth += 1,
                        b')' => *depth -= 1,
                        _ => {}
                    }
                }
                parts.push(Part::Code);
            }
        }
    }
    parts.truncate(bytes.len());
    parts
}

/// Two `\u` escapes that stand for one character become that character; a lone surrogate is U+FFFD.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let parts = parts(text);
    let unit = |at: usize| {
        let hex = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(hex, 16).ok().filter(|_| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let mut out = String::with_capacity(text.len());
    let (mut at, mut copied) = (0, 0);
    while let Some(found) = text[at..].find('\\') {
        let here = at + found;
        at = here + 1 + text[here + 1..].chars().next().map_or(0, char::len_utf8);
        let high = unit(here).filter(|unit| (0xD800..0xE000).contains(unit) && parts[here] == Part::Text);
        let Some(high) = high else { continue };
        let low = unit(here + 6).filter(|low| high < 0xDC00 && (0xDC00..0xE000).contains(low));
        let joined = low.and_then(|low| char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)));
        out.push_str(&text[copied..here]);
        out.push(joined.unwrap_or(char::REPLACEMENT_CHARACTER));
        copied = here + if joined.is_some() { 12 } else { 6 };
        at = copied;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// `T as P ?// Q | BODY` is BODY with the variables of P; after an error in it, with those of Q. The variables of the
/// other pattern are null.
fn alternatives(text: &str, level: usize) -> Cow<'_, str> {
    if !(1..=MOST).contains(&text.matches("?//").count()) {
        return Cow::Borrowed(text);
    }
    let code = Code { text, parts: parts(text) };
    let mut at = 0;
    while let Some(word) = code.word(at, "as") {
        at = word + 2;
        let Some((patterns, body)) = code.patterns(at) else { continue };
        let end = code.body_end(body);
        let inner = alternatives(&text[body..end], level + 1);
        if inner.len() > super::MAX_TEXT {
            return Cow::Owned(inner.into_owned());
        }
        let names: Vec<Vec<&str>> = patterns.iter().map(|pattern| variables(pattern)).collect();
        let mut written = String::new();
        for (pattern, own) in patterns.iter().zip(&names).rev() {
            let others = names.iter().flatten().filter(|name| !own.contains(name));
            let nulls: Vec<String> = others.map(|name| format!("null as ${name} | ")).collect();
            let nulls = nulls.concat();
            let one = format!("($__in{level} | {nulls}$__of{level} as {pattern} | {inner})");
            written = if written.is_empty() { one } else { format!("(try {one} catch {written})") };
        }
        let before = &text[..at];
        let rest = format!("{before} $__of{level} | . as $__in{level} | {written}{}", &text[end..]);
        // Once more: several may stand beside one another.
        return Cow::Owned(alternatives(&rest, level + 100).into_owned());
    }
    Cow::Borrowed(text)
}

/// Text with what its bytes belong to.
struct Code<'t> {
    text: &'t str,
    parts: Vec<Part>,
}

impl<'t> Code<'t> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn is_code(&self, at: usize) -> bool {
        self.parts.get(at) == Some(&Part::Code)
    }

    /// The next place from which on this keyword stands.
    fn word(&self, from: usize, word: &str) -> Option<usize> {
        (from..self.text.len()).find(|at| self.is_word(*at, word))
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b':');
        let outside = |at: Option<u8>| at.is_none_or(|byte| !part(byte));
        let after = self.byte(at + word.len()).filter(|byte| *byte != b':' && *byte != b'.' && *byte != b'$');
        self.is_code(at)
            && self.text[at..].starts_with(word)
            && outside(at.checked_sub(1).and_then(|at| self.byte(at)))
            && outside(after)
    }

    fn blanks(&self, mut at: usize) -> usize {
        while self.parts.get(at) == Some(&Part::Comment)
            || self.byte(at).is_some_and(|byte| byte.is_ascii_whitespace() && self.is_code(at))
        {
            at += 1;
        }
        at
    }

    /// The patterns from here on if there are several, and where the body behind them begins.
    fn patterns(&self, at: usize) -> Option<(Vec<&'t str>, usize)> {
        let mut patterns = Vec::new();
        let mut at = at;
        loop {
            let start = self.blanks(at);
            let end = self.pattern_end(start)?;
            patterns.push(&self.text[start..end]);
            at = self.blanks(end);
            if !self.text[at..].starts_with("?//") {
                break;
            }
            at += 3;
        }
        (patterns.len() > 1 && self.byte(at) == Some(b'|')).then_some((patterns, at + 1))
    }

    fn pattern_end(&self, start: usize) -> Option<usize> {
        match self.byte(start)? {
            b'$' => {
                let name = self.text[start + 1..].bytes();
                let length = name.take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
                Some(start + 1 + length)
            }
            b'[' | b'{' => {
                let mut depth = 0_usize;
                (start..self.text.len()).filter(|at| self.is_code(*at)).find_map(|at| {
                    match self.byte(at)? {
                        b'[' | b'{' | b'(' => depth += 1,
                        b']' | b'}' | b')' => depth -= 1,
                        _ => {}
                    }
                    (depth == 0).then_some(at + 1)
                })
            }
            _ => None,
        }
    }

    /// Where the pipe that begins here ends: with the bracket, the branch or the argument around it.
    fn body_end(&self, start: usize) -> usize {
        let (mut depth, mut branches, mut definitions) = (0_usize, 0_usize, 0_usize);
        for at in start..self.text.len() {
            if !self.is_code(at) {
                continue;
            }
            match self.text.as_bytes()[at] {
                b'[' | b'{' | b'(' => depth += 1,
                b']' | b'}' | b')' if depth == 0 => return at,
                b']' | b'}' | b')' => depth -= 1,
                b';' if depth == 0 && definitions == 0 => return at,
                b';' if depth == 0 => definitions -= 1,
                b'i' if self.is_word(at, "if") => branches += usize::from(depth == 0),
                b'd' if self.is_word(at, "def") => definitions += usize::from(depth == 0),
                b'e' if depth == 0 && self.is_word(at, "end") => match branches.checked_sub(1) {
                    Some(less) => branches = less,
                    None => return at,
                },
                b't' | b'e'
                    if depth == 0
                        && branches == 0
                        && ["then", "elif", "else"].iter().any(|word| self.is_word(at, word)) =>
                {
                    return at;
                }
                _ => {}
            }
        }
        self.text.len()
    }
}

/// The variables that a pattern binds, without `$`; expressions in parentheses bind none.
fn variables(pattern: &str) -> Vec<&str> {
    let code = Code { text: pattern, parts: parts(pattern) };
    let mut depth = 0_usize;
    let mut names = Vec::new();
    for at in (0..pattern.len()).filter(|at| code.is_code(*at)) {
        match pattern.as_bytes()[at] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'$' if depth == 0 => names.extend(code.pattern_end(at).map(|end| &pattern[at + 1..end])),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rewritten() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(known(text).as_ref().map(|(text, _)| &**text), expected, "{text}");
        };
        check(".a?//1", None);
        check(r#"".a as $x ?// $y | 1""#, None);
        check(r#""\u00e9""#, None);
        check(r#""\\ud83d\ude00""#, Some("\"\\\\ud83d\u{fffd}\""));
        check(r#""\ud83d\ude00\ud83d""#, Some("\"\u{1f600}\u{fffd}\""));
        check(r#""\(. + "\ud83d\ude00")""#, Some("\"\\(. + \"\u{1f600}\")\""));
        check(". # \\ud83d\\ude00", None);
        check(
            "(. as [$a] ?// $b | $a, $b), 1",
            Some(
                "(. as $__of0 | . as $__in0 | (try ($__in0 | null as $b | $__of0 as [$a] |  $a, $b) catch ($__in0 | null as $a | $__of0 as $b |  $a, $b))), 1",
            ),
        );
        assert_eq!(known(".x as $a ?// [$a] | $a").map(|(_, kept)| kept), Some(7));
    }
}
