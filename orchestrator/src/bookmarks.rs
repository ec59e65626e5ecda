//! Where histories were read up to, so that the next page goes on from there.
//!
//! Owns a few expanders in memory: an entry may refer to earlier ones, so without a bookmark every page is expanded from
//! the first transition on. A bookmark that is gone costs time, nothing else.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tidemill_dsl::ids::ExecutionId;
use tidemill_engine::entry::Expander;

/// Bookmarks kept (limit `history-bookmarks`); the oldest goes first.
const KEPT: usize = 8;

/// A place in a history, between two transitions.
pub struct Bookmark {
    /// The execution.
    pub execution: ExecutionId,
    /// Position of the last transition before it; 0 at the beginning.
    pub pos: u64,
    /// Sequence of the first entry behind it.
    pub next: u64,
    /// Fed with every transition before it.
    pub expander: Expander,
}

impl Bookmark {
    /// The beginning.
    pub fn first(execution: ExecutionId) -> Bookmark {
        Bookmark { execution, pos: 0, next: 1, expander: Expander::new() }
    }
}

/// The bookmarks.
#[derive(Default)]
pub struct Bookmarks {
    kept: Mutex<VecDeque<Bookmark>>,
}

impl Bookmarks {
    /// The last bookmark that lies before the entry behind `after`, or the beginning. It is taken out.
    pub fn take(&self, execution: ExecutionId, after: u64) -> Bookmark {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |mark: &Bookmark| mark.execution == execution && mark.next <= after + 1;
        let all = kept.iter().enumerate().filter(|(_, mark)| usable(mark));
        let best = all.max_by_key(|(_, mark)| mark.next).map(|(index, _)| index);
        best.and_then(|index| kept.remove(index)).unwrap_or_else(|| Bookmark::first(execution))
    }

    /// Keeps a bookmark.
    pub fn put(&self, mark: Bookmark) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(mark);
    }
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::ids::Time;

    use super::*;

    #[test]
    fn the_nearest_mark_before_a_page_is_taken() {
        let marks = Bookmarks::default();
        let id = |n: i64| ExecutionId::new(Time(n), [0; 10]);
        let put = |execution, next| marks.put(Bookmark { next, pos: next, ..Bookmark::first(execution) });
        let check = |execution, after, expected: u64| assert_eq!(marks.take(execution, after).pos, expected);
        put(id(1), 100);
        put(id(1), 200);
        put(id(2), 150);
        check(id(1), 98, 0);
        check(id(1), 250, 200);
        check(id(1), 250, 100);
        check(id(1), 250, 0);
        check(id(2), 149, 150);
        (0..20).for_each(|n| put(id(3), n + 2));
        check(id(3), 12, 0);
        check(id(3), 13, 14);
    }
}
