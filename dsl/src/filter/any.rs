//! The `any` dialect: at least one filter of a list passes.
//!
//! Owns its judgement; an empty list is refused before it comes here.

use std::sync::Arc;

use super::{Clause, Filter, Verdict};
use crate::event::Event;

pub(super) fn holds(filters: &[Filter], event: &Event) -> bool {
    filters.iter().any(|filter| filter.matches(event))
}

/// Judges filters up to the first that passes; the others are skipped.
pub(super) fn explain(filters: &[Filter], path: &str, event: Option<&Event>, out: &mut Vec<Clause>) -> bool {
    let at = out.len();
    out.push(Clause::new(path, "at least one filter passes", None, Verdict::Skip));
    let mut pass = false;
    for (index, filter) in filters.iter().enumerate() {
        pass |= filter.write_clauses(&format!("{path}/{index}"), event.filter(|_| !pass), out);
    }
    if event.is_some() {
        out[at].verdict = Verdict::of(pass);
    }
    pass
}

/// The values an attribute must have one of, when every branch says some.
pub(super) fn pins(filters: &[Filter], attribute: &str) -> Option<Vec<Arc<str>>> {
    let mut values =
        filters.iter().map(|filter| filter.pins(attribute)).collect::<Option<Vec<_>>>()?.concat();
    values.sort_unstable();
    values.dedup();
    Some(values)
}
