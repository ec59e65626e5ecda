//! What a worker is asked to do and what it answers: evaluated values, no expressions.
//!
//! The engine prepares an order, the driver hands it to a worker after the commit that scheduled it, and the
//! worker's [`Outcome`] closes the very visit it was started for. May not hold anything about histories or stores.

use std::sync::Arc;
use std::time::Duration;

use crate::fault::Fault;
use crate::ids::{ExecutionId, Namespace, Time, Visit};
use crate::program::{HttpOutput, Language, Returns};
use crate::value::Value;

mod masks;

pub use masks::{MASK, Masks};

/// One call of the outside, with who asks.
#[derive(Debug, Clone)]
pub struct Order {
    /// Namespace of the execution.
    pub namespace: Namespace,
    /// The execution.
    pub execution: ExecutionId,
    /// The visit it answers for.
    pub visit: Visit,
    /// Attempt, from 1 (rises with each retry of an enclosing try).
    pub attempt: u32,
    /// Number of the idempotency key: the same for every attempt at this call, retries of an enclosing `try` included,
    /// and different for every other call of the execution. The visit, unless a `try` that may retry is around it.
    pub key: u64,
    /// JSON pointer of the task.
    pub task: Arc<str>,
    /// Instant by which the answer must be there, if the task or the workflow has a timeout.
    pub deadline: Option<Time>,
    /// What to call.
    pub what: Call,
    /// What of the answer may not be shown.
    pub masks: Masks,
}

impl Order {
    /// The idempotency key: the same for every attempt at one call (workers.md, "Outcome and idempotency").
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.execution, self.key)
    }
}

/// How a text calls the function that sends an event to a sink: its name and the catalog of the server's own functions.
/// Its version is the kind of sink, its input the sink's fields and `event`.
pub const SINK: (&str, &str) = ("sink", "tidemill");
/// The same function in an order: no manifest's function has such a name.
pub const SINK_FUNCTION: &str = "sink@tidemill";

/// What to call.
#[derive(Debug, Clone)]
pub enum Call {
    /// An HTTP request of `call: http`.
    Http(Box<HttpRequest>),
    /// A function manifest by name and version (or alias).
    Function {
        /// Function name.
        name: Arc<str>,
        /// Version number or alias.
        version: Arc<str>,
        /// Input.
        input: Value,
    },
    /// A program of `run.shell` or `run.script`.
    Process(Box<ProcessRun>),
}

/// An evaluated HTTP request.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// Method, upper case.
    pub method: String,
    /// Absolute URI with the query, as asked for (before any rewrite).
    pub uri: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// `Authorization` field value; kept apart so that it is never shown.
    pub authorization: Option<String>,
    /// Body, sent as application/json unless a content-type header says otherwise.
    pub body: Option<Value>,
    /// What the call gives.
    pub output: HttpOutput,
    /// Follow redirects.
    pub redirect: bool,
}

/// An evaluated program of `run.shell` or `run.script`.
#[derive(Debug, Clone)]
pub struct ProcessRun {
    /// What is run.
    pub program: ProcessText,
    /// What it is given as arguments.
    pub arguments: Vec<String>,
    /// Variables of its environment beside those of the server.
    pub environment: Vec<(String, String)>,
    /// Its standard input.
    pub stdin: String,
    /// What the call gives.
    pub returns: Returns,
    /// Answer after its end; else with null once it is started.
    pub wait: bool,
}

/// What a program's text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessText {
    /// A command of `/bin/sh`.
    Shell(String),
    /// A script.
    Script(Language, Arc<str>),
}

/// A worker's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The raw output.
    Done(Value),
    /// The error; its `instance` is set by the engine.
    Failed(Fault),
    /// The partner has taken the call and will answer later, by a callback.
    Later,
}

/// How long a function's call may take when nothing else is said.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest output of a call, bytes of JSON (limit `task-output`).
pub const MAX_OUTPUT: usize = 2 * 1024 * 1024;
