//! `kind: Secret`: where a secret's value comes from.
//!
//! Owns the reference; resolves nothing and shows no value.

use std::fmt;
use std::sync::Arc;

use super::{Head, Metadata, Raw, codes, open, read};
use crate::reader::{Place, Sink};
use crate::value::Value;

/// A secret as a manifest.
#[derive(Clone, Debug)]
pub struct SecretManifest {
    /// What it is called.
    pub meta: Metadata,
    /// Where its value comes from.
    pub origin: SecretOrigin,
    /// As written, without the value.
    pub raw: Raw,
}

/// Where a secret's value comes from.
#[derive(Clone, PartialEq)]
pub enum SecretOrigin {
    /// An environment variable of the server.
    Env(Arc<str>),
    /// A file that the server reads.
    File(Arc<str>),
    /// The manifest itself; never shown.
    Value(Value),
}

impl fmt::Debug for SecretOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretOrigin::Env(name) => write!(f, "Env({name})"),
            SecretOrigin::File(path) => write!(f, "File({path})"),
            SecretOrigin::Value(_) => f.write_str("Value(..)"),
        }
    }
}

pub(super) fn read(mut head: Head, spec: Place, sink: &Sink) -> Option<SecretManifest> {
    let mut reader = open(spec, sink, "the spec of a Secret")?;
    let origin = read::one_of(&mut reader, &["env", "file", "value"], "where the value comes from");
    reader.finish();
    let (key, place) = origin?;
    let origin = match key {
        "env" => SecretOrigin::Env(read::some_text(&place, sink)?),
        "file" => SecretOrigin::File(read::some_text(&place, sink)?),
        _ => {
            let span = place.key;
            let found = crate::diagnostic::Diagnostic::warning(
                codes::PLAIN_SECRET,
                span,
                "the value stands in the text",
            );
            sink.push(read::explained(found.at(place.pointer.clone())));
            SecretOrigin::Value(place.node.to_value())
        }
    };
    if key == "value" {
        head.raw.spec = Value::object([("value", Value::text("***"))]);
    }
    Some(SecretManifest { meta: head.meta, origin, raw: head.raw })
}
