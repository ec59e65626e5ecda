//! Writes YAML: block style, so that a generated definition reads like one by hand.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// Block YAML; scalars and keys are written as JSON, which YAML reads alike.
pub(super) fn yaml(value: &Json) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Json, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Json::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let _ = write!(out, "{pad}{key}:");
                nested(value, indent + 2, out);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(out, "{pad}-");
                nested(item, indent + 2, out);
            }
        }
        flat => {
            let _ = writeln!(out, "{pad}{flat}");
        }
    }
}

fn nested(value: &Json, indent: usize, out: &mut String) {
    let deep = match value {
        Json::Object(map) => !map.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => false,
    };
    if deep {
        out.push('\n');
        block(value, indent, out);
    } else {
        let _ = writeln!(out, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_hold_scalars_and_empty_values_as_json() {
        let value = json!({"a": [{"b": "x: ${ . }", "c": {"d": null}}, [], {}], "on": true});
        let expected = "a:\n  -\n    b: \"x: ${ . }\"\n    c:\n      d: null\n  - []\n  - {}\non: true\n";
        assert_eq!(yaml(&value), expected);
    }
}
