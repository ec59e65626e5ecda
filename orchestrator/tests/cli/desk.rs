//! The operator's desk on the command line, through the real binary: every command's failures, bulk work, backups.

use clap::CommandFactory;
use serde_json::Value;
use tidemill::cli::args::Cli;

use crate::run;
use crate::service::Service;

const SET: &str = "
document: {dsl: '1.0.3', namespace: default, name: nap, version: '1.0.0'}
do:
  - nap: {wait: {hours: 1}}
---
document: {dsl: '1.0.3', namespace: default, name: broken, version: '1.0.0'}
do:
  - one: {raise: {error: {type: 'https://example.com/broken', status: 500, title: Broken}}}
---
kind: Trigger
metadata: {name: on-nap}
spec: {filters: [{exact: {type: nap}}], target: {workflow: nap}, input: '${ .data }'}
---
kind: Function
metadata: {name: noop}
spec: {builtin: echo}
";

/// Words that make a command complete: its required arguments, its required options.
fn filled(command: &clap::Command) -> Vec<String> {
    let mut words = Vec::new();
    for argument in command.get_arguments().filter(|argument| argument.is_required_set()) {
        words.extend(argument.get_long().map(|long| format!("--{long}")));
        let possible = argument.get_possible_values();
        words.push(possible.first().map_or("absent".into(), |value| value.get_name().to_owned()));
    }
    words
}

fn leaves(command: &clap::Command, way: &[String], found: &mut Vec<Vec<String>>) {
    let inner: Vec<_> = command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
    if inner.is_empty() {
        found.push([way, &filled(command)].concat());
    }
    for inner in inner {
        leaves(inner, &[way, &[inner.get_name().to_owned()]].concat(), found);
    }
}

/// Every command, asked of a server that is not there and of files that are not there, fails with a next step.
#[test]
fn every_failure_names_the_next_step() {
    let mut all = Vec::new();
    leaves(&Cli::command(), &[], &mut all);
    assert!(all.len() > 50, "{}", all.len());
    let dir = tempfile::tempdir().unwrap();
    // These need neither a server nor a file, or stay.
    let fine = ["serve", "dev", "completion", "man", "config", "eval", "init", "fmt"];
    for words in all.iter().filter(|words| !fine.contains(&words[0].as_str())) {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(["--server", "http://127.0.0.1:1", "--yes"]);
        let (code, out, err) = run(dir.path(), &words);
        if words[0] == "doctor" {
            assert!(out.contains("tidemill serve, or name the server with --server"), "{out}");
            continue;
        }
        assert!((1..10).contains(&code), "{words:?}: {code}\n{out}{err}");
        let next = err.lines().find_map(|line| line.trim_start().strip_prefix("try: "));
        let usage = code == 2 && err.contains("For more information, try '--help'");
        assert!(usage || next.is_some_and(|next| !next.is_empty()), "{words:?} names no next step:\n{err}");
    }
}

/// The same of a server that is there, about things that are not.
#[test]
fn what_is_not_there_is_told_with_its_list() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::on(data.path());
    service.apply(SET);
    let none = "00000000000000000000000000";
    let check = |words: &[&str], next: &str| drop(service.told(words, 4, &format!("try: {next}")));
    check(&["workflow", "show", "absent"], "tidemill workflow list");
    check(&["workflow", "graph", "absent"], "tidemill workflow list");
    check(&["workflow", "start", "absent"], "tidemill workflow list");
    check(&["execution", "show", none], "tidemill execution list");
    check(&["execution", "why", none], "tidemill execution list");
    check(&["execution", "history", none], "tidemill execution list");
    check(&["execution", "cancel", none, "--yes"], "tidemill execution list");
    check(&["trigger", "show", "absent"], "tidemill trigger list");
    check(&["source", "show", "absent"], "tidemill source list");
    check(&["function", "show", "absent"], "tidemill function list");
    check(&["dead-letter", "show", "9"], "tidemill dead-letter list");
    check(&["batch", "show", "absent"], "tidemill batch list");
    check(&["buffer", "show", "absent"], "tidemill buffer list");
    check(&["event", "show", "/a", "absent"], "tidemill event list");
    check(&["event", "replay", "--trigger", "absent"], "tidemill trigger list");
    service.told(&["execution", "list", "--status", "odd"], 2, "try: ");
    service.told(&["tail", "odd"], 2, "try: ");
}

#[test]
fn bulk_work_is_previewed_begun_and_followed() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::on(data.path());
    service.apply(SET);
    for n in 0..3 {
        let id = format!("n{n}");
        service.told(&["send", "--type", "nap", "--id", &id, "--data", "{}"], 0, "on-nap");
        service.told(&["workflow", "start", "broken", "--wait"], 8, "faulted");
    }
    let preview = service.json(&["batch", "start", "cancel", "--dry-run"]);
    assert_eq!(preview["matched"], 3);
    assert_eq!(preview["states"], serde_json::json!({"faulted": 3, "waiting": 3}));
    service.told(&["batch", "start", "cancel"], 2, "try: the same with --yes");
    let words = ["batch", "start", "retry", "--workflow", "broken", "--reason", "again", "--wait", "--yes"];
    let told = service.told(&words, 0, "completed");
    assert!(told.contains("done: 3"), "{told}");
    let replay = service.json(&["event", "replay", "--trigger", "on-nap", "--dry-run"]);
    assert_eq!(replay["matched"], 3);
    service.told(&["event", "replay", "--trigger", "on-nap", "--rate", "100/s", "--wait"], 0, "completed");
    let ids = service.told(&["batch", "list", "-o", "name"], 0, "");
    assert_eq!(ids.lines().count(), 2, "{ids}");
    let batch = ids.lines().next().unwrap();
    service.told(&["batch", "watch", batch], 0, "completed");
    service.told(&["batch", "pause", batch], 5, "try: ");
    let waiting = service.told(&["execution", "list", "--status", "waiting", "-o", "name"], 0, "");
    assert_eq!(waiting.lines().count(), 6);
    let one = waiting.lines().next().unwrap();
    service.told(&["execution", "why", one], 0, "task nap (/do/0/nap) waits until ");
    assert_eq!(service.json(&["execution", "why", one])["waitingFor"][0]["what"], "timer");
    let drawn = service.told(&["workflow", "graph", "nap", "--execution", one], 0, "[~] nap (wait)");
    assert!(drawn.starts_with("nap 1.0.0"), "{drawn}");
    let drawn = service.told(&["workflow", "graph", "nap", "--format", "svg"], 0, "");
    assert!(drawn.starts_with("<svg"), "{drawn}");
}

#[test]
fn definitions_are_exported_and_applied_again() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let service = Service::on(data.path());
    service.apply(SET);
    let text = service.told(&["export"], 0, "4 definitions of namespace default");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("all.yaml"), text).unwrap();
    let path = dir.path().to_str().unwrap();
    let second = Service::on(other.path());
    second.told(&["diff", "-f", path], 9, "created");
    second.told(&["apply", "-f", path], 0, "created");
    second.told(&["diff", "-f", path], 0, "no differences");
    let files = dir.path().join("files");
    service.told(&["export", "--dir", files.to_str().unwrap()], 0, "4 definitions");
    assert!(files.join("workflow-nap-1.0.0.yaml").exists() && files.join("trigger-on-nap.yaml").exists());
    second.told(&["diff", "-f", files.to_str().unwrap()], 0, "no differences");
}

#[test]
fn a_drawing_needs_no_server() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("nap.yaml"), SET.split("---").next().unwrap()).unwrap();
    let (code, out, err) = run(dir.path(), &["workflow", "graph", "--file", "nap.yaml"]);
    assert_eq!((code, out.as_str()), (0, "nap 1.0.0\n`- nap (wait)\n"), "{err}");
    let (code, _, err) = run(dir.path(), &["workflow", "graph"]);
    assert!(code == 2 && err.contains("--help"), "{err}");
}

#[test]
fn manual_pages_of_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = run(dir.path(), &["man"]);
    assert!(code == 0 && out.contains(".TH tidemill 1"), "{out}");
    assert_eq!(run(dir.path(), &["man", "--dir", "man1"]).0, 0);
    assert!(dir.path().join("man1/tidemill-execution-why.1").exists());
}

#[test]
fn the_doctor_tells_what_is_wrong_and_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let service = Service::on(&data.path().join("d"));
    let folder = data.path().join("d");
    let words = ["doctor", "--deep", "--data-dir", folder.to_str().unwrap(), "--server", &service.address];
    let (code, out, err) = run(data.path(), &words);
    assert_eq!(code, 0, "{out}{err}");
    for check in ["config", "address", "folder", "store", "key", "disk", "clock", "server", "skew"] {
        assert!(out.lines().any(|line| line.starts_with(check)), "{check}:\n{out}");
    }
    assert!(out.contains(", whole"), "{out}");
    std::fs::write(data.path().join("tidemill.db"), vec![b'x'; 4096]).unwrap();
    let (code, out, err) =
        run(data.path(), &["doctor", "--data-dir", path, "--server", "http://127.0.0.1:1", "-o", "jsonl"]);
    assert!(code == 1 && err.contains("checks failed") && err.contains("try: "), "{out}{err}");
    let states: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for found in states {
        assert!(found["state"] == "ok" || found["help"].is_string(), "{found}");
    }
}

/// A trigger is judged without a server, on a server, and over what a server has stored.
#[test]
fn triggers_are_tested_anywhere() {
    let (data, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("set.yaml"), SET).unwrap();
    std::fs::write(dir.path().join("nap.json"), r#"{"type": "nap", "data": {"long": true}}"#).unwrap();
    std::fs::write(dir.path().join("other.json"), r#"{"type": "other"}"#).unwrap();
    let (code, out, err) =
        run(dir.path(), &["trigger", "test", "on-nap", "nap.json", "-f", "set.yaml", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["matched"], &told["input"]), (&Value::from(true), &serde_json::json!({"long": true})));
    let (code, out, _) = run(dir.path(), &["trigger", "test", "on-nap", "other.json", "-f", "set.yaml"]);
    assert!(code == 3 && out.contains("matched: false"), "{code} {out}");
    assert_eq!(run(dir.path(), &["trigger", "test", "absent", "nap.json", "-f", "set.yaml"]).0, 4);
    let service = Service::on(data.path());
    service.apply(SET);
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    service.told(&["trigger", "test", "on-nap", &file("nap.json")], 0, "matched: true");
    service.told(&["trigger", "test", "on-nap", &file("other.json")], 3, "matched: false");
    service.told(&["send", "--type", "nap", "--id", "1", "--data", "{}"], 0, "on-nap");
    service.told(&["trigger", "test", "on-nap", "--since", "2026-01-01T00:00:00Z"], 0, "matched: 1");
}
