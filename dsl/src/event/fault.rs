//! Why something is no CloudEvent: the one error of reading events, over every transport.
//!
//! Owns its kinds and text. It may not decide an HTTP status or what becomes of a poison record.

use std::fmt;

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a CloudEvent, or one that breaks the specification (HTTP 400).
    Invalid,
    /// A content type that names neither a CloudEvent nor a format that is read (HTTP 415).
    Unsupported,
    /// Larger than a limit (HTTP 413).
    TooLarge,
}

/// Why an event, or a whole batch for its sake, was refused. Displays as a fragment that reads after "cannot".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventError {
    /// What kind of refusal.
    pub refusal: Refusal,
    /// Position in the batch, from 0; none outside batches.
    pub index: Option<usize>,
    /// The attribute at fault, if one is.
    pub attribute: Option<String>,
    /// What is wrong: a fragment in lower case.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "read event {index} of the batch: {}", self.message),
            None => write!(f, "read the event: {}", self.message),
        }
    }
}

impl std::error::Error for EventError {}

impl EventError {
    pub(super) fn new(refusal: Refusal, message: impl Into<String>) -> EventError {
        EventError { refusal, index: None, attribute: None, message: message.into(), help: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> EventError {
        EventError::new(Refusal::Invalid, message)
    }

    pub(super) fn attribute(name: &str, what: &str) -> EventError {
        EventError {
            attribute: Some(name.into()),
            ..EventError::invalid(format!("attribute `{name}` {what}"))
        }
    }

    pub(super) fn too_large(limit: &str, most: usize, unit: &str) -> EventError {
        EventError::new(Refusal::TooLarge, format!("it is larger than the limit `{limit}` of {most} {unit}"))
    }

    pub(super) fn help(self, help: impl Into<String>) -> EventError {
        EventError { help: Some(help.into()), ..self }
    }

    pub(super) fn in_batch(self, index: usize) -> EventError {
        EventError { index: Some(index), ..self }
    }
}
