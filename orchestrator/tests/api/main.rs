//! The whole service in one process, asked over real HTTP: the sentences of the API's contract.

#![allow(clippy::unwrap_used, reason = "a test may fail at any line")]

mod definitions;
mod delivery;
mod diagnostics;
mod door;
mod events;
mod executions;
mod flow;
mod graph;
mod loops;
mod routes;
mod runs;
mod service;
mod signals;
mod spans;
mod stream;
