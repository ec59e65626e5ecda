//! The command line through the real binary: exit codes, what goes to which output, and the example from door to door.

// A failed `unwrap` is a failed test; the lint's own exception covers test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod authoring;
mod desk;
mod service;
mod stores;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use service::Service;

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent").env("COLUMNS", "100");
    command
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/01-hello")
}

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Runs it in a folder and gives exit code, standard output, standard error.
pub(crate) fn run(dir: &Path, words: &[&str]) -> (i32, String, String) {
    ended(binary().current_dir(dir).args(words).stdin(Stdio::null()).output().unwrap())
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

const ECHO: &str = "
document: {dsl: '1.0.3', namespace: default, name: say, version: '1.0.0'}
do:
  - say: {set: '${ {said: .word} }'}
";
const FAULT: &str = "
document: {dsl: '1.0.3', namespace: default, name: fault, version: '1.0.0'}
do:
  - fail: {raise: {error: {type: 'https://example.org/errors/broken', status: 500, title: Broken}}}
";
const BAD: &str = "document:
  dsl: '1.0.3'
  namespace: default
  name: bad
  version: '1.0.0'
do:
  - one:
      sett: {a: 1}
  - two:
      set: {a: '${ .b + }'}
";

#[test]
fn exit_codes() {
    let dir =
        folder(&[("say.yaml", ECHO), ("fault.yaml", FAULT), ("bad.yaml", BAD), ("t.toml", "lans = 1\n")]);
    let closed = ["--server", "http://127.0.0.1:1"];
    let check = |words: &[&str], expected: i32, told: &str| {
        let (code, out, err) = run(dir.path(), words);
        assert_eq!(code, expected, "{words:?}\n{out}\n{err}");
        assert!(err.contains(told), "{words:?}: {told}\n{err}");
        if expected != 0 && expected != 8 && !err.contains("Usage") {
            assert!(
                err.contains("try: ") || err.contains("For more information"),
                "{words:?} names no next step:\n{err}"
            );
        }
    };
    check(&["--version"], 0, "");
    check(&[], 2, "Usage");
    check(&["serv"], 2, "serve");
    check(&["serve", "--listen", "0.0.0.0:0", "--data-dir", "d"], 2, "needs authentication");
    check(&["serve", "--store", "postgres://localhost/x", "--data-dir", "d"], 2, "PostgreSQL");
    check(&["serve", "--config", "t.toml"], 2, "did you mean `lanes`?");
    check(&["serve", "--config", "absent.toml"], 2, "cannot read the file");
    check(&["dev", "absent"], 4, "find the folder absent");
    check(&["explain", "E0201"], 0, "");
    check(&["explain", "E0200"], 4, "tidemill explain E02");
    check(&["lint", "say.yaml"], 0, "1 document checked, 0 errors and 0 warnings");
    check(&["lint", "bad.yaml"], 3, "bad.yaml:8:7: error[");
    check(&["lint", "absent.yaml"], 4, "absent.yaml");
    check(&["run", "say.yaml", "--input", "{\"word\": 1}"], 0, "");
    check(&["run", "say.yaml", "--input", "{"], 3, "as JSON");
    check(&["run", "bad.yaml"], 3, "error[");
    check(&["run", "fault.yaml"], 8, "Broken");
    check(&["run", "absent.yaml"], 4, "absent.yaml");
    check(&[&["execution", "list"], &closed[..]].concat(), 7, "reach the server");
    check(&[&["healthcheck"], &closed[..]].concat(), 7, "reach the server");
    check(&[&["execution", "cancel", "x"], &closed[..]].concat(), 2, "--yes");
    check(&[&["apply", "-f", "bad.yaml"], &closed[..]].concat(), 7, "reach the server");
    check(&["execution", "list", "--server", "localhost"], 2, "address of the server");
    check(&["completion", "bash"], 0, "");
    check(&["eval", "jq", ". + 1"], 0, "");
    check(&["eval", "jq", ". +"], 1, "syntax error");
    check(&["lint", "say.yaml", "-o", "sarif"], 0, "");
    check(&["explain", "E0201", "-o", "sarif"], 2, "form of lint");
}

#[test]
fn lint_tells_every_mistake_at_its_place() {
    let dir = folder(&[("bad.yaml", BAD)]);
    let (code, out, err) = run(dir.path(), &["lint", "."]);
    assert_eq!((code, out.as_str()), (3, ""));
    insta::assert_snapshot!(err, @r"
    ./bad.yaml:8:7: error[E0201]: unknown key `sett` in the task
      |
    8 |       sett: {a: 1}
      |       ^^^^
      = help: did you mean `set`?
    ./bad.yaml:10:24: error[E0401]: syntax error: expected term, found the end
       |
    10 |       set: {a: '${ .b + }'}
       |                        ^
      = help: the expression ends too early: complete it, or close what is open
    1 document checked, 2 errors and 0 warnings
      try: tidemill explain E0201
    ");
    let (code, out, _) = run(dir.path(), &["lint", "bad.yaml", "-o", "json"]);
    assert_eq!(code, 3);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found[0]["file"], "bad.yaml");
    assert_eq!((found[0]["line"].as_u64(), found[0]["column"].as_u64()), (Some(8), Some(7)));
    assert_eq!(found[0]["severity"], "error");
}

#[test]
fn help() {
    let (code, out, err) = run(Path::new("/"), &["-h"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r"
    Turns outside events into CloudEvents, matches them against triggers and runs durable workflows

    Usage: tidemill [OPTIONS] <COMMAND>

    Commands:
      serve        Run the service
      dev          Run the service on a folder of definitions: apply them, and again with each change
      run          Run one workflow to its end in this process, without a server
      init         Begin a project: a workflow, a function, a trigger
      lint         Check definitions without a server
      fmt          Lay definitions out; their meaning and their comments stay
      apply        Send definitions to the server, all or nothing
      diff         Show what an apply would change; exit code 9 if there is something
      send         Send an event
      eval         Evaluate an expression
      workflow     Workflows
      execution    Executions
      trigger      Triggers
      source       Sources
      function     Functions
      dead-letter  Dead letters: deliveries that failed for good
      buffer       Buffers of triggers
      event        Events
      batch        Batches: bulk work that the server does
      tail         Follow what happens on the server
      export       Print every definition of the namespace, to be applied again
      secret       Secrets: written, never read back
      explain      Explain the code of a diagnostic
      healthcheck  Ask whether the server is ready; exit code 0 or 7
      doctor       Look at what a server needs on this machine, with help for what is wrong
      backup       Backups of the store of this machine
      store        The store of this machine
      completion   Print the completion script of a shell
      man          Print the manual page, or write one for every command
      config       The configuration
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Global options:
          --server <URL>      Base URL of the server that is asked [env: TIDEMILL_SERVER] [default:
                              http://127.0.0.1:8484]
      -n, --namespace <NAME>  Namespace [default: default, or what definitions themselves name] [env:
                              TIDEMILL_NAMESPACE]
      -o, --output <FORM>     Form of the output [possible values: table, json, jsonl, yaml, name,
                              github, sarif]
          --config <PATH>     Configuration file (TOML) [env: TIDEMILL_CONFIG]
      -y, --yes               Answer every question with yes

    Exit codes: 0 ok, 1 failure, 2 usage, 3 lint or test failed, 4 not found, 5 conflict, 6 auth, 7
    unavailable or timeout, 8 execution faulted, 9 differences found, 130 interrupted
    ");
}

#[test]
fn run_prints_the_output_and_nothing_else() {
    let dir = folder(&[("say.yaml", ECHO)]);
    let input = "{\"word\": 123456789012345678901234567890}";
    let (code, out, err) = run(dir.path(), &["run", "say.yaml", "-o", "jsonl", "--input", input]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "{\"said\":123456789012345678901234567890}\n", ""));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "run leaves no file behind");
}

#[test]
fn run_reads_standard_input_and_files() {
    let dir = folder(&[("say.yaml", ECHO), ("input.json", "{\"word\": \"file\"}")]);
    let (code, out, _) = run(dir.path(), &["run", "say.yaml", "-o", "jsonl", "--input", "@input.json"]);
    assert_eq!((code, out.as_str()), (0, "{\"said\":\"file\"}\n"));
    let file = std::fs::File::open(dir.path().join("input.json")).unwrap();
    let words = ["run", "say.yaml", "-o", "yaml", "--input", "-"];
    let (code, out, _) = ended(binary().current_dir(dir.path()).args(words).stdin(file).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "said: file\n"));
}

#[test]
fn the_example_runs_without_a_server() {
    let words =
        ["run", "workflow.yaml", "-f", "function.yaml", "--input", r#"{"name": "Ada", "language": "de"}"#];
    let (code, out, err) = run(&example(), &words);
    assert_eq!(code, 0, "{err}");
    let expected = std::fs::read_to_string(example().join("expected-output.json")).unwrap();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(&out), read(&expected));
}

#[test]
fn config_show_names_value_and_origin() {
    let dir = folder(&[("t.toml", "lanes = 3\n[egress]\nallow = [\"10.0.0.0/8\"]\n")]);
    let shown = |variable: Option<&str>, words: &[&str]| {
        let mut command = binary();
        command
            .current_dir(dir.path())
            .args(["config", "show", "--config", "t.toml", "-o", "json"])
            .args(words);
        if let Some(value) = variable {
            command.env("TIDEMILL_LANES", value);
        }
        let (code, out, err) = ended(command.output().unwrap());
        assert_eq!(code, 0, "{err}");
        let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
        rows
    };
    let of = |rows: &[Value], name: &str| {
        let row = rows.iter().find(|row| row["setting"] == name).unwrap_or(&Value::Null).clone();
        (row["value"].to_string(), row["origin"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(shown(None, &[]).len(), 2, "only what was set");
    let rows = shown(None, &["--effective"]);
    assert_eq!(of(&rows, "lanes"), ("3".into(), "file t.toml".into()));
    assert_eq!(of(&rows, "egress.allow"), (r#"["10.0.0.0/8"]"#.into(), "file t.toml".into()));
    assert_eq!(of(&rows, "durability"), ("\"power\"".into(), "default".into()));
    assert_eq!(of(&shown(Some("4"), &[]), "lanes"), ("4".into(), "env TIDEMILL_LANES".into()));
    assert_eq!(of(&shown(Some("4"), &["--lanes", "5"]), "lanes"), ("5".into(), "flag --lanes".into()));
}

/// Copies the example's files.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(example()).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}

#[test]
fn dev_runs_the_example_and_follows_its_folder() {
    let folder = copy();
    let path = folder.path().to_str().unwrap();
    let service = Service::start(&["dev", path]);
    assert_eq!(service.ask(&["healthcheck"]).0, 0);
    let sent = service.json(&["send", "event.json"]);
    assert_eq!(sent["events"][0]["triggers"][0], "greet-guest");
    let trace = service.json(&["event", "trace", "/examples/hello", "guest-1"]);
    let id = trace["executions"][0]["id"].as_str().unwrap().to_owned();
    let (code, out, err) = service.ask(&["execution", "watch", &id]);
    assert!(code == 0 && out.contains("workflow.completed"), "{out}{err}");
    let execution = service.json(&["execution", "show", &id, "--wait", "30s"]);
    let expected = std::fs::read_to_string(example().join("expected-output.json")).unwrap();
    assert_eq!(execution["output"], serde_json::from_str::<Value>(&expected).unwrap());
    assert_eq!(
        service.json(&["execution", "list", "--trigger", "greet-guest"]).as_array().map(Vec::len),
        Some(1)
    );
    // A second service on the folder ends at once.
    let (code, _, err) =
        run(folder.path(), &["dev", ".", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    assert!(code == 7 && err.contains("in use"), "{code} {err}");
    // Changes are taken, mistakes told, what is gone removed.
    let file = |name: &str| folder.path().join(name);
    let text = std::fs::read_to_string(file("workflow.yaml")).unwrap();
    std::fs::write(file("workflow.yaml"), text.replace("Hallo", "Moin")).unwrap();
    service.wait_for("updated Workflow hello:1.0.0");
    let started = service.json(&["workflow", "start", "hello", "--wait", "--input", r#"{"language": "de"}"#]);
    assert_eq!(started["output"]["greeting"], "Moin, world!");
    std::fs::write(file("broken.yaml"), "kind: Trigger\n").unwrap();
    service.wait_for("broken.yaml:1:1: error[");
    std::fs::remove_file(file("broken.yaml")).unwrap();
    std::fs::remove_file(file("triggers.yaml")).unwrap();
    service.wait_for("deleted Trigger greet-guest");
    assert_eq!(service.terminate(), Some(0));
    assert!(file(".tidemill/tidemill.db").exists());
}

#[test]
fn serve_takes_definitions_over_the_api() {
    let data = tempfile::tempdir().unwrap();
    let dir = folder(&[
        ("say.yaml", ECHO),
        ("fault.yaml", FAULT),
        ("bad.yaml", BAD),
        ("other.yaml", "kind: Queue\nmetadata: {name: a, namespace: b}\nspec: {via: {embedded: {}}}\n"),
    ]);
    let store = format!("sqlite:{}/own.db", data.path().display());
    let service = Service::start(&["serve", "--store", &store]);
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    // Refused: all mistakes at their places in the files, nothing changed.
    let (code, _, err) = service.ask(&["apply", "-f", &file("say.yaml"), "-f", &file("bad.yaml")]);
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains(&format!("{}:8:7: error[", file("bad.yaml"))) && err.contains("tidemill explain"),
        "{err}"
    );
    assert_eq!(service.ask(&["workflow", "show", "say"]).0, 4);
    // Judged, then applied, then as it was.
    let both = ["-f", &file("say.yaml"), "-f", &file("fault.yaml")];
    assert_eq!(service.ask(&[&["diff"], &both[..]].concat()).0, 9);
    let changes = |words: &[&str]| {
        let all = service.json(&[words, &both[..]].concat());
        let words: Vec<String> =
            all.as_array().unwrap().iter().map(|c| c["change"].as_str().unwrap().into()).collect();
        words.join(" ")
    };
    assert_eq!(changes(&["apply", "--dry-run"]), "created created");
    assert_eq!(changes(&["apply"]), "created created");
    assert_eq!(changes(&["apply"]), "unchanged unchanged");
    assert_eq!(service.ask(&[&["diff"], &both[..]].concat()).0, 0);
    // A changed text of a version is a conflict under serve.
    let changed = folder(&[("say.yaml", &ECHO.replace("said", "told"))]);
    let (code, _, err) = service.ask(&["apply", "-f", changed.path().to_str().unwrap()]);
    assert!(code == 5 && err.contains("new version"), "{code} {err}");
    // Documents go to the namespaces they state.
    let (code, out, _) = service.ask(&["apply", "-f", &file("other.yaml"), "-o", "name"]);
    assert_eq!((code, out.trim()), (0, "created"));
    // Ends have exit codes.
    assert_eq!(service.ask(&["workflow", "start", "fault", "--wait"]).0, 8);
    let id = service.ask(&["execution", "list", "--status", "faulted", "-o", "name"]).1.trim().to_owned();
    assert_eq!(service.ask(&["execution", "watch", &id]).0, 8);
    assert_eq!(service.ask(&["execution", "cancel", &id, "--yes"]).0, 5);
    assert_eq!(service.ask(&["execution", "show", "00000000000000000000000000"]).0, 4);
    let (code, text, _) = service.ask(&["workflow", "show", "say"]);
    assert_eq!((code, text.trim()), (0, ECHO.trim()));
    assert_eq!(service.terminate(), Some(0));
    assert!(data.path().join("own.db").exists() && data.path().join("secret.key").exists());
}
