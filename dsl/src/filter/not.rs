//! The `not` dialect: a filter does not pass.
//!
//! Owns its judgement.

use super::{Clause, Filter, Verdict};
use crate::event::Event;

pub(super) fn holds(filter: &Filter, event: &Event) -> bool {
    !filter.matches(event)
}

pub(super) fn explain(filter: &Filter, path: &str, event: Option<&Event>, out: &mut Vec<Clause>) -> bool {
    let at = out.len();
    out.push(Clause::new(path, "the filter does not pass", None, Verdict::Skip));
    let pass = !filter.write_clauses(path, event, out);
    if event.is_some() {
        out[at].verdict = Verdict::of(pass);
    }
    pass
}
