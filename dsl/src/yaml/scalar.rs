//! The YAML 1.2 core schema: which plain words are null, booleans and numbers, and what tags say.

use std::borrow::Cow;

use saphyr_parser::Tag;

use crate::codes;
use crate::value::Value;

/// Code, message and help of a mistake.
pub(super) type Mistake = (&'static str, String, Option<&'static str>);

/// The JSON value of a scalar.
pub(super) fn typed(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, Mistake> {
    let too_odd = |why| {
        (codes::NUMBER, format!("`{text}` cannot be read: {why}"), Some("quote it to make it a string"))
    };
    let Some(tag) = tag else {
        return if plain { resolve(text).map_err(too_odd) } else { Ok(Value::text(text)) };
    };
    let core = if tag.is_yaml_core_schema() { tag.suffix.as_str() } else { "" };
    let fits: fn(&Value) -> bool = match core {
        "str" => return Ok(Value::text(text)),
        "int" => |value| value.as_i64().is_some(),
        "float" => |value| value.as_f64().is_some(),
        "bool" => |value| value.as_bool().is_some(),
        "null" => Value::is_null,
        _ if format!("{}{}", tag.handle, tag.suffix) == "!" => return Ok(Value::text(text)),
        _ => return Err(foreign(tag)),
    };
    let value = resolve(text).map_err(too_odd)?;
    if fits(&value) {
        Ok(value)
    } else {
        Err((codes::TAG, format!("`{text}` is not what its tag says"), None))
    }
}

/// A tag that is not of the core schema, or not of this kind of value.
pub(super) fn foreign(tag: &Tag) -> Mistake {
    (codes::TAG, format!("the tag `{}{}` is not supported", tag.handle, tag.suffix), Some("remove the tag"))
}

/// The JSON value of a plain scalar, or why it has none.
fn resolve(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Err("not-a-number has no JSON value"),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Err("infinity has no JSON value");
    }
    match number(text, unsigned) {
        None => Ok(Value::text(text)),
        Some(json) => Value::parse(json.as_bytes()).map_err(|_| "the number is too large"),
    }
}

/// The JSON spelling of a core schema number; none for what is no number.
fn number<'a>(text: &'a str, unsigned: &str) -> Option<Cow<'a, str>> {
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            return valid
                .then(|| u128::from_str_radix(digits, radix).ok())
                .flatten()
                .map(|n| n.to_string().into());
        }
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(i) => (&unsigned[..i], Some(&unsigned[i + 1..])),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let some_digit = !whole.is_empty() || fraction.is_some_and(|f| !f.is_empty());
    let power = exponent.map(|e| e.strip_prefix(['-', '+']).unwrap_or(e));
    if !digits(whole) || !fraction.is_none_or(digits) || !some_digit {
        return None;
    }
    if power.is_some_and(|p| p.is_empty() || !digits(p)) {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    let trimmed = whole.trim_start_matches('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    let fraction = fraction.filter(|f| !f.is_empty()).map_or(String::new(), |f| format!(".{f}"));
    let exponent = exponent.map_or(String::new(), |e| format!("e{e}"));
    Some(format!("{sign}{whole}{fraction}{exponent}").into())
}
