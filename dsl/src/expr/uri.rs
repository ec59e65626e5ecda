//! URI templates of the language: `{name}` takes a top-level property (language, section 3).

use std::fmt::Write as _;

use crate::fault::Fault;
use crate::value::Value;

/// Expands every `{name}` in `template` by the member `name` of `data`, percent-encoded.
///
/// The name is taken verbatim (dots are part of it). A missing member or null gives nothing; an
/// array or object, and a brace that is not closed, are expression errors.
pub fn expand_uri(template: &str, data: &Value) -> Result<String, Fault> {
    let mut uri = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        uri.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else {
            return Err(Fault::expression(format!(
                "URI template `{template}` has a `{{` that is not closed"
            )));
        };
        let name = &rest[open + 1..open + close];
        match data.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => uri.push_str(&percent_encode(text)),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => {
                uri.push_str(&percent_encode(&value.to_string()));
            }
            Some(value) => {
                let kind = value.kind();
                return Err(Fault::expression(format!(
                    "`{name}` of URI template `{template}` must be text, a number or a boolean, found {kind}"
                )));
            }
        }
        rest = &rest[open + close + 1..];
    }
    uri.push_str(rest);
    Ok(uri)
}

/// Encodes everything but letters, digits and `-_.~` (RFC 3986, unreserved), also `/`.
pub(super) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Result<&str, &str>) {
        let data =
            Value::parse(br#"{"id":7,"name":"a b/\u00e9","a.b":"dot","t":true,"l":[1],"o":{},"n":null}"#);
        let data = data.unwrap_or_else(|error| panic!("{error}"));
        match (expand_uri(template, &data), expected) {
            (Ok(uri), Ok(expected)) => assert_eq!(uri, expected, "{template}"),
            (Err(fault), Err(part)) => {
                assert_eq!(fault.status, 400);
                assert!(fault.to_string().contains(part), "{template}: {fault}");
            }
            (got, _) => panic!("{template}: {got:?}"),
        }
    }

    #[test]
    fn properties_are_taken_verbatim_and_encoded() {
        check("http://h/pets/{id}", Ok("http://h/pets/7"));
        check("http://h/{name}?x={t}", Ok("http://h/a%20b%2F%C3%A9?x=true"));
        check("http://h/{a.b}/{a}/{n}/", Ok("http://h/dot///"));
        check("http://h/{id}{id}", Ok("http://h/77"));
        check("http://h/", Ok("http://h/"));
        check("http://h/{l}", Err("found array"));
        check("http://h/{o}", Err("found object"));
        check("http://h/{id", Err("not closed"));
    }
}
