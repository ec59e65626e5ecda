//! A service of the real binary, for tests that ask it by the command line.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::{binary, example, run};

/// How long anything here may take before it is a failure.
const LIMIT: Duration = Duration::from_mins(1);

/// A running service; it is killed when this is dropped.
pub(crate) struct Service {
    child: Child,
    lines: Receiver<String>,
    pub(crate) address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    pub(crate) fn start(words: &[&str]) -> Service {
        let mut child = binary()
            .args(words)
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, lines) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut service = Service { child, lines, address: String::new() };
        let line = service.wait_for("tidemill 0");
        assert!(line.contains("durability = power") && line.contains("store sqlite:"), "{line}");
        let address = line.split_whitespace().find(|word| word.starts_with("http://"));
        address.unwrap().clone_into(&mut service.address);
        service
    }

    /// `serve` on a data folder.
    pub(crate) fn on(data: &Path) -> Service {
        Service::start(&["serve", "--log-level", "error", "--data-dir", data.to_str().unwrap()])
    }

    /// The next line that holds a text.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(why) => panic!("no line with `{text}` ({why}) in:\n{}", seen.join("\n")),
            }
        }
    }

    pub(crate) fn ask(&self, words: &[&str]) -> (i32, String, String) {
        let words = [words, &["--server", &self.address]].concat();
        run(&example(), &words)
    }

    #[track_caller]
    pub(crate) fn told(&self, words: &[&str], code: i32, expected: &str) -> String {
        let (found, out, err) = self.ask(words);
        assert_eq!(found, code, "{words:?}\n{out}{err}");
        assert!(format!("{out}{err}").contains(expected), "{words:?}: {expected}\n{out}{err}");
        out
    }

    /// The answer as JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let (code, out, err) = self.ask(&[words, &["-o", "json"]].concat());
        assert_eq!(code, 0, "{words:?}\n{err}");
        serde_json::from_str(&out).unwrap()
    }

    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait_for("stopped");
        self.child.wait().unwrap().code()
    }

    pub(crate) fn apply(&self, text: &str) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("set.yaml");
        std::fs::write(&file, text).unwrap();
        self.told(&["apply", "-f", file.to_str().unwrap()], 0, "created");
    }
}
