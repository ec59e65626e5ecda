//! One exchange over the network: kept connections, judged addresses, a cap on what is read.
//!
//! Owns the stack around the two ways out of one outbound policy: without TLS (`plain`) and the general client. Follows
//! no redirects and knows nothing of orders.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::MAX_OUTPUT;
use tokio::sync::Semaphore;
use tower::limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer};
use tower::load_shed::LoadShed;
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use super::general::{ClientTls, GeneralClient};
use super::plain::PlainClient;
use super::target::Target;
use crate::BoxFuture;
use crate::egress::{Policy, Refusal};
use crate::wire::WireError;

/// HTTP exchanges open at one time (limit `http-calls-in-flight`); one more is refused, not queued.
pub const CALLS_IN_FLIGHT: usize = 8192;
/// How long a connection may take to be there.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
pub(super) const KEPT: Duration = Duration::from_mins(1);
/// The `User-Agent` of requests that name none.
pub(super) const AGENT: &str = concat!("tidemill/", env!("CARGO_PKG_VERSION"));

/// A request on the wire.
#[derive(Debug)]
pub struct Exchange {
    /// Method.
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Option<Bytes>,
    /// Own authorities and certificate; none: the well-known authorities.
    pub tls: Option<Arc<ClientTls>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body, decompressed, at most [`MAX_OUTPUT`] bytes.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The outbound policy refuses the address.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The certificates of a connection cannot be used.
    #[error("use `tls` of the connection: {0}")]
    Certificates(String),
    /// The answer is larger than [`MAX_OUTPUT`].
    #[error("read the answer: it is larger than {MAX_OUTPUT} bytes (limit `task-output`)")]
    TooLarge,
    /// Too many exchanges are open.
    #[error("send the request: as many are open as may be (limit `http-calls-in-flight`)")]
    Overloaded,
    /// The network or the partner failed.
    #[error("get an answer: {0}")]
    NoAnswer(String),
}

impl CallError {
    /// The fault of a call that got no answer.
    pub fn fault(&self, whom: &str) -> Fault {
        match self {
            CallError::Refused(refusal) => Fault::authorization(format!("cannot {refusal}")),
            CallError::Certificates(_) => Fault::authorization(format!("{whom}: cannot {self}")),
            CallError::TooLarge => Fault::runtime(format!("{whom}: cannot {self}")),
            CallError::Overloaded => Fault::communication(503, format!("{whom}: cannot {self}")),
            CallError::NoAnswer(_) => Fault::communication(500, format!("{whom}: cannot {self}")),
        }
    }
}

/// The outbound side for one policy. Cheap to clone; clones share connections and limits.
#[derive(Clone)]
pub struct Outbound {
    policy: Arc<Policy>,
    stack: LoadShed<ConcurrencyLimit<Transport>>,
}

impl Outbound {
    /// The outbound side for `policy`; `open` has as many permits as exchanges may be open at one time, over all
    /// policies that share it.
    pub fn new(policy: Policy, open: Arc<Semaphore>) -> Outbound {
        let policy = Arc::new(policy);
        let stack = ServiceBuilder::new()
            .load_shed()
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(open))
            .service(Transport {
                plain: Arc::new(PlainClient::new(policy.clone(), KEPT)),
                general: Arc::new(GeneralClient::new(policy.clone())),
            });
        Outbound { policy, stack }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Reads a URL as asked for.
    pub fn target(&self, text: &str) -> Result<Target, Refusal> {
        Target::read(&self.policy, text)
    }

    /// Sends one request and reads the answer.
    pub async fn send(&self, exchange: Exchange) -> Result<Answer, CallError> {
        self.stack.clone().oneshot(exchange).await.map_err(|error| match error.downcast::<CallError>() {
            Ok(error) => *error,
            Err(error) if error.is::<Overloaded>() => CallError::Overloaded,
            Err(error) => CallError::NoAnswer(error.to_string()),
        })
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The two ways out. Cheap to clone.
#[derive(Clone)]
struct Transport {
    plain: Arc<PlainClient>,
    general: Arc<GeneralClient>,
}

impl Service<Exchange> for Transport {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        if exchange.target.plain().is_some() {
            let plain = self.plain.clone();
            return Box::pin(async move { plain.exchange(exchange).await.map_err(BoxError::from) });
        }
        let general = self.general.clone();
        Box::pin(async move { general.exchange(exchange).await.map_err(BoxError::from) })
    }
}

impl From<WireError> for CallError {
    fn from(error: WireError) -> CallError {
        match error {
            WireError::TooLarge => CallError::TooLarge,
            WireError::Unsent(_, error) | WireError::Broken(error) => CallError::NoAnswer(reason(&error)),
        }
    }
}

/// What went wrong below: a refusal of the policy somewhere in the chain of causes, or the chain as text.
pub(super) fn failure(error: &(dyn Error + 'static)) -> CallError {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return CallError::Refused(refusal.clone());
        }
        cause = inner.source();
    }
    CallError::NoAnswer(reason(error))
}

/// The chain of causes, each told once.
pub(super) fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}
