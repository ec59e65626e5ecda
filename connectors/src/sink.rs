//! Sinks: where events are sent, one file for each kind.
//!
//! Owns what an error of a sink tells. Tries nothing again: that is the business of who sends.

pub mod kafka;

use std::sync::Arc;

/// Why an event was not taken, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("send the event: {message}")]
pub struct SinkError {
    /// Stable code, for example `kafka-auth`.
    pub code: Arc<str>,
    /// What happened.
    pub message: String,
    /// What to do.
    pub help: String,
    /// As HTTP would say it: 400, 401, 403, 404, 413 and 422 cannot be mended by trying again.
    pub status: u16,
}
