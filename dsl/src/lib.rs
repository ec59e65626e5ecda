//! The foundation of Tidemill: words as types, YAML to checked definitions, rules, expressions, diagnostics.
//!
//! Pure by construction (invariant 1): no files, no sockets, no clock, no randomness, no async runtime. Equal inputs
//! give equal outputs, byte for byte.

pub mod cesql;
pub mod check;
pub mod codes;
pub mod diagnostic;
pub mod duration;
pub mod event;
pub mod expr;
pub mod fault;
pub mod filter;
pub mod ids;
pub mod manifest;
pub mod matcher;
pub mod order;
pub mod pattern;
pub mod program;
pub mod reader;
pub mod schema;
pub mod schemas;
pub mod value;
mod wildcard;
pub mod workflow;
pub mod yaml;

pub use fault::Fault;
pub use value::Value;
