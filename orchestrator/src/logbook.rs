//! Reading the stored log as public history: transitions with their positions, expanded to entries.
//!
//! Owns the walk over the log, forwards for the stream and backwards for lists. Blocks on the store: call it from a
//! blocking thread. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_engine::entry::{Entry, Expander};
use tidemill_engine::history::Record;
use tidemill_engine::record::{Birth, Transition};
use tidemill_store::{ReadResult, Store};

use crate::error::Error;
use crate::rooms::Rooms;

/// Transitions read at once.
const PAGE: usize = 1000;
/// Log rows read at once when walking backwards.
const WINDOW_ROWS: usize = 2048;
/// Widest window of positions when walking backwards.
const MAX_WINDOW: u64 = 1 << 24;
/// Log rows looked at for one page, at most; the page then ends early and its token goes on from there.
const MAX_ROWS: usize = 20_000;
/// How far the clock of two transitions may disagree with their positions.
const SKEW_MS: i64 = 60_000;

/// Entries of one transition at a position, each with its stream id (D9).
pub struct Placed {
    /// `pos * 4096 + index`.
    pub key: u64,
    /// The entry.
    pub entry: Entry,
}

/// The stream id of an entry (D9).
pub fn key(pos: u64, index: u64) -> u64 {
    pos * 4096 + index
}

/// An execution's facts of birth and entries.
pub struct Book {
    /// Facts of birth.
    pub birth: Arc<Birth>,
    entries: Vec<Entry>,
}

impl Book {
    /// The entry of a sequence.
    pub fn entry(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(sequence).ok()?.checked_sub(1)?)
    }

    /// The entries of a transition of it.
    pub fn of(&self, transition: &Transition) -> &[Entry] {
        let from = transition.first.saturating_sub(1) as usize;
        let to = from + transition.count as usize;
        self.entries.get(from..to.min(self.entries.len())).unwrap_or_default()
    }
}

/// Shows every record of an execution's wanted transitions, oldest first, each with its place in its transition.
pub fn records(
    store: &dyn Store,
    id: ExecutionId,
    wanted: fn(&Transition) -> bool,
    see: &mut dyn FnMut(&Transition, usize, Record),
) -> ReadResult<()> {
    let mut sequence = 0;
    loop {
        let page = store.transitions(id, sequence, PAGE)?;
        for transition in page.iter().filter(|transition| wanted(transition)) {
            let records = tidemill_engine::decode(&transition.body).unwrap_or_default();
            records.into_iter().enumerate().for_each(|(at, record)| see(transition, at, record));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => sequence = last.first + u64::from(last.count),
            _ => return Ok(()),
        }
    }
}

fn unreadable(id: ExecutionId, error: &tidemill_engine::DecodeError) -> Error {
    Error::Unavailable(format!("read the log of {id}: {error}"))
}

/// Reads an execution's entries up to a sequence; none if there is no such execution.
pub fn read(rooms: &Rooms, id: ExecutionId, until: u64) -> Result<Option<Book>, Error> {
    let mut expander = Expander::new();
    let mut entries = Vec::new();
    let mut program = None;
    let mut birth = None;
    let (mut pos, mut next) = (0, 0);
    loop {
        let page = rooms.store.log_rows(id, pos, PAGE)?;
        let full = page.len() == PAGE;
        for (at, transition) in page {
            if program.is_none() {
                let facts = tidemill_engine::birth_of(&transition).map_err(|e| unreadable(id, &e))?;
                let found = rooms.catalog.revision(&facts.namespace, &facts.workflow, &facts.digest);
                program = found;
                birth = Some(Arc::new(facts));
            }
            let Some(program) = &program else { break };
            entries.extend(expander.feed(program, &transition).map_err(|e| unreadable(id, &e))?);
            (pos, next) = (at, transition.first + u64::from(transition.count));
        }
        if !full || program.is_none() || next > until {
            break;
        }
    }
    Ok(birth.map(|birth| Book { birth, entries }))
}

/// Books read for one answer, so that each execution is read once.
#[derive(Default)]
pub struct Shelf {
    books: HashMap<ExecutionId, Arc<Book>>,
}

impl Shelf {
    /// The book that holds a transition.
    pub fn book(&mut self, rooms: &Rooms, transition: &Transition) -> Result<Option<Arc<Book>>, Error> {
        let until = transition.first + u64::from(transition.count);
        if let Some(book) = self.books.get(&transition.execution)
            && book.entries.len() as u64 + 1 >= until
        {
            return Ok(Some(book.clone()));
        }
        let book = read(rooms, transition.execution, until)?.map(Arc::new);
        if let Some(book) = &book {
            self.books.insert(transition.execution, book.clone());
        }
        Ok(book)
    }
}

/// Where a walk backwards goes.
pub struct Walk<'a> {
    /// Of this namespace.
    pub namespace: &'a str,
    /// Only transitions with a `workflow.*` entry.
    pub lifecycle: bool,
    /// Decided at or after.
    pub since: Option<Time>,
    /// Decided before.
    pub until: Option<Time>,
    /// Keys below this.
    pub before: u64,
}

/// What a walk has found.
pub struct Found<T> {
    /// By falling key.
    pub items: Vec<(u64, T)>,
    /// Whether the walk has come to its end; else it goes on below this key.
    pub rest: Option<u64>,
}

/// Walks the log from new to old and takes what `pick` makes of the entries, until `want` are found.
pub fn backwards<T>(
    rooms: &Rooms,
    walk: &Walk<'_>,
    want: usize,
    mut pick: impl FnMut(&Birth, &Entry) -> Option<T>,
) -> Result<Found<T>, Error> {
    let floor = rooms.store.first_pos(walk.namespace)?.max(1);
    let mut shelf = Shelf::default();
    let mut items = Vec::new();
    let mut high = (walk.before / 4096).saturating_add(1).min(rooms.store.last_pos()?.saturating_add(1));
    let (mut width, mut rows) = (WINDOW_ROWS as u64, 0);
    while high >= floor && high > 1 || high > floor {
        let low = high.saturating_sub(width).max(floor);
        let page = rooms.store.stream(low.saturating_sub(1), walk.lifecycle, WINDOW_ROWS)?;
        let cut = page.len() == WINDOW_ROWS && page.last().is_some_and(|(pos, _)| pos + 1 < high);
        if cut && width > WINDOW_ROWS as u64 {
            width = (width / 2).max(WINDOW_ROWS as u64);
            continue;
        }
        rows += page.len();
        let sparse = page.len() < WINDOW_ROWS / 4;
        for (pos, transition) in page.into_iter().rev().filter(|(pos, _)| *pos < high) {
            if walk.since.is_some_and(|since| transition.time.0 < since.0 - SKEW_MS) {
                return Ok(Found { items, rest: None });
            }
            let outside = walk.since.is_some_and(|since| transition.time < since)
                || walk.until.is_some_and(|until| transition.time >= until)
                || *transition.namespace != *walk.namespace;
            if outside {
                continue;
            }
            let Some(book) = shelf.book(rooms, &transition)? else {
                continue;
            };
            for (index, entry) in book.of(&transition).iter().enumerate().rev() {
                let key = key(pos, index as u64);
                if key >= walk.before {
                    continue;
                }
                let Some(item) = pick(&book.birth, entry) else {
                    continue;
                };
                if items.len() == want {
                    return Ok(Found { rest: items.last().map(|(key, _)| *key), items });
                }
                items.push((key, item));
            }
        }
        high = low;
        if low <= floor {
            break;
        }
        if rows >= MAX_ROWS {
            return Ok(Found { items, rest: Some(key(high, 0)) });
        }
        if sparse {
            width = (width * 4).min(MAX_WINDOW);
        }
    }
    Ok(Found { items, rest: None })
}

/// The entries of an execution's transitions, with their keys, in order.
pub fn placed(book: &Book, pos: u64, transition: &Transition) -> Vec<Placed> {
    let own = book.of(transition).iter().enumerate();
    own.map(|(index, entry)| Placed { key: key(pos, index as u64), entry: entry.clone() }).collect()
}
