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

/// The stack a thread is taken to have until it says otherwise, in bytes.
pub const DEFAULT_STACK: usize = 8 << 20;

/// What stays free of the stack of a thread, in bytes.
const STACK_RESERVE: usize = 512 << 10;

/// The stack one guarded call takes, in KiB: see [`call_weight`]. Measured with programs of every
/// form, and rounded up.
const CALL_KIB: u32 = if cfg!(debug_assertions) { 20 } else { 4 };

/// The stack one level of terms takes, in KiB, as [`CALL_KIB`].
const TERM_KIB: u32 = if cfg!(debug_assertions) { 8 } else { 2 };

/// The levels of terms that a call of a function of the prelude counts for.
pub(super) const PRELUDE_LEVELS: usize = 6;

/// How deep a value may grow inside an evaluation before its true depth is measured.
pub(super) const MAX_BOUND: u16 = 512;

/// The longest path through null and slices; elsewhere the depth of values bounds paths.
pub(super) const MAX_STEPS: u16 = 10_000;

/// A limit that an evaluation broke. It cannot be caught by the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Fuel,
    Memory,
    Recursion,
    Nesting,
    Path,
}

impl Limit {
    pub(super) fn message(self) -> String {
        match self {
            Limit::Fuel => format!("takes more than {MAX_FUEL} steps (expression fuel)"),
            Limit::Memory => format!("builds more than {} MiB (expression memory)", MAX_MEMORY >> 20),
            Limit::Recursion => "recurses too deeply (expression recursion)".to_owned(),
            Limit::Path => format!("follows a path of more than {MAX_STEPS} steps (expression path)"),
            Limit::Nesting => format!("builds a value nested deeper than {MAX_DEPTH} (JSON depth)"),
        }
    }
}

thread_local! {
    static FULL: Cell<u32> = const { Cell::new(MAX_FUEL) };
    static FUEL: Cell<u32> = const { Cell::new(MAX_FUEL) };
    static MEMORY: Cell<usize> = const { Cell::new(MAX_MEMORY) };
    static RECURSION: Cell<u32> = const { Cell::new(0) };
    static STACK: Cell<u32> = const { Cell::new(stack_kib(DEFAULT_STACK)) };
    static BROKEN: Cell<Option<Limit>> = const { Cell::new(None) };
}

const fn stack_kib(bytes: usize) -> u32 {
    (bytes.saturating_sub(STACK_RESERVE) >> 10) as u32
}

/// Tells evaluations on this thread how large its stack is, in bytes. It bounds recursion; threads
/// that never say are taken to have [`DEFAULT_STACK`].
pub fn set_stack_size(bytes: usize) {
    STACK.set(stack_kib(bytes));
}

/// The stack, in KiB, of a guarded call that stands `levels` deep in its definition.
pub(super) fn call_weight(levels: usize) -> u32 {
    CALL_KIB + TERM_KIB * levels as u32
}

/// Runs one evaluation with full counters; tells the limit it broke. `levels` is the depth of the
/// program's terms.
pub(super) fn within<T>(levels: usize, evaluate: impl FnOnce() -> T) -> Result<T, Limit> {
    FUEL.set(FULL.get());
    MEMORY.set(MAX_MEMORY);
    // The program itself and the last definition it is in may be that deep.
    RECURSION.set(2 * TERM_KIB * levels as u32);
    BROKEN.set(None);
    let result = evaluate();
    BROKEN.get().map_or(Ok(result), Err)
}

/// Gives evaluations on this thread less fuel: tests that use all of it are slow without optimization.
#[cfg(test)]
pub(super) fn set_fuel(steps: u32) {
    FULL.set(steps);
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
    if let Some(left) = MEMORY.get().checked_sub(bytes) {
        MEMORY.set(left);
        step(bytes / 256)
    } else {
        break_off(Limit::Memory);
        false
    }
}

/// The bytes that may still be built.
pub(super) fn memory_left() -> usize {
    MEMORY.get()
}

/// Goes `weight` deeper for the time of `f`; `None` when that is too deep.
pub(super) fn deeper<T>(weight: u32, f: impl FnOnce() -> T) -> Option<T> {
    let depth = RECURSION.get();
    if depth + weight > STACK.get() {
        break_off(Limit::Recursion);
        return None;
    }
    RECURSION.set(depth + weight);
    let result = f();
    RECURSION.set(depth);
    Some(result)
}
