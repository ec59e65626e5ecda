//! `If-Match`: a write that goes through only on what its caller has seen.

use crate::error::Error;

/// What the current definition must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// There must be one.
    Any,
    /// It must have one of these digests; an ETag that was never given is none of them.
    OneOf(Vec<[u8; 32]>),
}

impl Match {
    /// Whether the condition, if there is one, holds for the current definition's digest.
    pub fn check(wanted: Option<&Match>, current: Option<[u8; 32]>) -> Result<(), Error> {
        let holds = match (wanted, current) {
            (None, _) | (Some(Match::Any), Some(_)) => true,
            (Some(Match::OneOf(digests)), Some(current)) => digests.contains(&current),
            (Some(_), None) => false,
        };
        if holds {
            return Ok(());
        }
        Err(Error::conflict("etag", "the definition has changed since it was read (If-Match)"))
    }
}
