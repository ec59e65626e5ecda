//! The `all` dialect: every filter of a list passes.
//!
//! Owns its judgement; an empty list is refused before it comes here.

use super::{Clause, Filter, Verdict};
use crate::event::Event;

pub(super) fn holds(filters: &[Filter], event: &Event) -> bool {
    filters.iter().all(|filter| filter.matches(event))
}

/// Judges every filter, also behind one that fails: an author wants to see all that is missing.
pub(super) fn explain(filters: &[Filter], path: &str, event: Option<&Event>, out: &mut Vec<Clause>) -> bool {
    let at = out.len();
    out.push(Clause::new(path, "every filter passes", None, Verdict::Skip));
    let mut pass = true;
    for (index, filter) in filters.iter().enumerate() {
        pass &= filter.write_clauses(&format!("{path}/{index}"), event, out);
    }
    if event.is_some() {
        out[at].verdict = Verdict::of(pass);
    }
    pass
}
