//! JSON Schema of inputs, outputs and exports (language, section 4).
//!
//! Owns compiling and validating. It may not fetch anything: a `$ref` outside the schema is an error.

use std::fmt;
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};

use crate::fault::Fault;
use crate::value::Value;

/// How many mistakes a validation fault names.
const NAMED_ERRORS: usize = 5;

/// The most characters of one mistake's text.
const ERROR_CHARS: usize = 300;

/// The most bytes a compiled pattern of a schema may take.
const PATTERN_BYTES: usize = 1 << 20;

/// A compiled JSON Schema; draft 2020-12 unless `$schema` names another.
#[derive(Clone)]
pub struct Schema(Arc<Validator>);

impl Schema {
    /// Compiles a schema. The error says what is wrong with it, as a lower-case fragment.
    pub fn compile(schema: &Value) -> Result<Schema, String> {
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES);
        jsonschema::options()
            .with_pattern_options(patterns)
            .build(&serde_json::Value::from(schema))
            .map(|validator| Schema(Arc::new(validator)))
            .map_err(|error| {
                let place = error.instance_path().to_string();
                let text = shortened(&error.to_string());
                if place.is_empty() { text } else { format!("at {place}: {text}") }
            })
    }

    /// Validates a value; the fault (validation, 400) names the first mistakes with their pointers.
    pub fn validate(&self, value: &Value) -> Result<(), Fault> {
        let value = serde_json::Value::from(value);
        if self.0.is_valid(&value) {
            return Ok(());
        }
        let mut errors = self.0.iter_errors(&value);
        let mut named = Vec::new();
        for error in errors.by_ref().take(NAMED_ERRORS) {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "/" } else { &place };
            named.push(format!("{place}: {}", shortened(&error.to_string())));
        }
        if errors.next().is_some() {
            named.push("and more".to_owned());
        }
        Err(Fault::validation(named.join("; ")))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    fn check(schema: &str, instance: &str, expected: Option<&str>) {
        let schema = Schema::compile(&value(schema)).unwrap_or_else(|error| panic!("{schema}: {error}"));
        let detail = schema.validate(&value(instance)).err().map(|fault| {
            assert_eq!((fault.status, fault.standard()), (400, Some(crate::fault::Standard::Validation)));
            fault.detail.unwrap_or_default().to_string()
        });
        assert_eq!(detail.as_deref(), expected, "{instance}");
    }

    #[test]
    fn mistakes_are_named_with_pointers() {
        let schema = r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer"},"b":{"pattern":"^x+$"}}}"#;
        check(schema, r#"{"a":1,"b":"xx"}"#, None);
        check(schema, "{}", Some("/: \"a\" is a required property"));
        check(
            schema,
            r#"{"a":"1","b":"y"}"#,
            Some("/a: \"1\" is not of type \"integer\"; /b: \"y\" does not match \"^x+$\""),
        );
        check(
            r#"{"items":{"type":"null"}}"#,
            "[1,2,3,4,5,6]",
            Some(concat!(
                "/0: 1 is not of type \"null\"; /1: 2 is not of type \"null\"; /2: 3 is not of type \"null\"; ",
                "/3: 4 is not of type \"null\"; /4: 5 is not of type \"null\"; and more"
            )),
        );
    }

    #[test]
    fn schemas_that_cannot_be_used_are_refused() {
        for (schema, part) in [
            (r#"{"type":"nothing"}"#, "nothing"),
            (r#"{"$ref":"https://example.com/schema.json"}"#, "example.com"),
            (r#"{"$ref":"file:///etc/passwd"}"#, "passwd"),
            (r#"{"pattern":"("}"#, "("),
            (r#"{"pattern":"(?=x)"}"#, "(?=x)"),
        ] {
            let error = Schema::compile(&value(schema)).expect_err(schema);
            assert!(error.contains(part), "{schema}: {error}");
        }
    }

    #[test]
    fn local_references_work() {
        check(r##"{"$ref":"#/$defs/n","$defs":{"n":{"minimum":3}}}"##, "5", None);
        check(
            r##"{"$ref":"#/$defs/n","$defs":{"n":{"minimum":3}}}"##,
            "1",
            Some("/: 1 is less than the minimum of 3"),
        );
    }
}
