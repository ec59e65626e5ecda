//! `lifecycle: oneShot` with real programs.

use std::time::Duration;

use tidemill_dsl::order::Outcome;
use tidemill_dsl::value::Value;
use tidemill_workers::Function;
use tidemill_workers::process::{OneShot, ProcessConfig};
use tokio_util::sync::CancellationToken;

use crate::{cut_off, done, eventually, fault, grandchild, is_alive, json, order, secrets};

fn shell(script: &str) -> ProcessConfig {
    ProcessConfig::new(["/bin/sh", "-c", script].map(str::to_owned).to_vec(), secrets())
}

async fn run(script: &str, input: &str) -> Outcome {
    OneShot::new(shell(script)).call(order(1, json(input)), CancellationToken::new()).await
}

#[tokio::test]
async fn results() {
    for (script, input, expected) in [
        ("cat", r#"{"a":[1,2.50,"ä"]}"#, r#"{"a":[1,2.5,"ä"]}"#),
        ("true", "1", "null"),
        ("echo noise; echo '{\"b\":1}' >&3", "null", r#"{"b":1}"#),
        ("echo noise >&2; echo 7", "null", "7"),
        ("printf '%s' \"$TIDEMILL_ATTEMPT\"", "null", "1"),
        ("printf '\"%s\"' \"$TIDEMILL_TASK\"", "null", "\"/do/0/a\""),
        ("printf '\"%s\"' \"$HOME$USER$CARGO\"", "null", "\"\""),
    ] {
        assert_eq!(done(run(script, input).await), json(expected), "{script}");
    }
}

#[tokio::test]
async fn failures() {
    for (script, title, part) in [
        ("echo 'no money' >&2; exit 3", "Exit Code 3", "no money"),
        ("kill -9 $$", "Signal 9", "signal 9"),
        ("echo hello", "Protocol Error", "write exactly one JSON value to stdout"),
        ("echo 1 2", "Protocol Error", "stdout"),
        ("echo '{' >&3", "Protocol Error", "file descriptor 3"),
        ("head -c 3000000 /dev/zero | tr '\\0' 1", "Runtime Error", "`task-output`"),
    ] {
        let said = fault(run(script, "null").await);
        assert_eq!(said.title.as_deref(), Some(title), "{script}: {said}");
        assert!(said.detail.as_deref().unwrap_or("").contains(part), "{script}: {said}");
        assert_eq!(said.status, 500, "{script}");
    }
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let config = ProcessConfig::new(vec!["/nowhere/at-all".to_owned()], secrets());
    let said = fault(OneShot::new(config).call(order(1, Value::Null), CancellationToken::new()).await);
    assert_eq!(said.status, 400);
    assert!(said.to_string().contains("/nowhere/at-all"), "{said}");
}

#[tokio::test]
async fn environment_and_folder_are_those_of_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = shell("printf '\"%s %s %s\"' \"$PLAIN\" \"$SECRET\" \"$(pwd)\"");
    config.environment = vec![
        ("PLAIN".into(), "x".into()),
        ("SECRET".into(), tidemill_workers::secret::Text::Secret("token".into())),
    ];
    config.workdir = Some(folder.path().to_path_buf());
    let said = done(OneShot::new(config).call(order(1, Value::Null), CancellationToken::new()).await);
    assert_eq!(said.as_str(), Some(format!("x s3cret-token {}", folder.path().display()).as_str()));
}

/// A program that starts another one, tells its process id in a file, and waits for ever.
fn family(folder: &std::path::Path) -> ProcessConfig {
    shell(&format!("sleep 3600 & echo $! > {0}/new && mv {0}/new {0}/pid; wait", folder.display()))
}

#[tokio::test]
async fn a_call_cut_off_kills_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let function = OneShot::new(family(folder.path()));
    let stop = CancellationToken::new();
    let calling = function.call(order(1, Value::Null), stop.clone());
    cut_off(calling, &stop, folder.path()).await;
}

#[tokio::test]
async fn a_dropped_call_kills_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let function = OneShot::new(family(folder.path()));
    let calling = function.call(order(1, Value::Null), CancellationToken::new());
    let pid = tokio::select! {
        _ = calling => panic!("the program waits for ever"),
        pid = grandchild(folder.path()) => pid,
    };
    eventually("the grandchild is killed", || !is_alive(pid)).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_killed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("sleep 3600 & echo $! > {}/pid; echo 1", folder.path().display());
    assert_eq!(done(run(&script, "null").await), json("1"));
    let pid: i64 = std::fs::read_to_string(folder.path().join("pid")).unwrap().trim().parse().unwrap();
    eventually("the grandchild is killed", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_program_that_left_its_group_does_not_hold_the_call() {
    let begun = std::time::Instant::now();
    let said = run("setsid sleep 5 & echo 1", "null").await;
    assert_eq!(done(said), json("1"));
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn the_queue_has_a_named_limit() {
    let mut config = shell("read x; sleep 3600");
    config.queue = 0;
    let function = OneShot::new(config);
    let stop = CancellationToken::new();
    let second = async {
        let said = fault(function.call(order(2, Value::Null), CancellationToken::new()).await);
        stop.cancel();
        said
    };
    let (_, said) = tokio::join!(function.call(order(1, Value::Null), stop.clone()), second);
    assert_eq!(said.status, 429);
    assert!(said.to_string().contains("`function-queue`"), "{said}");
}
