//! HTTP/1.1 without TLS over kept connections: the short way for functions and services nearby.
//!
//! Owns the kept connections of one outbound policy, and when a request that met a dead one is sent again. What an
//! answer means is not its affair.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use tidemill_dsl::order::MAX_OUTPUT;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::target::{Plain, Target};
use super::transport::{AGENT, Answer, CONNECT, CallError, Exchange, failure};
use crate::clock::mark;
use crate::egress::{Pinned, Policy, permit_literal};
use crate::origin::IDEMPOTENCY_KEY;
use crate::wire::{Ask, Heard, Wire, WireError};

/// The plain way out of one policy.
pub(super) struct PlainClient {
    policy: Arc<Policy>,
    /// How long an unused connection is kept.
    keep_for: Duration,
    kept: Mutex<Kept>,
}

/// Connections without an exchange under way; the latest used are last.
#[derive(Default)]
struct Kept {
    idle: HashMap<Authority, Vec<(Instant, Wire<TcpStream>)>>,
    is_swept: bool,
}

impl PlainClient {
    pub(super) fn new(policy: Arc<Policy>, keep_for: Duration) -> PlainClient {
        PlainClient { policy, keep_for, kept: Mutex::default() }
    }

    /// Sends a request and reads the answer. A kept connection may be closed by the partner at any time: a request
    /// that was not written, or may be repeated and got not a word in answer, is sent again over another connection.
    pub(super) async fn exchange(self: &Arc<Self>, exchange: Exchange) -> Result<Answer, CallError> {
        let target = exchange.target.clone();
        let Some(to) = target.plain() else {
            return Err(CallError::NoAnswer("the target needs TLS".into()));
        };
        let mut ask = ask(exchange, to);
        while let Some(wire) = self.take(&to.authority) {
            let again = may_repeat(&ask).then(|| ask.clone());
            match (wire.exchange(ask).await, again) {
                (Ok(heard), _) => return self.keep(to, heard),
                (Err(WireError::Unsent(unsent, _)), _) => ask = *unsent,
                (Err(error), Some(again)) if error.is_hang_up() => ask = again,
                (Err(error), _) => return Err(error.into()),
            }
        }
        let wire = self.connect(&target, to).await?;
        self.keep(to, wire.exchange(ask).await?)
    }

    /// A new connection to a judged address.
    async fn connect(&self, target: &Target, to: &Plain) -> Result<Wire<TcpStream>, CallError> {
        let port = target.port();
        permit_literal(&self.policy, target.url(), port)?;
        let resolver = Pinned { policy: self.policy.clone(), port: Some(port), instead: None };
        let mut connector = HttpConnector::new_with_resolver(resolver);
        connector.set_nodelay(true);
        let connecting = connector.ready().await.map_err(|error| failure(&error))?.call(to.uri.clone());
        let stream = tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| CallError::NoAnswer(format!("no connection within {} ms", CONNECT.as_millis())))?;
        let stream = stream.map_err(|error| failure(&error))?.into_inner();
        Ok(Wire::new(stream).await.map_err(WireError::from)?)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, authority: &Authority) -> Option<Wire<TcpStream>> {
        self.lock().idle.get_mut(authority)?.pop().map(|(_, wire)| wire)
    }

    fn keep(self: &Arc<Self>, to: &Plain, heard: Heard<TcpStream>) -> Result<Answer, CallError> {
        let Heard { parts, body, wire } = heard;
        if let Some(wire) = wire {
            let mut kept = self.lock();
            match kept.idle.get_mut(&to.authority) {
                Some(idle) => idle.push((mark(), wire)),
                None => drop(kept.idle.insert(to.authority.clone(), vec![(mark(), wire)])),
            }
            if !std::mem::replace(&mut kept.is_swept, true) {
                tokio::spawn(sweep(Arc::downgrade(self), self.keep_for));
            }
        }
        unpacked(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// Closes what was not used for so long; ends with the last connection.
async fn sweep(client: Weak<PlainClient>, keep_for: Duration) {
    loop {
        tokio::time::sleep(keep_for / 2).await;
        let Some(client) = client.upgrade() else { return };
        let mut kept = client.lock();
        let is_fresh = |since: Instant| since.elapsed() < keep_for;
        kept.idle.retain(|_, idle| {
            idle.retain(|(since, _)| is_fresh(*since));
            !idle.is_empty()
        });
        if kept.idle.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}

/// The request as it is sent. No compressed answer is asked for.
fn ask(exchange: Exchange, to: &Plain) -> Ask {
    let Exchange { method, target, headers, body, tls: _ } = exchange;
    let mut ask = Request::new(Full::new(body.unwrap_or_default()));
    *ask.method_mut() = method;
    *ask.uri_mut() = to.path.clone().into();
    *ask.headers_mut() = headers;
    let fields = ask.headers_mut();
    for (name, value) in [
        (header::HOST, target.host().clone()),
        (header::USER_AGENT, HeaderValue::from_static(AGENT)),
        (header::ACCEPT, HeaderValue::from_static("*/*")),
    ] {
        fields.entry(name).or_insert(value);
    }
    ask
}

/// Whether the partner may get the request twice (RFC 9110, section 9.2.2).
fn may_repeat(ask: &Ask) -> bool {
    const REPEATABLE: [Method; 6] =
        [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE];
    ask.headers().contains_key(IDEMPOTENCY_KEY) || REPEATABLE.contains(ask.method())
}

/// Unpacks a body that was compressed unasked, or because the caller's own header fields ask for it.
fn unpacked(mut answer: Answer) -> Result<Answer, CallError> {
    let is_gzip = |headers: &HeaderMap| {
        headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"gzip"))
    };
    if answer.body.is_empty() || !is_gzip(&answer.headers) {
        return Ok(answer);
    }
    let mut body = Vec::new();
    let unpacking = flate2::read::MultiGzDecoder::new(&*answer.body).take(MAX_OUTPUT as u64 + 1);
    { unpacking }
        .read_to_end(&mut body)
        .map_err(|error| CallError::NoAnswer(format!("bad gzip: {error}")))?;
    if body.len() > MAX_OUTPUT {
        return Err(CallError::TooLarge);
    }
    answer.headers.remove(header::CONTENT_ENCODING);
    answer.headers.remove(header::CONTENT_LENGTH);
    answer.body = Bytes::from(body);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn unused_connections_are_closed() {
        let policy = Arc::new(Policy { allow_loopback: true, ..Policy::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let partner = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut chunk = [0; 4096];
            assert_ne!(stream.read(&mut chunk).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            assert_eq!(stream.read(&mut chunk).await.unwrap(), 0);
        };
        let client = Arc::new(PlainClient::new(policy.clone(), Duration::from_millis(1)));
        let target = Target::read(&policy, &url).unwrap();
        let exchange =
            Exchange { method: Method::GET, target, headers: HeaderMap::new(), body: None, tls: None };
        let both = async { tokio::join!(partner, client.exchange(exchange)).1 };
        let answer = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        assert_eq!(answer.unwrap().status.as_u16(), 204);
        assert!(client.lock().idle.is_empty());
    }
}
