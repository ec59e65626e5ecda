//! `run.shell` and `run.script`: a program of a workflow, started once per call.
//!
//! Owns what is allowed on this server, how shells and interpreters are started, and what is made of their outputs. A
//! call that is cut off or dropped kills the whole process group; a program that is not waited for lives until its own
//! end or the server's.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{MAX_OUTPUT, Order, Outcome, ProcessRun, ProcessText};
use tidemill_dsl::program::{Language, Returns};
use tidemill_dsl::value::Value;
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::DEFAULT_PATH;
use super::capture::{Captured, LOG, capture};
use super::group::{Group, ended_badly};
use super::groups::Groups;
use super::one_shot::{feed, watch};
use crate::clock::Clock;
use crate::origin;

/// Programs that run at one time, those not waited for apart (limit `run-programs`); the others wait.
pub const RUN_PROGRAMS: usize = 64;
/// Programs that run without being waited for (limit `run-detached`); one more is an error.
pub const RUN_DETACHED: usize = 256;
/// How long a program may run when no timeout of a task or workflow says otherwise (limit `run-time`).
pub const RUN_TIME: Duration = Duration::from_hours(1);
/// What is kept of an output that is returned: one byte more than may be.
const RESULT: usize = MAX_OUTPUT + 1;

/// What run tasks may start on this server, and how.
#[derive(Clone, Debug)]
pub struct Programs {
    shell: bool,
    script: bool,
    path: String,
    workdir: Option<PathBuf>,
    groups: Groups,
    running: Arc<Semaphore>,
    detached: Arc<Semaphore>,
}

impl Default for Programs {
    /// Nothing is allowed.
    fn default() -> Programs {
        Programs::new((false, false), DEFAULT_PATH, None)
    }
}

/// A started program.
struct Started {
    group: Group,
    name: &'static str,
    /// Holds the script; removed with it.
    _folder: Option<TempDir>,
}

/// What it wrote, and how it ended.
struct Ended {
    status: ExitStatus,
    stdout: Captured,
    stderr: Captured,
}

impl Programs {
    /// Whether `run.shell` and `run.script` are allowed; the PATH of programs, and the folder they start in (none: that
    /// of the server).
    pub fn new((shell, script): (bool, bool), path: &str, workdir: Option<PathBuf>) -> Programs {
        Programs {
            shell,
            script,
            path: path.to_owned(),
            workdir,
            groups: Groups::default(),
            running: Arc::new(Semaphore::new(RUN_PROGRAMS)),
            detached: Arc::new(Semaphore::new(RUN_DETACHED)),
        }
    }

    /// Its process groups are written down there.
    #[must_use]
    pub fn noted_in(self, groups: Groups) -> Programs {
        Programs { groups, ..self }
    }

    /// Runs a program to its end, or starts it when it is not waited for. The run ends with a timeout error (408) at
    /// the order's deadline.
    pub(crate) async fn call(&self, order: &Order, run: &ProcessRun, clock: &Clock) -> Outcome {
        let limit = order.deadline.map_or(RUN_TIME, |deadline| clock.until(deadline));
        let ended = if run.wait {
            let late = || {
                let limit = if order.deadline.is_none() {
                    " (limit `run-time`; the task's `timeout` may say more)"
                } else {
                    ""
                };
                Fault::timeout(format!("the program of {} did not end in time{limit}", order.task))
            };
            tokio::time::timeout(limit, self.waited(order, run)).await.unwrap_or_else(|_| Err(late()))
        } else {
            self.detached(order, run)
        };
        match ended {
            Ok(value) => Outcome::Done(value),
            Err(fault) => Outcome::Failed(fault),
        }
    }

    fn allowed(&self, run: &ProcessRun) -> Result<(), Fault> {
        let (kind, allowed) = match run.program {
            ProcessText::Shell(_) => ("shell", self.shell),
            ProcessText::Script(..) => ("script", self.script),
        };
        if allowed {
            return Ok(());
        }
        Err(Fault::authorization(format!(
            "run.{kind} is not allowed on this server: add \"{kind}\" to the setting run.allow \
             (TIDEMILL_RUN__ALLOW='[\"{kind}\"]')"
        )))
    }

    async fn waited(&self, order: &Order, run: &ProcessRun) -> Result<Value, Fault> {
        self.allowed(run)?;
        let closed = |_| Fault::runtime("the server is being stopped");
        let _permit = self.running.clone().acquire_owned().await.map_err(closed)?;
        let mut started = self.start(order, run)?;
        let ended = finish(&mut started, run).await?;
        log(order, started.name, run, &ended);
        output(started.name, run, &ended)
    }

    fn detached(&self, order: &Order, run: &ProcessRun) -> Result<Value, Fault> {
        self.allowed(run)?;
        let full = |_| {
            Fault::runtime(format!(
                "{RUN_DETACHED} programs run without being waited for already (limit `run-detached`)"
            ))
        };
        let permit = self.detached.clone().try_acquire_owned().map_err(full)?;
        let started = self.start(order, run)?;
        tokio::spawn(left_alone(started, order.clone(), run.clone(), permit));
        Ok(Value::Null)
    }

    fn start(&self, order: &Order, run: &ProcessRun) -> Result<Started, Fault> {
        let (name, mut command, folder) = match &run.program {
            ProcessText::Shell(text) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", text, "sh"]);
                ("sh", command, None)
            }
            ProcessText::Script(language, code) => {
                let (name, file) = interpreter(*language, code);
                let (folder, path) = written(file, code)?;
                let mut command = Command::new(name);
                command.arg(path);
                (name, command, Some(folder))
            }
        };
        command.args(&run.arguments).env_clear().env("PATH", &self.path).process_group(0);
        command.envs(origin::variables(order));
        command.envs(run.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.workdir {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let group = Group::start(&mut command, None, name, &self.groups)?;
        Ok(Started { group, name, _folder: folder })
    }
}

/// The interpreter of a language, and the name of a script's file. Node takes a file with `import` or `export` as a
/// module only when its name says so.
fn interpreter(language: Language, code: &str) -> (&'static str, &'static str) {
    let is_module = || {
        code.lines()
            .map(str::trim_start)
            .any(|line| line.starts_with("import ") || line.starts_with("export "))
    };
    match language {
        Language::Python => ("python3", "script.py"),
        Language::JavaScript if is_module() => ("node", "script.mjs"),
        Language::JavaScript => ("node", "script.cjs"),
    }
}

/// A script as a file in a folder of its own, which nobody else may read.
fn written(name: &str, code: &str) -> Result<(TempDir, PathBuf), Fault> {
    let write = || {
        let folder = tempfile::Builder::new().prefix("tidemill-").tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, code)?;
        Ok::<_, std::io::Error>((folder, path))
    };
    write().map_err(|error| Fault::runtime(format!("cannot write the script to a file: {error}")))
}

/// Feeds the program and reads what it writes, until its end.
async fn finish(started: &mut Started, run: &ProcessRun) -> Result<Ended, Fault> {
    let cap = |returned: bool| if returned { RESULT } else { LOG };
    let to_out = cap(matches!(run.returns, Returns::Stdout | Returns::All));
    let to_err = cap(matches!(run.returns, Returns::Stderr | Returns::All));
    let child = &mut started.group.child;
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Captured::default(), Captured::default());
    let reading = async {
        tokio::join!(
            feed(stdin, run.stdin.as_bytes()),
            async {
                if let Some(from) = out {
                    capture(from, to_out, &mut stdout).await;
                }
            },
            async {
                if let Some(from) = err {
                    capture(from, to_err, &mut stderr).await;
                }
            },
        );
    };
    let status = watch(started.group.wait(), reading).await;
    let status = status.map_err(|error| Fault::runtime(format!("cannot wait for the program: {error}")))?;
    Ok(Ended { status, stdout, stderr })
}

/// A program that nobody waits for: its end is told in the log.
async fn left_alone(mut started: Started, order: Order, run: ProcessRun, permit: OwnedSemaphorePermit) {
    let name = started.name;
    match finish(&mut started, &run).await {
        Ok(ended) => {
            log(&order, name, &run, &ended);
            if let Err(fault) = output(name, &run, &ended) {
                let said = order.masks.text(fault.to_string());
                tracing::warn!(target: "tidemill::function", execution = %order.execution, task = %order.task, "{said}");
            }
        }
        Err(fault) => {
            tracing::warn!(target: "tidemill::function", execution = %order.execution, task = %order.task, "{fault}");
        }
    }
    drop(permit);
}

/// What the task outputs. An exit code other than 0 is a runtime error, whatever is returned.
fn output(name: &str, run: &ProcessRun, ended: &Ended) -> Result<Value, Fault> {
    if !ended.status.success() {
        return Err(ended_badly(name, ended.status, &ended.stderr.last_words()));
    }
    let code = || Value::from(ended.status.code().unwrap_or_default());
    let text = |stream: &str, captured: &Captured| {
        if captured.bytes.len() > MAX_OUTPUT {
            let detail =
                format!("{stream} of `{name}` is larger than {MAX_OUTPUT} bytes (limit `task-output`)");
            return Err(Fault::runtime(detail));
        }
        Ok(Value::text(String::from_utf8_lossy(&captured.bytes).into_owned()))
    };
    match run.returns {
        Returns::Stdout => text("stdout", &ended.stdout),
        Returns::Stderr => text("stderr", &ended.stderr),
        Returns::Code => Ok(code()),
        Returns::All => Ok(Value::object([
            ("code", code()),
            ("stdout", text("stdout", &ended.stdout)?),
            ("stderr", text("stderr", &ended.stderr)?),
        ])),
        Returns::None => Ok(Value::Null),
    }
}

/// What it wrote and the task does not output goes to the log, secrets masked.
fn log(order: &Order, name: &str, run: &ProcessRun, ended: &Ended) {
    let is_out = |streams: &[Returns]| !streams.contains(&run.returns) || !run.wait;
    let streams = [
        ("stdout", &ended.stdout, is_out(&[Returns::Stdout, Returns::All])),
        ("stderr", &ended.stderr, is_out(&[Returns::Stderr, Returns::All])),
    ];
    for (stream, captured, _) in
        streams.iter().filter(|(_, captured, log)| *log && !captured.bytes.is_empty())
    {
        tracing::info!(
            target: "tidemill::function",
            execution = %order.execution,
            task = %order.task,
            process = name,
            stream,
            dropped = captured.dropped,
            "{}",
            order.masks.text(captured.log())
        );
    }
}
