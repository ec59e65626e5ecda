//! One instance of a resident function: a process group, its socket, and what is known of it.
//!
//! Owns start, readiness and the end of one process. How many there are is decided in `resident`.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tempfile::TempDir;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Time;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

use super::ProcessConfig;
use super::capture::Captured;
use super::group::Group;
use super::wire::Line;

/// Longest pause between two questions whether an instance is ready.
const ASK: Duration = Duration::from_millis(10);
/// What is kept of an instance's outputs for errors, in bytes.
const LAST_WORDS: usize = 4096;

/// The states of an instance (workers.md, "Lifecycle and scaling of processes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// Started, not ready yet, or waiting for the pause after a crash to end.
    Starting,
    /// Ready, never called so far.
    Ready,
    /// Calls are in flight.
    Busy,
    /// No call is in flight.
    Idle,
    /// Takes no more calls and is about to end.
    Draining,
    /// Ended.
    Stopped,
}

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Number of the instance within its function version, from 1.
    pub id: u64,
    /// Its state.
    pub state: InstanceState,
    /// Process id, once started.
    pub pid: Option<u32>,
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls answered.
    pub calls: u64,
    /// When it was started.
    pub started_at: Option<Time>,
    /// How it ended, or why it does not start.
    pub detail: Option<String>,
}

/// A started instance.
pub(super) struct Instance {
    pub(super) id: u64,
    pub(super) line: Line,
    pub(super) pid: Option<u32>,
    /// Cancelled when the process has ended.
    pub(super) gone: CancellationToken,
    /// Cancelled to end it.
    pub(super) retire: CancellationToken,
    pub(super) calls: AtomicU64,
    pub(super) started_at: Time,
    ended: OnceLock<String>,
    words: Arc<Mutex<Captured>>,
}

/// The process of an instance. Dropping it kills the group and removes the socket's folder.
pub(super) struct Running {
    pub(super) group: Group,
    /// Open as long as the server lives: its end tells the program to go.
    _stdin: Option<ChildStdin>,
    _folder: TempDir,
}

impl Instance {
    /// Starts the program with a socket in a private folder.
    pub(super) fn start(
        id: u64,
        config: &ProcessConfig,
        namespace: &str,
        now: Time,
    ) -> Result<(Arc<Instance>, Running), Fault> {
        let folder = tempfile::Builder::new().prefix("tidemill-").tempdir();
        let folder =
            folder.map_err(|error| Fault::runtime(format!("cannot make a folder for a socket: {error}")))?;
        let socket: PathBuf = folder.path().join("socket");
        let mut command = config.command(namespace)?;
        command.env("TIDEMILL_SOCKET", &socket);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = config.start(&mut command)?;
        let words: Arc<Mutex<Captured>> = Arc::default();
        let child = &mut group.child;
        if let Some(from) = child.stdout.take() {
            tokio::spawn(follow(from, "stdout", config.name().to_owned(), words.clone()));
        }
        if let Some(from) = child.stderr.take() {
            tokio::spawn(follow(from, "stderr", config.name().to_owned(), words.clone()));
        }
        let stdin = child.stdin.take();
        let instance = Instance {
            id,
            line: Line::new(socket),
            pid: group.id(),
            gone: CancellationToken::new(),
            retire: CancellationToken::new(),
            calls: AtomicU64::new(0),
            started_at: now,
            ended: OnceLock::new(),
            words,
        };
        Ok((Arc::new(instance), Running { group, _stdin: stdin, _folder: folder }))
    }

    /// Waits until `GET /ready` is 200.
    pub(super) async fn ready(&self) {
        let mut pause = Duration::from_millis(1);
        loop {
            let mut ask = Request::new(Full::<Bytes>::default());
            *ask.method_mut() = Method::GET;
            *ask.uri_mut() = http::Uri::from_static("/ready");
            ask.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("function"));
            if let Ok((parts, _)) = self.line.send(ask).await
                && parts.status == StatusCode::OK
            {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ASK);
        }
    }

    /// Marks the end; calls in flight are told.
    pub(super) fn end(&self, how: String) {
        let _ = self.ended.set(how);
        self.gone.cancel();
    }

    /// How it ended.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.get().map(String::as_str)
    }

    /// The end of what it wrote to stdout and stderr.
    pub(super) fn last_words(&self) -> String {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).last_words()
    }

    /// Its status, given what the fleet knows of it.
    pub(super) fn status(&self, state: InstanceState, in_flight: usize) -> InstanceStatus {
        InstanceStatus {
            id: self.id,
            state,
            pid: self.pid,
            in_flight,
            calls: self.calls.load(Ordering::Relaxed),
            started_at: Some(self.started_at),
            detail: self.ended().map(str::to_owned),
        }
    }
}

/// Hands a program's output to the log and keeps its end.
async fn follow(
    mut from: impl AsyncRead + Unpin,
    stream: &'static str,
    process: String,
    words: Arc<Mutex<Captured>>,
) {
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(count) = from.read(&mut chunk).await {
        if count == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&chunk[..count]);
        tracing::info!(target: "tidemill::function", process, stream, "{}", text.trim_end());
        words.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..count], LAST_WORDS);
    }
}
