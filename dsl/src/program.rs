//! A workflow lowered for running: arrays of tasks with explicit successors.
//!
//! Owns the compiled form that the engine walks. Everything named is resolved here: `then` targets, functions,
//! retries, errors and timeouts of `use`. Holds no state of a run and no spans; a [`Program`] is immutable and
//! shared by every execution of its version (invariant 12).

use std::sync::Arc;

use crate::expr::{Expr, Template};
use crate::value::Value;

mod process;
mod resource;

pub use process::{Code, Language, Returns, RunProcess, Runnable};
pub use resource::{Linked, MAX_RESOURCE, MAX_RESOURCES, Need, ResourceKind, SchemaRef};

/// Index of a task in [`Program::tasks`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(pub u32);

/// Index of a task list in [`Program::lists`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListId(pub u32);

/// A compiled workflow definition (one version, one text), and what an execution of it has fetched. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Program {
    /// The `document` part.
    pub document: Document,
    /// SHA-256 of the text as sent: what an execution pins.
    pub digest: [u8; 32],
    /// The definition as written, unevaluated: `$workflow.definition`.
    pub definition: Value,
    /// `input` of the workflow (dsl.md section 4).
    pub input: Intake,
    /// `output` of the workflow.
    pub output: Shape,
    /// `timeout.after` of the workflow: evaluates to a duration.
    pub timeout: Option<Template>,
    /// Names declared under `use.secrets`.
    pub secrets: Vec<Arc<str>>,
    /// The top-level `do`.
    pub root: ListId,
    /// Every task list of the definition.
    pub lists: Arc<[List]>,
    /// Every task of the definition.
    pub tasks: Arc<[Task]>,
    /// `use.extensions`, in declaration order.
    pub extensions: Arc<[Extension]>,
    /// The schemas from elsewhere of `input` and `output`.
    pub needs: Arc<[Need]>,
    /// What was fetched for an execution, in the order of its fetches; none in a definition.
    pub linked: Vec<Linked>,
}

/// An extension: tasks before and after tasks of a kind (dsl.md section 5 #29).
#[derive(Debug, Clone)]
pub struct Extension {
    /// Its name.
    pub name: Arc<str>,
    /// `when`, judged once, when the extended task begins.
    pub when: Option<Expr>,
    /// `before`.
    pub before: Option<ListId>,
    /// `after`.
    pub after: Option<ListId>,
}

/// The `document` part of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// DSL version the author wrote, for example `1.0.3`.
    pub dsl: Arc<str>,
    /// Namespace: a DNS label.
    pub namespace: Arc<str>,
    /// Name: a DNS label.
    pub name: Arc<str>,
    /// Semantic version.
    pub version: Arc<str>,
    /// Human title.
    pub title: Option<Arc<str>>,
    /// Human summary (Markdown).
    pub summary: Option<Arc<str>>,
    /// Free tags.
    pub tags: Value,
    /// Free metadata.
    pub metadata: Value,
}

/// `input`: schema on the raw value, then `from` (dsl.md section 4).
#[derive(Debug, Clone, Default)]
pub struct Intake {
    /// Validates the raw input.
    pub schema: Option<SchemaRef>,
    /// Transforms it.
    pub from: Option<Template>,
}

/// `output` or `export`: `as`, then schema on the transformed value (dsl.md section 4).
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Transforms the raw value.
    pub transform: Option<Template>,
    /// Validates the transformed value.
    pub schema: Option<SchemaRef>,
}

/// A list of tasks that run one after another.
#[derive(Debug, Clone)]
pub struct List {
    /// In declaration order.
    pub tasks: Vec<TaskId>,
    /// The task that holds the list; none for the top-level `do`, the body of a function and the lists of an extension.
    pub owner: Option<TaskId>,
}

/// Where the flow goes after a task: `then`, resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Go to a task of the same list.
    Task(TaskId),
    /// Complete the list (`exit`, or `continue` after the last task).
    Exit,
    /// `exit` from the `before` list of an extension: its output replaces what the extended task does.
    Leave,
    /// End the workflow (`end`).
    End,
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Its YAML name.
    pub name: Arc<str>,
    /// JSON pointer in the definition, for example `/do/0/a/try/0/b`: `instance` and `task.reference`.
    pub reference: Arc<str>,
    /// The list it stands in. A branch of a fork stands in the fork's list of branches; the body of a function of
    /// `use.functions` stands in a list of its own with one task.
    pub list: ListId,
    /// Its definition as written: `$task.definition`.
    pub definition: Value,
    /// `if`, judged on the raw input; when it does not hold the task is skipped.
    pub condition: Option<Expr>,
    /// `input`.
    pub input: Intake,
    /// `output`.
    pub output: Shape,
    /// `export`.
    pub export: Shape,
    /// `timeout.after`: evaluates to a duration.
    pub timeout: Option<Template>,
    /// Explicit successor. For `continue` (or none) the following task of the list, or [`Next::Exit`] at its end.
    pub then: Next,
    /// The successor when the task is skipped: declaration order, whatever `then` says (dsl.md section 5 #3).
    pub following: Next,
    /// The extensions for tasks of its kind, as indices in declaration order; none for the tasks of extensions.
    pub extensions: Vec<u32>,
    /// What it needs from elsewhere before it begins: its function, its script, its schemas.
    pub needs: Vec<Need>,
    /// What it does.
    pub kind: Kind,
}

/// The kinds of task (dsl.md section 2.2).
#[derive(Debug)]
pub enum Kind {
    /// `do`: a nested list.
    Do(ListId),
    /// `set`: replaces the data.
    Set(Template),
    /// `switch`: cases in order of trial (the default last, wherever it stood).
    Switch(Vec<Case>),
    /// `for`.
    For(For),
    /// `fork`.
    Fork(Fork),
    /// `try`.
    Try(Box<Try>),
    /// `raise`: evaluates to an error object `{type, status, title?, detail?, instance?}`.
    Raise(Template),
    /// `wait`: evaluates to a duration.
    Wait(Template),
    /// `emit.event.with`: evaluates to the event's attributes and data.
    Emit(Template),
    /// `listen`.
    Listen(Listen),
    /// `call: http`.
    Http(Box<HttpCall>),
    /// `call` of a function from `use.functions`: its body is a task of this program.
    Local(LocalCall),
    /// `call` of a URL or of `name:version@catalog`: a task that is fetched.
    Fetched(FetchedCall),
    /// `call` of `name:version@default`: a function manifest, outside this program.
    Function(FunctionCall),
    /// `run.workflow`.
    RunWorkflow(RunWorkflow),
    /// `run.shell` and `run.script`.
    RunProcess(Box<RunProcess>),
}

/// One case of a `switch`.
#[derive(Debug)]
pub struct Case {
    /// The author's name for it.
    pub name: Arc<str>,
    /// The condition; a default has none.
    pub when: Option<Expr>,
    /// Its `then`, resolved.
    pub then: Next,
}

/// `for`: `each` and `at` are variable names without `$`.
#[derive(Debug)]
pub struct For {
    /// Item variable (default `item`).
    pub each: Arc<str>,
    /// Index variable (default `index`).
    pub at: Arc<str>,
    /// The collection, evaluated once on the transformed input; must give a list.
    pub items: Template,
    /// `while`, tested before each iteration.
    pub condition: Option<Expr>,
    /// The body.
    pub body: ListId,
}

/// `fork`.
#[derive(Debug)]
pub struct Fork {
    /// First success wins, the others are cancelled.
    pub compete: bool,
    /// The list whose tasks are the branches, in declaration order.
    pub branches: ListId,
}

/// `try` with its `catch`.
#[derive(Debug)]
pub struct Try {
    /// The list tried.
    pub body: ListId,
    /// `catch.errors.with`: equality on the given keys; compared with [`crate::fault::Fault::same_type`] for `type`.
    /// Evaluates to an object with some of type, status, title, detail, instance.
    pub with: Option<Template>,
    /// `catch.as`: the error variable without `$` (default `error`).
    pub variable: Arc<str>,
    /// `catch.when`.
    pub when: Option<Expr>,
    /// `catch.exceptWhen`.
    pub except_when: Option<Expr>,
    /// `catch.retry`.
    pub retry: Option<Retry>,
    /// `catch.do`.
    pub handler: Option<ListId>,
    /// `catch.then`: replaces the try's own `then` after a caught error. Resolved in the try task's list.
    pub then: Option<Next>,
}

/// A retry policy (dsl.md section 5 #5 to #11).
#[derive(Debug, Clone)]
pub struct Retry {
    /// `when`.
    pub when: Option<Expr>,
    /// `exceptWhen`.
    pub except_when: Option<Expr>,
    /// `delay`: evaluates to a duration; none: at once.
    pub delay: Option<Template>,
    /// `backoff`.
    pub backoff: Backoff,
    /// `limit.attempt.count`: retries after the first run.
    pub count: Option<Template>,
    /// `limit.attempt.duration`: per attempt.
    pub attempt_duration: Option<Template>,
    /// `limit.duration`: total budget.
    pub duration: Option<Template>,
    /// `jitter.from` and `jitter.to`: evaluate to durations.
    pub jitter: Option<(Template, Template)>,
}

/// How a delay grows with the retry number n = 1, 2, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// d
    #[default]
    Constant,
    /// d * n
    Linear,
    /// d * 2^(n-1)
    Exponential,
}

/// `listen` (this release: `to.one`).
#[derive(Debug)]
pub struct Listen {
    /// Which event.
    pub filter: EventFilter,
    /// What the consumed event is read as.
    pub read: Read,
}

/// What a listen gives of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Read {
    /// Its data.
    #[default]
    Data,
    /// The whole event.
    Envelope,
    /// The data as it came, unparsed.
    Raw,
}

/// An event filter: every test must hold; a missing attribute matches nothing (dsl.md section 5 #20).
#[derive(Debug)]
pub struct EventFilter {
    /// Tests by attribute name (`data` for the payload).
    pub with: Vec<(Arc<str>, AttributeTest)>,
}

impl EventFilter {
    /// The literal `type`, if the filter states one and it is no regular expression: the key of the event index
    /// (D10).
    pub fn event_type(&self) -> Option<&str> {
        self.with.iter().find_map(|(name, test)| match test {
            AttributeTest::Text { literal, pattern: None } if &**name == "type" => Some(&**literal),
            _ => None,
        })
    }

    /// The text of `type` as written, be it a regular expression or not: what decides whether lifecycle events are
    /// meant (dsl.md section 12 "Events").
    pub fn stated_type(&self) -> Option<&str> {
        self.with.iter().find_map(|(name, test)| match test {
            AttributeTest::Text { literal, .. } if &**name == "type" => Some(&**literal),
            _ => None,
        })
    }
}

/// One test of an event filter.
#[derive(Debug)]
pub enum AttributeTest {
    /// Literal equality, else a full match as a regular expression (when the text is one).
    Text {
        /// The text as written.
        literal: Arc<str>,
        /// It, anchored and compiled; none when the text has no special character but dots, or is no regular
        /// expression.
        pattern: Option<regex::Regex>,
    },
    /// Equality with a value that is no string.
    Equal(Value),
    /// An expression over the attribute.
    Expr(Expr),
}

/// `call: http`, unevaluated. Evaluated into a [`crate::order::HttpRequest`] when the call is sent.
#[derive(Debug)]
pub struct HttpCall {
    /// Method; evaluates to text.
    pub method: Template,
    /// Endpoint URI (a URI template, an expression, or text with `${ }`).
    pub uri: Template,
    /// Authentication, resolved from `use.authentications` when named.
    pub auth: Option<Auth>,
    /// `headers`: an object.
    pub headers: Option<Template>,
    /// `query`: an object.
    pub query: Option<Template>,
    /// `body`.
    pub body: Option<Template>,
    /// `output`.
    pub output: HttpOutput,
    /// `redirect`: follow 3xx.
    pub redirect: bool,
}

/// What an HTTP call gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpOutput {
    /// The body, parsed when it is JSON.
    #[default]
    Content,
    /// `{request, statusCode, headers, content}`.
    Response,
    /// The body in base64.
    Raw,
}

/// Authentication of a call; templates evaluate when the call is sent and may read `$secrets`.
#[derive(Debug, Clone)]
pub enum Auth {
    /// User name and password.
    Basic {
        /// Evaluates to text.
        username: Template,
        /// Evaluates to text.
        password: Template,
    },
    /// A token.
    Bearer {
        /// Evaluates to text.
        token: Template,
    },
    /// `basic: {use: NAME}` or `bearer: {use: NAME}`: read from the secret NAME.
    Secret {
        /// `basic` or `bearer`.
        scheme: Arc<str>,
        /// The secret.
        secret: Arc<str>,
    },
}

/// A call of a function of `use.functions`.
#[derive(Debug)]
pub struct LocalCall {
    /// Its body.
    pub body: TaskId,
    /// The raw input of the body; absent: the caller's transformed input.
    pub with: Option<Template>,
}

/// A call of a function that is fetched.
#[derive(Debug)]
pub struct FetchedCall {
    /// Its file.
    pub need: Need,
    /// The raw input of its task; absent: the caller's transformed input.
    pub with: Option<Template>,
}

/// A call of a function manifest.
#[derive(Debug)]
pub struct FunctionCall {
    /// Function name.
    pub name: Arc<str>,
    /// Version number or alias, as written.
    pub version: Arc<str>,
    /// Its input; absent: the transformed input.
    pub with: Option<Template>,
}

/// `run.workflow`.
#[derive(Debug)]
pub struct RunWorkflow {
    /// Namespace of the child.
    pub namespace: Arc<str>,
    /// Name of the child.
    pub name: Arc<str>,
    /// Version, or `latest`.
    pub version: Arc<str>,
    /// Its input; absent: the transformed input.
    pub input: Option<Template>,
    /// Wait for its end.
    pub wait: bool,
}
