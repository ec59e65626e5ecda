//! Diagnostics in the forms that other programs read: annotations of GitHub, SARIF 2.1.0.
//!
//! Owns these two forms only; text and JSON are elsewhere.

use std::fmt::Write as _;

use tidemill_dsl::diagnostic::{Diagnostic, Severity};
use tidemill_dsl::value::Value;

use super::definitions::{Definitions, Found};

/// One workflow command of GitHub for each mistake.
pub(super) fn github(set: &Definitions, found: &[Found]) -> String {
    let line = |(file, d): &Found| {
        let kind = level(d);
        let place =
            format!("file={},line={},col={}", property(&set.files[*file].name), d.span.line, d.span.column);
        let help = d.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
        format!("::{kind} {place},title={}::{}", d.code, data(&format!("{}{help}", d.message)))
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn level(diagnostic: &Diagnostic) -> &'static str {
    if diagnostic.severity == Severity::Error { "error" } else { "warning" }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A SARIF log of one run.
pub(super) fn sarif(set: &Definitions, found: &[Found]) -> Value {
    let mut codes: Vec<&str> = found.iter().map(|(_, d)| d.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules = codes.into_iter().map(|code| {
        let known = tidemill_dsl::codes::explain(code);
        let (title, text) = known.map_or((code, code), |known| (known.title, known.text));
        let texts =
            [("shortDescription", words(title)), ("fullDescription", words(text)), ("help", words(text))];
        Value::object([("id", Value::text(code))].into_iter().chain(texts))
    });
    let driver = Value::object([
        ("name", Value::text("tidemill")),
        ("version", Value::text(env!("CARGO_PKG_VERSION"))),
        ("rules", Value::array(rules)),
    ]);
    let run = Value::object([
        ("tool", Value::object([("driver", driver)])),
        ("columnKind", Value::text("unicodeCodePoints")),
        ("results", Value::array(found.iter().map(|(file, d)| result(&set.files[*file].name, d)))),
    ]);
    Value::object([
        ("$schema", Value::text("https://json.schemastore.org/sarif-2.1.0.json")),
        ("version", Value::text("2.1.0")),
        ("runs", Value::array([run])),
    ])
}

fn words(text: &str) -> Value {
    Value::object([("text", Value::text(text))])
}

fn result(file: &str, d: &Diagnostic) -> Value {
    let region = [("startLine", Value::from(d.span.line)), ("startColumn", Value::from(d.span.column))];
    let physical = Value::object([
        ("artifactLocation", Value::object([("uri", Value::from(uri(file)))])),
        ("region", Value::object(region)),
    ]);
    let help = d.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    Value::object([
        ("ruleId", Value::text(d.code)),
        ("level", Value::text(level(d))),
        ("message", words(&format!("{}{help}", d.message))),
        ("locations", Value::array([Value::object([("physicalLocation", physical)])])),
    ])
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::diagnostic::Span;
    use tidemill_dsl::schema::Schema;

    use super::super::definitions::SourceFile;
    use super::*;

    fn one() -> (Definitions, Vec<Found>) {
        let mut set = Definitions::default();
        set.files.push(SourceFile { name: "a,b.yaml".into(), text: "x".into() });
        let span = Span { line: 2, column: 3, start: 0, end: 1 };
        (set, vec![(0, Diagnostic::error("E0201", span, "100% unknown").help("remove it"))])
    }

    #[test]
    fn annotations_escape_what_would_end_them() {
        let (set, found) = one();
        let expected = "::error file=a%2Cb.yaml,line=2,col=3,title=E0201::100%25 unknown%0Aremove it";
        assert_eq!(github(&set, &found), expected);
    }

    /// What SARIF 2.1.0 requires of the parts that are used.
    const SARIF: &str = r##"{
        "type": "object", "required": ["version", "runs"],
        "properties": {
            "$schema": {"type": "string", "format": "uri"},
            "version": {"const": "2.1.0"},
            "runs": {"type": "array", "items": {
                "type": "object", "required": ["tool"], "additionalProperties": false,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {"type": "object", "required": ["driver"], "properties": {"driver": {
                        "type": "object", "required": ["name"], "additionalProperties": false,
                        "properties": {
                            "name": {"type": "string"}, "version": {"type": "string"},
                            "rules": {"type": "array", "uniqueItems": true, "items": {
                                "type": "object", "required": ["id"], "additionalProperties": false,
                                "properties": {
                                    "id": {"type": "string"}, "shortDescription": {"$ref": "#/$defs/text"},
                                    "fullDescription": {"$ref": "#/$defs/text"}, "help": {"$ref": "#/$defs/text"}
                                }
                            }}
                        }
                    }}},
                    "results": {"type": "array", "items": {
                        "type": "object", "required": ["message"], "additionalProperties": false,
                        "properties": {
                            "ruleId": {"type": "string"}, "level": {"enum": ["none", "note", "warning", "error"]},
                            "message": {"$ref": "#/$defs/text"},
                            "locations": {"type": "array", "items": {"type": "object", "properties": {
                                "physicalLocation": {"type": "object", "properties": {
                                    "artifactLocation": {"type": "object", "properties": {
                                        "uri": {"type": "string", "pattern": "^[A-Za-z0-9._~/%-]+$"}
                                    }},
                                    "region": {"type": "object", "properties": {
                                        "startLine": {"type": "integer", "minimum": 1},
                                        "startColumn": {"type": "integer", "minimum": 1}
                                    }}
                                }}
                            }}}
                        }
                    }}
                }
            }}
        },
        "$defs": {"text": {
            "type": "object", "required": ["text"], "additionalProperties": false,
            "properties": {"text": {"type": "string", "minLength": 1}}
        }}
    }"##;

    #[test]
    fn sarif_names_rule_and_place() {
        let (set, found) = one();
        let log = sarif(&set, &found);
        let schema = Schema::compile(&Value::parse(SARIF.as_bytes()).unwrap()).unwrap();
        assert_eq!(schema.validate(&log), Ok(()), "{log}");
        assert_eq!(schema.validate(&sarif(&set, &[])), Ok(()));
        let at = |pointer: &str| log.pointer(pointer).map(ToString::to_string).unwrap_or_default();
        assert_eq!(at("/runs/0/results/0/ruleId"), r#""E0201""#);
        assert_eq!(at("/runs/0/results/0/locations/0/physicalLocation/region/startLine"), "2");
        assert_eq!(at("/runs/0/tool/driver/rules/0/id"), r#""E0201""#);
    }
}
