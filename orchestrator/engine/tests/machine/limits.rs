//! Limits: each is met with its name; a decision that yields goes on.

use tidemill_engine::{Ended, Input, Status};

use crate::harness::{Run, json};

fn detail(run: &Run) -> String {
    match run.x.result() {
        Some(Ended::Faulted(fault)) => fault.detail.as_deref().unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_decision_yields_after_a_thousand_visits() {
    let items: Vec<String> = (0..2500).map(|n| n.to_string()).collect();
    let mut run = Run::pending(
        "do:\n- f: {for: {each: x, in: .}, do: [{a: {set: {v: '${ $x }'}}}]}\n",
        &format!("[{}]", items.join(",")),
    );
    run.checked = false;
    let mut decision = run.one(Input::Begin);
    let mut decisions = 1;
    while decision.more {
        run.is(Status::Running);
        assert!(decision.records.len() <= 2100);
        decision = run.one(Input::Continue);
        decisions += 1;
    }
    run.check("the end");
    assert_eq!((run.end().as_str(), decisions), (r#"{"v":2499}"#, 6));
}

#[test]
fn a_loop_onto_itself_yields() {
    let mut run = Run::pending("do:\n- a: {set: {v: 1}, then: a}\n", "{}");
    run.checked = false;
    assert!(run.one(Input::Begin).more);
    assert!(run.one(Input::Continue).more);
    run.check("two decisions");
    run.suspend();
    run.is(Status::Suspended);
    assert!(!run.x.more());
    assert!(run.one(Input::Resume { reason: None }).more);
    run.check("resume");
}

#[test]
fn cancel_between_two_decisions_and_retry() {
    let body =
        "do:\n- o: {do: [{f: {for: {each: x, in: '[range(1500)]'}, do: [{a: {set: {v: '${ $x }'}}}]}}]}\n";
    let mut run = Run::pending(body, "{}");
    run.checked = false;
    assert!(run.one(Input::Begin).more);
    run.cancel();
    run.check("cancel");
    let before = run.x.next_sequence();
    run.retry(None, None);
    run.check("retry");
    assert_eq!(run.end(), r#"{"v":1499}"#);
    let started = run
        .entries()
        .iter()
        .filter(|e| e.kind == "task.started" && e.task.as_ref().is_some_and(|t| &*t.name == "a"))
        .count();
    assert_eq!(started, 1500, "no iteration ran twice, before and after {before}");
}

#[test]
fn large_records_yield() {
    let text = "x".repeat(300_000);
    let body = "do:\n- a: {set: {v: '${ .v + \"y\" }', n: '${ .n + 1 }'}}\n- s: {switch: [{more: {when: .n < 8, then: a}}]}\n";
    let mut run = Run::pending(body, &format!(r#"{{"v":"{text}","n":0}}"#));
    assert!(run.one(Input::Begin).more);
    assert!(run.one(Input::Continue).more);
    assert!(!run.one(Input::Continue).more);
    run.is(Status::Completed);
}

#[test]
fn too_many_items() {
    let run = Run::start("do:\n- f: {for: {in: '[range(10001)]'}, do: [{a: {set: {v: 1}}}]}\n", "{}");
    assert!(detail(&run).contains("limit for-items: 10000"), "{}", detail(&run));
}

#[test]
fn an_output_too_large() {
    let mut run = Run::start("do:\n- c: {call: 'x:1@default'}\n", "{}");
    run.done("c", &format!("\"{}\"", "x".repeat(2 * 1024 * 1024)));
    assert!(detail(&run).contains("limit task-output"), "{}", detail(&run));
    assert_eq!(run.end(), "500 runtime /do/0/c");
}

#[test]
fn data_nested_too_deep() {
    let run = Run::start("do:\n- a: {set: {n: '${ . }'}, then: a}\n", "{}");
    assert!(run.end().starts_with("400 expression /do/0/a"), "{}", run.end());
}

#[test]
fn tasks_nested_too_deep_through_functions() {
    let nest = |inner: &str| (0..20).fold(inner.to_owned(), |inner, _| format!("do: [{{d: {{{inner}}}}}]"));
    let body = format!(
        "use:\n  functions:\n    g: {{{}}}\ndo:\n- a: {{{}}}\n",
        nest("set: {v: 1}"),
        nest("call: g")
    );
    let run = Run::start(&body, "{}");
    assert!(detail(&run).contains("limit nesting"), "{}", detail(&run));
}

#[test]
fn a_long_history_suspends() {
    let mut run = Run::pending("do:\n- a: {set: {v: 1}, then: a}\n", "{}");
    run.checked = false;
    let mut decision = run.one(Input::Begin);
    while decision.more {
        decision = run.one(Input::Continue);
    }
    run.is(Status::Suspended);
    assert!(run.x.next_sequence() > 200_000);
    let last = run.entries().pop().unwrap();
    assert_eq!(
        (last.kind, last.reason.as_deref()),
        ("workflow.suspended", Some("the history has 200000 entries (limit history)"))
    );
    assert!(run.one(Input::Resume { reason: None }).more);
    assert_eq!(run.x.birth().input, json("{}"));
}
