//! The `exact` dialect: every attribute equals its text, by bytes and case.
//!
//! Owns the test alone.

/// How the test reads.
pub(super) const VERB: &str = "equals";

/// Whether the attribute's value passes.
pub(super) fn holds(actual: &str, text: &str) -> bool {
    actual == text
}
