//! What the outside tells one execution: signals, and answers that come later.

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::Outcome;
use tidemill_engine::{Awaited, Effect, Input, Status, Verdict, resume};

use crate::harness::{self, Run, json};

const TWO: &str =
    "do:\n- a: {listen: {to: {one: {with: {type: a}}}}}\n- b: {listen: {to: {one: {with: {type: b}}}}}\n";
const CALL: &str = "do:\n- c: {call: 'x:1@default', timeout: {after: PT1M}}\n";

fn signal(run: &mut Run, id: &str, kind: &str) -> Verdict {
    run.feed(Input::Signal(event(id, kind)))
}

pub(crate) fn event(id: &str, kind: &str) -> Arc<Event> {
    harness::event(id, kind, &format!("{{\"id\":\"{id}\"}}"))
}

fn later(run: &mut Run, name: &str) -> u32 {
    let (visit, attempt) = run.call(name);
    let verdict = run.feed(Input::Outcome { visit, attempt, outcome: Outcome::Later });
    assert_eq!(verdict, Verdict::Applied);
    visit
}

fn answer(run: &mut Run, visit: u32, output: &str) -> Verdict {
    run.feed(Input::Callback { visit, answer: Ok(json(output)) })
}

fn refused(verdict: Verdict, why: &str) {
    let Verdict::Refused(told) = verdict else { panic!("{verdict:?}") };
    assert!(told.contains(why), "{told}");
}

#[test]
fn a_signal_is_taken_by_the_listen_that_accepts_it() {
    let mut run = Run::start(TWO, "{}");
    assert_eq!(signal(&mut run, "1", "other"), Verdict::Applied);
    run.is(Status::Waiting);
    assert_eq!(signal(&mut run, "2", "a"), Verdict::Applied);
    assert_eq!(signal(&mut run, "2", "a"), Verdict::Stale);
    assert_eq!(signal(&mut run, "3", "b"), Verdict::Applied);
    run.expect(r#"[{"id":"3"}]"#, "+W +a -a +b -b -W");
    refused(signal(&mut run, "4", "b"), "the execution is completed");
}

#[test]
fn a_signal_waits_for_its_listen() {
    let mut run = Run::pending(TWO, "{}");
    assert_eq!(signal(&mut run, "1", "b"), Verdict::Applied);
    run.feed(Input::Begin);
    run.is(Status::Waiting);
    assert!(run.post(7, "a", "1"));
    run.expect(r#"[{"id":"1"}]"#, "+W +a -a +b -b -W");
}

#[test]
fn a_signal_to_a_suspended_execution_is_used_at_the_resume() {
    let mut run = Run::start(TWO, "{}");
    run.suspend();
    assert_eq!(signal(&mut run, "1", "a"), Verdict::Applied);
    run.is(Status::Suspended);
    run.resume();
    assert_eq!(run.words(), "+W +a |a |W ^W ^a -a +b");
    assert_eq!(signal(&mut run, "1", "a"), Verdict::Stale, "also after a restart it is known");
}

#[test]
fn one_signal_goes_to_one_listen() {
    let body = "do:\n- f: {fork: {branches: [{a: {listen: {to: {one: {with: {type: e}}}}}}, {b: {listen: {to: {one: {with: {type: e}}}}}}]}}\n";
    let mut run = Run::start(body, "{}");
    signal(&mut run, "1", "e");
    assert_eq!(run.words(), "+W +f +a +b -a");
    signal(&mut run, "2", "e");
    run.expect(r#"[[{"id":"1"}],[{"id":"2"}]]"#, "+W +f +a +b -a -b -f -W");
}

#[test]
fn signals_have_a_limit_with_a_name() {
    let mut run = Run::start(TWO, "{}");
    for n in 0..tidemill_engine::limits::MAX_SIGNALS {
        let input = Input::Signal(event(&n.to_string(), "other"));
        let decision = tidemill_engine::decide(&run.program, &mut run.x, input, run.now);
        assert_eq!(decision.verdict, Verdict::Applied);
    }
    refused(signal(&mut run, "more", "a"), "limit signals");
}

#[test]
fn a_call_that_is_answered_later_stays_open_and_is_not_made_again() {
    let mut run = Run::start(CALL, "{}");
    let visit = later(&mut run, "c");
    run.is(Status::Running);
    assert_eq!(run.x.waiting_for(&run.program)[0].what, Awaited::Callback);
    let wanted = resume(&run.program, &run.x);
    assert!(wanted.effects.is_empty(), "a restart calls nobody");
    assert_eq!(wanted.due.len(), 1, "its timeout goes on");
    assert_eq!(answer(&mut run, visit, r#"{"n":1}"#), Verdict::Applied);
    run.expect(r#"{"n":1}"#, "+W +c -c -W");
    refused(answer(&mut run, visit, "2"), "the execution is completed");
}

#[test]
fn callbacks_fail_tasks_time_out_and_are_retried() {
    let mut run = Run::start(CALL, "{}");
    let visit = later(&mut run, "c");
    let fault = Fault::communication(503, "no");
    assert_eq!(run.feed(Input::Callback { visit, answer: Err(fault) }), Verdict::Applied);
    run.expect("503 communication /do/0/c", "+W +c !c !W");
    let mut run = Run::start(CALL, "{}");
    later(&mut run, "c");
    run.pass(60_000).expect("408 timeout /do/0/c", "+W +c !c !W");
    run.retry(None, None);
    let visit = later(&mut run, "c");
    assert_eq!(answer(&mut run, visit, "1"), Verdict::Applied);
    assert_eq!(run.end(), "1");
}

#[test]
fn a_callback_may_overtake_the_promise_but_not_end_another_task() {
    let mut run = Run::start(&format!("{CALL}- w: {{wait: PT1H}}\n"), "{}");
    let (visit, attempt) = run.call("c");
    assert_eq!(answer(&mut run, visit, "1"), Verdict::Applied);
    assert!(run.effects.contains(&Effect::Abort { visit }));
    assert_eq!(run.feed(Input::Outcome { visit, attempt, outcome: Outcome::Later }), Verdict::Stale);
    refused(answer(&mut run, visit, "2"), "has ended");
    refused(answer(&mut run, visit + 1, "2"), "waits for no callback");
    refused(answer(&mut run, 99, "2"), "never began");
}

#[test]
fn a_callback_to_a_suspended_execution_is_kept() {
    let mut run = Run::start(CALL, "{}");
    run.suspend();
    let visit = later(&mut run, "c");
    assert_eq!(answer(&mut run, visit, "1"), Verdict::Applied);
    refused(answer(&mut run, visit, "2"), "has ended");
    run.is(Status::Suspended);
    run.resume();
    run.expect("1", "+W +c |W ^W -c -W");
}

#[test]
fn cancel_and_timeout_of_what_waits_for_a_callback_abort_nothing() {
    let mut run = Run::start(CALL, "{}");
    later(&mut run, "c");
    run.cancel();
    run.expect("cancelled", "+W +c xc xW");
    assert!(!run.effects.iter().any(|effect| matches!(effect, Effect::Abort { .. })));
}

#[test]
fn whom_a_call_calls_is_told_without_what_is_secret() {
    let check = |call: &str, expected: Option<&str>| {
        let run = Run::start(&format!("use: {{secrets: [s]}}\ndo:\n- c: {call}\n"), r#"{"n":"x"}"#);
        let (visit, _) = run.call("c");
        assert_eq!(tidemill_engine::callee(&run.program, &run.x, visit).as_deref(), expected, "{call}");
    };
    let http = |endpoint: &str| format!("{{call: http, with: {{method: get, endpoint: '{endpoint}'}}}}");
    check("{call: 'x:2@default'}", Some("x:2"));
    check(&http("https://h/p/{n}?key=k#f"), Some("GET https://h/p/x"));
    check(&http("https://me:pw@h/p"), Some("GET https://h/p"));
    check(&http("${ \"https://h/\" + $secrets.s }"), None);
}
