//! The reader of JSON text (RFC 8259): one value, bounded depth, errors with a position.
//!
//! It may not accept anything beyond the RFC, and takes no setting but the depth.

use std::sync::Arc;

use super::{Map, Number, Value, number};

/// The most arrays and objects a value may be nested in (security rules, JSON depth).
pub const MAX_DEPTH: usize = 128;

/// Why text is not one JSON value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line}, column {column}")]
pub struct JsonError {
    /// What was found, as a lower-case fragment.
    pub message: String,
    /// Byte offset of the mistake, from 0.
    pub offset: usize,
    /// Line of the mistake, from 1.
    pub line: usize,
    /// Column of the mistake in characters, from 1.
    pub column: usize,
}

/// Reads exactly one value; only white space may stand around it.
pub(super) fn parse(json: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(json)
        .map_err(|error| locate(json, error.valid_up_to(), "text is not UTF-8".to_owned()))?;
    let mut reader = Reader { text, bytes: json, at: 0, depth: 0 };
    let value = reader.whole();
    value.map_err(|message| locate(json, reader.at, message))
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

type Read<T> = Result<T, String>;

impl Reader<'_> {
    fn whole(&mut self) -> Read<Value> {
        let value = self.value()?;
        self.blanks();
        if self.at < self.bytes.len() {
            return Err(format!("unexpected {} after the value", self.here()));
        }
        Ok(value)
    }

    fn value(&mut self) -> Read<Value> {
        self.blanks();
        match self.bytes.get(self.at) {
            Some(b'{') => self.nested(Reader::object),
            Some(b'[') => self.nested(Reader::array),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(format!("expected a value, found {}", self.here())),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Value>) -> Read<Value> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("value is nested deeper than {MAX_DEPTH}"));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Read<Value> {
        let mut items = Vec::new();
        if self.closes(b']') {
            return Ok(Value::Array(Arc::new(items)));
        }
        loop {
            items.push(self.value()?);
            if !self.goes_on(b']', "a comma or `]`")? {
                return Ok(Value::Array(Arc::new(items)));
            }
        }
    }

    fn object(&mut self) -> Read<Value> {
        let mut map = Map::new();
        if self.closes(b'}') {
            return Ok(Value::Object(Arc::new(map)));
        }
        loop {
            self.blanks();
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(format!("expected a string as key, found {}", self.here()));
            }
            let key = self.string()?;
            self.blanks();
            self.expect(b':', "`:`")?;
            let value = self.value()?;
            map.insert(key, value);
            if !self.goes_on(b'}', "a comma or `}`")? {
                return Ok(Value::Object(Arc::new(map)));
            }
        }
    }

    /// Takes the closing byte if it is next.
    fn closes(&mut self, close: u8) -> bool {
        self.blanks();
        let found = self.bytes.get(self.at) == Some(&close);
        self.at += usize::from(found);
        found
    }

    /// Takes a comma (true) or the closing byte (false).
    fn goes_on(&mut self, close: u8, wanted: &str) -> Read<bool> {
        if self.closes(close) {
            return Ok(false);
        }
        self.expect(b',', wanted).map(|()| true)
    }

    fn expect(&mut self, byte: u8, wanted: &str) -> Read<()> {
        if self.bytes.get(self.at) == Some(&byte) {
            self.at += 1;
            return Ok(());
        }
        Err(format!("expected {wanted}, found {}", self.here()))
    }

    fn word(&mut self, word: &str, value: Value) -> Read<Value> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(format!("expected a value, found {}", self.here()))
    }

    fn number(&mut self) -> Read<Value> {
        let Some(len) = number::scan(&self.bytes[self.at..]) else {
            return Err("number is not complete".to_owned());
        };
        let text = &self.text[self.at..self.at + len];
        self.at += len;
        Ok(Value::Number(Number::from_scanned(text)))
    }

    fn string(&mut self) -> Read<Arc<str>> {
        self.at += 1;
        let start = self.at;
        let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
        self.at += self.bytes[start..].iter().take_while(|byte| plain(byte)).count();
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(self.text[start..self.at - 1].into());
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            match self.bytes.get(self.at) {
                None => return Err("string is not closed".to_owned()),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(0..=0x1f) => return Err("control character in a string".to_owned()),
                Some(_) => {
                    let run = self.bytes[self.at..].iter().take_while(|byte| plain(byte)).count();
                    text.push_str(&self.text[self.at..self.at + run]);
                    self.at += run;
                }
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let escaped = match self.bytes.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err("unknown escape in a string".to_owned()),
        };
        self.at += 2;
        Ok(escaped)
    }

    /// `\uXXXX`, pairs of surrogates as one character, a lone surrogate as U+FFFD (as jq does).
    fn unicode(&mut self) -> Read<char> {
        let high = self.hex(self.at)?;
        self.at += 6;
        if (0xd800..0xdc00).contains(&high)
            && self.bytes[self.at..].starts_with(b"\\u")
            && let low @ 0xdc00..0xe000 = self.hex(self.at)?
        {
            self.at += 6;
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&self, escape: usize) -> Read<u32> {
        let digits = self.bytes.get(escape + 2..escape + 6).unwrap_or_default();
        let read = |sum: u32, byte: &u8| Some(sum * 16 + char::from(*byte).to_digit(16)?);
        let code = digits.iter().try_fold(0, read).filter(|_| digits.len() == 4);
        code.ok_or_else(|| "`\\u` needs four hexadecimal digits".to_owned())
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// What stands at the current place, for messages.
    fn here(&self) -> String {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => format!("`{}`", found.escape_debug()),
            None => "the end of the text".to_owned(),
        }
    }
}

fn locate(json: &[u8], offset: usize, message: String) -> JsonError {
    let before = &json[..offset.min(json.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.split(|byte| *byte == b'\n').count();
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    JsonError { message, offset, line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(json: &str, expected: &str) {
        let error = parse(json.as_bytes()).expect_err(json);
        assert_eq!(error.to_string(), expected, "{json}");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        check_error("", "expected a value, found the end of the text at line 1, column 1");
        check_error("{\"a\": 1,\n  b}", "expected a string as key, found `b` at line 2, column 3");
        check_error("[1 2]", "expected a comma or `]`, found `2` at line 1, column 4");
        check_error("[1,]", "expected a value, found `]` at line 1, column 4");
        check_error("{\"a\" 1}", "expected `:`, found `1` at line 1, column 6");
        check_error("1 2", "unexpected `2` after the value at line 1, column 3");
        check_error("\"a", "string is not closed at line 1, column 3");
        check_error("\"\\x\"", "unknown escape in a string at line 1, column 2");
        check_error("\"\\u12g4\"", "`\\u` needs four hexadecimal digits at line 1, column 2");
        check_error("\"a\nb\"", "control character in a string at line 1, column 3");
        check_error("01", "unexpected `1` after the value at line 1, column 2");
        check_error("-", "number is not complete at line 1, column 1");
        check_error("nul", "expected a value, found `n` at line 1, column 1");
        check_error("NaN", "expected a value, found `N` at line 1, column 1");
        assert_eq!(parse(b"\"\xff\"").expect_err("no UTF-8").offset, 1);
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 200_000] {
            let error = parse(nested(depth).as_bytes()).expect_err("too deep");
            assert_eq!(error.message, "value is nested deeper than 128");
            assert_eq!(error.offset, MAX_DEPTH);
        }
    }

    #[test]
    fn escapes_and_repeated_keys() {
        let read =
            |json: &str| parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}")).to_string();
        assert_eq!(read(r#""\u00e9\ud83d\ude00\ud800\/\t""#), "\"é😀\u{fffd}/\\t\"");
        assert_eq!(read(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
        assert_eq!(read(" [ ] "), "[]");
    }
}
