//! A trigger as the catalog holds it: its manifest, ready to fire.

use std::sync::Arc;

use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::manifest::{self, Overlap, RetryPolicy, Target};
use tidemill_dsl::program::Program;

/// A trigger, ready to fire.
#[derive(Debug)]
pub struct TriggerEntry {
    /// Name.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Namespace,
    /// The manifest's spec.
    pub spec: manifest::Trigger,
    /// Rises with each change.
    pub generation: u64,
    /// Paused by an operator, or being deleted.
    pub paused: bool,
    /// When its definition was written.
    pub at: Time,
    /// The one-task workflow a function or sink is lowered to.
    pub lowered: Option<Arc<Program>>,
    /// The same for the target of its dead letters.
    pub lowered_repair: Option<Arc<Program>>,
}

impl TriggerEntry {
    /// Whether its deliveries are stored in a buffer: it states one, retries of its own, or an overlap other than
    /// `allow`.
    pub fn buffered(&self) -> bool {
        self.spec.buffer.is_some() || self.retries().is_some() || self.spec.overlap != Overlap::Allow
    }

    /// How many of its executions may be open; one with an overlap other than `allow`, unless an order key says it per
    /// key.
    pub fn concurrency(&self) -> Option<usize> {
        let buffer = self.spec.buffer.as_ref();
        let stated = buffer.and_then(|b| b.concurrency).map(|n| n as usize);
        let keyed = buffer.is_some_and(|b| b.order_by.is_some());
        if self.spec.overlap != Overlap::Allow && !keyed { Some(1) } else { stated }
    }

    /// Whether a delivery that failed for good holds its order key. Where later events skip or replace, it does not.
    pub fn parks(&self) -> bool {
        matches!(self.spec.overlap, Overlap::Allow | Overlap::Queue)
    }

    /// Retries of deliveries. Those of a function or sink are its lowered workflow's.
    pub fn retries(&self) -> Option<&RetryPolicy> {
        match self.spec.target {
            Target::Workflow { .. } => self.spec.retry.as_ref(),
            Target::Function { .. } | Target::Sink(_) => None,
        }
    }
}
