//! The engine: decide / apply / effects over one execution. A pure crate.
//!
//! # Contract
//! - [`decide`] takes an execution, one [`Input`] and the time, and yields records; every record is folded into the
//!   execution by [`apply`] as it is yielded, so the state after a decision *is* the fold of its history (invariant 4).
//! - A stale or repeated input yields nothing (invariant 5). A task's identity is its visit number: counted, never
//!   drawn (invariant 6). Jitter, ids of emitted events and ids of children are hashes of (execution, visit, attempt).
//! - Tasks that need nothing outside run on inside one decision up to the next point where something outside must
//!   answer; a decision yields after [`MAX_VISITS`] visits or [`MAX_BYTES`] of records ([`Decision::more`]); the driver
//!   commits and feeds [`Input::Continue`] (D6).
//! - Effects leave the process only after the decision's batch is durable. After a restart [`resume`] gives the effects
//!   of everything open again, with the same identities.
//! - What a call sends is evaluated by [`prepare`] when the call is handed out, with the secrets of the namespace; its
//!   failure is the call's outcome. Secrets never enter the execution.
//! - No IO, no clock, no randomness, no hash-ordered iteration (invariant 1).

pub mod record;
