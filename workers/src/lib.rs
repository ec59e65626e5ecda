//! Workers: everything that performs a call: HTTP requests, processes, builtins.
//!
//! A worker takes an order, calls, and answers with an outcome. Knows no histories and no stores.

use std::future::Future;
use std::pin::Pin;

use tidemill_dsl::order::{Order, Outcome};
use tokio_util::sync::CancellationToken;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that can be called.
pub trait Function: Send + Sync + 'static {
    /// Performs one call. Cancelling `stop` cuts it off (a process group is killed, a request dropped); the outcome is
    /// then of no interest. Always answers: a panic or a lost process is a failed outcome.
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome>;
}
