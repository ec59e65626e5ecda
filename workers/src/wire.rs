//! One HTTP/1.1 connection, driven by the call that uses it: no task of its own, one write and one read for a small
//! exchange.
//!
//! Owns what goes over one stream. Knows no addresses, keeps no connections and judges no answers.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tidemill_dsl::order::MAX_OUTPUT;
use tokio::io::{AsyncRead, AsyncWrite};

/// A request with its body; the URI is path and query, the `Host` field is set.
pub(crate) type Ask = Request<Full<Bytes>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection ended before any of the request was written; here it is back.
    #[error("send the request: {1}")]
    Unsent(Box<Ask>, hyper::Error),
    /// The connection ended, or was no HTTP, after some of the request was written.
    #[error("get an answer: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer is larger than [`MAX_OUTPUT`].
    #[error("read the answer: it is larger than {MAX_OUTPUT} bytes (limit `task-output`)")]
    TooLarge,
}

impl WireError {
    /// Whether the partner closed the connection instead of answering, as it may with a kept one at any time.
    pub(crate) fn is_hang_up(&self) -> bool {
        let WireError::Broken(error) = self else {
            return false;
        };
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        let kinds =
            [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted, io::ErrorKind::BrokenPipe];
        error.is_incomplete_message() || source.is_some_and(|source| kinds.contains(&source.kind()))
    }
}

/// An open connection without an exchange under way.
pub(crate) struct Wire<S: AsyncRead + AsyncWrite + Unpin> {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver<S>,
}

/// An answer, read to its end, and the connection if it can be used again.
pub(crate) struct Heard<S: AsyncRead + AsyncWrite + Unpin> {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    pub(crate) wire: Option<Wire<S>>,
}

/// What moves bytes; none once the connection is over. Boxed: it is large, and handed from call to call.
struct Driver<S: AsyncRead + AsyncWrite + Unpin>(Option<Box<http1::Connection<TokioIo<S>, Full<Bytes>>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn drive(&mut self, cx: &mut Context<'_>) {
        // How it ended is told to the exchange under way.
        if self.0.as_mut().is_some_and(|connection| Pin::new(&mut **connection).poll(cx).is_ready()) {
            self.0 = None;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Speaks HTTP/1.1 over a stream that was connected just now.
    pub(crate) async fn new(stream: S) -> hyper::Result<Wire<S>> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Wire { sender, driver: Driver(Some(Box::new(connection))) })
    }

    /// Sends a request and reads the answer. Dropping the future closes the connection.
    pub(crate) async fn exchange(self, ask: Ask) -> Result<Heard<S>, WireError> {
        let Wire { mut sender, mut driver } = self;
        let asked = sender.try_send_request(ask);
        let mut hearing = pin!(async {
            let answer = asked.await.map_err(|mut error| match error.take_message() {
                Some(ask) => WireError::Unsent(Box::new(ask), error.into_error()),
                None => WireError::Broken(error.into_error()),
            })?;
            let (parts, body) = answer.into_parts();
            Ok::<_, WireError>((parts, read(body).await?))
        });
        let heard = poll_fn(|cx| {
            driver.drive(cx);
            hearing.as_mut().poll(cx)
        });
        let (parts, body) = heard.await?;
        // The end of the body is known here before the connection has taken note of it.
        let is_free = poll_fn(|cx| {
            driver.drive(cx);
            Poll::Ready(driver.0.is_some() && sender.is_ready())
        });
        let wire = is_free.await.then_some(Wire { sender, driver });
        Ok(Heard { parts, body, wire })
    }
}

async fn read(body: Incoming) -> Result<Bytes, WireError> {
    let body = Limited::new(body, MAX_OUTPUT).collect().await.map_err(|error| {
        error.downcast::<hyper::Error>().map_or(WireError::TooLarge, |error| WireError::Broken(*error))
    })?;
    Ok(body.to_bytes())
}
