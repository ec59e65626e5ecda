//! Finding expressions in text: where `${` begins one and which brace closes it.
//!
//! Knows as much of jq's text as that takes: strings, their `\( )`, comments, braces.

/// What is open at some place of jq text.
#[derive(Clone, Copy)]
enum Open {
    Brace,
    Text,
    /// `\(` in a string, with the parentheses open inside it.
    Interpolation(usize),
}

/// A part of text that holds expressions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    Expression(&'a str),
}

/// The jq between `${` and `}` if the text, blanks and line ends around it aside, is one whole
/// expression: it begins with `${` and the brace that closes that one is its last character
/// (language, section 12). Braces in jq strings and comments do not count.
pub fn whole(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${")?;
    (closing(inner)? == inner.len() - 1).then(|| inner[..inner.len() - 1].trim())
}

/// The literal parts and expressions of text; a `${` that is never closed is literal.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut literal, mut at) = (0, 0);
    while let Some(found) = text[at..].find("${") {
        let open = at + found;
        let Some(close) = closing(&text[open + 2..]) else {
            break;
        };
        if literal < open {
            pieces.push(Piece::Literal(&text[literal..open]));
        }
        at = open + 2 + close + 1;
        literal = at;
        pieces.push(Piece::Expression(text[open + 2..at - 1].trim()));
    }
    if literal < text.len() {
        pieces.push(Piece::Literal(&text[literal..]));
    }
    pieces
}

/// The offset of the brace that closes an expression, given the text after its `${`.
fn closing(jq: &str) -> Option<usize> {
    let bytes = jq.as_bytes();
    let mut open = vec![Open::Brace];
    let mut at = 0;
    while at < bytes.len() {
        let top = *open.last()?;
        let byte = bytes[at];
        at += 1;
        match (top, byte) {
            (Open::Text, b'\\') => {
                if bytes.get(at) == Some(&b'(') {
                    open.push(Open::Interpolation(0));
                }
                at += 1;
            }
            (Open::Text, b'"') | (Open::Interpolation(0), b')') => drop(open.pop()),
            (Open::Text, _) => {}
            (_, b'"') => open.push(Open::Text),
            (_, b'{') => open.push(Open::Brace),
            (_, b'#') => at = comment_end(bytes, at),
            (Open::Brace, b'}') => {
                open.pop();
                if open.is_empty() {
                    return Some(at - 1);
                }
            }
            (Open::Interpolation(depth), b'(') => *open.last_mut()? = Open::Interpolation(depth + 1),
            (Open::Interpolation(depth), b')') => *open.last_mut()? = Open::Interpolation(depth - 1),
            _ => {}
        }
    }
    None
}

/// The end of a comment: its line end, unless an odd number of backslashes stands before it.
pub(super) fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut backslashes = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\n' if backslashes % 2 == 0 => return at,
            b'\\' => backslashes += 1,
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => {}
            _ => backslashes = 0,
        }
        at += 1;
    }
    at
}

/// The deepest nesting of brackets in jq text, those in strings included.
pub(super) fn bracket_depth(jq: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in jq.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_expressions() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(whole(text), expected, "{text}");
        check("${ .a }", Some(".a"));
        check("${.a}", Some(".a"));
        check(" \n ${ .a\n | .b } \n", Some(".a\n | .b"));
        check("${ {a: {b: 1}} }", Some("{a: {b: 1}}"));
        check(r#"${ "}" }"#, Some(r#""}""#));
        check(r#"${ "\"}" }"#, Some(r#""\"}""#));
        check(r#"${ "a\(.b | {c: ")}"})}" }"#, Some(r#""a\(.b | {c: ")}"})}""#));
        check(r#"${ "\((1) + (2))}" }"#, Some(r#""\((1) + (2))}""#));
        check("${ .a # } not here\n }", Some(".a # } not here"));
        check("${ }", Some(""));
        check("${ .a }${ .b }", None);
        check("${ .a } x", None);
        check("x ${ .a }", None);
        check("${ .a", None);
        check("${ .a # }", None);
        check("{ .a }", None);
        check("$ { .a }", None);
        check("", None);
        check("${ \"}\" ", None);
    }

    #[test]
    fn pieces_of_text() {
        use Piece::{Expression, Literal};
        let check = |text: &str, expected: &[Piece]| assert_eq!(pieces(text), expected, "{text}");
        check("plain", &[Literal("plain")]);
        check("", &[]);
        check("a ${ .b } c", &[Literal("a "), Expression(".b"), Literal(" c")]);
        check("${ .a }${ .b }", &[Expression(".a"), Expression(".b")]);
        check("${ .a } ${ .b", &[Expression(".a"), Literal(" ${ .b")]);
        check("$5 {x} ${ \"}\" }", &[Literal("$5 {x} "), Expression("\"}\"")]);
    }
}
