//! Values in messages, and the size of values whose parts may be shared many times over.

use crate::value::Value;

/// Whether the compact JSON of a value takes at most `left` bytes; `left` is counted down.
pub(super) fn fits(v: &Value, left: &mut usize) -> bool {
    let own = match v {
        Value::Array(items) => items.len() + 2,
        Value::Object(map) => map.len() * 4 + 2,
        leaf => leaf.size(),
    };
    let Some(rest) = left.checked_sub(own) else {
        return false;
    };
    *left = rest;
    match v {
        Value::Array(items) => items.iter().all(|item| fits(item, left)),
        Value::Object(map) => map.iter().all(|(key, item)| {
            let rest = left.checked_sub(key.len());
            rest.is_some_and(|rest| {
                *left = rest;
                fits(item, left)
            })
        }),
        _ => true,
    }
}

/// The kind and the shortened text of a value, as in jq's messages: `number (1)`.
pub(super) fn shown(v: &Value) -> String {
    let text = if fits(v, &mut 64) { v.to_string() } else { short_text(v) };
    let mut end = text.len();
    if end > 11 {
        end = (0..=8).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    }
    let dots = if end < text.len() { "..." } else { "" };
    format!("{} ({}{dots})", v.kind(), &text[..end])
}

/// The beginning of the text of a large value, without writing all of it.
fn short_text(v: &Value) -> String {
    match v {
        Value::String(text) => Value::text(text.chars().take(16).collect::<String>()).to_string(),
        Value::Array(items) => format!("[{}", items.first().map_or_else(String::new, short_text)),
        Value::Object(map) => map.first().map_or_else(String::new, |(key, item)| {
            let key: String = key.chars().take(16).collect();
            format!("{{{}:{}", Value::text(key), short_text(item))
        }),
        other => other.to_string(),
    }
}
