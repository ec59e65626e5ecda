//! Workers: everything that performs a call: HTTP requests, processes, builtins.
//!
//! A worker takes an order, calls, and answers with an outcome. Knows no histories and no stores.

pub mod admission;
pub mod builtin;
mod clock;
mod costs;
pub mod egress;
pub mod http;
mod origin;
pub mod pool;
pub mod process;
pub mod registry;
pub mod secret;
#[cfg(test)]
mod testing;
mod wire;

use std::future::Future;
use std::pin::Pin;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{Call, Order, Outcome};
use tidemill_dsl::value::Value;
use tokio_util::sync::CancellationToken;

pub use clock::Clock;
pub use origin::traceparent;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that can be called.
pub trait Function: Send + Sync + 'static {
    /// Performs one call. Cancelling `stop` cuts it off (a process group is killed, a request dropped); the outcome is
    /// then of no interest. Dropping the future does the same. Always answers: a panic or a lost process is a failed
    /// outcome.
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome>;
}

/// A call that ends when `stop` is cancelled; dropping the call must stop what it started.
pub(crate) async fn cut_off(stop: CancellationToken, call: impl Future<Output = Outcome>) -> Outcome {
    tokio::select! {
        biased;
        () = stop.cancelled() => Outcome::Failed(Fault::runtime("the call was cut off")),
        outcome = call => outcome,
    }
}

/// The input of a function's order.
pub(crate) fn input_of(order: &Order) -> Result<&Value, Fault> {
    match &order.what {
        Call::Function { input, .. } => Ok(input),
        Call::Http(_) | Call::Process(_) => {
            Err(Fault::runtime("another kind of call was handed to a function"))
        }
    }
}
