//! The `prefix` dialect: every attribute begins with its text, by bytes and case.
//!
//! Owns the test alone.

/// How the test reads.
pub(super) const VERB: &str = "begins with";

/// Whether the attribute's value passes.
pub(super) fn holds(actual: &str, text: &str) -> bool {
    actual.starts_with(text)
}
