//! `run.shell` and `run.script` with real programs.

use std::time::Duration;

use tidemill_dsl::ids::Time;
use tidemill_dsl::order::{Call, Masks, Order, Outcome, ProcessRun, ProcessText};
use tidemill_dsl::program::{Language, Returns};
use tidemill_dsl::value::Value;
use tidemill_workers::Clock;
use tidemill_workers::egress::Policy;
use tidemill_workers::process::{DEFAULT_PATH, Programs};
use tidemill_workers::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::{cut_off, done, eventually, fault, grandchild, is_alive, json, order, secrets};

fn registry(shell: bool, script: bool) -> Registry {
    let registry = Registry::new(Policy::default(), secrets(), Clock::new(|| Time(1_000_000)));
    registry.set_programs(Programs::new((shell, script), DEFAULT_PATH, None));
    registry
}

fn shell(command: &str) -> ProcessRun {
    ProcessRun {
        program: ProcessText::Shell(command.to_owned()),
        arguments: Vec::new(),
        environment: Vec::new(),
        stdin: String::new(),
        returns: Returns::Stdout,
        wait: true,
    }
}

fn script(language: Language, code: &str) -> ProcessRun {
    ProcessRun { program: ProcessText::Script(language, code.into()), ..shell("") }
}

fn ordered(run: ProcessRun) -> Order {
    Order { what: Call::Process(Box::new(run)), ..order(1, Value::Null) }
}

async fn run(run: ProcessRun) -> Outcome {
    registry(true, true).call(ordered(run), CancellationToken::new()).await
}

#[tokio::test]
async fn outputs() {
    let both = "echo out; echo err >&2";
    for (command, returns, expected) in [
        (both, Returns::Stdout, json(r#""out\n""#)),
        (both, Returns::Stderr, json(r#""err\n""#)),
        (both, Returns::Code, json("0")),
        (both, Returns::All, json(r#"{"code":0,"stdout":"out\n","stderr":"err\n"}"#)),
        (both, Returns::None, Value::Null),
        ("printf '  a\\n\\n'", Returns::Stdout, json(r#""  a\n\n""#)),
        ("printf '\\377'", Returns::Stdout, json("\"\u{fffd}\"")),
        ("printf \"$TIDEMILL_TASK $HOME$USER\"", Returns::Stdout, json(r#""/do/0/a ""#)),
    ] {
        assert_eq!(
            done(run(ProcessRun { returns, ..shell(command) }).await),
            expected,
            "{command} {returns:?}"
        );
    }
}

#[tokio::test]
async fn a_program_gets_what_the_task_states() {
    let given = |run: ProcessRun| ProcessRun {
        arguments: vec!["one".into(), "t w o".into()],
        environment: vec![("NAME".into(), "v".into())],
        stdin: "said".into(),
        ..run
    };
    let js = "const fs = require('node:fs'); \
              console.log(process.argv[2], process.argv[3], process.env.NAME, fs.readFileSync(0, 'utf8'))";
    let module = "import { readFileSync } from 'node:fs';\n\
                  console.log(process.argv[2], process.argv[3], process.env.NAME, readFileSync(process.stdin.fd, 'utf8'))";
    let python = "import os, sys\nprint(sys.argv[1], sys.argv[2], os.environ['NAME'], sys.stdin.read())";
    for task in [
        shell("echo $1 $2 $NAME $(cat)"),
        script(Language::JavaScript, js),
        script(Language::JavaScript, module),
        script(Language::Python, python),
    ] {
        let text = format!("{task:?}");
        assert_eq!(done(run(given(task)).await), json(r#""one t w o v said\n""#), "{text}");
    }
}

#[tokio::test]
async fn failures() {
    for (task, title, part) in [
        (shell("echo 'no money' >&2; exit 3"), "Exit Code 3", "no money"),
        (ProcessRun { returns: Returns::Code, ..shell("exit 3") }, "Exit Code 3", "exit code 3"),
        (shell("kill -9 $$"), "Signal 9", "signal 9"),
        (shell("head -c 3000000 /dev/zero"), "Runtime Error", "`task-output`"),
        (script(Language::Python, "raise SystemExit('broken')"), "Exit Code 1", "broken"),
        (script(Language::JavaScript, "throw new Error('broken')"), "Exit Code 1", "broken"),
    ] {
        let text = format!("{task:?}");
        let said = fault(run(task).await);
        assert_eq!((said.title.as_deref(), said.status), (Some(title), 500), "{text}: {said}");
        assert!(said.detail.as_deref().unwrap_or("").contains(part), "{text}: {said}");
    }
}

#[tokio::test]
async fn a_flood_on_an_output_that_is_not_returned_is_no_error() {
    let task = ProcessRun { returns: Returns::Code, ..shell("head -c 3000000 /dev/zero") };
    assert_eq!(done(run(task).await), json("0"));
}

#[tokio::test]
async fn what_is_not_allowed_names_the_setting() {
    for (task, allowed, setting) in [
        (shell("true"), registry(false, true), r#"TIDEMILL_RUN__ALLOW='["shell"]'"#),
        (script(Language::Python, ""), registry(true, false), r#"TIDEMILL_RUN__ALLOW='["script"]'"#),
        (ProcessRun { wait: false, ..shell("true") }, registry(false, false), "run.allow"),
    ] {
        let said = fault(allowed.call(ordered(task), CancellationToken::new()).await);
        assert_eq!((said.status, &*said.kind), (403, tidemill_dsl::fault::Standard::Authorization.uri()));
        assert!(said.to_string().contains(setting), "{said}");
    }
}

#[tokio::test]
async fn secrets_are_masked_in_outputs_and_errors() {
    let masks = || Masks::of(&[json(r#"{"a":"s3cret-token","b":["s3cret"],"c":"x"}"#)]);
    let told = async |command: &str| {
        let order = ordered(ProcessRun { returns: Returns::All, ..shell(command) });
        registry(true, true).call(Order { masks: masks(), ..order }, CancellationToken::new()).await
    };
    let said = done(told("echo s3cret-token s3cret x; echo s3cret >&2").await);
    assert_eq!(said, json(r#"{"code":0,"stdout":"*** *** x\n","stderr":"***\n"}"#));
    let said = fault(told("echo my s3cret-token >&2; exit 1").await);
    assert!(said.detail.as_deref().unwrap_or("").ends_with(": my ***"), "{said}");
}

/// A program that starts another one, tells its process id in a file, and waits for ever.
fn family(folder: &std::path::Path) -> ProcessRun {
    shell(&format!("sleep 3600 & echo $! > {0}/new && mv {0}/new {0}/pid; wait", folder.display()))
}

#[tokio::test]
async fn the_deadline_kills_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let hasty = Order { deadline: Some(Time(1_000_300)), ..ordered(family(folder.path())) };
    let registry = registry(true, true);
    let calling = registry.call(hasty, CancellationToken::new());
    let (outcome, pid) = tokio::join!(calling, grandchild(folder.path()));
    assert_eq!(fault(outcome).status, 408);
    eventually("the grandchild is killed", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_run_cut_off_kills_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, stop) = (registry(true, true), CancellationToken::new());
    let calling = registry.call(ordered(family(folder.path())), stop.clone());
    cut_off(calling, &stop, folder.path()).await;
}

#[tokio::test]
async fn one_that_is_not_waited_for_answers_at_once_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (go, end) = (folder.path().join("go"), folder.path().join("end"));
    let command = format!("until [ -e {} ]; do sleep 0.01; done; cat > {}", go.display(), end.display());
    let task = ProcessRun { wait: false, stdin: "told".into(), ..shell(&command) };
    let answer = tokio::time::timeout(Duration::from_secs(5), run(task)).await.unwrap();
    assert_eq!(done(answer), Value::Null);
    std::fs::write(&go, "").unwrap();
    eventually("it ends", || std::fs::read_to_string(&end).is_ok_and(|text| text == "told")).await;
}
