//! The machine from outside: a definition and scripted inputs give a history and an output.
//!
//! After every decision the harness checks all invariants of the run: the fold of the log equals the state, a snapshot
//! gives it back, timers and subscriptions balance.

mod harness;

mod codec;
mod control;
mod data;
mod errors;
mod events;
mod extensions;
mod fetching;
mod flow;
mod forks;
mod limits;
mod nested;
mod orders;
mod random;
mod retries;
mod signals;
mod timeouts;
