//! The workflow language and the values it works on: no IO, no clock, no randomness.

pub mod duration;
pub mod expr;
pub mod fault;
pub mod schema;
pub mod value;

pub use fault::Fault;
pub use value::Value;
