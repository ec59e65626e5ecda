//! HTTP/1.1 over a unix socket with kept connections.
//!
//! Owns the connections to one socket. Judges no answers.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tidemill_dsl::order::MAX_OUTPUT;
use tokio::net::UnixStream;

/// A request with its body.
pub(crate) type Wire = Request<Full<Bytes>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The socket cannot be connected to.
    #[error("connect to its socket: {0}")]
    Connect(#[from] io::Error),
    /// The connection broke.
    #[error("get an answer: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer is larger than [`MAX_OUTPUT`].
    #[error("read the answer: it is larger than {MAX_OUTPUT} bytes (limit `task-output`)")]
    TooLarge,
}

/// The way to one socket.
#[derive(Debug)]
pub(crate) struct Line {
    socket: PathBuf,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Line {
    /// The way to the socket at this path; connects when first used.
    pub(crate) fn new(socket: PathBuf) -> Line {
        Line { socket, idle: Mutex::default() }
    }

    /// Sends a request and reads the answer. A kept connection that the program closed without a word is replaced by
    /// a new one and the request sent again: it carries its idempotency key.
    pub(crate) async fn send(&self, request: Wire) -> Result<(Parts, Bytes), WireError> {
        while let Some(mut sender) = self.kept() {
            match sender.send_request(request.clone()).await {
                Ok(answer) => return self.read(sender, answer).await,
                Err(error) if error.is_parse() => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "kept connection to an instance is gone"),
            }
        }
        let mut sender = self.connect().await?;
        let answer = sender.send_request(request).await?;
        self.read(sender, answer).await
    }

    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, WireError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to an instance ended");
            }
        });
        Ok(sender)
    }

    async fn read(
        &self,
        sender: SendRequest<Full<Bytes>>,
        answer: Response<Incoming>,
    ) -> Result<(Parts, Bytes), WireError> {
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_OUTPUT).collect().await.map_err(|error| {
            error.downcast::<hyper::Error>().map_or(WireError::TooLarge, |error| WireError::Broken(*error))
        })?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok((parts, body.to_bytes()))
    }
}
