//! Why the service cannot do what it was asked. One enum; the API renders it as a problem, the CLI as text.

use std::time::Duration;

use tidemill_dsl::diagnostic::Diagnostic;
use tidemill_store::{ReadError, Refusal};

/// Why a request was not carried out. Every variant has a stable code for users.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The thing does not exist (404).
    #[error("find {what} `{name}`")]
    NotFound {
        /// Kind of thing, for example `workflow`.
        what: &'static str,
        /// Its name as asked for.
        name: String,
    },
    /// The state does not allow it (409).
    #[error("{detail}")]
    Conflict {
        /// Stable code.
        code: &'static str,
        /// What is in the way.
        detail: String,
    },
    /// The request is wrong (400).
    #[error("{detail}")]
    BadRequest {
        /// Stable code.
        code: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The caller names another namespace than the path's, or the like (422).
    #[error("{detail}")]
    Unprocessable {
        /// Stable code.
        code: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A definition is refused (422), with every mistake at its place in the text as sent.
    #[error("accept the definition: {}", counted(.0))]
    Refused(Vec<Diagnostic>),
    /// An input does not meet the workflow's schema (400, the language's validation error).
    #[error("{0}")]
    Input(tidemill_dsl::fault::Fault),
    /// Overload: a buffer or a queue is full (429).
    #[error("{detail}")]
    Busy {
        /// Stable code, the limit's name.
        code: &'static str,
        /// What is full.
        detail: String,
        /// When to try again.
        after: Duration,
    },
    /// A quota of the namespace is used up: 429, or 507 where it is one of what is stored.
    #[error("{detail}")]
    Quota {
        /// Stable code, the quota's name.
        code: &'static str,
        /// What is used up.
        detail: String,
        /// When to try again.
        after: Duration,
        /// Whether it is one of what is stored.
        storage: bool,
    },
    /// The disk is full (507).
    #[error("write: the disk is full (limit disk-free)")]
    Full,
    /// Stopping or the store failed (503).
    #[error("{0}")]
    Unavailable(String),
}

impl Error {
    /// Not found.
    pub fn not_found(what: &'static str, name: impl Into<String>) -> Error {
        Error::NotFound { what, name: name.into() }
    }

    /// Bad request.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Error {
        Error::BadRequest { code, detail: detail.into() }
    }

    /// Conflict.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Error {
        Error::Conflict { code, detail: detail.into() }
    }

    /// The HTTP status it is told with.
    pub fn status(&self) -> u16 {
        match self {
            Error::NotFound { .. } => 404,
            Error::Conflict { .. } => 409,
            Error::BadRequest { .. } | Error::Input(_) => 400,
            Error::Unprocessable { .. } | Error::Refused(_) => 422,
            Error::Busy { .. } | Error::Quota { storage: false, .. } => 429,
            Error::Full | Error::Quota { storage: true, .. } => 507,
            Error::Unavailable(_) => 503,
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound { .. } => "not-found",
            Error::Conflict { code, .. }
            | Error::BadRequest { code, .. }
            | Error::Unprocessable { code, .. }
            | Error::Busy { code, .. }
            | Error::Quota { code, .. } => code,
            Error::Refused(_) => "definition-refused",
            Error::Input(_) => "input-invalid",
            Error::Full => "disk-full",
            Error::Unavailable(_) => "unavailable",
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Full => Error::Full,
            Refusal::Exists(id) => Error::conflict("exists", format!("execution {id} exists")),
            Refusal::KeyTaken { execution, .. } => Error::conflict(
                "idempotency-key",
                format!("the idempotency key is taken by execution {execution}"),
            ),
            Refusal::StaleEpoch | Refusal::Closed | Refusal::Failed(_) => {
                Error::Unavailable(refusal.to_string())
            }
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Error {
        Error::Unavailable(error.to_string())
    }
}

fn counted(found: &[Diagnostic]) -> String {
    if found.len() == 1 { "1 mistake".into() } else { format!("{} mistakes", found.len()) }
}
