//! The harness: starts the real binary, speaks HTTP to it, kills it, reads its counters.
//!
//! Knows the product from outside only: the binary, its flags, its API.

pub mod bench;
pub mod conformance;
pub mod http;
pub mod probe;
pub mod server;
pub mod simulation;
