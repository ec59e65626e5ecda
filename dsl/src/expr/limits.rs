//! What one evaluation may use: fuel, memory, recursion and nesting (security, 5b).
//!
//! Owns the counters, which live in the evaluating thread. Nothing here looks at a clock, so an
//! evaluation uses the same amounts everywhere.

use std::cell::Cell;

use crate::value::MAX_DEPTH;

/// The steps one evaluation may take.
pub const MAX_FUEL: u32 = 1_000_000;

/// The bytes one evaluation may build, counted as they are built (about JSON bytes).
pub const MAX_MEMORY: usize = 16 << 20;

/// The bytes of JSON all results of one evaluation may have.
pub const MAX_RESULT: usize = 1 << 20;

/// The depth of recursion, in guarded calls.
pub(super) const MAX_RECURSION: u32 = 1200;

/// How deep a value may grow inside an evaluation before its true depth is measured.
pub(super) const MAX_BOUND: u16 = 512;

/// A limit that an evaluation broke. It cannot be caught by the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Fuel,
    Memory,
    Recursion,
    Nesting,
}

impl Limit {
    pub(super) fn message(self) -> String {
        match self {
            Limit::Fuel => format!("takes more than {MAX_FUEL} steps (expression fuel)"),
            Limit::Memory => format!("builds more than {} MiB (expression memory)", MAX_MEMORY >> 20),
            Limit::Recursion => "recurses too deeply (expression recursion)".to_owned(),
            Limit::Nesting => format!("builds a value nested deeper than {MAX_DEPTH} (JSON depth)"),
        }
    }
}

thread_local! {
    static FUEL: Cell<u32> = const { Cell::new(MAX_FUEL) };
    static MEMORY: Cell<usize> = const { Cell::new(MAX_MEMORY) };
    static RECURSION: Cell<u32> = const { Cell::new(0) };
    static BROKEN: Cell<Option<Limit>> = const { Cell::new(None) };
}

/// Runs one evaluation with full counters; tells the limit it broke.
pub(super) fn within<T>(evaluate: impl FnOnce() -> T) -> Result<T, Limit> {
    FUEL.set(MAX_FUEL);
    MEMORY.set(MAX_MEMORY);
    RECURSION.set(0);
    BROKEN.set(None);
    let result = evaluate();
    BROKEN.get().map_or(Ok(result), Err)
}

/// Marks a limit as broken; from now on every step fails.
pub(super) fn break_off(limit: Limit) {
    if BROKEN.get().is_none() {
        BROKEN.set(Some(limit));
    }
    FUEL.set(0);
}

/// Uses `steps` of fuel; false when there is not enough left, or a limit is already broken.
pub(super) fn step(steps: usize) -> bool {
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    match FUEL.get().checked_sub(steps) {
        Some(left) if left > 0 => {
            FUEL.set(left);
            true
        }
        _ => {
            break_off(Limit::Fuel);
            false
        }
    }
}

/// Counts `bytes` about to be built, and the steps that takes; false when they are too many.
pub(super) fn build(bytes: usize) -> bool {
    match MEMORY.get().checked_sub(bytes) {
        Some(left) => {
            MEMORY.set(left);
            step(bytes / 256)
        }
        None => {
            break_off(Limit::Memory);
            false
        }
    }
}

/// Goes `weight` deeper for the time of `f`; `None` when that is too deep.
pub(super) fn deeper<T>(weight: u32, f: impl FnOnce() -> T) -> Option<T> {
    let depth = RECURSION.get();
    if depth + weight > MAX_RECURSION {
        break_off(Limit::Recursion);
        return None;
    }
    RECURSION.set(depth + weight);
    let result = f();
    RECURSION.set(depth);
    Some(result)
}
