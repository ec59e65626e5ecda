//! Where randomness enters: ids of executions started by hand and of events without one.

use rand::RngCore;
use tidemill_dsl::ids::{ExecutionId, Time};

/// A fresh execution id: its instant and 80 random bits (D7).
pub fn execution(at: Time) -> ExecutionId {
    let mut tail = [0; 10];
    rand::rng().fill_bytes(&mut tail);
    ExecutionId::new(at, tail)
}

/// A fresh id for something that has none of its own (a wrapped HTTP request, a trace).
pub fn fresh(at: Time) -> String {
    execution(at).to_string()
}

/// A fraction in [0, 1) for jitter of reconnects; never for anything stored.
pub fn fraction() -> f64 {
    f64::from(rand::rng().next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// Fresh key material.
pub fn key() -> [u8; 32] {
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    key
}
