//! The way to one unix socket, with kept connections.
//!
//! Owns the connections to one instance. Judges no answers.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::response::Parts;
use tokio::net::UnixStream;

use crate::wire::{Ask, Heard, Wire, WireError};

/// Why an instance gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The socket cannot be connected to.
    #[error("connect to its socket: {0}")]
    Connect(#[from] io::Error),
    /// The exchange failed.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// The way to one socket.
pub(crate) struct Line {
    socket: PathBuf,
    idle: Mutex<Vec<Wire<UnixStream>>>,
}

impl Line {
    /// The way to the socket at this path; connects when first used.
    pub(crate) fn new(socket: PathBuf) -> Line {
        Line { socket, idle: Mutex::default() }
    }

    /// Sends a request and reads the answer. A kept connection that the program closed without a word is replaced by
    /// a new one and the request sent again: it carries its idempotency key.
    pub(crate) async fn send(&self, mut ask: Ask) -> Result<(Parts, Bytes), LineError> {
        while let Some(wire) = self.kept() {
            let again = ask.clone();
            match wire.exchange(ask).await {
                Ok(heard) => return Ok(self.keep(heard)),
                Err(WireError::Unsent(unsent, _)) => ask = *unsent,
                Err(error) if error.is_hang_up() => ask = again,
                Err(error) => return Err(error.into()),
            }
        }
        let stream = UnixStream::connect(&self.socket).await?;
        let wire = Wire::new(stream).await.map_err(WireError::from)?;
        Ok(self.keep(wire.exchange(ask).await?))
    }

    fn kept(&self) -> Option<Wire<UnixStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, heard: Heard<UnixStream>) -> (Parts, Bytes) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(heard.wire);
        (heard.parts, heard.body)
    }
}
