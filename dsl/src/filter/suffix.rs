//! The `suffix` dialect: every attribute ends with its text, by bytes and case.
//!
//! Owns the test alone.

/// How the test reads.
pub(super) const VERB: &str = "ends with";

/// Whether the attribute's value passes.
pub(super) fn holds(actual: &str, text: &str) -> bool {
    actual.ends_with(text)
}
