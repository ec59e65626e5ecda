//! Waits and timeouts: stored, absolute instants.

use tidemill_engine::record::TimerKind;
use tidemill_engine::{Awaited, Due, Input, Status, Verdict, resume};

use crate::harness::{Run, pure};

#[test]
fn wait_gives_its_input() {
    let mut run = Run::start("do:\n- w: {wait: PT5S}\n- z: {set: {z: '${ . }'}}\n", "1");
    run.is(Status::Waiting);
    assert_eq!(
        run.x.waiting_for(&run.program)[0].what,
        Awaited::Timer(tidemill_dsl::ids::Time(run.now.0 + 5000))
    );
    run.pass(4999).is(Status::Waiting);
    run.pass(1);
    run.expect(r#"{"z":1}"#, "+W +w -w +z -z -W");
    pure("do:\n- w: {wait: '${ .d }'}\n", r#"{"d":"P1Y"}"#, "400 expression /do/0/w", "+W +w !w !W");
    pure("do:\n- w: {wait: '${ .d }'}\n", r#"{"d":"P400D"}"#, "400 expression /do/0/w", "+W +w !w !W");
}

#[test]
fn early_and_foreign_timers_are_stale() {
    let mut run = Run::start("do:\n- w: {wait: PT5S}\n", "1");
    let due = resume(&run.program, &run.x).due[0];
    if cfg!(not(feature = "bug-timer-early")) {
        assert_eq!(run.feed(Input::Timer(due)), Verdict::Stale);
    }
    run.now = due.at;
    for wrong in [
        Due { kind: TimerKind::Timeout, ..due },
        Due { visit: 9, ..due },
        Due { at: tidemill_dsl::ids::Time(due.at.0 - 1), ..due },
    ] {
        assert_eq!(run.feed(Input::Timer(wrong)), Verdict::Stale, "{wrong:?}");
    }
    assert_eq!(run.feed(Input::Timer(due)), Verdict::Applied);
    assert_eq!(run.feed(Input::Timer(due)), Verdict::Stale);
}

#[test]
fn a_task_timeout_is_caught_around_not_inside() {
    let mut run = Run::start(
        "do:\n- o:\n    try:\n    - d:\n        timeout: {after: PT2S}\n        do:\n        - t:\n            try: [{c: {call: 'x:1@default'}}]\n            catch: {do: [{no: {set: {no: 1}}}]}\n    catch: {do: [{h: {set: {e: '${ [$error.status, $error.instance] }'}}}]}\n",
        "{}",
    );
    run.pass(2000);
    run.expect(r#"{"e":[408,"/do/0/o/try/0/d"]}"#, "+W +o +d +t +c xc xt !d +h -h -o -W");
    assert!(resume(&run.program, &run.x).due.is_empty());
}

#[test]
fn a_timeout_cuts_off_its_own_call() {
    let mut run = Run::start("do:\n- c: {call: 'x:1@default', timeout: {after: PT2S}}\n", "{}");
    let (visit, _) = run.call("c");
    run.pass(2000);
    run.expect("408 timeout /do/0/c", "+W +c !c !W");
    assert!(run.effects.contains(&tidemill_engine::Effect::Abort { visit }));
}

#[test]
fn a_timeout_covers_attempts_and_delays() {
    let mut run = Run::start(
        "do:\n- t:\n    timeout: {after: PT5S}\n    try: [{c: {call: 'x:1@default'}}]\n    catch: {retry: {delay: PT3S}}\n",
        "{}",
    );
    run.fail("c", 500).pass(3000).fail("c", 500).pass(3000);
    run.expect("408 timeout /do/0/t", "+W +t +c !c ~t +c !c !t !W");
}

#[test]
fn a_timer_set_and_cleared_in_one_decision_is_not_told() {
    let mut run = Run::pending(
        "do:\n- d: {timeout: {after: PT5S}, do: [{a: {set: {b: 1}}}]}\n- w: {wait: PT1S}\n",
        "{}",
    );
    let decision = run.one(Input::Begin);
    assert_eq!(decision.due.len(), 1);
}

#[test]
fn the_workflow_timeout_cannot_be_caught() {
    let mut run = Run::start(
        "timeout: {after: PT10S}\ndo:\n- t:\n    try: [{w: {wait: PT1M}}]\n    catch: {do: [{no: {set: {no: 1}}}]}\n",
        "{}",
    );
    run.pass(10_000);
    run.expect("408 timeout -", "+W +t +w xw xt !W");
}

#[test]
fn the_nearest_deadline_goes_with_the_order() {
    let body = "timeout: {after: PT10S}\ndo:\n- d:\n    timeout: {after: PT3S}\n    do: [{c: {call: 'x:1@default', timeout: {after: PT5S}}}]\n";
    let run = Run::start(body, "{}");
    let (visit, _) = run.call("c");
    let order =
        tidemill_engine::prepare(&run.program, &run.x, visit, &tidemill_dsl::expr::NoArguments).unwrap();
    assert_eq!(order.deadline, Some(tidemill_dsl::ids::Time(run.now.0 + 3000)));
}
