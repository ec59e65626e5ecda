//! Which addresses may be called: the outbound rule of security.md, section 5a.
//!
//! Owns the judgement of addresses, the allow-list, the rewrite of hosts and the resolver that pins what was judged.
//! Sends nothing. The rewrite comes first; what it leads to is judged like anything else.

mod address;
mod policy;
mod resolve;

pub use address::{Verdict, judge};
pub use policy::{Allow, BadAllow, Policy, Refusal};
pub(crate) use resolve::{Pinned, permit_literal};
