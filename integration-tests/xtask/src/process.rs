//! Starting and ending programs.
//!
//! Owns child processes and pid files. A process is ended only if the pid file's pid still has the start time
//! noted beside it, so a pid the system has handed out again is never hit. Reads `/proc`: Linux only.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, While};

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(50);

/// Runs a program with this terminal; its exit code, or -1 when a signal ended it.
pub(crate) fn status(command: &mut Command) -> Result<i32> {
    let status = command.status().cannot(|| format!("run {}", shown(command)))?;
    Ok(status.code().unwrap_or(-1))
}

/// Runs a program with this terminal; anything but exit code 0 is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    match status(command)? {
        0 => Ok(()),
        code => Err(Error::Failed(format!("finish {}: exit code {code}", shown(command)))),
    }
}

/// Runs a program out of sight; its standard output, or an error that ends with the last lines it wrote.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().cannot(|| format!("run {}", shown(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    Err(Error::Failed(format!("finish {}: {}\n{}", shown(command), output.status, last_lines(&said, 15))))
}

/// Starts a program in a process group of its own, writing to `log`, and notes it in `pid_file`.
///
/// A thread waits for its end, so that it leaves no zombie while this program lives.
pub(crate) fn start(command: &mut Command, log: &Path, pid_file: &Path) -> Result<()> {
    let out = File::create(log).cannot(|| format!("write {}", log.display()))?;
    let err = out.try_clone().cannot(|| format!("write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let mut child = command.spawn().cannot(|| format!("start {}", shown(command)))?;
    let pid = child.id();
    let noted = match start_time(pid) {
        Some(started) => fs::write(pid_file, format!("{pid} {started}\n")),
        None => fs::remove_file(pid_file).or(Ok(())),
    };
    thread::spawn(move || child.wait());
    noted.cannot(|| format!("write {}", pid_file.display()))
}

/// The pid noted in `pid_file`, if that very process still lives.
pub(crate) fn running(pid_file: &Path) -> Option<u32> {
    let text = fs::read_to_string(pid_file).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (start_time(pid)? == started).then_some(pid)
}

/// Ends the process noted in `pid_file` by SIGTERM, after `grace` by SIGKILL, and removes the file.
/// True when there was a process to end.
pub(crate) fn stop(pid_file: &Path, grace: Duration) -> Result<bool> {
    let Some(pid) = running(pid_file) else {
        let _ = fs::remove_file(pid_file);
        return Ok(false);
    };
    for (signal, patience) in [("TERM", grace), ("KILL", Duration::from_secs(10))] {
        // The shell's own `kill`: a bare Debian image has no /bin/kill.
        let sent = output(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid.to_string()]));
        if wait_until(patience, || running(pid_file).is_none()) {
            fs::remove_file(pid_file).cannot(|| format!("remove {}", pid_file.display()))?;
            return Ok(true);
        }
        sent?;
    }
    Err(Error::Failed(format!("end process {pid}: it outlived SIGKILL by 10 s")))
}

/// Looks at `met` until it holds or `deadline` has passed; whether it held.
pub(crate) fn wait_until(deadline: Duration, mut met: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if met() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// A process that ends the one noted in a pid file as soon as this program is gone, however it went.
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts the guard over `pid_file`.
    pub(crate) fn over(pid_file: &Path) -> Result<Self> {
        let myself = std::env::current_exe().cannot(|| "find this program's own file".to_owned())?;
        let mut command = Command::new(myself);
        command.arg("guard").arg(pid_file).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        command.spawn().map(Self).cannot(|| "start the guard".to_owned())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The guard's own side: waits until standard input closes, then ends the process noted in `pid_file`.
pub(crate) fn guard(pid_file: &Path) -> Result<()> {
    let _ = io::stdin().read_to_end(&mut Vec::new());
    stop(pid_file, Duration::from_secs(30)).map(drop)
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The program and its arguments, for an error text.
fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args().take(4) {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    if command.get_args().len() > 4 {
        text.push_str(" ...");
    }
    format!("`{text}`")
}

/// When a living process started, in the kernel's clock ticks since boot; none for a zombie.
fn start_time(pid: u32) -> Option<String> {
    start_time_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads field 22 of `/proc/PID/stat` (proc(5)). The second field is in brackets and may hold blanks and brackets.
fn start_time_in(stat: &str) -> Option<String> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let dead = matches!(*fields.first()?, "Z" | "X");
    if dead { None } else { fields.get(19).map(|&ticks| ticks.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_are_read_past_odd_names() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let check = |stat: String, expected: Option<&str>| {
            assert_eq!(start_time_in(&stat).as_deref(), expected, "{stat}");
        };
        check(format!("7 (java) S {tail}"), Some("4711"));
        check(format!("7 (a) b (c)) S {tail}"), Some("4711"));
        check(format!("7 (java) Z {tail}"), None);
        check("7 (java) S 1".to_owned(), None);
        check(String::new(), None);
    }

    #[test]
    fn last_lines_keeps_the_end() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }

    #[test]
    fn a_process_is_started_noted_and_ended() {
        let dir = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (log, pid_file) = (dir.join("log"), dir.join("pid"));
        start(Command::new("sh").args(["-c", "echo up; exec sleep 600"]), &log, &pid_file).unwrap();
        assert!(running(&pid_file).is_some());
        assert!(wait_until(Duration::from_secs(10), || fs::read_to_string(&log).unwrap() == "up\n"));
        assert!(stop(&pid_file, Duration::from_secs(10)).unwrap());
        assert!(!pid_file.exists());
        assert!(!stop(&pid_file, Duration::from_secs(10)).unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_reused_pid_is_not_taken_for_ours() {
        let file = std::env::temp_dir().join(format!("xtask-reused-{}", std::process::id()));
        fs::write(&file, format!("{} 1\n", std::process::id())).unwrap();
        assert_eq!(running(&file), None);
        assert!(!stop(&file, Duration::from_secs(1)).unwrap());
        assert!(!file.exists());
    }
}
