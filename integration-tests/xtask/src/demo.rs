//! `cargo xtask demo`: one example from a fresh build to a completed execution.
//!
//! Owns the run of one example: a copy of its folder under target/demo, the server over it, one event, the wait for
//! the execution that event began. What an example shows is in its own files: event.json, or happening.sh, which makes
//! something happen at a real server, or calls a hook, and prints the subject of the event; services, which names the servers it needs;
//! and expected-output.json.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Result, While};
use crate::process::Guard;
use crate::{cargo, http, json, places, process, services, setup};

/// How long the server may take to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How long the execution may take to end.
const ENDED_DEADLINE: Duration = Duration::from_mins(2);
/// How long the server may take to end after SIGTERM; it drains for at most 25 s.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Where events go and executions are found.
const NAMESPACE: &str = "/v1/namespaces/default";

/// Builds, runs the example called `name`, prints its execution as JSON; with `keep` the server stays up until Ctrl-C.
pub(crate) fn demo(name: &str, keep: bool) -> Result<()> {
    let begun = Instant::now();
    let example = Example::read(name)?;
    let servers = services::for_demo(&example.services)?;
    say(begun, "1/4 building tidemill (debug profile)");
    setup::build_packages()?;
    process::run(cargo::cargo("build").args(["--workspace", "--locked", "--bin", "tidemill"]))?;
    say(begun, &format!("2/4 starting `tidemill dev` on examples/{name}"));
    let server = Server::start(&example.copy(name, &servers)?)?;
    let mark = match &example.begin {
        Begin::Event { body, id } => {
            say(begun, &format!("3/4 sending the event {id} to http://{}{NAMESPACE}/events", server.address));
            send(&server.address, body)?;
            Some(Mark { member: "id", value: id.clone() })
        }
        Begin::Happening => {
            say(begun, "3/4 running happening.sh");
            Some(happen(&example.dir, &server, &servers)?)
        }
        Begin::Itself => {
            say(begun, "3/4 sending nothing: its source fires by itself");
            None
        }
    };
    say(begun, "4/4 waiting for the execution that begins");
    let execution = completed(&server, mark.as_ref())?;
    println!("{}", summary(&execution));
    check_output(&execution, example.expected.as_ref())?;
    say(begun, "done");
    if keep {
        eprintln!("xtask: the server stays up at http://{} until Ctrl-C", server.address);
        server.wait();
    }
    Ok(())
}

fn say(begun: Instant, text: &str) {
    eprintln!("xtask: [{:>4} s] {text}", begun.elapsed().as_secs());
}

/// An example's folder and what the demo needs of it.
struct Example {
    dir: PathBuf,
    begin: Begin,
    services: Vec<String>,
    expected: Option<Value>,
}

/// What begins the execution.
enum Begin {
    /// An event that is sent.
    Event { body: Vec<u8>, id: String },
    /// happening.sh.
    Happening,
    /// Nothing from here: a source fires by itself.
    Itself,
}

/// By what the event of the execution is known.
struct Mark {
    member: &'static str,
    value: String,
}

impl Example {
    fn read(name: &str) -> Result<Self> {
        let all = places::workspace().join("examples");
        let dir = all.join(name);
        if !dir.is_dir() {
            return Err(Error::Usage(format!("no example `{name}`; there is: {}", names(&all).join(", "))));
        }
        let begin = if dir.join("happening.sh").is_file() {
            Begin::Happening
        } else if !dir.join("event.json").is_file() {
            Begin::Itself
        } else {
            let file = dir.join("event.json");
            let body = fs::read(&file).cannot(|| format!("read {}", file.display()))?;
            let id = value(&body)?["id"].as_str().map(str::to_owned);
            let id = id.ok_or_else(|| Error::Failed(format!("find a text `id` in {}", file.display())))?;
            Begin::Event { body, id }
        };
        let expected =
            fs::read(dir.join("expected-output.json")).ok().map(|text| value(&text)).transpose()?;
        let services = fs::read_to_string(dir.join("services")).unwrap_or_default();
        let services = services.split_whitespace().map(str::to_owned).collect();
        Ok(Self { dir, begin, services, expected })
    }

    /// A fresh copy under target/demo, so that the store of an earlier run is gone and the tree stays clean.
    /// Addresses of servers in its documents become those of the servers that are up.
    fn copy(&self, name: &str, servers: &services::Running) -> Result<PathBuf> {
        let target = places::target().join("demo").join(name);
        for pid in ["pid", "desk.pid"] {
            process::stop(&target.join(pid), STOP_GRACE)?;
        }
        let _ = fs::remove_dir_all(&target);
        let files = target.join("files");
        copy_folder(&self.dir, &files)?;
        for entry in fs::read_dir(&files).cannot(|| format!("read {}", files.display()))?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|kind| kind == "yaml") {
                let text = fs::read_to_string(&path).cannot(|| format!("read {}", path.display()))?;
                services::write(&path, &servers.readdress(&text))?;
            }
        }
        Ok(target)
    }
}

/// The example folders by name.
fn names(all: &Path) -> Vec<String> {
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Copies a folder's files and folders; hidden ones (a store left by hand) stay behind.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).cannot(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).cannot(|| format!("read {}", from.display()))? {
        let entry = entry.cannot(|| format!("read {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).cannot(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}

/// A running `tidemill dev`, with the example's own desk beside it if it has one; both end when this is dropped, and
/// when this program is gone.
struct Server {
    address: String,
    pid_file: PathBuf,
    log: PathBuf,
    desk: Option<(PathBuf, Guard)>,
    _guard: Guard,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = process::stop(&self.pid_file, STOP_GRACE);
        if let Some((pid_file, _)) = &self.desk {
            let _ = process::stop(pid_file, STOP_GRACE);
        }
    }
}

/// Starts `desk.py` of an example, which answers its functions; its port and the server's address are its arguments.
fn desk(dir: &Path, port: u16, server: &str) -> Result<Option<(PathBuf, Guard)>> {
    let script = dir.join("files/desk.py");
    if !script.exists() {
        return Ok(None);
    }
    let pid_file = dir.join("desk.pid");
    let mut command = Command::new("python3");
    command.arg(&script).arg(port.to_string()).arg(format!("http://{server}"));
    process::start(&mut command, &dir.join("desk.log"), &pid_file)?;
    let guard = Guard::over(&pid_file)?;
    let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    if process::wait_until(READY_DEADLINE, answers) {
        Ok(Some((pid_file, guard)))
    } else {
        Err(Error::Failed(format!("reach {} on port {port}", script.display())))
    }
}

impl Server {
    fn start(dir: &Path) -> Result<Self> {
        // 8484 and 8485 are the product's own default ports.
        let [api, metrics, beside] = services::free_ports([8484, 8485, 8499])?;
        let address = format!("127.0.0.1:{api}");
        let desk = desk(dir, beside, &address)?;
        let files = dir.join("files");
        let (pid_file, log) = (dir.join("pid"), dir.join("log"));
        let mut command = Command::new(places::target().join("debug/tidemill"));
        command.arg("dev").arg(&files).arg("--listen").arg(format!("127.0.0.1:{api}"));
        command
            .env("TIDEMILL_EGRESS__REWRITE", format!(r#"{{"desk.example": "http://127.0.0.1:{beside}"}}"#));
        command.arg("--metrics-listen").arg(format!("127.0.0.1:{metrics}")).current_dir(&files);
        process::start(&mut command, &log, &pid_file)?;
        let guard = Guard::over(&pid_file)?;
        let server = Self { address, pid_file, log, desk, _guard: guard };
        let ready = process::wait_until(READY_DEADLINE, || {
            !server.lives() || http::get(&server.address, "/readyz").is_ok_and(|answer| answer.status == 200)
        });
        if ready && server.lives() { Ok(server) } else { Err(server.trouble("get the server ready")) }
    }

    fn lives(&self) -> bool {
        process::running(&self.pid_file).is_some()
    }

    fn trouble(&self, what: &str) -> Error {
        let log = process::last_lines(&fs::read_to_string(&self.log).unwrap_or_default(), 20);
        Error::Failed(format!("{what}; the end of {}:\n{log}", self.log.display()))
    }

    fn wait(&self) {
        while !process::wait_until(Duration::from_hours(1), || !self.lives()) {}
    }
}

fn send(address: &str, event: &[u8]) -> Result<()> {
    let answer = http::post(address, &format!("{NAMESPACE}/events"), "application/cloudevents+json", event)?;
    if answer.status == 202 {
        return Ok(());
    }
    Err(Error::Failed(format!("send the event: status {}\n{}", answer.status, answer.text())))
}

/// Runs happening.sh against the servers; it prints the subject of its event.
fn happen(dir: &Path, server: &Server, servers: &services::Running) -> Result<Mark> {
    let mut script = Command::new("sh");
    script.arg(dir.join("happening.sh")).env("SERVER", &server.address);
    script.envs(
        servers
            .environment
            .iter()
            .filter_map(|(variable, address)| Some((variable.strip_prefix("TIDEMILL_TEST_")?, address))),
    );
    let said = process::output(&mut script)?;
    if !server.lives() {
        return Err(server.trouble("see the server after happening.sh"));
    }
    Ok(Mark { member: "subject", value: said.trim().to_owned() })
}

/// Waits until the execution begun by the event (without one: any) has ended; an end other than completed is an error.
fn completed(server: &Server, mark: Option<&Mark>) -> Result<Value> {
    let (mut found, mut why) = (None, None);
    let ended = process::wait_until(ENDED_DEADLINE, || {
        match execution_of(&server.address, mark) {
            Ok(execution) => found = execution.or(found.take()),
            Err(error) => why = Some(error),
        }
        !server.lives() || found.as_ref().is_some_and(|execution| has_ended(status(execution)))
    });
    match (found, why) {
        (Some(execution), _) if ended && status(&execution) == "completed" => Ok(execution),
        (Some(execution), _) if ended => {
            Err(Error::Failed(format!("complete the execution:\n{}", summary(&execution))))
        }
        (Some(execution), _) => {
            Err(server.trouble(&format!("see the end of the execution:\n{}\n", summary(&execution))))
        }
        (None, Some(error)) => Err(server.trouble(&format!("find the execution that begins: {error}"))),
        (None, None) => Err(server.trouble("find the execution that begins")),
    }
}

/// The execution begun by the event, if it is listed yet.
fn execution_of(address: &str, mark: Option<&Mark>) -> Result<Option<Value>> {
    let list = fetch(address, &format!("{NAMESPACE}/executions"))?;
    for item in list["items"].as_array().into_iter().flatten() {
        let Some(id) = item["id"].as_str() else { continue };
        let execution = fetch(address, &format!("{NAMESPACE}/executions/{id}"))?;
        let is_wanted = match mark {
            Some(mark) => event_of(address, &execution)?[mark.member] == mark.value,
            None => true,
        };
        if is_wanted {
            return Ok(Some(execution));
        }
    }
    Ok(None)
}

/// The event that began an execution; null when there is none.
fn event_of(address: &str, execution: &Value) -> Result<Value> {
    let encoded = |member: &str| -> String {
        let text = execution["event"][member].as_str().unwrap_or_default();
        text.bytes().fold(String::new(), |out, byte| out + &format!("%{byte:02X}"))
    };
    if execution["event"].is_null() {
        return Ok(Value::Null);
    }
    fetch(address, &format!("{NAMESPACE}/events/{}/{}", encoded("source"), encoded("id")))
}

fn fetch(address: &str, path: &str) -> Result<Value> {
    let answer = http::get(address, path)?;
    if answer.status != 200 {
        return Err(Error::Failed(format!("read {path}: status {}\n{}", answer.status, answer.text())));
    }
    value(&answer.body)
}

fn value(text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).map_err(|why| Error::Failed(format!("read JSON: {why}")))
}

fn status(execution: &Value) -> &str {
    execution["status"].as_str().unwrap_or_default()
}

fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "faulted" | "cancelled")
}

/// The members of an execution a reader wants to see, as indented JSON.
fn summary(execution: &Value) -> String {
    let names = ["id", "workflow", "trigger", "status", "output", "error"];
    let shown = names.iter().filter(|name| !execution[**name].is_null());
    let members = shown.map(|name| ((*name).to_owned(), execution[*name].clone()));
    format!("{:#}", Value::Object(members.collect()))
}

fn check_output(execution: &Value, expected: Option<&Value>) -> Result<()> {
    match expected {
        Some(expected) if !json::contains(&execution["output"], expected) => {
            Err(Error::Failed(format!("accept that output; expected-output.json says:\n{expected:#}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_keeps_what_a_reader_wants() {
        let execution =
            value(br#"{"input":{},"output":{"b":1},"status":"completed","error":null,"id":"x"}"#).unwrap();
        assert_eq!(
            summary(&execution),
            "{\n  \"id\": \"x\",\n  \"status\": \"completed\",\n  \"output\": {\n    \"b\": 1\n  }\n}"
        );
    }

    #[test]
    fn the_output_must_hold_what_is_expected() {
        let execution = value(br#"{"output":{"a":1,"b":2}}"#).unwrap();
        let check = |expected: Option<&str>, holds: bool| {
            let expected = expected.map(|text| value(text.as_bytes()).unwrap());
            assert_eq!(check_output(&execution, expected.as_ref()).is_ok(), holds);
        };
        check(None, true);
        check(Some("{\"a\":1}"), true);
        check(Some("{\"a\":2}"), false);
    }

    #[test]
    fn an_unknown_example_is_a_usage_error() {
        assert!(matches!(Example::read("no-such-example"), Err(Error::Usage(_))));
    }

    #[test]
    fn a_copy_leaves_hidden_files_behind() {
        let dir = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        fs::create_dir_all(dir.join("from/sub/.tidemill")).unwrap();
        fs::write(dir.join("from/sub/a.yaml"), "a: 1").unwrap();
        copy_folder(&dir.join("from"), &dir.join("to")).unwrap();
        assert_eq!(fs::read_to_string(dir.join("to/sub/a.yaml")).unwrap(), "a: 1");
        assert!(!dir.join("to/sub/.tidemill").exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
