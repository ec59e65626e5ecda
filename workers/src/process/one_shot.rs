//! `lifecycle: oneShot`: a process per call, used once and gone.
//!
//! Owns the protocol: JSON on stdin; the result on file descriptor 3, or on stdout when that is one JSON value (nothing
//! at all is null). A call that is cut off or dropped kills the whole process group.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{MAX_OUTPUT, Order, Outcome};
use tidemill_dsl::value::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::process::ChildStdin;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::ProcessConfig;
use super::capture::{Captured, LOG, capture};
use super::group::{Group, ended_badly};
use crate::http::protocol;
use crate::origin;
use crate::{BoxFuture, Function, input_of};

/// How long outputs are read after the end of the program: a process that left its group may hold them open.
const AFTERGLOW: Duration = Duration::from_millis(200);
/// What is kept of a result: one byte more than may be.
const RESULT: usize = MAX_OUTPUT + 1;

/// A function that starts a process for each call.
pub struct OneShot {
    config: ProcessConfig,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// What a process wrote.
#[derive(Default)]
struct Outputs {
    result: Captured,
    stdout: Captured,
    stderr: Captured,
}

impl OneShot {
    /// A function of this configuration; at most `concurrency` processes run at one time.
    pub fn new(config: ProcessConfig) -> OneShot {
        let running = Arc::new(Semaphore::new(config.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        OneShot { config, running, waiting: AtomicUsize::new(0) }
    }

    async fn perform(&self, order: Order) -> Outcome {
        match self.run(&order).await {
            Ok(value) => Outcome::Done(value),
            Err(fault) => Outcome::Failed(fault),
        }
    }

    async fn run(&self, order: &Order) -> Result<Value, Fault> {
        let _permit = self.admitted().await?;
        let input = input_of(order)?.to_json();
        let (mut group, result) = self.start(order)?;
        let stdin = group.child.stdin.take();
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let mut outputs = Outputs::default();
        let Outputs { result: to_result, stdout: to_stdout, stderr: to_stderr } = &mut outputs;
        let reading = async {
            tokio::join!(
                feed(stdin, &input),
                capture(result, RESULT, to_result),
                async {
                    if let Some(from) = stdout {
                        capture(from, RESULT, to_stdout).await;
                    }
                },
                async {
                    if let Some(from) = stderr {
                        capture(from, LOG, to_stderr).await;
                    }
                },
            );
        };
        let status = watch(group.wait(), reading).await;
        let status =
            status.map_err(|error| Fault::runtime(format!("cannot wait for the process: {error}")))?;
        self.log(order, &outputs);
        if !status.success() {
            return Err(ended_badly(self.config.name(), status, &outputs.stderr.last_words()));
        }
        self.result(&outputs)
    }

    /// Waits for a place to run (limit `function-queue`).
    async fn admitted(&self) -> Result<impl Drop + use<>, Fault> {
        let closed = |_| Fault::runtime("the function is being stopped");
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.config.queue)?;
        self.running.clone().acquire_owned().await.map_err(closed)
    }

    fn start(&self, order: &Order) -> Result<(Group, pipe::Receiver), Fault> {
        let refuse = |error: io::Error| Fault::runtime(format!("cannot make a pipe: {error}"));
        let (sender, receiver) = pipe::pipe().map_err(refuse)?;
        let write_end = sender.into_blocking_fd().map_err(refuse)?;
        let mut command = self.config.command(&order.namespace)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(origin::variables(order));
        command
            .fd_mappings(vec![FdMapping { parent_fd: write_end, child_fd: 3 }])
            .map_err(|error| Fault::runtime(format!("cannot hand over file descriptor 3: {error}")))?;
        let group = self.config.start(&mut command)?;
        Ok((group, receiver))
    }

    fn result(&self, outputs: &Outputs) -> Result<Value, Fault> {
        let name = self.config.name();
        let (from, bytes) = if outputs.result.bytes.is_empty() {
            ("stdout", &outputs.stdout)
        } else {
            ("file descriptor 3", &outputs.result)
        };
        if bytes.bytes.len() > MAX_OUTPUT {
            let detail = format!(
                "the result of `{name}` on {from} is larger than {MAX_OUTPUT} bytes (limit `task-output`)"
            );
            return Err(Fault::runtime(detail));
        }
        if bytes.bytes.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        Value::parse(&bytes.bytes).map_err(|error| {
            protocol(format!(
                "the process `{name}` wrote no JSON value to {from}: {error}; write exactly one JSON value to stdout, or \
                 write the result to file descriptor 3 and leave stdout to the log"
            ))
        })
    }

    /// What the process wrote besides its result goes to the log.
    fn log(&self, order: &Order, outputs: &Outputs) {
        let streams = [("stderr", &outputs.stderr), ("stdout", &outputs.stdout)];
        let count = if outputs.result.bytes.is_empty() { 1 } else { 2 };
        for (stream, captured) in streams.into_iter().take(count).filter(|(_, c)| !c.bytes.is_empty()) {
            tracing::info!(
                target: "tidemill::function",
                execution = %order.execution,
                task = %order.task,
                process = self.config.name(),
                stream,
                dropped = captured.dropped,
                "{}",
                captured.log()
            );
        }
    }
}

impl Function for OneShot {
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome> {
        Box::pin(crate::cut_off(stop, self.perform(order)))
    }
}

/// A place among the waiting calls.
pub(super) struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    /// Takes one, if fewer than `most` are taken (limit `function-queue`).
    pub(super) fn take(waiting: &AtomicUsize, most: usize) -> Result<Place<'_>, Fault> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= most {
            waiting.fetch_sub(1, Ordering::Relaxed);
            let detail = format!("{most} calls of the function wait already (limit `function-queue`)");
            return Err(Fault::communication(429, detail));
        }
        Ok(Place(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes the input; a program that does not read it is none the worse for it.
pub(super) async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
        let _ = stdin.shutdown().await;
    }
}

/// Runs both to the end; after the end of `running`, `reading` gets a short while to finish.
pub(super) async fn watch<T>(running: impl Future<Output = T>, reading: impl Future<Output = ()>) -> T {
    tokio::pin!(running, reading);
    let mut is_read = false;
    let status = loop {
        tokio::select! {
            status = &mut running => break status,
            () = &mut reading, if !is_read => is_read = true,
        }
    };
    if !is_read {
        let _ = tokio::time::timeout(AFTERGLOW, reading).await;
    }
    status
}
