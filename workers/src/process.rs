//! Functions and run tasks that are programs on this machine (workers.md).
//!
//! Owns starting, feeding, watching and killing of process groups. A program sees an environment of its own: PATH,
//! what its manifest names, and who asks. May not know of versions or admission.

mod capture;
mod fleet;
mod group;
mod groups;
mod instance;
mod one_shot;
mod program;
mod resident;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::fault::Fault;
use tokio::process::Command;

pub use groups::Groups;
pub use instance::{InstanceState, InstanceStatus};
pub use one_shot::OneShot;
pub use program::{Programs, RUN_DETACHED, RUN_PROGRAMS, RUN_TIME};
pub use resident::Resident;

use crate::secret::{SecretSource, Text};
use group::Group;

/// The PATH of a program when the settings name none.
pub const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How a function's program is run: `process` of a function manifest.
#[derive(Clone)]
pub struct ProcessConfig {
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    /// Working directory; none: that of the server.
    pub workdir: Option<PathBuf>,
    /// Environment besides PATH.
    pub environment: Vec<(String, Text)>,
    /// PATH of the program.
    pub path: String,
    /// Most address space of one process in bytes (limit `function-memory`).
    pub memory: Option<u64>,
    /// Calls at one time: of a one-shot function processes, of a resident one calls per instance.
    pub concurrency: usize,
    /// Resident: instances kept even when idle.
    pub min_instances: usize,
    /// Resident: most instances.
    pub max_instances: usize,
    /// Resident: an instance without a call for so long is stopped.
    pub idle: Duration,
    /// Resident: how long an instance may take to be ready.
    pub start_timeout: Duration,
    /// Calls that wait for an instance or a process (limit `function-queue`).
    pub queue: usize,
    /// Resident: the first pause after a crash; doubles with each crash in a row, up to [`MAX_PAUSE`].
    pub first_pause: Duration,
    /// Where its process groups are written down.
    pub groups: Groups,
    /// Where secrets of the environment are read from.
    pub secrets: Arc<dyn SecretSource>,
}

/// Longest pause between two starts of a program that crashes.
pub const MAX_PAUSE: Duration = Duration::from_mins(1);
/// Calls that wait for a process when the manifest says nothing (limit `function-queue`).
pub const DEFAULT_QUEUE: usize = 10_000;

impl ProcessConfig {
    /// The defaults of manifests.md for a command.
    pub fn new(command: Vec<String>, secrets: Arc<dyn SecretSource>) -> ProcessConfig {
        ProcessConfig {
            command,
            workdir: None,
            environment: Vec::new(),
            path: DEFAULT_PATH.to_owned(),
            memory: None,
            concurrency: 1,
            min_instances: 0,
            max_instances: 1,
            idle: Duration::from_mins(5),
            start_timeout: Duration::from_secs(10),
            queue: DEFAULT_QUEUE,
            first_pause: Duration::from_secs(1),
            groups: Groups::default(),
            secrets,
        }
    }

    /// Starts a command that was made of it.
    fn start(&self, command: &mut Command) -> Result<Group, Fault> {
        Group::start(command, self.memory, self.name(), &self.groups)
    }

    /// The command with its environment, in a process group of its own; input and outputs are not set yet.
    fn command(&self, namespace: &str) -> Result<Command, Fault> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(Fault::configuration("cannot start a process: the command is empty"));
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", &self.path).process_group(0);
        if let Some(folder) = &self.workdir {
            command.current_dir(folder);
        }
        for (name, text) in &self.environment {
            command.env(name, text.read(&*self.secrets, namespace)?);
        }
        Ok(command)
    }

    /// The program's name, for errors.
    fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }
}
