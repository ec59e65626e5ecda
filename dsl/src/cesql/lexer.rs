//! The text of an expression cut into tokens.

use super::{MAX_TOKENS, SyntaxError};

/// A token with its place.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) offset: usize,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword, as written.
    Word(String),
    /// Digits.
    Integer(String),
    /// A text in quotes, without them and their escapes.
    Text(String),
    /// `(`, `)`, `,` or an operator.
    Sign(&'static str),
    /// Behind the last one.
    End,
}

/// The longer ones first.
const SIGNS: [&str; 14] = ["<=", ">=", "<>", "!=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")"];

/// Cuts a text; the last token is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let offset = text.len() - rest.len();
        if tokens.len() == MAX_TOKENS {
            let message = format!("the expression has more than {MAX_TOKENS} tokens (limit cesql-tokens)");
            return Err(SyntaxError { offset, message, help: None });
        }
        let (kind, length) =
            token(rest).map_err(|error| SyntaxError { offset: offset + error.offset, ..error })?;
        tokens.push(Token { kind, offset });
        rest = rest[length..].trim_start();
    }
    tokens.push(Token { kind: Kind::End, offset: text.trim_end().len() });
    Ok(tokens)
}

/// The token at the beginning of a text, and its length in bytes.
fn token(text: &str) -> Result<(Kind, usize), SyntaxError> {
    let word = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if word > 0 {
        let digits = text[..word].bytes().all(|byte| byte.is_ascii_digit());
        let taken = text[..word].to_owned();
        return Ok((if digits { Kind::Integer(taken) } else { Kind::Word(taken) }, word));
    }
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        return quoted(text, quote);
    }
    // Signs of other languages are told of as a whole.
    let found = SIGNS.iter().chain(&[","]).find(|sign| text.starts_with(**sign) && !text.starts_with("=="));
    found.map(|sign| (Kind::Sign(sign), sign.len())).ok_or_else(|| foreign(text))
}

fn quoted(text: &str, quote: char) -> Result<(Kind, usize), SyntaxError> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped)) if escaped == quote => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            c if c == quote => return Ok((Kind::Text(value), at + 1)),
            c => value.push(c),
        }
    }
    let message = "the text has no closing quote".to_owned();
    Err(SyntaxError { offset: 0, message, help: Some("close it with the quote it begins with") })
}

fn foreign(text: &str) -> SyntaxError {
    let signs = [
        ("==", "equality is `=`"),
        ("&&", "the operator is AND"),
        ("||", "the operator is OR"),
        ("!", "negation is NOT, inequality `!=`"),
        ("$", "attributes are named without a sign in front"),
        (
            ".",
            "only attributes of the event are seen; conditions on its payload stand under `data` of the trigger",
        ),
        ("`", "texts stand in single or double quotes, names in none"),
        ("{", "an expression stands bare, without `${ }`"),
    ];
    let known = signs.iter().find(|(sign, _)| text.starts_with(sign));
    let shown: String = match known {
        Some((sign, _)) => (*sign).to_owned(),
        None => text.chars().take(1).collect(),
    };
    SyntaxError { offset: 0, message: format!("unexpected `{shown}`"), help: known.map(|(_, help)| *help) }
}
