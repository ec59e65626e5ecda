//! `kind: Function`: what a workflow or trigger calls by name.
//!
//! Owns the fields. Runs nothing and resolves no secret.

mod process;

use std::sync::Arc;
use std::time::Duration;

pub use process::{Lifecycle, ProcessFunction, ProcessProtocol};

use super::{Head, Metadata, Raw, codes, open, read};
use crate::codes as shared;
use crate::order::DEFAULT_CALL_TIMEOUT;
use crate::reader::{Place, Reader, Sink};
use crate::schema::Schema;

/// A function, of the version that its publishing gives it.
#[derive(Clone, Debug)]
pub struct Function {
    /// What it is called.
    pub meta: Metadata,
    /// How long a call may take.
    pub timeout: Duration,
    /// How much may run and wait.
    pub limits: FunctionLimits,
    /// What its input must match.
    pub input: Option<Schema>,
    /// What its output must match.
    pub output: Option<Schema>,
    /// Of which kind, with its fields.
    pub kind: FunctionKind,
    /// As written.
    pub raw: Raw,
}

/// How much of a function may run and wait; none: the server's own limits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FunctionLimits {
    /// Calls at once.
    pub concurrency: Option<u32>,
    /// Calls that wait.
    pub queue: Option<u32>,
    /// How long a call waits.
    pub queue_age: Option<Duration>,
    /// Bytes of memory of one process.
    pub memory: Option<u64>,
    /// Processors of one process.
    pub cpu: Option<f64>,
}

impl FunctionLimits {
    /// Takes over what the kind's own limits state.
    fn narrow(&mut self, own: FunctionLimits) {
        self.concurrency = own.concurrency.or(self.concurrency);
        self.queue = own.queue.or(self.queue);
        self.queue_age = own.queue_age.or(self.queue_age);
        self.memory = own.memory.or(self.memory);
        self.cpu = own.cpu.or(self.cpu);
    }
}

/// The kinds of this release.
#[derive(Clone, Debug, PartialEq)]
pub enum FunctionKind {
    /// A URL: the input as JSON body, the body of a 2xx answer as output.
    Http {
        /// Absolute, http or https.
        url: Arc<str>,
        /// Upper case.
        method: Arc<str>,
        /// Header fields, names as written.
        headers: Vec<(Arc<str>, Setting)>,
        /// Who one is.
        auth: Option<CallAuth>,
    },
    /// A program.
    Process(Box<ProcessFunction>),
    /// One that is built in.
    Builtin(Builtin),
}

/// A value in place, or the name of a secret that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// In place.
    Text(Arc<str>),
    /// `{secret: NAME}`.
    Secret(Arc<str>),
}

/// `auth` of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallAuth {
    /// User name and password of a secret.
    Basic {
        /// Its name.
        secret: Arc<str>,
    },
    /// The token of a secret.
    Bearer {
        /// Its name.
        secret: Arc<str>,
    },
}

/// The functions that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Returns its input.
    Echo,
    /// Returns after a time.
    Sleep,
    /// Fails.
    Fail,
}

const KINDS: [&str; 7] = ["http", "process", "builtin", "python", "node", "shell", "remote"];

pub(super) fn read(head: Head, spec: Place, sink: &Sink) -> Option<Function> {
    let mut reader = open(spec, sink, "the spec of a Function")?;
    let timeout =
        reader.take("timeout").map_or(Some(DEFAULT_CALL_TIMEOUT), |place| read::duration(&place, sink));
    let limits =
        reader.take("limits").map_or(Some(FunctionLimits::default()), |place| read_limits(place, sink));
    let input = reader.take("input").map(|place| schema(place, sink));
    let output = reader.take("output").map(|place| schema(place, sink));
    for key in ["onSuccess", "onFailure"] {
        reader.refuse(key, codes::LATER_DESTINATIONS, &format!("`{key}` is not supported by this release"));
    }
    let kind = read::one_of(&mut reader, &KINDS, "the kind of function");
    reader.finish();
    let (kind, place) = kind?;
    let mut limits = limits?;
    let kind = match kind {
        "http" => read_http(place, sink),
        "process" => process::read(place, sink, &mut limits),
        "builtin" => place
            .choice(sink, &[("echo", Builtin::Echo), ("sleep", Builtin::Sleep), ("fail", Builtin::Fail)])
            .map(FunctionKind::Builtin),
        later => {
            let message = format!("functions of kind {later} are not supported by this release");
            sink.push(read::explained(place.key_error(codes::LATER_FUNCTION, message)));
            None
        }
    };
    let whole = |read: Option<Option<Schema>>| read.map_or(Some(None), |schema| schema.map(Some));
    Some(Function {
        meta: head.meta,
        timeout: timeout?,
        limits,
        input: whole(input)?,
        output: whole(output)?,
        kind: kind?,
        raw: head.raw,
    })
}

fn read_limits(place: Place, sink: &Sink) -> Option<FunctionLimits> {
    let mut reader = Reader::open(place, sink, "limits")?;
    let many = || 1..=1_000_000;
    let limits = FunctionLimits {
        concurrency: reader.take("concurrency").and_then(|place| read::count(&place, sink, many())),
        queue: reader.take("queue").and_then(|place| read::count(&place, sink, 0..=1_000_000)),
        queue_age: reader.take("queueAge").and_then(|place| read::duration(&place, sink)),
        memory: reader.take("memory").and_then(|place| read::size(&place, sink)),
        cpu: reader.take("cpu").and_then(|place| read::fraction(&place, sink, 0.01..=1024.0)),
    };
    reader.finish();
    Some(limits)
}

/// `{schema: JSON Schema}`, or as in workflows `{schema: {format: json, document: JSON Schema}}`.
fn schema(place: Place, sink: &Sink) -> Option<Schema> {
    let mut reader = Reader::open(place, sink, "a schema")?;
    let place = reader.need("schema");
    reader.finish();
    let place = place?;
    let place = match (place.node.entry("document"), &place) {
        (Some(entry), _) => Place {
            node: &entry.value,
            key: entry.key_span,
            pointer: crate::yaml::join(&place.pointer, "document"),
        },
        (None, _) => place,
    };
    match Schema::compile(&place.node.to_value()) {
        Ok(schema) => Some(schema),
        Err(why) => read::wrong(&place, sink, shared::SCHEMA, &format!("the schema is not valid: {why}")),
    }
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Header fields that belong to the connection or that calls carry anyway.
const OWNED_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "idempotency-key",
    "traceparent",
    "authorization",
    "proxy-authorization",
];

fn read_http(place: Place, sink: &Sink) -> Option<FunctionKind> {
    let mut reader = Reader::open(place, sink, "an http function")?;
    let url = reader.need("url").and_then(|place| read::url(&place, sink));
    let method = reader.take("method").map_or(Some("POST".into()), |place| {
        let text = place.text(sink)?;
        let upper = text.to_ascii_uppercase();
        let message = format!("`{text}` is no HTTP method of a function");
        if METHODS.contains(&&*upper) {
            Some(upper.into())
        } else {
            read::wrong(&place, sink, codes::METHOD, &message)
        }
    });
    let headers =
        reader.take("headers").map_or(Some(Vec::new()), |place| settings(&place, sink, check_header));
    let auth = reader.take("auth").map(|place| read_auth(place, sink));
    reader.refuse("sign", codes::LATER_SIGN, "signing of calls is not supported by this release");
    reader.finish();
    let auth = match auth {
        Some(auth) => Some(auth?),
        None => None,
    };
    Some(FunctionKind::Http { url: url?, method: method?, headers: headers?, auth })
}

/// What is wrong with a header field of a call.
pub(super) fn check_header(name: &str, value: &Setting) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&b))
    {
        return Some(format!("`{name}` is no name of a header field"));
    }
    if OWNED_HEADERS.contains(&&*lower) || lower.starts_with("tidemill-") {
        return Some(format!("the header `{name}` cannot be set here"));
    }
    match value {
        Setting::Text(text) if text.chars().any(|c| c.is_control() && c != '\t') => {
            Some(format!("the value of the header `{name}` has a line break or control character"))
        }
        _ => None,
    }
}

pub(super) fn read_auth(place: Place, sink: &Sink) -> Option<CallAuth> {
    let mut reader = Reader::open(place, sink, "auth")?;
    let kind = read::one_of(
        &mut reader,
        &["basic", "bearer", "hmac", "jwt", "mtls", "oauth2"],
        "the authentication",
    );
    reader.finish();
    let (kind, place) = kind?;
    match kind {
        "basic" => read::secret(&place, sink).map(|secret| CallAuth::Basic { secret }),
        "bearer" => read::secret(&place, sink).map(|secret| CallAuth::Bearer { secret }),
        later => {
            let message = format!("{later} authentication of calls is not supported by this release");
            let found = place.key_error(codes::LATER_AUTH, message).help("calls know basic and bearer");
            sink.push(found);
            None
        }
    }
}

/// A map of texts or secrets; `check` says what is wrong with an entry.
pub(super) fn settings(
    place: &Place,
    sink: &Sink,
    check: fn(&str, &Setting) -> Option<String>,
) -> Option<Vec<(Arc<str>, Setting)>> {
    let read = place.entries(sink)?.into_iter().map(|(name, place)| {
        let value = match place.node.to_value() {
            crate::value::Value::Object(_) => Setting::Secret(read::secret(&place, sink)?),
            value @ (crate::value::Value::Number(_) | crate::value::Value::Bool(_)) => {
                Setting::Text(value.to_string().into())
            }
            _ => Setting::Text(place.text(sink)?),
        };
        if let Some(message) = check(&name, &value) {
            sink.push(read::explained(place.key_error(codes::HEADER, message)));
            return None;
        }
        Some((name, value))
    });
    read.collect::<Vec<_>>().into_iter().collect()
}
