//! JSON values written as YAML 1.2, for people.
//!
//! Owns the writing only. Texts that a reader could take for something else are quoted.

use tidemill_dsl::value::{Map, Value};

/// The value as one YAML document, with a line end.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => list(items, 0, &mut out),
        Value::Object(members) if !members.is_empty() => map(members, 0, &mut out),
        other => end(other, &mut out),
    }
    out
}

/// Members, each on lines of its own; the cursor stands at the first one's place.
fn map(members: &Map, depth: usize, out: &mut String) {
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push_str(&"  ".repeat(depth));
        }
        out.push_str(&text(key));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                out.push_str(&"  ".repeat(depth + 1));
                map(inner, depth + 1, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(items, depth, out);
            }
            other => {
                out.push(' ');
                end(other, out);
            }
        }
    }
}

fn list(items: &[Value], depth: usize, out: &mut String) {
    for item in items {
        out.push_str(&"  ".repeat(depth));
        out.push_str("- ");
        match item {
            Value::Object(members) if !members.is_empty() => map(members, depth + 1, out),
            other => end(other, out),
        }
    }
}

/// A value on the rest of the line; a list in a list is written as JSON, which is YAML too.
fn end(value: &Value, out: &mut String) {
    match value {
        Value::String(found) => out.push_str(&text(found)),
        other => out.push_str(&other.to_string()),
    }
    out.push('\n');
}

fn text(found: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | ' ' | '$');
    let begins = found.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '/' | '$'));
    let word = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let taken = word.iter().any(|word| found.eq_ignore_ascii_case(word));
    // An instant is no number in YAML 1.2, so it may stand plain although it begins with a digit.
    let instant = found.len() > 19 && found.ends_with('Z') && found.as_bytes().get(10) == Some(&b'T');
    let safe = begins && found.chars().all(plain) && !found.ends_with(' ') && !taken;
    if safe || instant { found.to_owned() } else { Value::text(found).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_yaml_reads_as_the_same_value() {
        let check = |json: &str| {
            let value = Value::parse(json.as_bytes()).unwrap();
            let written = write(&value);
            let read = tidemill_dsl::yaml::parse(&written).unwrap_or_else(|e| panic!("{e:?}\n{written}"));
            assert_eq!(read.to_value(), value, "{written}");
        };
        check(r#"{"a":{"b":[1,{"c":"x: y","d":[1,[2]]},"no"]},"e":"","f":"2026-01-01T00:00:00.000Z"}"#);
        check(r#"[{"a":1,"b":{"c":null}},[],{},"- x","a # b","1.0","0x1f","line\nbreak"]"#);
        check(r#""plain""#);
        check("null");
        check(r#"{"key with: colon":1,"$schema":"x","~":"~","true":"true"}"#);
    }

    #[test]
    fn it_reads_well() {
        let value =
            Value::parse(br#"{"id":"a1","workflow":{"name":"hello"},"tags":[{"k":"v","w":2}]}"#).unwrap();
        assert_eq!(write(&value), "id: a1\nworkflow:\n  name: hello\ntags:\n- k: v\n  w: 2\n");
    }
}
