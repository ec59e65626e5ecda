//! One exchange over the network: kept connections, judged addresses, a cap on what is read.
//!
//! Owns the HTTP clients of one outbound policy and the stack around them. Follows no redirects and knows nothing
//! of orders.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::{Client, Url};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::MAX_OUTPUT;
use tokio::sync::Semaphore;
use tower::limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer};
use tower::load_shed::LoadShed;
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::BoxFuture;
use crate::egress::{Pinned, Policy, Refusal};

/// HTTP exchanges open at one time (limit `http-calls-in-flight`); one more is refused, not queued.
pub const CALLS_IN_FLIGHT: usize = 8192;
/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const KEPT: Duration = Duration::from_mins(1);

/// A request on the wire.
#[derive(Debug)]
pub struct Exchange {
    /// Method.
    pub method: Method,
    /// URL as asked for; the policy may rewrite it.
    pub url: Url,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Option<Bytes>,
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
            .service(Transport { clients: Arc::default(), policy: policy.clone() });
        Outbound { policy, stack }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
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

/// The clients: built when first needed, since reading the system's certificates takes time.
#[derive(Default)]
struct Clients {
    /// For every port but those of own listeners.
    general: OnceLock<Result<Client, String>>,
    /// For ports that a listener of this process has.
    guarded: Mutex<Vec<(u16, Client)>>,
}

#[derive(Clone)]
struct Transport {
    clients: Arc<Clients>,
    policy: Arc<Policy>,
}

impl Transport {
    fn build(&self, port: Option<u16>) -> Result<Client, String> {
        Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEPT)
            .tcp_nodelay(true)
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Pinned { policy: self.policy.clone(), port }))
            .build()
            .map_err(|error| reason(&error))
    }

    fn client(&self, port: u16) -> Result<Client, CallError> {
        if !self.policy.has_own_port(port) {
            return self
                .clients
                .general
                .get_or_init(|| self.build(None))
                .clone()
                .map_err(CallError::NoAnswer);
        }
        let mut guarded = self.clients.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = guarded.iter().find(|(own, _)| *own == port) {
            return Ok(client.clone());
        }
        let client = self.build(Some(port)).map_err(CallError::NoAnswer)?;
        guarded.push((port, client.clone()));
        Ok(client)
    }

    async fn exchange(self, exchange: Exchange) -> Result<Answer, CallError> {
        let Exchange { method, url, mut headers, body } = exchange;
        let target = self.policy.rewritten(&url);
        let host = url.host_str().unwrap_or("");
        if target.is_some()
            && !headers.contains_key(header::HOST)
            && let Ok(host) = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")).parse()
        {
            headers.insert(header::HOST, host);
        }
        let target = target.unwrap_or(url);
        let port = target.port_or_known_default().unwrap_or(0);
        permit_literal(&self.policy, &target, port)?;
        let mut request = self.client(port)?.request(method, target).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.map_err(failure)?;
        read(answer).await
    }
}

impl Service<Exchange> for Transport {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.exchange(exchange).await.map_err(BoxError::from) })
    }
}

/// Judges a host that is an address already; names are judged when they are resolved.
fn permit_literal(policy: &Policy, url: &Url, port: u16) -> Result<(), Refusal> {
    let host = url.host_str().unwrap_or("");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_or(Ok(()), |ip| policy.permit(host, ip, Some(port)))
}

async fn read(mut answer: reqwest::Response) -> Result<Answer, CallError> {
    let status = answer.status();
    let headers = std::mem::take(answer.headers_mut());
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > MAX_OUTPUT {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body: body.freeze() })
}

fn failure(error: reqwest::Error) -> CallError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return CallError::Refused(refusal.clone());
        }
        cause = inner.source();
    }
    CallError::NoAnswer(reason(&error.without_url()))
}

/// The chain of causes, each told once.
fn reason(error: &dyn Error) -> String {
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
