//! The error object of the workflow language (RFC 7807; language, sections 2.3, 5 #2 and 12).
//!
//! Owns the eight standard types, their URIs and the equality of URI forms. It may not decide what
//! catches a fault.

use std::fmt;
use std::sync::Arc;

use crate::value::{Map, Value};

/// What every engine-made error type URI begins with.
const SPEC_PREFIX: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";

/// The spellings that name the same standard types; the first is the one emitted.
const PREFIXES: [&str; 4] = [
    SPEC_PREFIX,
    "https://open-workflow-specification.org/dsl/errors/types/",
    "https://serverlessworkflow.io/spec/1.0.0/errors/",
    "https://serverlessworkflow.io/dsl/errors/types/",
];

/// The standard error types of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// A definition that cannot be carried out, status 400.
    Configuration,
    /// Data that does not match its schema, status 400.
    Validation,
    /// An expression that fails, status 400.
    Expression,
    /// Credentials that are not accepted, status 401.
    Authentication,
    /// Something that is not allowed, status 403.
    Authorization,
    /// Time that ran out, status 408.
    Timeout,
    /// A call that failed, status 500 or the status of the answer.
    Communication,
    /// Any other failure at run time, status 500.
    Runtime,
}

impl Standard {
    /// Every standard type.
    pub const ALL: [Standard; 8] = [
        Standard::Configuration,
        Standard::Validation,
        Standard::Expression,
        Standard::Authentication,
        Standard::Authorization,
        Standard::Timeout,
        Standard::Communication,
        Standard::Runtime,
    ];

    /// The last segment of the type's URI.
    pub fn name(self) -> &'static str {
        match self {
            Standard::Configuration => "configuration",
            Standard::Validation => "validation",
            Standard::Expression => "expression",
            Standard::Authentication => "authentication",
            Standard::Authorization => "authorization",
            Standard::Timeout => "timeout",
            Standard::Communication => "communication",
            Standard::Runtime => "runtime",
        }
    }

    /// The URI the engine emits for this type (language, section 12).
    pub fn uri(self) -> &'static str {
        match self {
            Standard::Configuration => {
                "https://open-workflow-specification.org/spec/1.0.0/errors/configuration"
            }
            Standard::Validation => "https://open-workflow-specification.org/spec/1.0.0/errors/validation",
            Standard::Expression => "https://open-workflow-specification.org/spec/1.0.0/errors/expression",
            Standard::Authentication => {
                "https://open-workflow-specification.org/spec/1.0.0/errors/authentication"
            }
            Standard::Authorization => {
                "https://open-workflow-specification.org/spec/1.0.0/errors/authorization"
            }
            Standard::Timeout => "https://open-workflow-specification.org/spec/1.0.0/errors/timeout",
            Standard::Communication => {
                "https://open-workflow-specification.org/spec/1.0.0/errors/communication"
            }
            Standard::Runtime => "https://open-workflow-specification.org/spec/1.0.0/errors/runtime",
        }
    }

    /// The status of this type unless an answer brings its own.
    pub fn status(self) -> i64 {
        match self {
            Standard::Configuration | Standard::Validation | Standard::Expression => 400,
            Standard::Authentication => 401,
            Standard::Authorization => 403,
            Standard::Timeout => 408,
            Standard::Communication | Standard::Runtime => 500,
        }
    }

    /// A title for people.
    pub fn title(self) -> &'static str {
        match self {
            Standard::Configuration => "Configuration Error",
            Standard::Validation => "Validation Error",
            Standard::Expression => "Expression Error",
            Standard::Authentication => "Authentication Error",
            Standard::Authorization => "Authorization Error",
            Standard::Timeout => "Timeout",
            Standard::Communication => "Communication Error",
            Standard::Runtime => "Runtime Error",
        }
    }

    /// The standard type that a URI names in any of the four equal forms.
    pub fn from_uri(uri: &str) -> Option<Standard> {
        let name = PREFIXES.iter().find_map(|prefix| uri.strip_prefix(prefix))?;
        Standard::ALL.into_iter().find(|standard| standard.name() == name)
    }
}

/// An error of a workflow: what faults a task, and what a `catch` sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The type URI.
    pub kind: Arc<str>,
    /// The status, an HTTP status code by convention.
    pub status: i64,
    /// A short title.
    pub title: Option<Arc<str>>,
    /// What exactly went wrong.
    pub detail: Option<Arc<str>>,
    /// JSON Pointer of the task in the definition.
    pub instance: Option<Arc<str>>,
}

impl Fault {
    /// A fault of a standard type with its own status and title.
    pub fn new(standard: Standard, detail: impl Into<Arc<str>>) -> Fault {
        Fault {
            kind: standard.uri().into(),
            status: standard.status(),
            title: Some(standard.title().into()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// A failing expression, 400.
    pub fn expression(detail: impl Into<Arc<str>>) -> Fault {
        Fault::new(Standard::Expression, detail)
    }

    /// Data that misses its schema, 400.
    pub fn validation(detail: impl Into<Arc<str>>) -> Fault {
        Fault::new(Standard::Validation, detail)
    }

    /// A failure at run time, 500.
    pub fn runtime(detail: impl Into<Arc<str>>) -> Fault {
        Fault::new(Standard::Runtime, detail)
    }

    /// A failed call, with the status of the answer (500 when there was none).
    pub fn communication(status: i64, detail: impl Into<Arc<str>>) -> Fault {
        Fault { status, ..Fault::new(Standard::Communication, detail) }
    }

    /// Time that ran out, 408.
    pub fn timeout(detail: impl Into<Arc<str>>) -> Fault {
        Fault::new(Standard::Timeout, detail)
    }

    /// Refused credentials, 401.
    pub fn authentication(detail: impl Into<Arc<str>>) -> Fault {
        Fault::new(Standard::Authentication, detail)
    }

    /// Something not allowed, 403.
    pub fn authorization(detail: impl Into<Arc<str>>) -> Fault {
        Fault::new(Standard::Authorization, detail)
    }

    /// A definition that cannot be carried out, 400.
    pub fn configuration(detail: impl Into<Arc<str>>) -> Fault {
        Fault::new(Standard::Configuration, detail)
    }

    /// The same fault at the task `instance` (a JSON Pointer); an instance already set is replaced.
    #[must_use]
    pub fn with_instance(self, instance: &str) -> Fault {
        Fault { instance: Some(instance.into()), ..self }
    }

    /// The standard type, if the fault is of one.
    pub fn standard(&self) -> Option<Standard> {
        Standard::from_uri(&self.kind)
    }

    /// The error object: type, status, title, detail, instance; what is absent is left out.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("type".into(), Value::String(self.kind.clone()));
        map.insert("status".into(), self.status.into());
        for (key, text) in [("title", &self.title), ("detail", &self.detail), ("instance", &self.instance)] {
            if let Some(text) = text {
                map.insert(key.into(), Value::String(text.clone()));
            }
        }
        map.into()
    }

    /// Reads an error object. A missing type is a runtime error's, a missing status that of the
    /// type (500 for types of one's own); members that are not text are read as compact JSON.
    pub fn from_value(value: &Value) -> Fault {
        let text = |key: &str| match value.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string().into()),
        };
        let kind = text("type").unwrap_or_else(|| Standard::Runtime.uri().into());
        let status = value.get("status").and_then(Value::as_i64);
        let status = status.unwrap_or_else(|| Standard::from_uri(&kind).map_or(500, Standard::status));
        Fault { kind, status, title: text("title"), detail: text("detail"), instance: text("instance") }
    }

    /// Whether two type URIs name the same type: the four forms of a standard type are equal, any
    /// other URI equals only itself (language, section 12).
    pub fn same_type(a: &str, b: &str) -> bool {
        a == b || Standard::from_uri(a).is_some_and(|standard| Standard::from_uri(b) == Some(standard))
    }
}

/// `title: detail`, or the type where there is neither.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.title, &self.detail) {
            (Some(title), Some(detail)) => write!(f, "{title}: {detail}"),
            (Some(text), None) | (None, Some(text)) => f.write_str(text),
            (None, None) => f.write_str(&self.kind),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_of_every_standard_type_are_equal() {
        for standard in Standard::ALL {
            assert_eq!(standard.uri(), format!("{SPEC_PREFIX}{}", standard.name()));
            for a in PREFIXES {
                for b in PREFIXES {
                    let (a, b) = (format!("{a}{}", standard.name()), format!("{b}{}", standard.name()));
                    assert!(Fault::same_type(&a, &b), "{a} and {b}");
                }
            }
        }
    }

    #[test]
    fn other_types_equal_only_themselves() {
        let check = |a: &str, b: &str, equal: bool| assert_eq!(Fault::same_type(a, b), equal, "{a} and {b}");
        let timeout = Standard::Timeout.uri();
        check(timeout, Standard::Runtime.uri(), false);
        check("https://example.com/errors/timeout", timeout, false);
        check("https://example.com/x", "https://example.com/x", true);
        check(
            &format!("{SPEC_PREFIX}custom"),
            "https://serverlessworkflow.io/spec/1.0.0/errors/custom",
            false,
        );
        check("http://serverlessworkflow.io/spec/1.0.0/errors/timeout", timeout, false);
        check(&format!("{timeout}/"), timeout, false);
    }

    #[test]
    fn error_objects_round_trip() {
        let fault = Fault::communication(404, "no such pet").with_instance("/do/0/getPet");
        let value = fault.to_value();
        assert_eq!(
            value.to_string(),
            concat!(
                r#"{"type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication","status":404,"#,
                r#""title":"Communication Error","detail":"no such pet","instance":"/do/0/getPet"}"#
            )
        );
        assert_eq!(Fault::from_value(&value), fault);
    }

    #[test]
    fn missing_members_of_an_error_object_have_defaults() {
        let bare = Fault::from_value(&Value::object([("type", Value::text(Standard::Timeout.uri()))]));
        assert_eq!((bare.status, bare.title), (408, None));
        assert_eq!(Fault::from_value(&Value::Null).status, 500);
    }
}
