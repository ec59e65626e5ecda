//! Cancel, suspend, resume, retry; stale inputs.

use tidemill_dsl::order::Outcome;
use tidemill_engine::{Effect, Input, Status, Verdict, resume};

use crate::harness::{Run, json};

const CALL: &str = "do:\n- a: {set: {a: 1}}\n- c: {call: 'x:1@default'}\n- z: {set: {z: '${ . }'}}\n";

type State<'a> = &'a dyn Fn() -> Run;

fn refused(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(_))
}

#[test]
fn verbs_that_a_state_does_not_allow_are_refused() {
    let running = || Run::start(CALL, "{}");
    let completed = || {
        let mut run = running();
        run.done("c", "1");
        run
    };
    let faulted = || {
        let mut run = running();
        run.fail("c", 500);
        run
    };
    let cancelled = || {
        let mut run = running();
        run.cancel();
        run
    };
    let suspended = || {
        let mut run = running();
        run.suspend();
        run
    };
    let pending = || Run::pending(CALL, "{}");
    let states: [(&str, State, [bool; 4]); 6] = [
        ("pending", &pending, [true, false, false, false]),
        ("running", &running, [true, true, false, false]),
        ("suspended", &suspended, [true, false, true, false]),
        ("completed", &completed, [false, false, false, false]),
        ("faulted", &faulted, [false, false, false, true]),
        ("cancelled", &cancelled, [false, false, false, true]),
    ];
    for (name, state, allowed) in states {
        for (verb, allowed) in allowed.into_iter().enumerate() {
            let mut run = state();
            assert_eq!(run.x.status().word(), name);
            let verdict = match verb {
                0 => run.cancel(),
                1 => run.suspend(),
                2 => run.resume(),
                _ => run.retry(None, None),
            };
            assert_eq!(verdict == Verdict::Applied, allowed, "{name} {verb} {verdict:?}");
            assert_eq!(refused(&verdict), !allowed, "{name} {verb}");
        }
    }
}

#[test]
fn cancel_ends_everything_innermost_first() {
    let body = "do:\n- o:\n    try:\n    - f: {fork: {branches: [{a: {wait: PT1H}}, {b: {do: [{c: {call: 'x:1@default'}}]}}]}}\n    catch: {do: [{no: {set: {no: 1}}}]}\n";
    let mut run = Run::start(body, "{}");
    run.cancel();
    run.expect("cancelled", "+W +o +f +a +b +c xc xb xa xf xo xW");
    let entry = run.entries().pop().unwrap();
    assert_eq!(entry.reason.as_deref(), Some("why"));
    assert!(resume(&run.program, &run.x).due.is_empty());
}

#[test]
fn a_pending_execution_can_be_cancelled() {
    let mut run = Run::pending(CALL, "{}");
    run.cancel();
    run.expect("cancelled", "+W xW");
    assert_eq!(run.feed(Input::Begin), Verdict::Stale);
}

#[test]
fn answers_and_timers_are_kept_while_suspended() {
    let body = "do:\n- f: {fork: {branches: [{c: {call: 'x:1@default'}}, {w: {wait: PT5S}}, {l: {listen: {to: {one: {with: {type: e}}}}}}]}}\n- z: {set: {z: '${ . }'}}\n";
    let mut run = Run::start(body, "{}");
    run.suspend();
    run.is(Status::Suspended);
    let words = run.words();
    let (visit, attempt) = run.call("c");
    run.done("c", "\"c\"").pass(6000);
    assert!(run.post(9, "e", "\"e\""));
    assert!(!run.post(10, "e", "\"second\""));
    let outcome = Outcome::Done(json("\"again\""));
    assert_eq!(run.feed(Input::Outcome { visit, attempt, outcome }), Verdict::Stale);
    assert_eq!(run.words(), words, "nothing moves while suspended");
    assert_eq!(run.x.open_calls().count(), 0);
    assert!(resume(&run.program, &run.x).effects.is_empty());
    run.resume();
    run.expect(r#"{"z":["c",{},["e"]]}"#, "+W +f +c +w +l |w |l |W ^W ^w ^l -c -w -l -f +z -z -W");
    let calls = run.effects.iter().filter(|effect| matches!(effect, Effect::Call { .. })).count();
    assert_eq!(calls, 1, "the call is not repeated");
}

#[test]
fn timeouts_while_suspended_take_effect_on_resume() {
    let mut run =
        Run::start("timeout: {after: PT5S}\ndo:\n- c: {call: 'x:1@default', timeout: {after: PT2S}}\n", "{}");
    run.suspend();
    run.pass(10_000).is(Status::Suspended);
    run.resume();
    run.expect("408 timeout /do/0/c", "+W +c |W ^W !c !W");
}

#[test]
fn a_retry_delay_that_ends_while_suspended() {
    let mut run = Run::start(
        "do:\n- t:\n    try: [{c: {call: 'x:1@default'}}]\n    catch: {retry: {delay: PT1S, limit: {attempt: {count: 5}}}}\n",
        "{}",
    );
    run.fail("c", 500);
    run.suspend();
    run.pass(5000);
    run.resume();
    run.fail("c", 500).pass(1000).done("c", "1");
    run.expect("1", "+W +t +c !c |W ^W ~t +c !c ~t +c -c -t -W");
}

#[test]
fn cancel_while_suspended() {
    let mut run = Run::start(CALL, "{}");
    run.suspend();
    run.done("c", "1");
    run.cancel();
    run.expect("cancelled", "+W +a -a +c |W xc xW");
}

#[test]
fn late_and_doubled_outcomes_are_stale() {
    let body = "do:\n- f: {fork: {compete: true, branches: [{a: {call: 'x:1@default'}}, {b: {call: 'x:1@default'}}]}}\n- c: {call: 'x:1@default'}\n";
    let mut run = Run::start(body, "{}");
    let (a, b) = (run.call("a"), run.call("b"));
    run.done("a", "1");
    for (visit, attempt) in [a, b, (a.0, 2), (99, 1)] {
        let outcome = Outcome::Done(json("2"));
        assert_eq!(run.feed(Input::Outcome { visit, attempt, outcome }), Verdict::Stale);
    }
    let (visit, _) = run.call("c");
    assert_eq!(
        run.feed(Input::Outcome { visit, attempt: 2, outcome: Outcome::Done(json("2")) }),
        Verdict::Stale
    );
    run.done("c", "3");
    assert_eq!(
        run.feed(Input::Outcome { visit, attempt: 1, outcome: Outcome::Done(json("2")) }),
        Verdict::Stale
    );
    run.expect("3", "+W +f +a +b -a xb -f +c -c -W");
}

#[test]
#[cfg(not(feature = "bug-double-outcome"))]
fn an_outcome_after_the_end_is_stale() {
    let mut run = Run::start(
        "do:\n- f: {fork: {branches: [{a: {call: 'x:1@default'}}, {b: {call: 'x:1@default'}}]}}\n",
        "{}",
    );
    let (visit, attempt) = run.call("a");
    run.fail("b", 500);
    assert_eq!(
        run.feed(Input::Outcome { visit, attempt, outcome: Outcome::Done(json("1")) }),
        Verdict::Stale
    );
}

#[test]
fn retry_goes_on_with_the_failed_task() {
    let mut run = Run::start(CALL, "{}");
    run.fail("c", 500);
    assert_eq!(run.end(), "500 communication /do/1/c");
    assert_eq!(run.retry(None, None), Verdict::Applied);
    run.is(Status::Running);
    assert_eq!(run.x.ended(), None);
    run.done("c", "5");
    run.expect(r#"{"z":5}"#, "+W +a -a +c !c !W ~W +c -c +z -z -W");
}

#[test]
fn retry_with_another_input() {
    let mut run = Run::start("do:\n- a: {set: {v: '${ .x.y }'}}\n", r#"{"x":1}"#);
    assert_eq!(run.end(), "400 expression /do/0/a");
    run.retry(Some(r#"{"x":{"y":2}}"#), None);
    run.expect(r#"{"v":2}"#, "+W +a !a !W ~W +a -a -W");
}

#[test]
fn retry_keeps_the_frames_around_the_failed_task() {
    let body = "do:\n- s: {set: {n: 0}, export: {as: '{seen: 1}'}}\n- f:\n    for: {each: x, in: '[10,20,30]'}\n    do:\n    - a: {set: {n: '${ .n + $x }'}}\n    - c: {call: 'x:1@default', output: {as: '{n: ($input.n + $context.seen)}'}}\n";
    let mut run = Run::start(body, "{}");
    run.done("c", "1").fail("c", 500);
    run.retry(None, None);
    run.done("c", "1").done("c", "1");
    run.expect(r#"{"n":63}"#, "+W +s -s +f +a -a +c -c +a -a +c !c !f !W ~W +f +c -c +a -a +c -c -f -W");
}

#[test]
fn retry_of_a_fork_runs_no_finished_branch_again() {
    let body = "do:\n- f:\n    fork:\n      branches:\n      - a: {call: 'x:1@default'}\n      - b: {do: [{b1: {set: {b1: 1}}}, {b2: {call: 'x:1@default'}}]}\n      - c: {do: [{c1: {set: {c1: 1}}}, {c2: {call: 'x:1@default'}}]}\n";
    let mut run = Run::start(body, "{}");
    run.done("a", "\"a\"").fail("b2", 500);
    run.retry(None, None);
    run.done("b2", "\"b\"").done("c2", "\"c\"");
    run.expect(
        r#"["a","b","c"]"#,
        "+W +f +a +b +c +b1 -b1 +c1 -c1 +b2 +c2 -a !b2 !b xc2 xc !f !W ~W +f +b +c +b2 +c2 -b2 -b -c2 -c -f -W",
    );
}

#[test]
fn a_branch_cancelled_between_two_tasks_goes_on_with_the_second() {
    let body = "do:\n- f:\n    fork:\n      branches:\n      - a: {do: [{a1: {set: {n: 1}}}, {r: {if: .n == 1, set: {n: '${ .n.x }'}}}]}\n      - b: {do: [{b1: {set: {n: 1}}}, {b2: {set: {n: '${ .n + 1 }'}}}, {b3: {set: {n: '${ .n + 1 }'}}}]}\n";
    let mut run = Run::start(body, "{}");
    assert_eq!(run.end(), "400 expression /do/0/f/fork/branches/0/a/do/1/r");
    run.retry(Some(r#"{"n":7}"#), None);
    run.expect(
        r#"[{"n":7},{"n":9}]"#,
        "+W +f +a +b +a1 -a1 +b1 -b1 +r !r !a xb !f !W ~W +f +a +b +b2 -b2 -a +b3 -b3 -b -f -W",
    );
}

#[test]
fn retry_goes_back_into_the_handler() {
    let body = "do:\n- t:\n    try: [{c: {call: 'x:1@default'}}]\n    catch: {as: e, do: [{h: {call: 'x:1@default'}}, {i: {set: {s: '${ $e.status }', h: '${ . }'}}}]}\n";
    let mut run = Run::start(body, "{}");
    run.fail("c", 501).fail("h", 502);
    run.retry(None, None);
    run.done("h", "1");
    run.expect(r#"{"s":501,"h":1}"#, "+W +t +c !c +h !h !t !W ~W +t +h -h +i -i -t -W");
}

#[test]
fn retry_gives_the_try_its_attempts_again() {
    let body = "do:\n- t:\n    try: [{c: {call: 'x:1@default'}}]\n    catch: {retry: {limit: {attempt: {count: 1}}}}\n";
    let mut run = Run::start(body, "{}");
    run.fail("c", 1).fail("c", 2);
    run.retry(None, None);
    run.fail("c", 3).done("c", "1");
    run.expect("1", "+W +t +c !c ~t +c !c !t !W ~W +t +c !c ~t +c -c -t -W");
}

#[test]
fn retry_from_a_named_task() {
    let body = "do:\n- a: {set: {n: '${ .n + 1 }'}}\n- o: {do: [{b: {set: {n: '${ .n + 10 }'}}}, {c: {call: 'x:1@default'}}]}\n";
    let start = || {
        let mut run = Run::start(body, r#"{"n":0}"#);
        run.fail("c", 500);
        run
    };
    let mut run = start();
    assert!(refused(&run.retry(None, Some("/do/7/no"))));
    run.retry(None, Some("/do/1/o/do/0/b"));
    run.done("c", "1");
    run.expect("1", "+W +a -a +o +b -b +c !c !o !W ~W +o +b -b +c -c -o -W");
    let mut run = start();
    run.retry(Some(r#"{"n":5}"#), Some("/do/0/a"));
    run.done("c", "2");
    run.expect("2", "+W +a -a +o +b -b +c !c !o !W ~W +a -a +o +b -b +c -c -o -W");
    let inputs: Vec<String> = run
        .entries()
        .iter()
        .filter(|e| e.kind == "task.started")
        .map(|e| e.input.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(inputs[4..7], [r#"{"n":5}"#, r#"{"n":6}"#, r#"{"n":6}"#]);
}

#[test]
fn retry_from_a_task_of_a_try_between_two_attempts_begins_an_attempt() {
    let body = "do:\n- t:\n    try: [{a: {call: 'x:1@default'}}, {b: {call: 'x:1@default', timeout: {after: PT9S}}}]\n    catch: {retry: {delay: PT5S, limit: {attempt: {count: 1}}}}\n";
    let mut run = Run::start(body, "{}");
    run.fail("a", 1);
    run.cancel();
    run.retry(None, Some("/do/0/t/try/1/b"));
    // The delay is over: its timer does not begin another attempt beside this one.
    run.pass(6000).done("b", "1");
    run.expect("1", "+W +t +a !a xt xW ~W +t +b -b -t -W");
}

#[test]
fn retry_of_a_cancelled_execution_goes_on_where_it_stood() {
    let body = "timeout: {after: PT1M}\ndo:\n- f: {fork: {branches: [{w: {wait: PT5S}}, {c: {call: 'x:1@default'}}]}}\n";
    let mut run = Run::start(body, "{}");
    run.pass(3000);
    run.cancel();
    run.pass(100_000);
    run.retry(None, None);
    run.done("c", "1").pass(4999).is(Status::Waiting);
    run.pass(1);
    run.expect("[{},1]", "+W +f +w +c xc xw xf xW ~W +f +w +c -c -w -f -W");
}

#[test]
fn retry_after_a_task_ran_out_of_time_runs_it_anew() {
    let body = "do:\n- d: {timeout: {after: PT2S}, do: [{a: {set: {a: 1}}}, {c: {call: 'x:1@default'}}]}\n";
    let mut run = Run::start(body, "{}");
    run.pass(2000);
    run.retry(None, None);
    run.pass(1999).done("c", "1");
    run.expect("1", "+W +d +a -a +c xc !d !W ~W +d +a -a +c -c -d -W");
}

#[test]
fn retry_of_a_workflow_that_failed_outside_its_tasks() {
    let body = "input: {from: .x.y}\ndo:\n- a: {set: '${ {v: .} }'}\n";
    let mut run = Run::start(body, r#"{"x":1}"#);
    run.expect("400 expression -", "+W !W");
    run.retry(Some(r#"{"x":{"y":3}}"#), None);
    run.expect(r#"{"v":3}"#, "+W !W ~W +a -a -W");
    let body = "do:\n- a: {set: {v: 1}}\noutput: {as: .v.w}\n";
    let mut run = Run::start(body, "{}");
    run.expect("400 expression -", "+W +a -a !W");
    run.retry(Some(r#"{"v":{"w":2}}"#), None);
    run.expect("2", "+W +a -a !W ~W -W");
}

#[test]
fn retry_after_an_output_that_failed_behind_an_end() {
    let body = "do:\n- o: {do: [{a: {set: {v: 1}, then: end}}]}\noutput: {as: .v.w}\n";
    let mut run = Run::start(body, "{}");
    run.expect("400 expression -", "+W +o +a -a xo !W");
    run.retry(Some(r#"{"v":{"w":2}}"#), None);
    run.expect("2", "+W +o +a -a xo !W ~W -W");
}

#[test]
fn retry_from_the_body_of_a_try_that_was_waiting() {
    let body = "do:\n- t:\n    try: [{a: {set: {a: 1}}}, {c: {call: 'x:1@default'}}]\n    catch: {retry: {delay: PT1M}}\n";
    let mut run = Run::start(body, "{}");
    run.fail("c", 500);
    run.cancel();
    run.retry(None, Some("/do/0/t/try/1/c"));
    assert!(resume(&run.program, &run.x).due.is_empty());
    run.done("c", "1");
    run.expect("1", "+W +t +a -a +c !c xt xW ~W +t +c -c -t -W");
}

#[test]
fn a_trigger_start_is_created_first_and_begun_later() {
    let mut run = Run::pending(CALL, "{}");
    let created = tidemill_engine::created(&mut run.x);
    assert_eq!((created.first, created.count, created.lifecycle), (1, 0, false));
    run.log.push(created);
    run.check("created");
    run.is(Status::Pending);
    run.feed(Input::Begin);
    run.done("c", "1");
    assert_eq!((run.log.len(), run.x.transitions()), (3, 3));
    assert_eq!(*run.x.birth().as_ref(), tidemill_engine::birth_of(&run.log[0]).unwrap());
}
