//! A process group: started, limited, killed as a whole.
//!
//! Owns the signals. Whoever holds a [`Group`] keeps it alive; dropping it kills every process of the group.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tidemill_dsl::fault::Fault;
use tokio::process::{Child, Command};

use super::groups::{Groups, Noted};

/// How long a group may take between the request to end and the kill.
const GRACE: Duration = Duration::from_millis(500);

/// A started program with every process it started in turn, as long as they stay in its group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) child: Child,
    pid: Option<Pid>,
    noted: Option<Noted>,
}

impl Group {
    /// Starts a command, which must ask for a process group of its own. Core dumps are off, and `memory` caps the
    /// address space of each process. It is written down in `groups` as long as it may live.
    pub(crate) fn start(
        command: &mut Command,
        memory: Option<u64>,
        name: &str,
        groups: &Groups,
    ) -> Result<Group, Fault> {
        let child = command.spawn().map_err(|error| {
            Fault::configuration(format!(
                "cannot start the process `{name}`: {}",
                error.to_string().to_lowercase()
            ))
        })?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let noted = pid.and_then(|pid| groups.note(pid));
        let group = Group { child, pid, noted };
        group.limit(Resource::Core, 0);
        if let Some(bytes) = memory {
            group.limit(Resource::As, bytes);
        }
        Ok(group)
    }

    /// The process id of the leader.
    pub(crate) fn id(&self) -> Option<u32> {
        self.pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
    }

    /// Waits for the leader's end, then kills what it left behind.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.kill();
        status
    }

    /// Asks the group to end, waits a moment, kills it.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
        self.kill();
        let _ = self.child.wait().await;
    }

    /// Kills every process of the group, once; the number may be another's afterwards.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.pid = None;
        self.noted = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            let _ = kill_process_group(pid, signal);
        }
    }

    fn limit(&self, resource: Resource, most: u64) {
        if self.pid.is_some() {
            let _ = prlimit(self.pid, resource, Rlimit { current: Some(most), maximum: Some(most) });
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The fault of a program that ended badly: by a signal or with an exit code other than 0.
pub(crate) fn ended_badly(name: &str, status: ExitStatus, said: &str) -> Fault {
    use std::os::unix::process::ExitStatusExt;
    let (title, mut detail) = match (status.code(), status.signal()) {
        (Some(code), _) => {
            (format!("Exit Code {code}"), format!("the process `{name}` ended with exit code {code}"))
        }
        (None, Some(signal)) => {
            (format!("Signal {signal}"), format!("the process `{name}` was ended by signal {signal}"))
        }
        (None, None) => ("Process Error".to_owned(), format!("the process `{name}` ended: {status}")),
    };
    let said = said.trim();
    if !said.is_empty() {
        detail.push_str(": ");
        detail.push_str(said);
    }
    Fault { title: Some(title.into()), ..Fault::runtime(detail) }
}
