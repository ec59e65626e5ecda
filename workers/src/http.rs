//! HTTP: the requests of `call: http` and functions of kind `http`.
//!
//! Owns requests, redirects and answers. Which addresses may be called is judged in [`crate::egress`]; deadlines are
//! kept by the registry, which drops a call that takes too long.

mod access;
mod answer;
mod function;
mod general;
mod plain;
mod request;
pub(crate) mod sink;
mod target;
mod transport;

pub use answer::{Body, excerpt};
pub(crate) use answer::{output_of, protocol};
pub use function::{Auth, HttpFunction};
pub use general::ClientTls;
pub use request::{MAX_REDIRECTS, perform};
pub use target::Target;
pub use transport::{Answer, CALLS_IN_FLIGHT, CallError, Exchange, Outbound};
