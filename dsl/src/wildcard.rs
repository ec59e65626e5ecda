//! Texts with wildcards: the patterns of `LIKE` and of `wildcard`.
//!
//! Owns reading and matching them, in a time bounded by the product of both lengths. Knows no event.

use std::str::Chars;

/// A compiled pattern that a whole text must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Any number of characters, also none.
    Any,
    /// One character, whichever.
    One,
    /// This character.
    Char(char),
}

impl Wildcard {
    /// `%` is any number of characters, `_` one; a backslash before either makes it that character.
    pub(crate) fn like(text: &str) -> Wildcard {
        Wildcard::read(text, |c| matches!(c, '%' | '_'), |c| if c == '%' { Piece::Any } else { Piece::One })
    }

    /// `*` is any number of characters; a backslash before it, or before a backslash, makes it that character.
    pub(crate) fn star(text: &str) -> Wildcard {
        let special = |c| matches!(c, '*' | '\\');
        Wildcard::read(text, special, |c| if c == '*' { Piece::Any } else { Piece::Char(c) })
    }

    fn read(text: &str, escapes: fn(char) -> bool, piece: fn(char) -> Piece) -> Wildcard {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let escaped = if c == '\\' { chars.next_if(|next| escapes(*next)) } else { None };
            pieces.push(match escaped {
                Some(escaped) => Piece::Char(escaped),
                None if escapes(c) => piece(c),
                None => Piece::Char(c),
            });
        }
        Wildcard(pieces)
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (mut at, mut rest) = (0, text.chars());
        // Where to go on after the last `Any`, with one character more swallowed.
        let mut again: Option<(usize, Chars<'_>)> = None;
        loop {
            let mut next = rest.clone();
            match (self.0.get(at), next.next()) {
                (None, None) => return true,
                (Some(Piece::Any), _) => {
                    at += 1;
                    again = Some((at, rest.clone()));
                    continue;
                }
                (Some(Piece::One), Some(_)) => {
                    (at, rest) = (at + 1, next);
                    continue;
                }
                (Some(Piece::Char(wanted)), Some(c)) if *wanted == c => {
                    (at, rest) = (at + 1, next);
                    continue;
                }
                _ => {}
            }
            let Some((back, swallowed)) = &mut again else { return false };
            if swallowed.next().is_none() {
                return false;
            }
            (at, rest) = (*back, swallowed.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_against_patterns() {
        let like = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(Wildcard::like(pattern).matches(text), expected, "{text} LIKE {pattern}");
        };
        like("", "", true);
        like("", "a", false);
        like("%", "", true);
        like("_", "", false);
        like("_", "\u{1f600}", true);
        like("%b%b", "abab", true);
        like("%b%b", "aba", false);
        like("a%", "abc", true);
        like("a\\%", "a%", true);
        like("a\\%", "ab", false);
        like("a\\b", "a\\b", true);
        like("\\", "\\", true);
        like("\\\\_", "\\_", true);
        like("\\\\_", "\\x", false);
        let star = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(Wildcard::star(pattern).matches(text), expected, "{text} {pattern}");
        };
        star("dir/*.png", "dir/a/b.png", true);
        star("dir/*.png", "dir/a.jpg", false);
        star("a\\*b", "a*b", true);
        star("a\\*b", "axb", false);
        star("a\\\\*", "a\\x", true);
        star("%_", "%_", true);
        star("*a*a*a*a*a*b", &"a".repeat(10_000), false);
    }
}
