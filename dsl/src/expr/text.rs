//! The string functions and formats of jq.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::jv::{Fail, broken, fail};
use super::limits;
use super::order;
use super::show::{fits, shown};
use crate::value::{Number, Value};

type Out = Result<Value, Fail>;

/// Standard base64 that also reads text without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A string made here, counted against the memory of the evaluation.
pub(super) fn text(text: impl Into<String>) -> Out {
    let text = text.into();
    if limits::build(text.len()) { Ok(text.into()) } else { broken() }
}

fn need_text<'a>(v: &'a Value, what: &str) -> Result<&'a str, Fail> {
    v.as_str().map_or_else(|| fail(what), Ok)
}

pub(super) fn split(text: &str, separator: &str) -> Out {
    if !limits::build(text.len()) {
        return broken();
    }
    let pieces: Vec<Value> = match (text, separator) {
        ("", _) => Vec::new(),
        (text, "") => text.chars().map(|found| Value::from(found.to_string())).collect(),
        (text, separator) => text.split(separator).map(Value::from).collect(),
    };
    if limits::build(pieces.len() * 8) { Ok(pieces.into()) } else { broken() }
}

pub(super) fn split_text(v: &Value, separator: &Value) -> Out {
    match (v, separator) {
        (Value::String(text), Value::String(separator)) => split(text, separator),
        _ => fail("split input and separator must be strings"),
    }
}

/// Every place where `needle` begins: code points of a string, indices of an array.
pub(super) fn indices(v: &Value, needle: &Value) -> Out {
    match (v, needle) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::String(_), Value::String(needle)) if needle.is_empty() => Ok(Value::array::<Value>([])),
        (Value::String(text), Value::String(needle)) => {
            if !limits::step(text.len() / 4 + text.len() * needle.len().min(64) / 256) {
                return broken();
            }
            let mut found = Vec::new();
            for (count, (at, _)) in text.char_indices().enumerate() {
                if text[at..].starts_with(needle.as_ref()) {
                    found.push(Value::from(count as u64));
                }
            }
            Ok(found.into())
        }
        (Value::Array(_), Value::Array(needle)) if needle.is_empty() => Ok(Value::array::<Value>([])),
        (Value::Array(items), Value::Array(needle)) => {
            let matches =
                |window: &[Value]| window.iter().zip(needle.iter()).all(|(a, b)| order::equal(a, b));
            let windows = items.windows(needle.len()).enumerate().take_while(|_| limits::step(1));
            Ok(windows
                .filter(|(_, window)| matches(window))
                .map(|(at, _)| Value::from(at as u64))
                .collect::<Vec<_>>()
                .into())
        }
        (Value::Array(items), needle) => {
            let equal =
                items.iter().enumerate().filter(|(_, item)| limits::step(1) && order::equal(item, needle));
            Ok(equal.map(|(at, _)| Value::from(at as u64)).collect::<Vec<_>>().into())
        }
        (v, needle) => fail(format_args!("Cannot determine indices of {} in {}", shown(needle), shown(v))),
    }
}

pub(super) fn to_text(v: &Value) -> Out {
    if let Value::String(_) = v { Ok(v.clone()) } else { to_json(v) }
}

pub(super) fn to_json(v: &Value) -> Out {
    if !fits(v, &mut limits::memory_left()) {
        limits::break_off(limits::Limit::Memory);
        return broken();
    }
    text(v.to_string())
}

pub(super) fn from_json(v: &Value) -> Out {
    let json = need_text(v, "fromjson needs a string")?;
    if !limits::build(json.len()) {
        return broken();
    }
    if json.trim() == "nan" {
        return Ok(Value::Number(Number::from_any_f64(f64::NAN)));
    }
    Value::parse(json.as_bytes())
        .or_else(|error| fail(format_args!("{error} (while parsing '{}')", head(json))))
}

fn head(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}

pub(super) fn to_number(v: &Value) -> Out {
    match v {
        Value::Number(_) => Ok(v.clone()),
        Value::String(text) => match Number::parse(text.trim()) {
            Some(number) => Ok(number.into()),
            None => fail(format_args!("{} cannot be parsed as a number", shown(v))),
        },
        _ => fail(format_args!("{} cannot be parsed as a number", shown(v))),
    }
}

pub(super) fn byte_length(v: &Value) -> Out {
    match v {
        Value::String(text) => Ok(Value::from(text.len() as u64)),
        _ => fail(format_args!("{} only strings have UTF-8 byte length", shown(v))),
    }
}

pub(super) fn explode(v: &Value) -> Out {
    let input = need_text(v, "explode input must be a string")?;
    if !limits::build(input.len() * 4) {
        return broken();
    }
    Ok(Value::array(input.chars().map(u32::from)))
}

pub(super) fn implode(v: &Value) -> Out {
    let Some(items) = v.as_array() else {
        return fail("implode input must be an array");
    };
    let code = |item: &Value| item.as_i64().and_then(|code| char::from_u32(u32::try_from(code).ok()?));
    match items.iter().map(code).collect::<Option<String>>() {
        Some(joined) => text(joined),
        None => fail("implode input must be an array of code points"),
    }
}

pub(super) fn downcase(v: &Value) -> Out {
    text(need_text(v, "ascii_downcase input must be a string")?.to_ascii_lowercase())
}

pub(super) fn upcase(v: &Value) -> Out {
    text(need_text(v, "ascii_upcase input must be a string")?.to_ascii_uppercase())
}

pub(super) fn starts_with(v: &Value, start: &Value) -> Out {
    match (v, start) {
        (Value::String(text), Value::String(start)) => Ok(text.starts_with(start.as_ref()).into()),
        _ => fail("startswith() requires string inputs"),
    }
}

pub(super) fn ends_with(v: &Value, end: &Value) -> Out {
    match (v, end) {
        (Value::String(text), Value::String(end)) => Ok(text.ends_with(end.as_ref()).into()),
        _ => fail("endswith() requires string inputs"),
    }
}

pub(super) fn trim_start_text(v: &Value, start: &Value) -> Out {
    match (v.as_str(), start.as_str()) {
        (Some(input), Some(start)) => input.strip_prefix(start).map_or_else(|| Ok(v.clone()), text),
        _ => Ok(v.clone()),
    }
}

pub(super) fn trim_end_text(v: &Value, end: &Value) -> Out {
    match (v.as_str(), end.as_str()) {
        (Some(input), Some(end)) => input.strip_suffix(end).map_or_else(|| Ok(v.clone()), text),
        _ => Ok(v.clone()),
    }
}

fn trim_with(v: &Value, trim: fn(&str) -> &str) -> Out {
    match v {
        Value::String(input) => text(trim(input)),
        _ => fail(format_args!("{} cannot be trimmed", shown(v))),
    }
}

pub(super) fn trim(v: &Value) -> Out {
    trim_with(v, str::trim)
}

pub(super) fn trim_start(v: &Value) -> Out {
    trim_with(v, str::trim_start)
}

pub(super) fn trim_end(v: &Value) -> Out {
    trim_with(v, str::trim_end)
}

/// Joins with null as empty; numbers and booleans as JSON.
pub(super) fn join(v: &Value, separator: &Value) -> Out {
    let items: Vec<&Value> = match v {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => return fail(format_args!("Cannot iterate over {}", shown(v))),
    };
    let mut joined = String::new();
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            match separator {
                Value::String(separator) => joined.push_str(separator),
                Value::Null => {}
                other => {
                    let so_far = shown(&Value::from(joined));
                    return fail(format_args!("{so_far} and {} cannot be added", shown(other)));
                }
            }
        }
        match item {
            Value::Null => {}
            Value::String(item) => joined.push_str(item),
            Value::Bool(_) | Value::Number(_) => joined.push_str(&item.to_string()),
            other => {
                let so_far = shown(&Value::from(joined));
                return fail(format_args!("{so_far} and {} cannot be added", shown(other)));
            }
        }
        if joined.len() > limits::MAX_MEMORY {
            limits::break_off(limits::Limit::Memory);
            return broken();
        }
    }
    text(joined)
}

fn escaped(v: &Value, escape: fn(char) -> Option<&'static str>) -> Out {
    let Value::String(input) = to_text(v)? else {
        return broken();
    };
    let mut out = String::with_capacity(input.len());
    for found in input.chars() {
        match escape(found) {
            Some(escape) => out.push_str(escape),
            None => out.push(found),
        }
    }
    text(out)
}

pub(super) fn html(v: &Value) -> Out {
    escaped(v, |found| {
        Some(match found {
            '<' => "&lt;",
            '>' => "&gt;",
            '&' => "&amp;",
            '\'' => "&#39;",
            '"' => "&quot;",
            _ => return None,
        })
    })
}

pub(super) fn uri(v: &Value) -> Out {
    let Value::String(input) = to_text(v)? else {
        return broken();
    };
    text(super::uri::percent_encode(&input))
}

/// `%XX` back to bytes; what is not UTF-8 then becomes U+FFFD.
pub(super) fn uri_decode(v: &Value) -> Out {
    let Value::String(input) = to_text(v)? else {
        return broken();
    };
    let bytes = input.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *byte == b'%').map(|hex| u8::from_str_radix(hex, 16)) {
            Some(Ok(byte)) => {
                out.push(byte);
                at += 3;
            }
            Some(Err(_)) => return fail(format_args!("{} is not a valid uri encoding", shown(v))),
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    text(String::from_utf8_lossy(&out))
}

/// One row: `quote` writes a string, `missing` stands for null.
fn row(v: &Value, format: &str, separator: &str, quote: fn(&str) -> String) -> Out {
    let Some(items) = v.as_array() else {
        return fail(format_args!("{} cannot be {format}-formatted, only array", shown(v)));
    };
    let mut cells = Vec::with_capacity(items.len());
    for item in items {
        cells.push(match item {
            Value::Null => String::new(),
            Value::String(item) => quote(item),
            Value::Bool(_) | Value::Number(_) => item.to_string(),
            other => return fail(format_args!("{} is not valid in a {format} row", shown(other))),
        });
    }
    text(cells.join(separator))
}

pub(super) fn csv(v: &Value) -> Out {
    row(v, "csv", ",", |cell| format!("\"{}\"", cell.replace('"', "\"\"")))
}

pub(super) fn tsv(v: &Value) -> Out {
    row(v, "tsv", "\t", |cell| {
        cell.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
    })
}

pub(super) fn sh(v: &Value) -> Out {
    let one = std::slice::from_ref(v);
    let mut words = Vec::new();
    for item in v.as_array().unwrap_or(one) {
        words.push(match item {
            Value::String(word) => format!("'{}'", word.replace('\'', "'\\''")),
            Value::Array(_) | Value::Object(_) => {
                return fail(format_args!("{} can not be escaped for shell", shown(item)));
            }
            other => other.to_string(),
        });
    }
    text(words.join(" "))
}

pub(super) fn base64(v: &Value) -> Out {
    let Value::String(input) = to_text(v)? else {
        return broken();
    };
    text(BASE64.encode(input.as_bytes()))
}

pub(super) fn base64_decode(v: &Value) -> Out {
    let Value::String(input) = to_text(v)? else {
        return broken();
    };
    match BASE64.decode(input.trim()) {
        Ok(bytes) => text(String::from_utf8_lossy(&bytes)),
        Err(_) => fail(format_args!("{} is not valid base64 data", shown(v))),
    }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(super) fn base32(v: &Value) -> Out {
    let Value::String(input) = to_text(v)? else {
        return broken();
    };
    let mut out = String::new();
    for chunk in input.as_bytes().chunks(5) {
        let mut block = [0u8; 8];
        block[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(block);
        let used = (chunk.len() * 8).div_ceil(5);
        for at in 0..8 {
            let letter = char::from(BASE32[(bits >> (35 - 5 * at) & 31) as usize]);
            out.push(if at < used { letter } else { '=' });
        }
    }
    text(out)
}

pub(super) fn base32_decode(v: &Value) -> Out {
    let Value::String(input) = to_text(v)? else {
        return broken();
    };
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for letter in input.trim_end_matches('=').bytes() {
        let Some(digit) = BASE32.iter().position(|other| *other == letter) else {
            return fail(format_args!("{} is not valid base32 data", shown(v)));
        };
        bits = bits << 5 | digit as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 255) as u8);
        }
    }
    text(String::from_utf8_lossy(&bytes))
}
